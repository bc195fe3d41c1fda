import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { createConnectionInput, readConnection } from '#database/connection-schema.ts';
import { parseConnectionUrl } from '#database/connection-url.ts';
import { startChancery } from '#test/chancery.ts';
import { connectionTo, foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

const read = (fields: object) => readConnection(createConnectionInput.parse({ name: 'x', ...fields }));

test('an address is taken apart, whatever stands in its password', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => text.isWellFormed()),
      (password) => {
        const url = `postgres://admin:${encodeURIComponent(password)}@db.example:6543/app?sslmode=require`;
        const parsed = parseConnectionUrl(url);
        assert.deepEqual(
          [parsed.engine, parsed.host, parsed.port, parsed.database, parsed.username, parsed.password, parsed.tls],
          ['postgresql', 'db.example', 6543, 'app', 'admin', password, 'require'],
        );
      },
    ),
  );
  assert.equal(parseConnectionUrl('mysql://a@[::1]').host, '::1');
  assert.equal(parseConnectionUrl('mariadb://a@h/').database, undefined);
});

test('what is no address is refused without a word of it', () => {
  const secret = 'sesame-open';
  for (const url of [
    secret,
    `http://a:${secret}@h/x`,
    `postgres://a:${secret}%@h/x`,
    `postgres://a:${secret}@/x`,
    `postgres://a:${secret}@h/x/y`,
    `postgres://a:${secret}@h/x?sslmode=prefer`,
    `postgres://a:${secret}@h/x?options=${secret}`,
    `postgres://a:${secret}@h/x#${secret}`,
    `postgres://a:${secret}@h:99999/x`,
  ])
    assert.throws(
      () => parseConnectionUrl(url),
      (error: unknown) =>
        error instanceof AppError &&
        error.code === 'invalid_request' &&
        !JSON.stringify([error.message, error.hint, error.details, error.stack]).includes(secret),
      url,
    );
});

test('away from the loopback interface a connection is encrypted and verified, unless it says otherwise', () => {
  const base = { engine: 'postgresql', username: 'a', password: 'p' };
  const tls = (fields: object) => read({ ...base, ...fields }).definition.tls;
  assert.equal(tls({ host: 'db.example' }), 'verify-full');
  assert.equal(tls({ host: '10.0.0.1' }), 'verify-full');
  assert.equal(tls({ host: 'localhost.example' }), 'verify-full');
  assert.equal(tls({ host: 'localhost' }), 'disable');
  assert.equal(tls({ host: '127.1.2.3' }), 'disable');
  assert.equal(tls({ host: '::1' }), 'disable');
  assert.equal(tls({ host: 'db.example', tls: 'require' }), 'require');
  assert.throws(() => tls({ host: 'db.example', tls: 'verify-ca' }), AppError);
  for (const host of ['127.0.0.1.evil.example/', 'a b', '-a', 'a..b', '/tmp', 'ａ.example', "h' --"])
    assert.throws(() => tls({ host }), host);
});

test('a connection that cannot log in is refused, and saved only when nobody asks whether it can', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  const good = connectionTo(world);
  for (const fields of [
    { password: 'wrong' },
    { username: 'nobody' },
    { port: 1 },
    { database: 'none' },
    { tls: 'require' },
  ]) {
    const { status, body } = await server.call('POST', 'database/connections', { ...good, ...fields });
    assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify([fields, body]));
  }
  assert.deepEqual((await server.ok('GET', 'database/connections')).connections, []);
  await server.ok('POST', 'database/connections', { ...good, password: 'wrong', verify: false });
  const check = await server.call('POST', 'database/connections/app/check');
  assert.deepEqual([check.status, check.body.code], [422, 'refused']);
  assert.equal((await server.call('PATCH', 'database/connections/app', { password: 'wrong too' })).status, 422);
  await server.ok('PATCH', 'database/connections/app', { password: good['password'] });
  assert.equal((await server.ok('POST', 'database/connections/app/check')).sound, true);
});

