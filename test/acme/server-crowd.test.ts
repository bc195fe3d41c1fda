import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildServer, type Client, foundPki, spawnChancery } from '#test/chancery.ts';
import { startDnsServer } from '#test/dns-server.ts';
import { startPostgres } from '#test/postgres.ts';
import { assertFailuresAreBounded, assertOpenAuthorizationsAreBounded, narrowRole } from './bursts.ts';
import { newKey, type RawClient, rawClient, type RawReply } from './raw-client.ts';
import { acmeWorld, csr, dnsNames, newExternalKey, publicUrl } from './server-world.ts';

/** Many clients at once, several nodes, and nodes that die. */

interface Asked {
  readonly name: string;
  readonly request: string;
}

/** A post as clients make it: again with another nonce, or when the connection was cut. */
async function insist(client: RawClient, url: string, payload: object | ''): Promise<RawReply> {
  for (let tries = 0; ; tries++) {
    const reply = await client.post(url, payload).catch(() => undefined);
    const isTemporary = reply === undefined || reply.status >= 500 || String(reply.body?.type).endsWith('badNonce');
    if (reply !== undefined && !isTemporary) return reply;
    if (tries > 200) throw new Error(`no answer from ${url}: ${reply?.text ?? 'none'}`);
    if (reply === undefined) await sleep(50);
  }
}

async function obtain(client: RawClient, { name, request }: Asked): Promise<X509Certificate> {
  const order = await insist(client, client.directory['newOrder'] ?? '', dnsNames(name));
  if (order.status !== 201) throw new Error(`${name}: ${order.text}`);
  return finish(client, order, request);
}

async function finish(client: RawClient, order: RawReply, request: string): Promise<X509Certificate> {
  let done = await insist(client, order.body.finalize, { csr: request });
  while (done.body.status === 'processing') {
    await sleep(100);
    done = await insist(client, done.headers.location ?? order.headers.location ?? '', '');
  }
  if (done.body.status !== 'valid') throw new Error(done.text);
  return new X509Certificate((await insist(client, done.body.certificate, '')).text);
}

const asked = (count: number, prefix: string): Asked[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `${prefix}${index}.example.com`,
    request: csr({ dns: [`${prefix}${index}.example.com`] }),
  }));

/** That each name has one certificate in the inventory, and it is the one that the client holds. */
async function assertEachOnce(server: Pick<Client, 'ok'>, names: readonly string[], held: readonly X509Certificate[]) {
  const { certificates } = await server.ok('GET', 'pki/certificates?kind=leaf&role=web&limit=1000');
  assert.equal(certificates.length, names.length);
  assert.deepEqual(
    certificates.map((row: { names: string[] }) => row.names[0]?.replace('dns:', '')).toSorted(),
    names.toSorted(),
  );
  const serials = new Set(certificates.map((row: { serial_number: string }) => row.serial_number));
  for (const { serialNumber } of held)
    assert.ok(serials.has(serialNumber.toLowerCase().padStart(2, '0')), serialNumber);
}

test('200 orders at once end with 200 certificates, one each', async (context) => {
  const world = await acmeWorld(context);
  const client = await world.trusted();
  const all = asked(200, 'c');
  const certificates = await Promise.all(all.map((each) => obtain(client, each)));
  await assertEachOnce(
    world.server,
    all.map(({ name }) => name),
    certificates,
  );
});

const trust = { role: 'web', skip_validation: true, allowed_identifiers: ['*.example.com'] };

test('two nodes on one PostgreSQL serve one client: each takes nonces, orders and finalizations of the other, and limits hold', async (context) => {
  const postgres = await startPostgres();
  context.after(() => postgres.stop());
  const dns = await startDnsServer();
  context.after(() => dns.close());
  const env = {
    CHANCERY_STORAGE: await postgres.createDatabase(),
    CHANCERY_PUBLIC_URL: publicUrl,
    CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}`,
  };
  const first = await spawnChancery(context, { env });
  const second = await spawnChancery(context, { env, folder: first.folder });
  await foundPki(first);
  const client = await rawClient({ connect: [first.url, second.url], publicUrl, segment: 'web' });
  context.after(() => client.close());
  assert.equal((await client.register({}, await newExternalKey(first, trust))).status, 201);
  const nonce = await client.nonce();
  const url = client.directory['newOrder'] ?? '';
  const replies = await Promise.all(
    Array.from({ length: 8 }, () => client.post(url, dnsNames('n.example.com'), { header: { nonce } })),
  );
  assert.equal(replies.filter(({ status }) => status === 201).length, 1, 'a nonce was taken by both');
  const all = asked(40, 'p');
  const certificates = await Promise.all(all.map((each) => obtain(client, each)));
  const twice = csr({ dns: ['both.example.com'] });
  const order = await client.post(url, dnsNames('both.example.com'));
  const ends = await Promise.all(Array.from({ length: 6 }, () => finish(client, order, twice)));
  assert.equal(new Set(ends.map(({ serialNumber }) => serialNumber)).size, 1);
  await assertEachOnce(first, [...all.map(({ name }) => name), 'both.example.com'], [...certificates, ...ends]);
  const binding = await narrowRole(first);
  const narrow = await rawClient({ connect: [first.url, second.url], publicUrl, segment: 'narrow' });
  context.after(() => narrow.close());
  await narrow.register({}, binding);
  await assertOpenAuthorizationsAreBounded(narrow);
  await assertFailuresAreBounded(narrow);
});

test('kill -9 in the middle of finalizing: clients that ask again get their certificate, and nobody gets two', async (context) => {
  const env = { CHANCERY_PUBLIC_URL: publicUrl };
  let server = await spawnChancery(context, { env });
  await foundPki(server);
  const key = newKey();
  let client = await connected(context, server, key);
  assert.equal((await client.register({}, await newExternalKey(server, trust))).status, 201);
  const { kid } = client;
  const all = asked(60, 'k');
  const orders: RawReply[] = [];
  for (const { name } of all) orders.push(await insist(client, client.directory['newOrder'] ?? '', dnsNames(name)));
  for (const moment of [3, 20]) {
    const sent = all.map((each, index) =>
      client.post(orders[index]?.body.finalize, { csr: each.request }).catch(() => undefined),
    );
    await Promise.any(sent.slice(0, moment));
    await server.kill();
    await Promise.all(sent);
    server = await spawnChancery(context, { env, folder: server.folder });
    client.close();
    client = await connected(context, server, key);
    client.become(kid);
  }
  const held = await Promise.all(all.map(({ request }, index) => finish(client, orders[index] as RawReply, request)));
  await assertEachOnce(
    server,
    all.map(({ name }) => name),
    held,
  );
  const { events } = await server.ok(
    'GET',
    'audit/events?operation=acme.accept_finalization&outcome=intent&limit=1000',
  );
  assert.equal(events.length, all.length);
  await server.stop();
});

async function connected(
  context: TestContext,
  server: ChildServer,
  key: ReturnType<typeof newKey>,
): Promise<RawClient> {
  const client = await rawClient({ connect: server.url, publicUrl, segment: 'web', key });
  context.after(() => client.close());
  return client;
}
