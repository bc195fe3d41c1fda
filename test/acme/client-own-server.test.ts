import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { serverEnv, until } from './client-world.ts';
import { type InteropWorld, interopWorld } from './interop-world.ts';

/** One Chancery as the client of another. */

const hour = 3_600_000;

async function startClient(context: TestContext, world: InteropWorld) {
  let ahead = 0;
  const client = await startChancery(context, {
    env: serverEnv(world.httpPort, {
      CHANCERY_ACME_RESOLVERS: world.dns,
      CHANCERY_ACME_TLS_ALPN_LISTEN: `127.0.0.1:${world.tlsPort}`,
    }),
    clock: { now: () => Date.now() + ahead },
  });
  const { key_id, hmac_key } = await world.externalKey();
  await client.ok('POST', 'acme/accounts', {
    name: 'own',
    directory: world.directory,
    ca_certificate: readFileSync(world.rootFile, 'utf8'),
    external_account: { key_id, hmac_key },
  });
  return { client, advance: (by: number) => void (ahead += by) };
}

test('Chancery gets certificates from Chancery over all three challenges, changes its key, and revokes', async (context) => {
  const world = await interopWorld(context);
  const { client } = await startClient(context, world);
  const issued: string[] = [];
  for (const [challenge, ...identifiers] of [
    ['http-01', 'a.interop.test', '127.0.0.1'],
    ['tls-alpn-01', 'b.interop.test', '127.0.0.1'],
  ]) {
    const order = await client.ok('POST', 'acme/orders', { account: 'own', identifiers, challenge, wait: 30 });
    assert.equal(order.state, 'issued', JSON.stringify(order));
    issued.push(order.certificate_id);
  }
  await client.ok('POST', 'acme/accounts/own/rotate-key');
  const order = await client.ok('POST', 'acme/orders', {
    account: 'own',
    identifiers: ['*.interop.test', 'interop.test'],
    challenge: 'dns-01',
    wait: 30,
  });
  for (const { name, value } of order.next.records) await world.setTxt(name, value);
  const done = await client.ok('POST', `acme/orders/${order.id}/complete`, { wait: 30 });
  assert.equal(done.state, 'issued', JSON.stringify(done));
  const revoked = await client.ok('POST', `acme/certificates/${issued[0]}/revoke`, { reason: 'superseded' });
  const there = await world.server.ok('GET', `pki/certificates/${revoked.serial_number}`);
  assert.equal(there.status, 'revoked');
  assert.equal(there.revocation_reason, 'superseded');
});

test('renewal follows the window of the authority (RFC 9773): early after a revocation', async (context) => {
  const world = await interopWorld(context);
  const { client, advance } = await startClient(context, world);
  const order = await client.ok('POST', 'acme/orders', {
    account: 'own',
    identifiers: ['r.interop.test'],
    challenge: 'http-01',
    wait: 30,
  });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const path = `acme/certificates/${order.certificate_id}`;
  const before = await until(
    () => client.ok('GET', path),
    ({ renewal }) => renewal.reason === 'authority',
  );
  const { at, window_start: start, window_end: end } = before.renewal;
  assert.ok(Date.parse(start) <= Date.parse(at) && Date.parse(at) <= Date.parse(end), JSON.stringify(before.renewal));
  await world.server.ok('POST', `pki/certificates/${before.serial_number}/revoke`, { reason: 'key_compromise' });
  assert.ok(Date.parse(at) > Date.now() + 7 * hour, 'without the revocation it would not be due yet');
  advance(7 * hour);
  const after = await until(
    () => client.ok('GET', path),
    (shown) => shown.renewals === 1,
  );
  assert.notEqual(after.serial_number, before.serial_number);
  assert.equal((await world.server.ok('GET', `pki/certificates/${after.serial_number}`)).status, 'valid');
  // The window was of the certificate before: the new one has a time of its own.
  assert.ok(Date.parse(after.renewal.at) > Date.now() + 8 * hour, JSON.stringify(after.renewal));
});
