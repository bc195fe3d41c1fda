import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

test('users that no lease stands for are found and removed, and leases without users are marked', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const issued = await server.ok('POST', 'database/roles/readonly/credentials');
  const lost = await server.ok('POST', 'database/roles/readonly/credentials');
  const { user_prefix: prefix } = await server.ok('GET', 'database/connections/app');
  const orphans = [`${prefix}ghost_one`, `${prefix}ghost_two`, `${prefix}ghost_three`];
  for (const name of orphans) await world.root(`CREATE ROLE ${name} LOGIN PASSWORD 'x' ROLE chancery_admin`);
  await world.root('CREATE ROLE chy_other_user LOGIN');
  await world.root(`DROP ROLE ${lost.username}`);

  const report = await server.ok('POST', 'database/connections/app/reconcile');
  assert.deepEqual(report.orphans.map(({ username }: { username: string }) => username).sort(), orphans.toSorted());
  assert.deepEqual(report.missing, [{ lease_id: lost.lease_id, username: lost.username }]);
  assert.equal(report.revoking, 0);
  assert.equal((await leasedUsers(world)).length, 5);
  assert.match((await server.ok('GET', `leases/${lost.lease_id}`)).last_error, /was not at the server/);

  for (const name of orphans) await world.root(`GRANT ${name} TO chancery_admin WITH ADMIN OPTION`);
  const revoked = await server.ok('POST', 'database/connections/app/reconcile', { orphans: 'revoke' });
  assert.equal(revoked.revoking, 3);
  await until('the orphans are gone', async () => (await leasedUsers(world)).length === 2);
  assert.deepEqual(new Set(await leasedUsers(world)), new Set(['chy_other_user', issued.username]));
  await until('their leases are revoked', async () => {
    const { leases } = await server.ok('GET', 'leases?state=revoked&role=database/orphans/app');
    return leases.length === 3 && leases.every(({ cause }: { cause: string }) => cause === 'orphaned');
  });
  assert.equal((await server.ok('GET', 'database/connections/app')).live_leases, 2);
  assert.deepEqual((await server.ok('POST', 'database/connections/app/reconcile')).orphans, []);
});
