import assert from 'node:assert/strict';
import { test } from 'node:test';
import { purgeJob } from '#auth/housekeeping.ts';
import { openHouse } from './house.ts';

const day = 86_400_000;

test('what ended a month ago goes, and nothing that lives loses its chain', async (context) => {
  const house = await openHouse(context, { jobs: { [purgeJob.name]: purgeJob.scope } });
  const { key } = await house.call<{ key: string }>(house.admin, 'auth.create_key', { principal: 'admin', ttl: '1d' });
  const parent = await house.narrow(house.admin, { ttl: '60d' });
  const child = await house.narrow(parent, { ttl: '60d' });
  await house.narrow(await house.narrow(parent, { ttl: '1h' }), { ttl: '1h' });
  await house.narrow(key);
  await house.allow('careful', ['mill.*'], ['**'], { approval: true });
  await house.code(await house.enrol('agent', ['careful']), 'mill.grind_corn', { mill: 'a' });
  const credentials = { kind: 'system', job: purgeJob.name, namespace: 'root' } as const;
  const purge = () => house.call(undefined, 'auth.purge_expired', {}, { credentials, transport: 'system' });

  house.clock.advance(20 * day);
  assert.deepEqual(await purge(), { tokens: 0, approvals: 0 });
  house.clock.advance(12 * day);
  assert.deepEqual(await purge(), { tokens: 3, approvals: 1 });
  assert.deepEqual(await purge(), { tokens: 0, approvals: 0 });
  for (const token of [house.admin, parent, child]) assert.equal(await house.code(token, 'auth.whoami'), 'ok');
  const keys = await house.call<{ keys: unknown[] }>(house.admin, 'auth.list_keys', { principal: 'admin' });
  assert.equal(keys.keys.length, 2, 'keys stay');
  assert.equal(await house.code(house.admin, 'auth.purge_expired', { older_than: '1h' }), 'invalid_request');
});
