import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import type { PostgresWorld } from '#test/postgres-target.ts';
import { connectionTo, startTarget, until } from './fixture.ts';

async function start(context: TestContext) {
  const world = await startTarget(context);
  const time = { ahead: 0 };
  const server = await startChancery(context, { clock: { now: () => Date.now() + time.ahead } });
  await server.ok('POST', 'database/connections', connectionTo(world));
  await world.root("CREATE ROLE legacy LOGIN PASSWORD 'known to everybody'; GRANT app_reader TO legacy");
  await world.root('GRANT legacy TO chancery_admin WITH ADMIN OPTION');
  return { world, server, time };
}

async function logsIn(world: PostgresWorld, password: string): Promise<boolean> {
  try {
    await (await world.logIn({ username: 'legacy' }, password)).close();
    return true;
  } catch {
    return false;
  }
}

test('an existing user gets a new password at once, and again whenever it is due or asked for', async (context) => {
  const { world, server, time } = await start(context);
  const role = { name: 'legacy', connection: 'app', username: 'legacy', rotation_period: '1h' };
  const created = await server.ok('POST', 'database/static-roles', role);
  assert.equal(Date.parse(created.next_rotation_at) - Date.parse(created.rotated_at), 3_600_000);
  assert.equal(await logsIn(world, 'known to everybody'), false);
  const first = await server.ok('GET', 'database/static-roles/legacy/credentials');
  assert.equal(await logsIn(world, first.password), true);
  assert.ok(first.connection_url.includes(`legacy:${first.password}@`));

  await server.ok('POST', 'database/static-roles/legacy/rotate');
  const second = await server.ok('GET', 'database/static-roles/legacy/credentials');
  assert.notEqual(second.password, first.password);
  assert.deepEqual([await logsIn(world, first.password), await logsIn(world, second.password)], [false, true]);

  time.ahead += 3_601_000;
  await until('it is rotated when it is due', async () => !(await logsIn(world, second.password)));
  await until('the new password is known', async () => {
    const third = await server.ok('GET', 'database/static-roles/legacy/credentials');
    return logsIn(world, third.password);
  });
  const shown = await server.ok('GET', 'database/static-roles/legacy');
  assert.deepEqual([shown.failed_rotations, shown.last_error], [0, null]);
  assert.equal('password' in shown, false);
  const last = await server.ok('GET', 'database/static-roles/legacy/credentials');
  assert.equal((await server.call('DELETE', 'database/connections/app?drain=true')).status, 409);
  const kept = await server.call('DELETE', 'database/static-roles/legacy');
  assert.deepEqual([kept.status, kept.body.code], [409, 'wrong_state']);
  assert.match(kept.body.hint, /forget_password/);
  await server.ok('DELETE', 'database/static-roles/legacy?forget_password=true');
  assert.equal(await logsIn(world, last.password), true);
});

test('a rotation that fails is tried again with backoff, and the old password is what is shown until then', async (context) => {
  const { world, server, time } = await start(context);
  const role = { name: 'legacy', connection: 'app', username: 'legacy', rotation_period: '1h' };
  await server.ok('POST', 'database/static-roles', role);
  const { password } = await server.ok('GET', 'database/static-roles/legacy/credentials');
  await world.root('ALTER ROLE legacy RENAME TO renamed');
  time.ahead += 3_601_000;
  await until('a rotation has failed', async () => {
    const { failed_rotations: failed } = await server.ok('GET', 'database/static-roles/legacy');
    return failed > 0;
  });
  const failed = await server.ok('GET', 'database/static-roles/legacy');
  assert.match(failed.last_error, /legacy/);
  assert.ok(Date.parse(failed.next_rotation_at) > Date.now() + time.ahead);
  assert.equal((await server.ok('GET', 'database/static-roles/legacy/credentials')).password, password);
  await world.root('ALTER ROLE renamed RENAME TO legacy');
  // Renaming clears a password that is an MD5 hash; a SCRAM verifier stays.
  assert.equal(await logsIn(world, password), true);
  time.ahead += 61_000;
  await until('it is rotated after all', async () => !(await logsIn(world, password)));
  await until('the row says so', async () => {
    const shown = await server.ok('GET', 'database/static-roles/legacy');
    return shown.failed_rotations === 0 && shown.last_error === null;
  });
});

