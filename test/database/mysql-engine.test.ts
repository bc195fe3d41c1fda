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

test('users of MariaDB of one name and several hosts are several users', async (context) => {
  const { world, server } = await start(context);
  for (const host of ['127.0.0.1', '10.%'])
    await world.server.run(
      `CREATE USER legacy@'${host}' IDENTIFIED BY 'known to everybody'`,
      `GRANT SELECT ON app.* TO legacy@'${host}'`,
    );
  const ask = (name: string, host?: string) =>
    server.call('POST', 'database/static-roles', { name, connection: 'app', username: 'legacy', host });
  const nobody = await ask('nobody');
  assert.equal(nobody.status, 422);
  assert.match(nobody.body.hint, /'legacy'@'10\.%', 'legacy'@'127\.0\.0\.1'/);
  assert.equal((await ask('here', '127.0.0.1')).body.unverified, null);
  // No login from here reaches it, whether the password is right or not.
  assert.equal(typeof (await ask('elsewhere', '10.%')).body.unverified, 'string');
  assert.equal((await ask('twice', '127.0.0.1')).status, 409);
  const [here, elsewhere] = [
    await server.ok('GET', 'database/static-roles/here/credentials'),
    await server.ok('GET', 'database/static-roles/elsewhere/credentials'),
  ];
  assert.deepEqual([here.username, here.verified, elsewhere.verified], ['legacy', true, false]);
  await (await world.logIn({ username: 'legacy' }, here.password)).close();
});

test('a locked user of MariaDB is refused before its password is changed', async (context) => {
  const { world, server } = await start(context);
  await world.server.run(
    "CREATE USER legacy@'%' IDENTIFIED BY 'known to everybody' ACCOUNT LOCK",
    "GRANT SELECT ON app.* TO legacy@'%'",
  );
  // What an administrator of least privilege may not read, the login tells.
  const locked = { name: 'locked', connection: 'app', username: 'locked' };
  await world.server.run("CREATE USER locked@'%' IDENTIFIED BY 'known to everybody' ACCOUNT LOCK");
  assert.match((await server.ok('POST', 'database/static-roles', locked)).unverified, /account is locked/);
  await world.server.run("GRANT SELECT ON mysql.* TO chancery_admin@'%'");
  const role = { name: 'legacy', connection: 'app', username: 'legacy' };
  const { status, body } = await server.call('POST', 'database/static-roles', role);
  assert.deepEqual([status, body.code], [422, 'refused']);
  assert.match(body.detail, /locked.*nothing was changed/);
  await world.server.run("ALTER USER legacy@'%' ACCOUNT UNLOCK");
  await (await world.logIn({ username: 'legacy' }, 'known to everybody')).close();
  assert.equal((await server.call('POST', 'database/static-roles', role)).status, 201);
});
