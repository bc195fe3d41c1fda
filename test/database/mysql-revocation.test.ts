import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection as connectDriver } from 'mysql2';
import { type Connection, createConnection } from 'mysql2/promise';
import type { NewUser, Target } from '#database/target.ts';
import { mysql } from '#database/targets/mysql.ts';
import { signEd25519 } from '#database/targets/mysql/ed25519.ts';
import { dropGroup } from '#database/targets/mysql/removal.ts';
import { openSession } from '#database/targets/mysql/session.ts';
import type { RevocationError } from '#lease/contract.ts';
import { type MariadbServer, runAs } from '#test/mariadb.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';
import { newUser, password, plain } from './mysql-user.ts';

let world: MariadbWorld;
let server: MariadbServer;
let target: Target;

before(async () => {
  world = await mariadbWorld();
  ({ server } = world);
  target = mysql.open(world.settings);
});

after(async () => {
  await target.close();
  await server.stop();
});

async function open(user: NewUser): Promise<Connection> {
  const login = { host: '127.0.0.1', port: server.port, user: user.username, password };
  const connection = await createConnection(login);
  connection.on('error', () => undefined);
  return connection;
}

const accounts = async (user: NewUser) =>
  (await server.run(`SELECT 1 FROM mysql.global_priv WHERE User = '${user.username}'`)).length;
const sessionsOf = async (user: NewUser) =>
  (await server.run(`SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = '${user.username}'`)).length;

async function refusal(user: NewUser, statements: readonly string[] = []): Promise<RevocationError> {
  return target.revokeUser(user, { statements }).then(
    (result) => assert.fail(`revoked: ${JSON.stringify(result)}`),
    (error: RevocationError) => error,
  );
}

test('open sessions end, idle ones, busy ones and those in a transaction', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_writer'] });
  await target.createUser(user);
  const [idle, busy, writing] = await Promise.all([open(user), open(user), open(user)]);
  const sleeping = busy.query('SELECT SLEEP(60)').catch((error: Error) => error);
  await writing.query('START TRANSACTION');
  await writing.query("INSERT INTO app.notes VALUES ('unfinished')");
  assert.equal((await target.listUsers(user.username))[0]?.sessions, 3);
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'removed', sessions: 3 });
  assert.ok((await sleeping) instanceof Error);
  await assert.rejects(idle.query('SELECT 1'));
  await assert.rejects(writing.query('COMMIT'));
  assert.deepEqual(await server.run("SELECT * FROM app.notes WHERE note = 'unfinished'"), []);
  assert.equal(await sessionsOf(user), 0);
});

test('clients that log in again and again have no session left in the end', async () => {
  const user = newUser();
  await target.createUser(user);
  const stop = new AbortController();
  const held: Connection[] = [];
  const knock = async () => {
    while (!stop.signal.aborted)
      await open(user).then(
        (connection) => held.push(connection),
        () => undefined,
      );
  };
  const knocking = [knock(), knock(), knock()];
  try {
    await sleep(50);
    assert.equal((await target.revokeUser(user, plain)).ended, 'removed');
  } finally {
    stop.abort();
    await Promise.all(knocking);
  }
  // A login that is being refused stands in the process list for a moment; a session would stay, as its client holds it.
  for (const _ of Array(50)) if ((await sessionsOf(user)) > 0) await sleep(100);
  assert.equal(await sessionsOf(user), 0);
  assert.equal(await accounts(user), 0);
  for (const connection of held) connection.destroy();
});

test('eight revocations of one user at once all succeed, and it is removed once', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_writer'] });
  await target.createUser(user);
  const results = await Promise.all(Array.from({ length: 8 }, () => target.revokeUser(user, plain)));
  assert.equal(results.filter(({ ended }) => ended === 'removed').length, 1);
  assert.equal(await accounts(user), 0);
});

