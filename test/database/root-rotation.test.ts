import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ChildServer } from '#test/chancery.ts';
import { Client } from 'pg';
import { spawnChancery, startChancery } from '#test/chancery.ts';
import type { PostgresWorld } from '#test/postgres-target.ts';
import { connectionTo, foundDatabase, startTarget, until } from './fixture.ts';
import { openWire, type Wire } from './wire.ts';

async function oldPasswordWorks(world: PostgresWorld): Promise<boolean> {
  try {
    await (await world.logIn({ username: world.settings.username }, world.settings.password)).close();
    return true;
  } catch {
    return false;
  }
}

test('after a rotation nobody but the server knows the password, and it goes on working, restarted too', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  assert.equal((await server.ok('GET', 'database/connections/app')).root_rotated_at, null);
  const rotated = await server.ok('POST', 'database/connections/app/rotate-root');
  assert.deepEqual([rotated.name, rotated.username], ['app', 'chancery_admin']);
  assert.equal(await oldPasswordWorks(world), false);
  await world.breakAdminSessions();
  await server.ok('POST', 'database/roles/readonly/credentials');
  await server.ok('POST', 'database/connections/app/rotate-root');
  await server.ok('POST', 'database/roles/readonly/credentials');
  const shown = await server.ok('GET', 'database/connections/app');
  assert.equal(shown.root_rotation, 'none');
  assert.notEqual(shown.root_rotated_at, null);
  await server.stop();
  const again = await startChancery(context, { folder: server.folder });
  await again.ok('POST', 'database/roles/readonly/credentials');
});

test('of many rotations at once one after the other works, and the connection goes on', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const replies = await Promise.all(
    Array.from({ length: 6 }, () => server.call('POST', 'database/connections/app/rotate-root')),
  );
  const statuses = replies.map(({ status }) => status);
  assert.ok(statuses.includes(200), statuses.join());
  assert.ok(
    statuses.every((status) => status === 200 || status === 409),
    statuses.join(),
  );
  await world.breakAdminSessions();
  await server.ok('POST', 'database/roles/readonly/credentials');
  assert.equal(await oldPasswordWorks(world), false);
});

test('a password that never reached the server is withdrawn, and the old one goes on', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  await world.server.pause();
  const failed = await server.call('POST', 'database/connections/app/rotate-root');
  assert.deepEqual([failed.status, failed.body.code], [503, 'unavailable']);
  assert.equal((await server.ok('GET', 'database/connections/app')).root_rotation, 'none');
  await world.server.start();
  assert.equal(await oldPasswordWorks(world), true);
  await server.ok('POST', 'database/connections/app/rotate-root');
  assert.equal(await oldPasswordWorks(world), false);
});

test('a rotation is not upset by a change of the connection, nor lost by the deletion of its static role', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  await world.root('CREATE ROLE legacy LOGIN; GRANT legacy TO chancery_admin WITH ADMIN OPTION');
  await server.ok('POST', 'database/static-roles', { name: 'legacy', connection: 'app', username: 'legacy' });
  const holder = new Client({ connectionString: world.server.url() });
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE');
  const rotating = server.call('POST', 'database/connections/app/rotate-root');
  const rotatingStatic = server.call('POST', 'database/static-roles/legacy/rotate');
  await until('both rotations are open', async () => {
    const [root, legacy] = await Promise.all([
      server.ok('GET', 'database/connections/app'),
      server.call('PATCH', 'database/static-roles/legacy', { description: 'in between' }),
    ]);
    return root.root_rotation === 'open' && legacy.status === 409;
  });
  await server.ok('PATCH', 'database/connections/app', { description: 'changed in between' });
  assert.equal((await server.call('DELETE', 'database/static-roles/legacy')).status, 409);
  await holder.query('COMMIT');
  await holder.end();
  assert.deepEqual([(await rotating).status, (await rotatingStatic).status], [200, 200]);
  const shown = await server.ok('GET', 'database/connections/app');
  assert.deepEqual([shown.root_rotation, shown.description], ['none', 'changed in between']);
  await world.breakAdminSessions();
  await server.ok('POST', 'database/roles/readonly/credentials');
  await server.ok('DELETE', 'database/static-roles/legacy?forget_password=true');
});

/** The statement that changes the password of the administrator, among those that end the users of probes. */
function setsPassword(chunk: Buffer): boolean {
  return /ALTER ROLE "?chancery_admin"? PASSWORD/.test(chunk.toString('latin1'));
}

/** The moments at which the server is killed. */
const moments: readonly { what: string; run: (wire: Wire) => Promise<void>; taken: boolean }[] = [
  {
    what: 'before the new password reaches the database',
    taken: false,
    run: (wire) => wire.hold(setsPassword, 'before'),
  },
  {
    what: 'after the database took the new password, before it could say so',
    taken: true,
    run: (wire) => wire.hold(setsPassword, 'after'),
  },
  {
    what: 'during the login by the new password',
    taken: true,
    async run(wire) {
      let set = false;
      await wire.hold((chunk) => {
        const setting = setsPassword(chunk);
        set ||= setting;
        return set && !setting && chunk.includes('SCRAM-SHA-256');
      }, 'before');
    },
  },
];

async function connectByWire(context: TestContext, world: PostgresWorld): Promise<{ server: ChildServer; wire: Wire }> {
  const wire = await openWire(context, world.settings.port);
  const server = await spawnChancery(context);
  await server.ok('POST', 'database/connections', { ...connectionTo(world), port: wire.port });
  await server.ok('POST', 'database/roles', { name: 'readonly', connection: 'app', member_of: ['app_reader'] });
  return { server, wire };
}

for (const { what, run, taken } of moments) {
  test(`killed ${what}, the server finds the password that works and finishes the rotation`, async (context) => {
    const world = await startTarget(context);
    const { server, wire } = await connectByWire(context, world);
    const held = run(wire);
    const rotating = server.call('POST', 'database/connections/app/rotate-root').catch(() => undefined);
    await held;
    await server.kill();
    await rotating;
    wire.release();
    await until('the database has what it was sent', async () => (await oldPasswordWorks(world)) !== taken);

    const again = await spawnChancery(context, { folder: server.folder });
    assert.equal((await again.ok('GET', 'database/connections/app')).root_rotation, 'open');
    const { username, password } = await again.ok('POST', 'database/roles/readonly/credentials');
    await (await world.logIn({ username }, password)).close();

    await again.kill();
    const later = await startChancery(context, { folder: server.folder, clock: { now: () => Date.now() + 61_000 } });
    await later.ok('POST', 'database/connections/app/rotate-root');
    assert.equal((await later.ok('GET', 'database/connections/app')).root_rotation, 'none');
    assert.equal(await oldPasswordWorks(world), false);
    await world.breakAdminSessions();
    await later.ok('POST', 'database/roles/readonly/credentials');
  });
}
