import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { acmeWorld, dnsNames, issue } from './server-world.ts';

const idIn = (url = ''): string => url.split('/').at(-1) ?? '';

test('a namespace with ACME accounts says what stands in the way, and is deleted when that is cleared', async (context) => {
  const world = await acmeWorld(context);
  const root = world.server;
  const { key } = await root.ok('POST', 'namespaces', { name: 'tenant' });
  const tenant = root.as(key);
  await foundPki(tenant);
  await tenant.ok('PUT', 'acme/directories/web', { order_lifetime: '1h' });
  const vouched = { role: 'web', skip_validation: true, allowed_identifiers: ['*.example.com'] };
  const external = await tenant.ok('POST', 'acme/external-account-keys', vouched);
  const client = await world.client('tenant~web');
  assert.equal((await client.register({}, external)).status, 201);
  assert.equal((await client.post(client.directory['newOrder'] ?? '', dnsNames('a.example.com'))).status, 201);
  const account = `acme/subscribers/${idIn(client.kid)}`;

  const refused = await root.call('DELETE', 'namespaces/tenant');
  assert.equal(refused.status, 409);
  assert.match(refused.body.detail, /ACME accounts/);
  assert.match(refused.body.detail, /external account keys/);
  assert.match(refused.body.hint, /acme\.revoke_subscriber.*acme\.delete_subscriber/);

  const inUse = await tenant.call('DELETE', account);
  assert.equal(inUse.status, 409);
  assert.match(inUse.body.hint, /revoke_subscriber/);
  await tenant.ok('POST', `${account}/revoke`);
  await tenant.ok('DELETE', account);
  assert.equal((await tenant.call('GET', account)).status, 404);
  await tenant.ok('DELETE', `acme/external-account-keys/${external.key_id}`);
  await tenant.ok('DELETE', 'acme/directories/web');

  const left = await root.call('DELETE', 'namespaces/tenant');
  assert.match(left.body.detail, /orders of ACME accounts/);
  assert.match(left.body.hint, /ten minutes/);
  assert.doesNotMatch(left.body.detail, /(?<!of )ACME accounts|external account/);
});

test('an account is not deleted while a certificate of it is valid', async (context) => {
  const world = await acmeWorld(context);
  const client = await world.trusted();
  await issue(client, ['a.example.com']);
  const account = `acme/subscribers/${idIn(client.kid)}`;
  await world.server.ok('POST', `${account}/revoke`);
  const refused = await world.server.call('DELETE', account);
  assert.equal(refused.status, 409);
  const { certificates } = await world.server.ok('GET', 'pki/certificates?kind=leaf');
  const serial = certificates[0].serial_number;
  assert.match(JSON.stringify(refused.body), new RegExp(serial));
  await world.server.ok('POST', `pki/certificates/${serial}/revoke`, { reason: 'superseded' });
  assert.equal((await world.server.call('DELETE', account)).status, 200);
});

test('an external account key is deleted when nobody can register with it any more', async (context) => {
  const world = await acmeWorld(context);
  const { key_id: id } = (await world.externalKey()) as { key_id: string };
  const path = `acme/external-account-keys/${id}`;
  assert.equal((await world.server.call('DELETE', path)).status, 409);
  await world.server.ok('POST', `${path}/revoke`, {});
  assert.equal((await world.server.call('DELETE', path)).status, 200);
  assert.equal((await world.server.call('DELETE', path)).status, 404);
});
