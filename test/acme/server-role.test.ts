import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acmeWorld, assertProblem, dnsNames, newExternalKey } from './server-world.ts';

test('what was given out for a role that was deleted is not good for another of its name', async (context) => {
  const world = await acmeWorld(context);
  const { server } = world;
  const role = { name: 'again', authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };
  await server.ok('POST', 'pki/roles', role);
  await server.ok('PUT', 'acme/directories/again', { external_account_required: false });
  const key = await newExternalKey(server, { role: 'again', max_accounts: 5 });
  const before = await world.client('again');
  assert.equal((await before.register({})).status, 201);
  assert.equal((await server.call('DELETE', 'pki/roles/again')).status, 200);
  await server.ok('POST', 'pki/roles', role);

  assert.equal((await server.ok('GET', 'acme/directories/again')).external_account_required, true);
  assert.deepEqual((await server.ok('GET', 'acme/directories')).directories, []);
  const ordered = await before.post(before.directory['newOrder'] ?? '', dnsNames('www.example.com'));
  assertProblem(ordered, 401, 'unauthorized');
  assertProblem(await before.post(before.directory['newAccount'] ?? '', {}, { jwk: true }), 401, 'unauthorized');
  const after = await world.client('again');
  assertProblem(await after.register({}), 403, 'externalAccountRequired');
  assertProblem(await after.register({}, key), 403, 'unauthorized');
  assert.equal((await after.register({}, await newExternalKey(server, { role: 'again' }))).status, 201);
});