test('what acts in the name of a removed user is reported until it is gone, and then only', async () => {
  const user = newUser({ memberOf: ['app_code'] });
  await target.createUser(user);
  await runAs(
    server.port,
    user.username,
    password,
    'CREATE VIEW app.`of ``them` AS SELECT note FROM app.notes',
    'CREATE PROCEDURE app.work() SELECT 1',
    'CREATE EVENT app.daily ON SCHEDULE EVERY 1 DAY DO SELECT 1',
    'CREATE TRIGGER app.watch BEFORE INSERT ON app.notes FOR EACH ROW SET @seen = 1',
  );
  const first = await refusal(user);
  assert.equal(first.unavailable, false);
  assert.deepEqual(
    first.residue.map(({ place, object }) => `${place}: ${object}`),
    ['app: view of `them', 'app: trigger watch', 'app: procedure work', 'app: event daily'],
  );
  assert.equal(await accounts(user), 0, 'the user itself is gone');
  assert.equal((await refusal(user)).residue.length, 4);
  const drops = first.residue.map(({ reason }) => /DROP .+`/.exec(reason)?.[0] ?? assert.fail(reason));
  await server.run(...drops);
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'already_absent', sessions: 0 });
});

test('revocations that come together share their searches and each gets its own findings', async () => {
  const users = [newUser({ memberOf: ['app_code'] }), newUser(), newUser({ memberOf: ['app_code'] }), newUser()];
  await Promise.all(users.map((user) => target.createUser(user)));
  for (const [index, user] of users.entries()) {
    if (index % 2 === 0) await runAs(server.port, user.username, password, `CREATE VIEW app.v${index} AS SELECT 1`);
  }
  const found = await Promise.all(
    users.map((user) =>
      target.revokeUser(user, plain).then(
        () => [],
        (error: RevocationError) => error.residue.map(({ object }) => object),
      ),
    ),
  );
  assert.deepEqual(found, [['view v0'], [], ['view v2'], []]);
  await server.run('DROP VIEW app.v0, app.v2');
});

test('users that are revoked together are dropped together, and each is told what became of it', async () => {
  const plainUsers = Array.from({ length: 9 }, () => newUser());
  const bundled = newUser({ memberOf: ['app_reader', 'app_writer'] });
  const away = newUser({ host: '10.1.%' });
  const busy = newUser();
  const absent = newUser();
  const there = [...plainUsers, bundled, away, busy];
  await Promise.all([...there, absent].map((user) => target.createUser(user)));
  await server.run(`DROP USER '${absent.username}'@'%'`);
  const session = await open(busy);
  const results = await Promise.all([...there, absent].map((user) => target.revokeUser(user, plain)));
  assert.deepEqual(results, [
    ...Array.from({ length: 11 }, () => ({ ended: 'removed', sessions: 0 })),
    { ended: 'removed', sessions: 1 },
    { ended: 'already_absent', sessions: 0 },
  ]);
  await assert.rejects(session.query('SELECT 1'));
  for (const user of there) assert.equal(await accounts(user), 0);
  const together = (await world.serverLog()).split('\n').filter((line) => /DROP USER '[^']+'@'[^']+', /.test(line));
  assert.ok(together.length > 0);
});

test('of a group of users that somebody else begins to drop, the others are dropped all the same', async () => {
  const group = [newUser(), newUser(), newUser()];
  await Promise.all(group.map((user) => target.createUser(user)));
  await server.run(`DROP USER '${group[1]?.username}'@'%'`);
  const session = await openSession(world.settings);
  await dropGroup(session, 'USER', group);
  await session.end();
  for (const user of group) assert.equal(await accounts(user), 0);
});

test('a prepared XA transaction is reported, not decided, and the user is gone meanwhile', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_writer'] });
  await target.createUser(user);
  const connection = await open(user);
  for (const sql of [
    "XA START 'order-7'",
    "INSERT INTO app.notes VALUES ('prepared')",
    "XA END 'order-7'",
    "XA PREPARE 'order-7'",
  ]) {
    await connection.query(sql);
  }
  const { residue } = await refusal(user);
  assert.deepEqual(
    residue.map(({ object }) => object),
    ["prepared transaction 'order-7'"],
  );
  assert.equal(await accounts(user), 0);
  assert.equal((await refusal(user)).residue.length, 1);
  await server.run("XA COMMIT 'order-7'");
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'already_absent', sessions: 0 });
  assert.equal((await server.run("SELECT * FROM app.notes WHERE note = 'prepared'")).length, 1);
});

test('what each session of a user has prepared is reported', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_writer'] });
  await target.createUser(user);
  const connections = [await open(user), await open(user)];
  for (const [index, connection] of connections.entries())
    for (const sql of [
      `XA START 'order-${index}'`,
      `INSERT INTO app.notes VALUES ('prepared ${index}')`,
      `XA END 'order-${index}'`,
      `XA PREPARE 'order-${index}'`,
    ])
      await connection.query(sql);
  const { residue } = await refusal(user);
  assert.equal(residue.length, 2);
  for (const index of [0, 1]) await server.run(`XA ROLLBACK 'order-${index}'`);
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'already_absent', sessions: 0 });
});

test('a user that is gone, of which only something else is left, is told to have been removed', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_code'] });
  await target.createUser(user);
  const connection = await open(user);
  await connection.query('CREATE VIEW app.left_behind AS SELECT 1 AS one');
  assert.equal((await refusal(user)).removed, true);
  assert.equal((await refusal(user)).removed, false);
  await server.run('DROP VIEW app.left_behind');
  await target.revokeUser(user, plain);
});

test('a role with our prefix that bundles groups for nobody is listed and removed', async () => {
  await server.run(
    'CREATE ROLE chy_tests_planted WITH ADMIN chancery_admin@`%`',
    'GRANT app_reader TO chy_tests_planted',
  );
  const [planted, ...others] = await target.listUsers('chy_tests_planted');
  assert.deepEqual([planted?.username, planted?.host, others], ['chy_tests_planted', '', []]);
  assert.ok(planted);
  assert.equal((await target.revokeUser(planted, plain)).ended, 'removed');
  assert.deepEqual(await target.listUsers('chy_tests_planted'), []);
  const bundled = newUser({ memberOf: ['app_reader', 'app_writer'] });
  await target.createUser(bundled);
  assert.deepEqual(
    (await target.listUsers(bundled.username)).map(({ host }) => host),
    ['%'],
  );
  await target.revokeUser(bundled, plain);
});

test('custom statements make and end a user, several in one script, and the preset verifies', async () => {
  const powerful = mysql.open({ ...world.settings, username: 'root', password: server.password });
  const user = newUser({
    statements: [
      'CREATE USER {{name}}@`%` IDENTIFIED VIA mysql_native_password USING {{password}}; GRANT SELECT ON app.notes TO {{name}}@`%`',
      "CREATE TABLE IF NOT EXISTS app.log (line VARCHAR(200)); INSERT INTO app.log VALUES ('{{name}} until {{expiration}}; #1')",
    ],
  });
  await powerful.createUser(user);
  assert.equal((await runAs(server.port, user.username, password, 'SELECT * FROM app.notes')).length > 0, true);
  const [line] = await server.run('SELECT line FROM app.log');
  assert.match(
    String(line?.['line']),
    new RegExp(`^${user.username} until \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d; #1$`),
  );
  const statements = ["REVOKE SELECT ON app.notes FROM {{name}}@'%'; DELETE FROM app.log WHERE line LIKE '{{name}}%'"];
  assert.equal((await powerful.revokeUser(user, { statements })).ended, 'removed');
  assert.deepEqual(await server.run('SELECT * FROM app.log'), []);
  assert.equal((await powerful.revokeUser(user, { statements })).ended, 'already_absent');
  await powerful.close();
});

