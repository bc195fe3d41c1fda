import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

test('a role with live leases stays, and drained it takes no more mints, ends them and goes', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const issued = await server.ok('POST', 'database/roles/readonly/credentials');
  const session = await world.logIn({ username: issued.username }, issued.password);
  const refused = await server.call('DELETE', 'database/roles/readonly');
  assert.deepEqual([refused.status, refused.body.code, refused.body.live_leases], [409, 'wrong_state', 1]);
  assert.equal((await server.ok('GET', 'database/roles/readonly')).live_leases, 1);

  const draining = await server.ok('DELETE', 'database/roles/readonly?drain=true');
  assert.deepEqual([draining.state, draining.live_leases], ['draining', 1]);
  const late = await server.call('POST', 'database/roles/readonly/credentials');
  assert.ok(late.status === 409 || late.status === 404, String(late.status));
  await session.ended;
  await until('the role is gone', async () => (await server.call('GET', 'database/roles/readonly')).status === 404);
  assert.deepEqual(await leasedUsers(world), []);
  assert.equal((await server.ok('GET', `leases/${issued.lease_id}`)).cause, 'drained');
  const { events } = await server.ok('GET', 'audit/events?operation=database.delete_role&outcome=ok');
  assert.equal(events.at(0).principal.includes('database.finish_drains'), true, JSON.stringify(events[0]));

  await server.ok('POST', 'database/roles', { name: 'readonly', connection: 'app', member_of: ['app_reader'] });
  await server.ok('POST', 'database/roles/readonly/credentials');
});

test('a connection that is used stays, and drained it goes with its roles when the last lease has ended', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const used = await server.call('DELETE', 'database/connections/app');
  assert.deepEqual([used.status, used.body.code], [409, 'wrong_state']);
  const issued = await server.ok('POST', 'database/roles/readonly/credentials');
  const draining = await server.ok('DELETE', 'database/connections/app?drain=true');
  assert.equal(draining.state, 'draining');
  await until(
    'the connection is gone',
    async () => (await server.call('GET', 'database/connections/app')).status === 404,
  );
  assert.equal((await server.call('GET', 'database/roles/readonly')).status, 404);
  assert.equal((await server.ok('GET', `leases/${issued.lease_id}`)).state, 'revoked');
  assert.deepEqual(await leasedUsers(world), []);
  assert.equal(await world.adminSessions(), 0);
});

test('whatever mints while a role is deleted, no user outlives it without a lease', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const mints = Array.from({ length: 20 }, () => server.call('POST', 'database/roles/readonly/credentials'));
  const [drained, ...minted] = await Promise.all([
    server.call('DELETE', 'database/roles/readonly?drain=true'),
    ...mints,
  ]);
  assert.ok(drained.status < 300, JSON.stringify(drained.body));
  assert.ok(
    minted.every(({ status }) => [201, 404, 409].includes(status)),
    minted.map(({ status }) => status).join(),
  );
  await until('the role is gone', async () => (await server.call('GET', 'database/roles/readonly')).status === 404);
  assert.deepEqual(await leasedUsers(world), []);
  const { live } = await server.ok('GET', 'database/connections/app').then((body) => ({ live: body.live_leases }));
  assert.equal(live, 0);
});
