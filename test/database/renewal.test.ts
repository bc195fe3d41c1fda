import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChancery } from '#test/chancery.ts';
import { foundDatabase, leasedUsers, startTarget } from './fixture.ts';

test('a renewal that the database cannot take says what is the matter, and the lease stays as it was', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const lease = await server.ok('POST', 'database/roles/readonly/credentials');
  const path = `leases/${lease.lease_id}`;

  await world.root(`ALTER ROLE ${lease.username} RENAME TO gone`);
  const gone = await server.call('POST', `${path}/renew`, { increment: '2h' });
  assert.deepEqual([gone.status, gone.body.code], [422, 'refused']);
  assert.match(gone.body.detail, /^Connection app: PostgreSQL says: role "chy_\w+" does not exist/);
  await world.root(`ALTER ROLE gone RENAME TO ${lease.username}`);

  await world.server.pause();
  const away = await server.call('POST', `${path}/renew`, { increment: '2h' });
  assert.deepEqual([away.status, away.body.code], [503, 'unavailable']);
  assert.match(away.body.detail, /^Connection app: /);
  assert.equal((await server.ok('GET', path)).expires_at, lease.expires_at);

  await world.server.start();
  const renewed = await server.ok('POST', `${path}/renew`, { increment: '2h' });
  assert.ok(Date.parse(renewed.expires_at) > Date.parse(lease.expires_at));
});

test('renewals that meet each other and the end of the lease at the database are told of it, and never hinder the end', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const race = async (): Promise<string[]> => {
    const { lease_id: id } = await server.ok('POST', 'database/roles/readonly/credentials');
    const revoked = sleep(randomInt(6)).then(() => server.call('POST', `leases/${id}/revoke`));
    const renewals = [2, 3, 4].map((hours) => server.call('POST', `leases/${id}/renew`, { increment: `${hours}h` }));
    const end = await revoked;
    assert.deepEqual([end.status, end.body.state], [200, 'revoked'], JSON.stringify(end.body));
    return (await Promise.all(renewals)).map(({ status, body }) => (status === 200 ? 'renewed' : body.code));
  };
  const told = new Set<string>();
  for (let round = 0; round < 15; round++)
    for (const each of await Promise.all([race(), race(), race()])) for (const what of each) told.add(what);
  assert.deepEqual(told.difference(new Set(['renewed', 'conflict', 'wrong_state'])), new Set());
  assert.deepEqual(await leasedUsers(world), []);
});
