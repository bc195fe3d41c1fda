import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { dnsChallengeName, dnsChallengeValue } from '#acme/challenge/dns-01.ts';
import { createChallengeValidator } from '#acme/challenge/validator.ts';
import { askByStream } from '#acme/dns/exchange.ts';
import { encodeQuery } from '#acme/dns/message.ts';
import { createPerspective } from '#acme/dns/perspective.ts';
import { startDnsServer } from '#test/dns-server.ts';
import { attempt, challengeWorld, keyAuthorization, verdict } from './challenge-world.ts';

const name = '_acme-challenge.a.test';
const value = dnsChallengeValue(keyAuthorization);

test('RFC 8555 §8.4: the record is at _acme-challenge, and its value is the digest of the key authorization', () => {
  assert.equal(dnsChallengeName('a.test'), name);
  assert.match(value, /^[A-Za-z0-9_-]{43}$/);
});

test('RFC 8555 §8.4: any of several TXT records proves, and the strings of one are joined', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
  world.dns.add(name, { type: 'TXT', value: 'v=spf1 -all' }, { type: 'TXT', value: `${value} ` });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'incorrectResponse');
  world.dns.add(name, { type: 'TXT', value: [value.slice(0, 10), '', value.slice(10)] });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
});

test('a CNAME is followed, whether the server gives what it leads to or not', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add(name, { type: 'CNAME', value: 'a.challenges.test' });
  world.dns.add('a.challenges.test', { type: 'TXT', value });
  const validator = world.validator();
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
  world.dns.override = () => ({
    records: [
      { type: 'TXT', value, owner: 'a.challenges.test' },
      { type: 'CNAME', value: 'b.challenges.test', owner: name },
      { type: 'CNAME', value: 'a.challenges.test', owner: 'b.challenges.test' },
    ],
  });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
  world.dns.override = () => ({ records: [{ type: 'TXT', value, owner: 'unrelated.test' }] });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
});

test('aliases in a circle, or without end, end as an error', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  world.dns.add(name, { type: 'CNAME', value: 'b.test' });
  world.dns.add('b.test', { type: 'CNAME', value: name });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
  let count = 0;
  world.dns.override = () => ({ records: [{ type: 'CNAME', value: `n${(count += 1)}.test` }] });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
  assert.ok(count < 20, `${count} questions`);
});

test('answers too large for a datagram are fetched by stream; a flood of TXT records is refused', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator();
  world.dns.zone.set(
    `TXT ${name}`,
    Array.from({ length: 100 }, (_, index) => ({
      type: 'TXT' as const,
      value: index === 99 ? value : 'x'.repeat(200),
    })),
  );
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
  assert.deepEqual(
    world.dns.queries.map(({ transport }) => transport),
    ['udp', 'tcp'],
  );
  world.dns.zone.set(
    `TXT ${name}`,
    Array.from({ length: 600 }, () => ({ type: 'TXT' as const, value })),
  );
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
});

test('a DNS that fails, hangs or answers nonsense is a problem of the DNS', async (context) => {
  const world = await challengeWorld(context);
  const validator = world.validator({ timeoutMs: 500 });
  world.dns.add(name, { type: 'TXT', value });
  for (const code of [1, 2, 4, 5]) {
    world.dns.override = () => ({ code });
    assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns', String(code));
  }
  world.dns.override = () => 'silence';
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
  world.dns.override = () => ({ raw: Array.from({ length: 100 }, () => Buffer.from('nonsense, and more of it')) });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
  world.dns.override = ({ packet }) => ({ raw: [compressionLoop(packet)] });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
});

test('an answer with another id, or to another question, is passed over', async (context) => {
  const world = await challengeWorld(context);
  world.dns.override = ({ packet }) => {
    const spoofed = Buffer.from(packet);
    spoofed.writeUInt16BE((packet.readUInt16BE(0) + 1) & 0xffff, 0);
    spoofed[2] = 0x81;
    const other = Buffer.from(packet);
    other[2] = 0x81;
    other[13] = (other[13] ?? 0) ^ 1;
    return { raw: [spoofed, other] };
  };
  assert.equal(verdict(await world.validator({ timeoutMs: 300 }).validate(attempt('dns-01'))), 'dns');
});

