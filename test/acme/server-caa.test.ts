import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import { type DnsServerForTests, startDnsServer } from '#test/dns-server.ts';
import type { RawClient, RawReply } from './raw-client.ts';
import { acmeWorld, assertProblem, csr, dnsNames, errorType } from './server-world.ts';

/** Row 93: CAA records are looked up again where a validation is old, or of another order. */

const eightHours = 8 * 3_600_000;
let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
let dns: DnsServerForTests;
let store: DatabaseSync;
before(async () => {
  dns = await startDnsServer();
  world = await acmeWorld(undefined, { CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}` });
  await world.server.ok('PUT', 'acme/directories/web', { check_caa: true, caa_identities: ['ca.test'] });
  client = await world.client();
  await client.register({}, await world.externalKey());
  store = new DatabaseSync(join(world.server.folder, 'chancery.db'));
  store.exec('PRAGMA busy_timeout = 30000');
});
after(async () => {
  store.close();
  await world.close();
  await dns.close();
});

const idIn = (url: string): string => url.split('/').at(-1) ?? '';
const forbid = (name: string) => dns.zone.set(`CAA ${name}`, [{ type: 'CAA', tag: 'issue', value: 'other.test' }]);
const allow = (name: string) => dns.zone.delete(`CAA ${name}`);
const finalize = (order: RawReply, name: string) => client.post(order.body.finalize, { csr: csr({ dns: [name] }) });
const looks = (name: string) => dns.queries.filter((query) => query.type === 'CAA' && query.name === name).length;

/** An order that is ready because its name was just validated over dns-01. */
async function readyOrder(name: string): Promise<RawReply> {
  const order = await client.post(client.directory['newOrder'] ?? '', dnsNames(name));
  const [url] = order.body.authorizations;
  const { body } = await client.post(url, '');
  const challenge = body.challenges.find(({ type }: { type: string }) => type === 'dns-01');
  const value = createHash('sha256')
    .update(keyAuthorizationOf(challenge.token, client.key.thumbprint))
    .digest('base64url');
  dns.add(`_acme-challenge.${name}`, { type: 'TXT', value });
  await client.post(challenge.url, {});
  while ((await client.post(url, '')).body.status === 'pending') await sleep(20);
  return client.post(order.headers.location ?? '', '');
}

test('row 93, RFC 8659: what was validated for this order just now is not looked up again', async () => {
  const order = await readyOrder('fresh.example.com');
  const seen = looks('fresh.example.com');
  assert.equal((await finalize(order, 'fresh.example.com')).body.status, 'valid');
  assert.equal(looks('fresh.example.com'), seen);
});

test('row 93, RFC 8659: for an authorization of an earlier order CAA is looked up at finalization, and may forbid', async () => {
  const name = 'reused.example.com';
  await readyOrder(name);
  const second = await client.post(client.directory['newOrder'] ?? '', dnsNames(name));
  assert.equal(second.body.status, 'ready');
  forbid(name);
  assertProblem(await finalize(second, name), 403, 'caa');
  assert.equal((await client.post(second.headers.location ?? '', '')).body.status, 'ready');
  allow(name);
  dns.override = (query) => (query.type === 'CAA' ? { code: 2 } : undefined);
  assertProblem(await finalize(second, name), 403, 'caa');
  dns.override = undefined;
  assert.equal((await finalize(second, name)).body.status, 'valid');
});

test('row 93: an authorization older than eight hours is looked up again, a younger one is not', async () => {
  for (const [name, age, status] of [
    ['old.example.com', eightHours, 403],
    ['young.example.com', eightHours - 600_000, 200],
  ] as const) {
    const order = await readyOrder(name);
    store
      .prepare(
        'UPDATE acme_server_challenges SET validated_at = ? WHERE authorization_id = ? AND validated_at IS NOT NULL',
      )
      .run(Date.now() - age, idIn(order.body.authorizations[0]));
    forbid(name);
    assert.equal((await finalize(order, name)).status, status, name);
  }
});

test('row 93: an order that is issued more than eight hours after it was finalized is looked up again', async () => {
  const name = 'late.example.com';
  const order = await readyOrder(name);
  forbid(name);
  const ago = Date.now() - eightHours;
  const id = idIn(order.body.finalize.replace('/finalize', ''));
  store
    .prepare(
      'UPDATE acme_server_challenges SET validated_at = ? WHERE authorization_id = ? AND validated_at IS NOT NULL',
    )
    .run(ago, idIn(order.body.authorizations[0]));
  store
    .prepare(
      `UPDATE acme_server_orders SET status = 'processing', csr = ?, next_attempt_at = 1, finalized_at = ? WHERE id = ?`,
    )
    .run(Buffer.from(csr({ dns: [name] }), 'base64url'), ago, id);
  const url = order.body.finalize.replace('/finalize', '');
  let reply = await client.post(url, '');
  while (reply.body.status === 'processing') {
    await sleep(50);
    reply = await client.post(url, '');
  }
  assert.equal(reply.body.status, 'invalid');
  assert.equal(reply.body.error.type, errorType('caa'));
});
