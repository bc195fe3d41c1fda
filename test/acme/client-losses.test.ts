import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as requestHttps } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { type Pebble, startPebble } from '#test/pebble.ts';
import { accountAt, http, serverEnv, startWorld } from './client-world.ts';

test('whatever answer of the authority is lost, the account, its key, orders and revocation come out right', async (context) => {
  const port = await freePort();
  const pebble = await startPebble(context, { httpPort: port, reuse: 0, badNonces: 20 });
  const between = await startLossyProxy(context, pebble);
  const server = await startChancery(context, { env: serverEnv(port) });
  const account = await server.ok('POST', 'acme/accounts', accountAt(pebble, { directory: between.directory }));
  assert.equal(account.state, 'active');
  const order = await server.ok('POST', 'acme/orders', http('a.example.com', 'b.example.com'));
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const changed = await server.ok('POST', 'acme/accounts/pebble/rotate-key');
  assert.equal(changed.key_change_open, false);
  const second = await server.ok('POST', 'acme/orders', http('c.example.com'));
  assert.equal(second.state, 'issued', JSON.stringify(second));
  const revoked = await server.ok('POST', `acme/certificates/${order.certificate_id}/revoke`, {});
  assert.equal(await pebble.statusOf(revoked.serial_number), 'Revoked');
  assert.equal((await server.ok('POST', 'acme/accounts/pebble/deactivate')).state, 'deactivated');
  assert.ok(
    between.lost.some((path) => path.startsWith('/finalize-order')),
    between.lost.join(),
  );
  assert.ok(
    between.lost.some((path) => path.startsWith('/rollover')),
    between.lost.join(),
  );
});

test('an authority that has forgotten everything gets the account registered again, and the order begun anew', async (context) => {
  const { server, pebble } = await startWorld(context, { reuse: 0 });
  const before = await server.ok('GET', 'acme/accounts/pebble');
  assert.equal((await server.ok('POST', 'acme/orders', http('a.example.com'))).state, 'issued');
  await pebble.restart();
  const order = await server.ok('POST', 'acme/orders', http('b.example.com'));
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const after = await server.ok('GET', 'acme/accounts/pebble');
  assert.notEqual(after.url, before.url);
  assert.equal(after.state, 'active');
  const { certificate } = await server.ok('GET', `acme/certificates/${order.certificate_id}`);
  assert.ok(new X509Certificate(certificate).checkHost('b.example.com'));
});

/** Stands between client and Pebble, and passes the first request to every path on without ever passing its answer back. */
async function startLossyProxy(context: TestContext, pebble: Pebble) {
  const target = new URL(pebble.directory);
  const seen = new Set<string>();
  const lost: string[] = [];
  const server = createServer(pebble.tls, (incoming, outgoing) => {
    const { url = '/', method, headers } = incoming;
    const forwarded = requestHttps(
      { host: target.hostname, port: target.port, path: url, method, headers, ca: pebble.roots, agent: false },
      (answer: IncomingMessage) => {
        const status = answer.statusCode ?? 500;
        // A nonce that is refused says nothing of the request.
        if (status < 300 && !seen.has(url)) {
          seen.add(url);
          lost.push(url);
          answer.resume();
          outgoing.destroy();
          return;
        }
        outgoing.writeHead(status, answer.headers);
        answer.pipe(outgoing);
      },
    );
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { lost, directory: `https://127.0.0.1:${(server.address() as AddressInfo).port}${target.pathname}` };
}

test('an authority that is none, or an evil one, gets nothing and is told in a sentence', async (context) => {
  const pebble = await startPebble(context);
  let answer: (reply: ServerResponse) => void = () => undefined;
  const evil = createServer(pebble.tls, (_request, reply) => answer(reply));
  evil.listen(0, '127.0.0.1');
  await once(evil, 'listening');
  context.after(() => {
    evil.closeAllConnections();
    evil.close();
  });
  const { port } = evil.address() as AddressInfo;
  const here = `https://127.0.0.1:${port}`;
  const server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  const directory = (fields: object) => (reply: ServerResponse) =>
    reply.end(JSON.stringify({ newNonce: `${here}/n`, newAccount: `${here}/a`, newOrder: `${here}/o`, ...fields }));
  const cases: [string, typeof answer, RegExp][] = [
    ['no JSON', (reply) => reply.end('<html>'), /directory is not JSON/],
    ['too much', (reply) => reply.end(Buffer.alloc(2_000_000, 0x20)), /more than 1048576 bytes/],
    ['elsewhere', (reply) => reply.writeHead(302, { location: 'http://169.254.169.254/' }).end(), /points elsewhere/],
    ['without TLS', directory({ newNonce: 'http://127.0.0.1/n' }), /newNonce is not valid/],
    ['no nonce', directory({}), /gives no nonce/],
    ['metadata', directory({ newNonce: 'https://169.254.169.254/n' }), /no address of the public Internet/],
    ['file', directory({ newAccount: 'file:///etc/passwd' }), /newAccount is not valid/],
    ['error', (reply) => reply.writeHead(403).end('{"type":"x","detail":"\\u001b[2J no"}'), /no \(x\)/],
  ];
  for (const [name, how, text] of cases) {
    answer = how;
    const reply = await server.call(
      'POST',
      'acme/accounts',
      accountAt(pebble, {
        name: `evil-${name.replaceAll(' ', '-').toLowerCase()}`,
        directory: `${here}/${encodeURI(name)}`,
      }),
    );
    assert.ok([422, 503].includes(reply.status), `${name}: ${JSON.stringify(reply.body)}`);
    assert.match(reply.body.detail, text, name);
    assert.doesNotMatch(reply.body.detail, /\p{C}/u);
  }
});

test('an authority that asks for a thousand proofs of one name holds nobody up', async (context) => {
  const pebble = await startPebble(context);
  let asked = 0;
  const evil = createServer(pebble.tls, (request, reply) => {
    const { port } = evil.address() as AddressInfo;
    const here = `https://127.0.0.1:${port}`;
    const order = {
      status: 'pending',
      identifiers: [{ type: 'dns', value: 'a.example.com' }],
      authorizations: Array.from({ length: 1000 }, (_, index) => `${here}/z/${index}`),
      finalize: `${here}/f`,
    };
    const answers: Record<string, object> = {
      '/d': { newNonce: `${here}/n`, newAccount: `${here}/a`, newOrder: `${here}/o` },
      '/a': { status: 'valid' },
      '/o': order,
    };
    request.resume();
    reply.setHeader('replay-nonce', randomBytes(16).toString('base64url'));
    if (request.url === '/a' || request.url === '/o') reply.writeHead(201, { location: `${here}${request.url}/1` });
    if (request.url?.startsWith('/z/') === true) asked += 1;
    reply.end(
      JSON.stringify(
        answers[request.url ?? ''] ?? { status: 'pending', identifier: order.identifiers[0], challenges: [] },
      ),
    );
  });
  evil.listen(0, '127.0.0.1');
  await once(evil, 'listening');
  context.after(() => {
    evil.closeAllConnections();
    evil.close();
  });
  const server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  const directory = `https://127.0.0.1:${(evil.address() as AddressInfo).port}/d`;
  await server.ok('POST', 'acme/accounts', accountAt(pebble, { name: 'evil', directory }));
  const order = await server.ok('POST', 'acme/orders', {
    account: 'evil',
    identifiers: ['a.example.com'],
    challenge: 'http-01',
    wait: 20,
  });
  assert.equal(order.state, 'failed');
  assert.match(order.error, /more proofs than names/);
  assert.equal(asked, 0);
});
