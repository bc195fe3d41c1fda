import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type ChildServer, spawnChancery } from '#test/chancery.ts';
import { mariadbWorld } from '#test/mariadb-target.ts';
import { postgresWorld } from '#test/postgres-target.ts';
import type { TargetWorld } from '#test/target-world.ts';
import { formsOf, readFolder } from '../attack/needles.ts';

/**
 * The passwords of leased users, of static roles and of administrators: searched for, in the forms in which bytes are
 * written, in all that the server and the database leave behind. Of the server: the store with its write-ahead log, a
 * backup, the audit, the log at its most talkative. Of the database: its log with every statement, and its statistics.
 */

const talkative = { CHANCERY_LOG_LEVEL: 'trace', CHANCERY_ACCESS_LOG: 'true' };

async function live(server: ChildServer, world: TargetWorld): Promise<string[]> {
  const { host, port, username, password } = world.settings;
  const engine = world.kind.engine;
  const connection = {
    name: 'app',
    engine,
    host,
    port,
    username,
    password,
    ...(engine === 'mysql' ? {} : { database: 'app' }),
  };
  await server.ok('POST', 'database/connections', connection, { 'idempotency-key': 'connection' });
  const role = { connection: 'app', default_ttl: '10m', max_ttl: '1h' };
  await server.ok('POST', 'database/roles', { ...role, name: 'preset', member_of: ['app_reader'] });
  await server.ok('POST', 'database/roles', { ...role, name: 'custom', creation_statements: world.readerStatements });
  const passwords = [password];
  for (const name of ['preset', 'custom'])
    for (const key of ['once', 'twice']) {
      const path = `database/roles/${name}/credentials`;
      const leased = await server.ok('POST', path, {}, { 'idempotency-key': `${name}-${key}` });
      await server.call('POST', path, {}, { 'idempotency-key': `${name}-${key}` });
      passwords.push(leased.password);
      await (await world.logIn({ username: leased.username, host: world.userHost }, leased.password)).close();
      await server.ok('POST', `leases/${leased.lease_id}/renew`, { increment: '20m' });
      if (key === 'once') await server.ok('POST', `leases/${leased.lease_id}/revoke`);
    }
  await world.root(engine === 'mysql' ? "CREATE USER 'batch'@'%'" : 'CREATE ROLE batch LOGIN');
  if (engine === 'postgresql') await world.root(`GRANT batch TO ${username} WITH ADMIN OPTION`);
  await server.ok('POST', 'database/static-roles', { name: 'batch', connection: 'app', username: 'batch' });
  for (let time = 0; time < 2; time++) {
    passwords.push((await server.ok('GET', 'database/static-roles/batch/credentials')).password);
    await server.ok('POST', 'database/static-roles/batch/rotate');
  }
  await server.ok('POST', 'database/connections/app/rotate-root');
  const refused = await server.call('PATCH', 'database/connections/app', { password: 'not-the-password-of-anybody' });
  assert.equal(refused.status, 422);
  passwords.push('not-the-password-of-anybody');
  await server.ok('POST', 'system/backups', {});
  return passwords;
}

async function assertNowhere(context: TestContext, world: TargetWorld, statistics: string): Promise<void> {
  const server = await spawnChancery(context, { env: talkative });
  const passwords = await live(server, world);
  assert.equal(new Set(passwords).size, 8);
  const audit = JSON.stringify(await server.ok('GET', 'audit/events?limit=1000'));
  const counted = await world.root(statistics);
  await server.stop();
  const files = readFolder(server.folder);
  const places = [
    ...files,
    { path: 'the log', content: Buffer.from(server.output()) },
    { path: 'the audit', content: Buffer.from(audit) },
    { path: 'the log of the database', content: Buffer.from(await world.serverLog()) },
    { path: 'the statistics of the database', content: Buffer.from(JSON.stringify(counted)) },
  ];
  // What is searched is what was written: names stand in each of them.
  assert.ok(files.some(({ path }) => path.includes('chancery.db')));
  for (const { path, content } of places.slice(files.length, -1))
    assert.match(content.toString('latin1'), /chy_|issue_credentials/, path);
  // The first was set at the database by the test, in the clear.
  for (const { path, content } of places)
    for (const [index, password] of passwords.entries())
      if (index > 0 || !path.endsWith('of the database'))
        for (const needle of formsOf(Buffer.from(password)))
          assert.equal(content.includes(needle), false, `password ${index} in ${path}`);
}

test('no password of a user at PostgreSQL is in the store, the logs, the audit or pg_stat_statements', async (context) => {
  const world = await postgresWorld({ settings: { shared_preload_libraries: 'pg_stat_statements' } });
  context.after(() => world.stop());
  await world.root('CREATE EXTENSION pg_stat_statements');
  await assertNowhere(context, world, 'SELECT query FROM pg_stat_statements');
});

test('no password of a user at MariaDB is in the store, the logs or the audit', async (context) => {
  const world = await mariadbWorld();
  context.after(() => world.stop());
  await assertNowhere(context, world, 'SELECT INFO FROM information_schema.PROCESSLIST');
});