test('a changed connection has new sessions and gives up the old, and never moves away from its users', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const { lease_id: lease } = await server.ok('POST', 'database/roles/readonly/credentials');
  await world.root('ALTER ROLE chancery_admin RENAME TO renamed');
  await world.root(`ALTER ROLE renamed PASSWORD '${world.settings.password}'`);
  await server.ok('PATCH', 'database/connections/app', { username: 'renamed' });
  await server.ok('POST', 'database/roles/readonly/credentials');
  const sessions = async (user: string) =>
    Number((await world.root(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = '${user}'`))[0]?.['n']);
  assert.ok((await sessions('renamed')) > 0);

  const elsewhere = await startTarget(context);
  await elsewhere.root('ALTER ROLE chancery_admin RENAME TO renamed');
  await elsewhere.root(`ALTER ROLE renamed PASSWORD '${world.settings.password}'`);
  const { password } = world.settings;
  const moved = await server.call('PATCH', 'database/connections/app', { port: elsewhere.settings.port, password });
  assert.deepEqual([moved.status, moved.body.code], [422, 'refused'], JSON.stringify(moved.body));
  const blind = await server.call('PATCH', 'database/connections/app', {
    port: elsewhere.settings.port,
    password,
    verify: false,
  });
  assert.deepEqual([blind.status, blind.body.code], [409, 'wrong_state']);
  await server.ok('PATCH', 'database/connections/app', { host: 'localhost', password });
  await server.ok('POST', `leases/${lease}/revoke`);
  await server.ok('POST', 'leases/revoke', { target: 'database/connections/app' });
  await until('all users are gone', async () => (await leasedUsers(world)).length === 0);
  await server.ok('PATCH', 'database/connections/app', { port: elsewhere.settings.port, password });
  await server.ok('POST', 'database/roles/readonly/credentials');
  await until('the sessions at the old server are gone', async () => (await sessions('renamed')) === 0);
});

test('the password that is kept is sent to no other server, and trusts no other certificate, unless it is given again', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await server.ok('POST', 'database/connections', { ...connectionTo(world), verify: false });
  const heard: Buffer[] = [];
  const listener = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => heard.push(Buffer.from(chunk)));
  }).listen(0, '127.0.0.1');
  context.after(() => listener.close());
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const ca = `-----BEGIN CERTIFICATE-----${'A'.repeat(64)}-----END CERTIFICATE-----`;
  for (const change of [
    { port },
    { port, verify: false },
    { host: 'localhost' },
    { tls: 'require' },
    { tls: 'verify-full', tls_server_name: 'db.example' },
    { tls: 'verify-ca', tls_ca: ca, verify: false },
  ]) {
    const { status, body } = await server.call('PATCH', 'database/connections/app', change);
    assert.deepEqual(
      [status, body.code, body.errors?.[0]?.at],
      [400, 'invalid_request', '/password'],
      JSON.stringify(body),
    );
  }
  assert.deepEqual(heard, []);
  // What says nothing of the receiver needs no password, and what stays as it was is no change.
  const { host, port: same } = await server.ok('GET', 'database/connections/app');
  await server.ok('PATCH', 'database/connections/app', { host, port: same, database: 'app', description: 'x' });
  await server.ok('PATCH', 'database/connections/app', { host: 'localhost', password: world.settings.password });
  assert.equal((await server.ok('POST', 'database/connections/app/check')).sound, true);
});

test('a script of admin_setup makes an administrator that the doctor finds sound', async (context) => {
  const world = await startTarget(context, 18);
  const server = await startChancery(context);
  const { script } = await server.ok('POST', 'database/admin-setup', {
    engine: 'postgresql',
    username: 'fresh_admin',
    member_of: ['app_reader'],
    reassign_to: 'app_owner',
  });
  await world.root(script);
  await world.root("ALTER ROLE fresh_admin PASSWORD 'p'");
  await server.ok('POST', 'database/connections', { ...connectionTo(world), username: 'fresh_admin', password: 'p' });
  const role = { connection: 'app', member_of: ['app_reader'], reassign_to: 'app_owner' };
  await server.ok('POST', 'database/roles', { name: 'good', ...role });
  await server.ok('POST', 'database/roles', { ...role, name: 'bad', member_of: ['unrelated'], probe: false });
  const check = await server.ok('POST', 'database/connections/app/check');
  assert.equal(check.sound, false);
  const missing = check.findings.filter(({ severity }: { severity: string }) => severity === 'missing');
  assert.deepEqual([...new Set(missing.flatMap(({ roles }: { roles: string[] }) => roles))], ['bad']);
  for (const { fix } of missing) await world.root(fix);
  assert.equal((await server.ok('POST', 'database/connections/app/check')).sound, true);
  await server.ok('POST', 'database/roles/bad/credentials');
});