test('what is no user to take over is refused, and nothing is kept of it', async (context) => {
  const { server } = await start(context);
  const ask = (fields: object) => server.call('POST', 'database/static-roles', { connection: 'app', ...fields });
  for (const [fields, status] of [
    [{ name: 'a', username: 'nobody-there' }, 422],
    [{ name: 'a', username: 'chancery_admin' }, 422],
    [{ name: 'a', username: 'chy_abcde_x_0' }, 422],
    [{ name: 'a', username: 'postgres' }, 422],
    [{ name: 'a', username: 'legacy"; DROP TABLE notes; --' }, 422],
    [{ name: 'a', username: 'legacy', rotation_schedule: '61 * * * *' }, 400],
    [{ name: 'a', username: 'legacy', rotation_schedule: '0 0 30 2 *' }, 400],
    [{ name: 'a', username: 'legacy', rotation_period: '1h', rotation_schedule: '0 3 * * *' }, 400],
    [{ name: 'a', username: 'legacy', rotation_window: '1h' }, 400],
  ] as const) {
    const reply = await ask(fields);
    assert.equal(reply.status, status, `${JSON.stringify(fields)}: ${JSON.stringify(reply.body)}`);
  }
  assert.deepEqual((await server.ok('GET', 'database/static-roles')).static_roles, []);
  assert.equal((await ask({ name: 'a', username: 'legacy' })).status, 201);
  assert.equal((await ask({ name: 'b', username: 'legacy' })).status, 409);
});

test('who may see everything that is not secret does not see the password of a static role', async (context) => {
  const { server } = await start(context);
  await server.ok('POST', 'database/static-roles', { name: 'legacy', connection: 'app', username: 'legacy' });
  await server.ok('POST', 'principals', { name: 'auditor', kind: 'human', policies: ['auditor'] });
  const auditor = server.as((await server.ok('POST', 'principals/auditor/keys', {})).key);
  await auditor.ok('GET', 'database/static-roles/legacy');
  assert.equal((await auditor.call('GET', 'database/static-roles/legacy/credentials')).status, 403);
});

test('a user that no login could work for is refused before its password is changed', async (context) => {
  const { world, server } = await start(context);
  const verifier = async () => (await world.root("SELECT rolpassword FROM pg_authid WHERE rolname = 'legacy'"))[0];
  const before = await verifier();
  for (const [broken, mended] of [
    ['NOLOGIN', 'LOGIN'],
    ["VALID UNTIL '2001-01-01'", "VALID UNTIL 'infinity'"],
    ['CONNECTION LIMIT 0', 'CONNECTION LIMIT -1'],
  ] as const) {
    await world.root(`ALTER ROLE legacy ${broken}`);
    const role = { name: 'legacy', connection: 'app', username: 'legacy' };
    const { status, body } = await server.call('POST', 'database/static-roles', role);
    assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
    assert.match(body.detail, /nothing was changed/);
    assert.deepEqual(await verifier(), before, broken);
    await world.root(`ALTER ROLE legacy ${mended}`);
  }
  assert.deepEqual((await server.ok('GET', 'database/static-roles')).static_roles, []);
});

test('a password that the server took can be read, though the server refuses logins from here', async (context) => {
  const { world, server } = await start(context);
  await world.root('REVOKE CONNECT ON DATABASE app FROM PUBLIC; GRANT CONNECT ON DATABASE app TO chancery_admin');
  const created = await server.ok('POST', 'database/static-roles', {
    name: 'legacy',
    connection: 'app',
    username: 'legacy',
  });
  assert.notEqual(created.unverified, null);
  const read = await server.ok('GET', 'database/static-roles/legacy/credentials');
  assert.deepEqual([read.verified, read.earlier_password], [false, null]);
  await world.root('GRANT CONNECT ON DATABASE app TO PUBLIC');
  assert.equal(await logsIn(world, read.password), true);
  assert.equal((await server.ok('POST', 'database/static-roles/legacy/rotate')).unverified, null);
  assert.equal((await server.ok('GET', 'database/static-roles/legacy/credentials')).verified, true);
});