test('RFC 6891 §7: a server that does not know EDNS is asked without it', async (context) => {
  const world = await challengeWorld(context);
  world.dns.add(name, { type: 'TXT', value });
  for (const code of [1, 4]) {
    world.dns.override = ({ packet }) => (packet.readUInt16BE(10) > 0 ? { code } : undefined);
    assert.equal(verdict(await world.validator().validate(attempt('dns-01'))), 'ok', String(code));
  }
});

test('an answer that comes by stream in single bytes is read', async (context) => {
  const world = await challengeWorld(context);
  const server = createTcpServer((socket) => {
    socket.setNoDelay(true).on('error', () => undefined);
    socket.once('data', (query: Buffer) => void drip(socket, query));
  }).listen(world.dns.port, '127.0.0.2');
  context.after(() => server.close());
  await once(server, 'listening');
  const answer = await askByStream(
    { host: '127.0.0.2', port: world.dns.port },
    encodeQuery(7, name, 16),
    AbortSignal.timeout(5000),
  );
  assert.deepEqual(answer.question, { name, type: 16 });
});

/** The question as an answer without records. */
async function drip(socket: Socket, query: Buffer): Promise<void> {
  const answer = Buffer.from(query);
  answer[4] = 0x81;
  for (const byte of answer) {
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('dns-01 is not for addresses', async (context) => {
  const world = await challengeWorld(context);
  assert.equal(verdict(await world.validator().validate(attempt('dns-01', '127.0.0.1'))), 'malformed final');
  assert.equal(world.dns.queries.length, 0);
});

test('with several resolvers every one must see the proof', async (context) => {
  const world = await challengeWorld(context);
  const second = await startDnsServer();
  context.after(() => second.close());
  const validator = world.validator({ more: [second], timeoutMs: 500 });
  world.dns.add(name, { type: 'TXT', value });
  const alone = await validator.validate(attempt('dns-01'));
  assert.ok(!alone.ok);
  assert.match(alone.problem.detail, / Seen by 1 of 2 resolvers\.$/);
  second.add(name, { type: 'TXT', value });
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
  second.override = () => 'silence';
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'dns');
});

test('resolvers of the system stand in for each other', async (context) => {
  const [dead, alive] = await Promise.all([startDnsServer(), startDnsServer()]);
  context.after(() => Promise.all([dead.close(), alive.close()]));
  dead.override = () => ({ code: 2 });
  alive.add(name, { type: 'TXT', value });
  const perspectives = [createPerspective([dead, alive])];
  const validator = createChallengeValidator({ perspectives, ports: { http: 9, tls: 9 } });
  context.after(() => validator.close());
  assert.equal(verdict(await validator.validate(attempt('dns-01'))), 'ok');
});

/** An answer whose owner name points at itself. */
function compressionLoop(packet: Buffer): Buffer {
  const header = Buffer.from(packet.subarray(0, 12));
  header[2] = 0x81;
  header.writeUInt16BE(1, 6);
  header.writeUInt16BE(0, 10);
  const question = packet.subarray(12, packet.length - 11);
  const at = 12 + question.length;
  return Buffer.concat([header, question, Buffer.of(0xc0 | (at >> 8), at & 0xff, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0)]);
}

test('a look that does not end by itself is ended, by its time and by the signal of whoever asked', async () => {
  const never = () => new Promise<never>(() => undefined);
  const stuck = { addresses: never, texts: never, caa: never, nameServers: never };
  const ports = { http: 9, tls: 9 };
  const byTime = createChallengeValidator({ perspectives: [stuck], ports, timeoutMs: 20 });
  assert.equal(verdict(await byTime.validate(attempt('dns-01'))), 'connection');
  const bySignal = createChallengeValidator({ perspectives: [stuck], ports, timeoutMs: 600_000 });
  assert.equal(verdict(await bySignal.validate(attempt('dns-01'), AbortSignal.timeout(20))), 'connection');
  await bySignal.close();
});
