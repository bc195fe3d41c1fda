import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import { type DnsServerForTests, startDnsServer } from '#test/dns-server.ts';
import { freePort } from '#test/free-port.ts';
import type { RawClient, RawReply } from './raw-client.ts';
import { acmeWorld, assertProblem, csr, dnsNames, errorType } from './server-world.ts';

/** Challenges as clients see them: rows 46, 73, 77, 78 and 86 to 94 of the checklist; what goes over the wire is in challenge-*.test.ts. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
let dns: DnsServerForTests;
const answers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
const responder = createServer((request, response) => {
  const answer = answers.get((request.url ?? '').replace('/.well-known/acme-challenge/', ''));
  if (answer !== undefined) return answer(request, response);
  response.statusCode = 404;
  response.end('nothing here');
});
before(async () => {
  const port = await freePort();
  responder.listen(port, '127.0.0.1');
  await once(responder, 'listening');
  dns = await startDnsServer();
  world = await acmeWorld(undefined, {
    CHANCERY_ACME_HTTP_PORT: String(port),
    CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}`,
  });
  await configure({});
  client = await world.client();
  await client.register({}, await world.externalKey());
});
after(async () => {
  responder.closeAllConnections();
  responder.close();
  await world.close();
  await dns.close();
});

const configure = (settings: object) =>
  world.server.ok('PUT', 'acme/directories/web', {
    allowed_address_ranges: ['127.0.0.0/8'],
    validation_attempts: 2,
    ...settings,
  });

interface Opened {
  readonly order: RawReply;
  readonly authzUrl: string;
  readonly challenge: { readonly url: string; readonly token: string; readonly type: string };
}

async function open(name: string, type = 'http-01'): Promise<Opened> {
  if (!name.startsWith('*.')) dns.add(name, { type: 'A', value: '127.0.0.1' });
  const order = await client.post(client.directory['newOrder'] ?? '', dnsNames(name));
  assert.equal(order.status, 201, order.text);
  const [authzUrl] = order.body.authorizations;
  const authz = await client.post(authzUrl, '');
  return { order, authzUrl, challenge: authz.body.challenges.find((each: { type: string }) => each.type === type) };
}

const keyAuthorization = ({ challenge }: Opened): string => keyAuthorizationOf(challenge.token, client.key.thumbprint);

const serve = (opened: Opened, text = keyAuthorization(opened)): void =>
  void answers.set(opened.challenge.token, (_request, response) => response.end(text));

/** Polls the authorization until it is decided, as clients do. */
async function decided({ authzUrl }: Opened): Promise<RawReply> {
  for (;;) {
    const reply = await client.post(authzUrl, '');
    if (reply.body.status !== 'pending') return reply;
    await sleep(50);
  }
}

test('rows 46, 73 and 86, RFC 8555 §8.1 and §8.3: http-01 goes from pending over processing to valid, and the order to ready', async () => {
  const opened = await open('ok.example.com');
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  answers.set(
    opened.challenge.token,
    (_request, response) => void held.then(() => response.end(`${keyAuthorization(opened)}\r\n`)),
  );
  const taken = await client.post(opened.challenge.url, {});
  assert.equal(taken.body.status, 'processing');
  assert.equal(taken.headers['retry-after'], '1');
  const pending = await client.post(opened.authzUrl, '');
  assert.equal(pending.body.status, 'pending');
  assert.equal(pending.headers['retry-after'], '1');
  assert.equal((await client.post(opened.order.headers.location ?? '', '')).body.status, 'pending');
  release();
  const authz = await decided(opened);
  assert.equal(authz.body.status, 'valid');
  assert.deepEqual(
    authz.body.challenges.map(({ type, status }: { type: string; status: string }) => [type, status]),
    [['http-01', 'valid']],
  );
  assert.match(authz.body.challenges[0].validated, /Z$/);
  const order = await client.post(opened.order.headers.location ?? '', '');
  assert.equal(order.body.status, 'ready');
  const done = await client.post(order.body.finalize, { csr: csr({ dns: ['ok.example.com'] }) });
  assert.equal(done.body.status, 'valid');
  const again = await client.post(client.directory['newOrder'] ?? '', dnsNames('ok.example.com'));
  assert.equal(again.body.status, 'ready', 'a name that was validated lately needs no challenge again');
});

