import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';
import { until } from './fixture.ts';

/** The whole life once more, on MariaDB: what the engine does beside the target (hosts, TLS, names, caps). */

async function start(
  context: TestContext,
): Promise<{ world: MariadbWorld; server: InProcess; time: { ahead: number } }> {
  const world = await mariadbWorld();
  context.after(() => world.stop());
  const time = { ahead: 0 };
  const server = await startChancery(context, { clock: { now: () => Date.now() + time.ahead } });
  const { host, port, username, password } = world.settings;
  const url = `mariadb://${username}:${password}@${host}:${port}/app`;
  const connection = await server.ok('POST', 'database/connections', { name: 'app', url });
  assert.equal(connection.engine, 'mysql');
  return { world, server, time };
}

async function leasedUsers(world: MariadbWorld): Promise<string[]> {
  const rows = await world.root("SELECT User AS name FROM mysql.user WHERE User LIKE 'chy\\_%' ORDER BY User");
  return rows.map((row) => String(row['name']));
}

async function logsIn(world: MariadbWorld, username: string, password: string): Promise<boolean> {
  try {
    await (await world.logIn({ username, host: '%' }, password)).close();
    return true;
  } catch {
    return false;
  }
}

const reader = { name: 'readonly', connection: 'app', member_of: ['app_reader'] };

test('a user of MariaDB is leased, reads, may not write, and is gone with its session when its time is over', async (context) => {
  const { world, server } = await start(context);
  const foreign = await server.call('POST', 'database/roles', { ...reader, act_as: 'app_writer' });
  assert.deepEqual([foreign.status, foreign.body.code], [400, 'invalid_request']);
  assert.equal((await server.ok('POST', 'database/roles', reader)).probed, true);
  const issued = await server.ok('POST', 'database/roles/readonly/credentials', { ttl: '3s' });
  assert.ok(issued.username.length <= 32, issued.username);
  const session = await world.logIn({ username: issued.username, host: '%' }, issued.password);
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await assert.rejects(session.query(world.write));
  await session.ended;
  await until('the user is gone', async () => (await leasedUsers(world)).length === 0);
  await until('its lease is revoked', async () => {
    return (await server.ok('GET', `leases/${issued.lease_id}`)).state === 'revoked';
  });
});

test('a role of MariaDB whose groups the administrator may not grant is refused with what mends it', async (context) => {
  const { world, server } = await start(context);
  const { status, body } = await server.call('POST', 'database/roles', { ...reader, member_of: ['unrelated'] });
  assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
  assert.ok(body.missing.length > 0, JSON.stringify(body));
  // Without a right to it, MariaDB lets nobody in to the database of the connection.
  await world.root('GRANT SELECT ON app.* TO unrelated');
  for (const { fix } of body.missing) await world.root(fix.replace(/;$/, ''));
  await server.ok('POST', 'database/roles', { ...reader, member_of: ['unrelated'] });
  assert.deepEqual(await leasedUsers(world), []);
  const check = await server.ok('POST', 'database/connections/app/check');
  assert.deepEqual([check.flavor, check.sound], ['mariadb', true]);
});

test('the password of the administrator of MariaDB is rotated, and leasing goes on', async (context) => {
  const { world, server } = await start(context);
  await server.ok('POST', 'database/roles', reader);
  await server.ok('POST', 'database/connections/app/rotate-root');
  assert.equal(await logsIn(world, 'chancery_admin', world.settings.password), false);
  await world.breakAdminSessions();
  const { username, password } = await server.ok('POST', 'database/roles/readonly/credentials');
  assert.equal(await logsIn(world, username, password), true);
  await server.ok('DELETE', 'database/connections/app?drain=true');
  await until('all is gone', async () => (await server.call('GET', 'database/connections/app')).status === 404);
  assert.deepEqual(await leasedUsers(world), []);
});

test('an existing user of MariaDB is taken over, and users that no lease stands for are removed', async (context) => {
  const { world, server } = await start(context);
  await world.root("CREATE USER legacy@'%' IDENTIFIED BY 'known to everybody'");
  await world.root("GRANT SELECT ON app.* TO legacy@'%'");
  await server.ok('POST', 'database/static-roles', { name: 'legacy', connection: 'app', username: 'legacy' });
  const { password } = await server.ok('GET', 'database/static-roles/legacy/credentials');
  assert.deepEqual(
    [await logsIn(world, 'legacy', 'known to everybody'), await logsIn(world, 'legacy', password)],
    [false, true],
  );

  const { user_prefix: prefix } = await server.ok('GET', 'database/connections/app');
  await world.root(`CREATE USER ${prefix}ghost@'10.%' IDENTIFIED BY 'x'`);
  const report = await server.ok('POST', 'database/connections/app/reconcile', { orphans: 'revoke' });
  assert.deepEqual(
    report.orphans.map(({ host }: { host: string }) => host),
    ['10.%'],
  );
  await until('the orphan is gone', async () => (await leasedUsers(world)).length === 0);
});
