import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import { createShares } from '#acme/shares.ts';
import { startDnsServer } from '#test/dns-server.ts';
import type { RawClient } from './raw-client.ts';
import { acmeWorld, dnsNames } from './server-world.ts';

/** Whoever has responders that never answer waits for them alone. */

/** Accepts connections on 127.0.0.2, reads what comes, and never answers. */
async function silentResponder(context: TestContext, port: number): Promise<{ connections: () => number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.resume();
  }).listen(port, '127.0.0.2');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { connections: () => sockets.length };
}

/** Answers on 127.0.0.1: the first time with 503, so that the try after it waits in line like everybody's. */
async function slowStarter(context: TestContext, answers: ReadonlyMap<string, string>) {
  const seen = new Set<string>();
  const server = createHttpServer(({ url = '' }, response) => {
    const isFirst = !seen.has(url);
    seen.add(url);
    response.statusCode = isFirst ? 503 : 200;
    response.end(isFirst ? '' : answers.get(url.replace('/.well-known/acme-challenge/', '')));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
}

async function challengesOf(client: RawClient, names: readonly string[]) {
  const order = await client.post(client.directory['newOrder'] ?? '', dnsNames(...names));
  assert.equal(order.status, 201, order.text);
  return Promise.all(
    order.body.authorizations.map(async (url: string) => {
      const authorization = await client.post(url, '');
      const found = authorization.body.challenges.find(({ type }: Challenge) => type === 'http-01') as Challenge;
      return { ...found, authorization: url };
    }),
  );
}

test('an account with 120 responders that hang does not hold up another, nor its tries that come later', async (context) => {
  const answers = new Map<string, string>();
  const port = await slowStarter(context, answers);
  const silent = await silentResponder(context, port);
  const dns = await startDnsServer();
  context.after(() => dns.close());
  const world = await acmeWorld(context, {
    CHANCERY_ACME_HTTP_PORT: String(port),
    CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}`,
  });
  await world.server.ok('PUT', 'acme/directories/web', { allowed_address_ranges: ['127.0.0.0/8'] });
  const [hanging, other] = [await world.client(), await world.client()];
  for (const client of [hanging, other]) await client.register({}, await world.externalKey());
  for (const batch of [0, 1]) {
    const names = Array.from({ length: 60 }, (_, index) => `hang${batch * 60 + index}.example.com`);
    for (const name of names) dns.add(name, { type: 'A', value: '127.0.0.2' });
    const challenges = await challengesOf(hanging, names);
    for (const { url } of challenges) assert.equal((await hanging.post(url, {})).body.status, 'processing');
  }
  while (silent.connections() === 0) await sleep(20);
  dns.add('fine.example.com', { type: 'A', value: '127.0.0.1' });
  const [challenge] = await challengesOf(other, ['fine.example.com']);
  answers.set(challenge.token, keyAuthorizationOf(challenge.token, other.key.thumbprint));
  await other.post(challenge.url, {});
  let authorization = await other.post(challenge.authorization, '');
  while (authorization.body.status === 'pending') {
    await sleep(50);
    authorization = await other.post(challenge.authorization, '');
  }
  assert.equal(authorization.body.status, 'valid', authorization.text);
  assert.ok(silent.connections() < 120, 'all of the other account were tried before');
});

const asker = (namespace: string, role = 'web', account = 'a') => ({ namespace, role, account });

/** How many an asker gets when it asks without end. */
function fill(shares: ReturnType<typeof createShares>, who: ReturnType<typeof asker>): number {
  let count = 0;
  while (shares.take(who)) count++;
  return count;
}

test('a place is free for the next account, role and namespace, whoever takes all that it can get', () => {
  const shares = createShares(128);
  assert.equal(fill(shares, asker('one')), 32);
  assert.ok(fill(shares, asker('one', 'web', 'b')) > 0);
  for (let index = 0; index < 100; index++) fill(shares, asker('one', 'web', `c${index}`));
  assert.ok(fill(shares, asker('one', 'mail')) > 0);
  for (let index = 0; index < 100; index++) fill(shares, asker('one', `role${index}`));
  assert.ok(fill(shares, asker('two')) > 10);
  for (let index = 0; index < 100; index++) fill(shares, asker('two', `role${index}`, `c${index}`));
  assert.ok(fill(shares, asker('three')) > 5);
});

test('a place that was given back can be taken again, and a single place is of use', () => {
  const shares = createShares(1);
  assert.equal(fill(shares, asker('one')), 1);
  assert.equal(shares.take(asker('two')), false);
  shares.give(asker('one'));
  assert.equal(shares.take(asker('two')), true);
});

test('whoever holds least comes first', () => {
  const shares = createShares(128);
  const [hog, second, fresh] = [asker('one', 'web', 'a'), asker('one', 'web', 'b'), asker('two', 'web', 'c')];
  fill(shares, hog);
  assert.deepEqual(shares.fairly([hog, second, fresh]), [fresh, second, hog]);
});