test('RFC 8555 §8.2: while a validation pauses, Retry-After names its next try, so that clients that count polls hear the end', async () => {
  await configure({ validation_attempts: 10 });
  const opened = await open('pausing.example.com');
  answers.set(opened.challenge.token, (_request, response) => void response.writeHead(404).end());
  await client.post(opened.challenge.url, {});
  const seconds = async (url: string) => {
    const reply = await client.post(url, '');
    assert.ok(['pending', 'processing'].includes(reply.body.status), reply.text);
    return Number(reply.headers['retry-after']);
  };
  // The third pause and those after it are longer than any time between two polls here.
  while ((await seconds(opened.authzUrl)) < 2) await sleep(50);
  assert.ok((await seconds(opened.challenge.url)) <= 60);
  await client.post(opened.authzUrl, { status: 'deactivated' });
  await configure({});
});

test('row 88, RFC 8555 §8.3: tokens have 256 random bits in base64url, one for each challenge', async () => {
  const opened = await open('tokens.example.com');
  const authz = await client.post(opened.authzUrl, '');
  const tokens = authz.body.challenges.map(({ token }: { token: string }) => token);
  for (const token of tokens) assert.match(token, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(new Set(tokens).size, tokens.length);
});

test('rows 78, 89 and 91, RFC 8555 §8.3: a wrong answer makes challenge, authorization and order invalid, with the error', async () => {
  const opened = await open('wrong.example.com');
  serve(opened, `${opened.challenge.token}.someone-else`);
  await client.post(opened.challenge.url, {});
  const authz = await decided(opened);
  assert.equal(authz.body.status, 'invalid');
  const [challenge] = authz.body.challenges;
  assert.equal(challenge.status, 'invalid');
  assert.ok([errorType('incorrectResponse'), errorType('unauthorized')].includes(challenge.error.type), authz.text);
  const order = await client.post(opened.order.headers.location ?? '', '');
  assert.equal(order.body.status, 'invalid');
  assert.deepEqual(order.body.error.subproblems[0].identifier, { type: 'dns', value: 'wrong.example.com' });
  serve(opened);
  const restarted = await client.post(opened.challenge.url, {});
  assert.equal(restarted.body.status, 'invalid', 'a final authorization is not tried again');
  assertProblem(
    await client.post(order.body.finalize, { csr: csr({ dns: ['wrong.example.com'] }) }),
    403,
    'orderNotReady',
  );
});

test('row 87, RFC 8555 §8.2: a first try that fails is made again by the server, and the error is shown meanwhile', async () => {
  await configure({ validation_attempts: 5 });
  const opened = await open('later.example.com');
  let seen = 0;
  answers.set(opened.challenge.token, (_request, response) => {
    seen += 1;
    response.statusCode = seen === 1 ? 503 : 200;
    response.end(seen === 1 ? 'not yet' : keyAuthorization(opened));
  });
  await client.post(opened.challenge.url, {});
  for (;;) {
    const { body } = await client.post(opened.challenge.url, '');
    if (body.error === undefined) {
      await sleep(20);
      continue;
    }
    assert.equal(body.status, 'processing');
    break;
  }
  assert.equal((await decided(opened)).body.status, 'valid');
  assert.equal(seen, 2);
  await configure({});
});

test('row 87, RFC 8555 §8.2: a client that posts again has the next try made at once', async () => {
  await configure({ validation_attempts: 10 });
  const opened = await open('again.example.com');
  await client.post(opened.challenge.url, {});
  while ((await client.post(opened.challenge.url, '')).body.error === undefined) await sleep(20);
  serve(opened);
  await client.post(opened.challenge.url, {});
  assert.equal((await decided(opened)).body.status, 'valid');
  await configure({});
});

test('row 90, RFC 8555 §8.4: dns-01 proves a wildcard, by one of several TXT records', async () => {
  const opened = await open('*.dns.example.com', 'dns-01');
  const digest = createHash('sha256').update(keyAuthorization(opened)).digest('base64url');
  dns.add('_acme-challenge.dns.example.com', { type: 'TXT', value: 'another' }, { type: 'TXT', value: digest });
  await client.post(opened.challenge.url, {});
  assert.equal((await decided(opened)).body.status, 'valid');
  const done = await client.post(opened.order.body.finalize, { csr: csr({ dns: ['*.dns.example.com'] }) });
  assert.equal(done.body.status, 'valid');
});

test('row 92, RFC 8555 §10.4: without allowed ranges an address that is not public is refused at once, and nothing is asked', async () => {
  await configure({ allowed_address_ranges: [], validation_attempts: 5 });
  const opened = await open('private.example.com');
  let asked = 0;
  answers.set(opened.challenge.token, (_request, response) => {
    asked += 1;
    response.end(keyAuthorization(opened));
  });
  await client.post(opened.challenge.url, {});
  const authz = await decided(opened);
  assert.equal(authz.body.status, 'invalid');
  assert.ok(
    [errorType('connection'), errorType('rejectedIdentifier'), errorType('unauthorized')].includes(
      authz.body.challenges[0].error.type,
    ),
    authz.text,
  );
  assert.equal(asked, 0);
  await configure({});
});

test('row 93, RFC 8659: a CAA record that names another authority forbids, where the directory looks', async () => {
  await configure({ check_caa: true, caa_identities: ['ca.example.net'], validation_attempts: 1 });
  const forbidden = await open('caa.example.com');
  dns.add('caa.example.com', { type: 'CAA', flags: 0, tag: 'issue', value: 'other.example.net' });
  serve(forbidden);
  await client.post(forbidden.challenge.url, {});
  const authz = await decided(forbidden);
  assert.equal(authz.body.status, 'invalid', authz.text);
  assert.equal(authz.body.challenges[0].error.type, errorType('caa'));
  const allowed = await open('caa2.example.com');
  dns.add('caa2.example.com', { type: 'CAA', flags: 0, tag: 'issue', value: 'ca.example.net' });
  serve(allowed);
  await client.post(allowed.challenge.url, {});
  assert.equal((await decided(allowed)).body.status, 'valid');
  await configure({});
});

test('row 94, RFC 8737: tls-alpn-01 against a server that is not there is a connection problem', async () => {
  const opened = await open('tls.example.com', 'tls-alpn-01');
  await client.post(opened.challenge.url, {});
  const authz = await decided(opened);
  assert.equal(authz.body.status, 'invalid');
  assert.ok([errorType('connection'), errorType('tls')].includes(authz.body.challenges[0].error.type), authz.text);
});

test('an authorization that is deactivated while it is validated stays deactivated', async () => {
  const opened = await open('race.example.com');
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const asked = new Promise<void>((resolve) =>
    answers.set(opened.challenge.token, (_request, response) => {
      resolve();
      void held.then(() => response.end(keyAuthorization(opened)));
    }),
  );
  await client.post(opened.challenge.url, {});
  await asked;
  await client.post(opened.authzUrl, { status: 'deactivated' });
  release();
  while ((await client.post(opened.challenge.url, '')).body.status === 'processing') await sleep(20);
  assert.equal((await client.post(opened.authzUrl, '')).body.status, 'deactivated');
  assertProblem(
    await client.post(opened.order.body.finalize, { csr: csr({ dns: ['race.example.com'] }) }),
    403,
    'orderNotReady',
  );
});

test('row 37, RFC 8555 §6.6: a name that failed too often may not be ordered for a while', async () => {
  await configure({ validation_attempts: 1, limits: { failed_validations: 1 } });
  const opened = await open('often.example.com');
  await client.post(opened.challenge.url, {});
  assert.equal((await decided(opened)).body.status, 'invalid');
  const refused = await client.post(client.directory['newOrder'] ?? '', dnsNames('often.example.com'));
  assertProblem(refused, 429, 'rateLimited');
  assert.ok(Number(refused.headers['retry-after']) > 0);
  await configure({});
});

test('eighty challenges at once are more than are validated at a time, and all of them are decided', async () => {
  const all = await Promise.all(Array.from({ length: 80 }, (_, index) => open(`many${index}.example.com`)));
  all.forEach((each) => serve(each));
  await Promise.all(all.map(({ challenge }) => client.post(challenge.url, {})));
  const ends = await Promise.all(all.map((each) => decided(each)));
  assert.ok(ends.every(({ body }) => body.status === 'valid'));
});