test('a custom statement that fails is reported, and the user is removed all the same', async () => {
  const user = newUser();
  await target.createUser(user);
  const { residue } = await refusal(user, [
    'DROP TABLE app.no_such_table -- of {{ name }}'.replace('{{ name }}', 'it'),
  ]);
  assert.match(residue[0]?.reason ?? '', /no_such_table|syntax|denied/i);
  assert.equal(await accounts(user), 0);
});

test('a server that is away makes revocation wait, and it goes on when it is back', async () => {
  const user = newUser();
  await target.createUser(user);
  await server.pause('immediate');
  assert.equal((await refusal(user)).unavailable, true);
  await server.start();
  assert.deepEqual(await target.revokeUser(user, plain), { ended: 'removed', sessions: 0 });
});

test('a user of the same name from another host is another user', async () => {
  const user = newUser();
  await target.createUser(user);
  await target.createUser({ ...user, host: '10.1.%' });
  await target.revokeUser({ ...user, host: '10.1.%' }, plain);
  assert.deepEqual(
    (await target.listUsers(user.username)).map(({ host }) => host),
    ['%'],
  );
  await target.revokeUser(user, plain);
});

test('the prefix of a listing is taken literally', async () => {
  const user = newUser();
  await target.createUser(user);
  assert.equal((await target.listUsers('chy_tests_')).length, 1);
  for (const prefix of ['chy%', 'chy_____', '%', 'CHY_TESTS', 'chy\\_tests', "chy'"]) {
    assert.deepEqual(await target.listUsers(prefix), [], prefix);
  }
  await target.revokeUser(user, plain);
});

test('a login that was under way when the account was locked leaves no session', async () => {
  const modern = mysql.open({ ...world.settings, passwordPlugin: 'ed25519' });
  const user = newUser();
  await modern.createUser(user);
  const signing = deferred();
  const revoked = deferred();
  const knocking = connectDriver({
    host: '127.0.0.1',
    port: server.port,
    user: user.username,
    password,
    authPlugins: {
      client_ed25519: () => async (nonce) => {
        signing.resolve();
        await revoked.promise;
        return signEd25519(password, nonce.subarray(0, 32));
      },
    },
  });
  const late = new Promise((resolve) => {
    knocking.on('error', resolve);
    knocking.on('connect', () => resolve('let in'));
  });
  await signing.promise;
  assert.equal((await modern.revokeUser(user, plain)).ended, 'removed');
  revoked.resolve();
  assert.ok((await late) instanceof Error);
  assert.equal(await sessionsOf(user), 0);
  await modern.close();
});

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => undefined as void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
