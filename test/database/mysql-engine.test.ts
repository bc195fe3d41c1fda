import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';

/** Through the public door: what the other files of this folder show on PostgreSQL. */
async function start(context: TestContext) {
  const world = await mariadbWorld();
  context.after(() => world.stop());
  const server = await startChancery(context);
  const { host, port, username, password } = world.settings;
  const connection = { name: 'app', engine: 'mysql', host, port, username, password, tls: 'disable' };
  await server.ok('POST', 'database/connections', connection);
  const role = { name: 'readonly', connection: 'app', member_of: ['app_reader'], default_ttl: '1h', max_ttl: '4h' };
  assert.equal((await server.ok('POST', 'database/roles', role)).probed, true);
  return { world, server };
}

const leased = (world: MariadbWorld) => world.root("SELECT User FROM mysql.global_priv WHERE User LIKE 'chy\\\\_%'");

test('a role of MariaDB is tried at its own database', async (context) => {
  const { server } = await start(context);
  const role = { name: 'r', connection: 'app', member_of: ['app_reader'], database: 'nope' };
  const { status, body } = await server.call('POST', 'database/roles', role);
  assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
  assert.match(body.detail, /login to database nope was refused: .*nope/);
});

test('a user of MariaDB is leased, reads, and is gone with its session when the lease is revoked', async (context) => {
  const { world, server } = await start(context);
  assert.deepEqual(await leased(world), []);
  const minted = await server.ok('POST', 'database/roles/readonly/credentials', { purpose: 'report' });
  const session = await world.logIn({ username: minted.username }, minted.password);
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await assert.rejects(session.query(world.write));
  assert.equal((await leased(world)).length, 1);
  const ended = await server.ok('POST', `leases/${minted.lease_id}/revoke`);
  assert.equal(ended.state, 'revoked');
  await session.ended;
  assert.deepEqual(await leased(world), []);
});

test('the administrator of MariaDB gets a password that nobody else knows, whatever its host part', async (context) => {
  const { world, server } = await start(context);
  // MariaDB 10.11 forgets ADMIN OPTION when it renames a user.
  await world.server.run(
    "RENAME USER chancery_admin@'%' TO chancery_admin@'127.0.0.%'",
    "GRANT app_reader TO chancery_admin@'127.0.0.%' WITH ADMIN OPTION",
  );
  await world.breakAdminSessions();
  await server.ok('POST', 'database/connections/app/rotate-root');
  await assert.rejects(world.logIn({ username: 'chancery_admin' }, world.settings.password), { errno: 1045 });
  await world.breakAdminSessions();
  await server.ok('POST', 'database/roles/readonly/credentials');
});

test('an existing user of MariaDB gets a new password on demand', async (context) => {
  const { world, server } = await start(context);
  await world.server.run(
    "CREATE USER legacy@'%' IDENTIFIED BY 'known to everybody'",
    "GRANT SELECT ON app.* TO legacy@'%'",
  );
  await server.ok('POST', 'database/static-roles', { name: 'legacy', connection: 'app', username: 'legacy' });
  const first = await server.ok('GET', 'database/static-roles/legacy/credentials');
  await (await world.logIn({ username: 'legacy' }, first.password)).close();
  await assert.rejects(world.logIn({ username: 'legacy' }, 'known to everybody'), { errno: 1045 });
  await server.ok('POST', 'database/static-roles/legacy/rotate');
  await assert.rejects(world.logIn({ username: 'legacy' }, first.password), { errno: 1045 });
});
