import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import * as fc from 'fast-check';
import { type NewUser, type Target, TargetError } from '#database/target.ts';
import { mysql } from '#database/targets/mysql.ts';
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

const as = (user: NewUser, ...statements: string[]) => runAs(server.port, user.username, password, ...statements);
const open = (user: NewUser) =>
  createConnection({ host: '127.0.0.1', port: server.port, user: user.username, password });
const exists = async (user: NewUser) =>
  (await server.run(`SELECT 1 FROM mysql.global_priv WHERE User = '${user.username}'`)).length > 0;

test('the administrator of the script lacks nothing, and groups whose members make code are pointed out', async () => {
  assert.deepEqual(await target.diagnose({ memberOf: ['app_reader', 'app_writer'] }), []);
  const [finding, ...others] = await target.diagnose({ memberOf: ['app_code'] });
  assert.deepEqual(others, []);
  assert.equal(finding?.severity, 'advice');
  assert.equal(finding.fix, 'REVOKE CREATE VIEW, CREATE ROUTINE, EVENT, TRIGGER ON `app`.* FROM `app_code`');
});

test('a member of several groups has the rights of all of them without asking', async () => {
  const user = newUser({ memberOf: ['app_reader', 'app_writer', 'app_reader'] });
  await target.createUser(user);
  await as(
    user,
    "INSERT INTO app.notes VALUES ('third')",
    'SELECT * FROM app.notes',
    "DELETE FROM app.notes WHERE note = 'third'",
  );
  assert.deepEqual(
    (await target.listUsers(user.username)).map((each) => each.username),
    [user.username],
  );
  await target.revokeUser(user, plain);
  assert.equal(await exists(user), false);
});

test('a taken name is refused and the account that has it is left alone', async () => {
  const user = newUser();
  await target.createUser(user);
  const found = await server.run(`SHOW CREATE USER '${user.username}'@'%'`);
  await assert.rejects(target.createUser({ ...user, memberOf: ['app_writer'] }), (error: TargetError) => {
    assert.equal(error.kind, 'exists');
    return error.outcome === 'not_applied';
  });
  assert.deepEqual(await server.run(`SHOW CREATE USER '${user.username}'@'%'`), found);
  await target.revokeUser(user, plain);
});

test('a minting that is cut off at any moment says whether something of it may be there, and is revoked', async () => {
  const outcomes = new Set<string>();
  for (let wait = 0; wait < 12; wait++) {
    const user = newUser({ memberOf: ['app_reader', 'app_writer'] });
    const minting = target.createUser(user).then(
      () => 'made',
      (error: TargetError) => `${error.kind}, ${error.outcome}`,
    );
    await sleep(wait * 1.5);
    await world.breakAdminSessions();
    const outcome = await minting;
    outcomes.add(outcome);
    if (outcome.endsWith('not_applied')) assert.equal(await exists(user), false);
    // The first attempt may be given a connection whose end has not arrived yet.
    await target.revokeUser(user, plain).catch(() => target.revokeUser(user, plain));
    assert.equal(await exists(user), false);
  }
  for (const outcome of outcomes) assert.match(outcome, /^(made|unreachable, (unknown|not_applied))$/);
});

test('a minting that waits for a lock gives up in time, and nothing arrives late', async (t) => {
  const hasty = mysql.open({ ...world.settings, statementTimeout: 1000 });
  const backup = await createConnection({
    host: '127.0.0.1',
    port: server.port,
    user: 'root',
    password: server.password,
  });
  await backup.query('FLUSH TABLES WITH READ LOCK');
  t.after(() => backup.destroy());
  const user = newUser();
  await assert.rejects(hasty.createUser(user), (error: TargetError) => {
    assert.match(error.hint ?? error.message, /READ LOCK/);
    return error.kind === 'timeout' && error.outcome === 'not_applied';
  });
  const refused = await hasty.revokeUser(user, plain).catch((error: RevocationError) => error.unavailable);
  assert.equal(refused, true);
  await backup.query('UNLOCK TABLES');
  await sleep(100);
  assert.equal(await exists(user), false);
  await hasty.close();
});

test('a group that the administrator may not grant is a matter of privileges', async () => {
  await server.run('CREATE ROLE IF NOT EXISTS other');
  const user = newUser({ memberOf: ['other'] });
  await assert.rejects(target.createUser(user), (error: TargetError) => error.kind === 'privilege');
  await target.revokeUser(user, plain);
  const [finding] = await target.diagnose({ memberOf: ['other'] });
  assert.equal(finding?.severity, 'missing');
  await server.run(finding.fix);
  assert.deepEqual(await target.diagnose({ memberOf: ['other'] }), []);
});

test('a bound on sessions holds', async () => {
  const user = newUser({ connectionLimit: 1 });
  await target.createUser(user);
  const first = await open(user);
  await assert.rejects(open(user), { errno: 1226 });
  assert.equal(await target.canLogIn(user, password), true, 'the password is right all the same');
  assert.equal(await target.canLogIn(user, 'another'), false);
  first.destroy();
  await target.revokeUser(user, plain);
});

test('users of the better ed25519 log in, and keep that kind with another password', async () => {
  const modern = mysql.open({ ...world.settings, passwordPlugin: 'ed25519' });
  const user = newUser();
  await modern.createUser(user);
  assert.equal(await modern.canLogIn(user, password), true);
  assert.equal(await modern.canLogIn(user, 'another'), false);
  await modern.setPassword(user, 'ein Paßwort');
  assert.equal(await modern.canLogIn(user, 'ein Paßwort'), true);
  const [row] = await server.run(`SELECT plugin FROM mysql.user WHERE User = '${user.username}'`);
  assert.equal(row?.['plugin'], 'ed25519');
  await modern.revokeUser(user, plain);
  await modern.close();
});

test('an administrator who has nothing is told what it lacks, and has enough when all of that was run', async () => {
  await server.run("CREATE USER poor@'%' IDENTIFIED BY 'poor'");
  const settings = { ...world.settings, username: 'poor', password: 'poor' };
  const poor = mysql.open(settings);
  const needs = { memberOf: ['app_reader', 'app_writer', 'not_there'] };
  for (const severity of ['missing', 'advice'] as const) {
    // A second look finds what can be judged only when the first things are there.
    for (let look = 0; look < 3; look++) {
      const findings = (await poor.diagnose(needs)).filter((finding) => finding.severity === severity);
      for (const { fix } of findings) await server.run(fix).catch(notThereYet);
    }
  }
  await poor.close();
  const rich = mysql.open(settings);
  assert.deepEqual(await rich.diagnose(needs), []);
  const user = newUser(needs);
  await rich.createUser(user);
  assert.deepEqual(await rich.revokeUser(user, plain), { ended: 'removed', sessions: 0 });
  await rich.close();
  await server.run('DROP ROLE not_there', "DROP USER poor@'%'");
});

/** A role that cannot be seen is taken to exist until it can. */
function notThereYet(error: { readonly errno?: number }): void {
  if (error.errno !== 1959) throw error as Error;
}

test('what the administrator was not given is told one by one', async () => {
  const lacks = async (revoke: string, grant: string) => {
    await server.run(`REVOKE ${revoke} FROM chancery_admin@'%'`);
    const fresh = mysql.open(world.settings);
    const findings = await fresh.diagnose({ memberOf: ['app_reader'] });
    await fresh.close();
    await server.run(`GRANT ${grant} TO chancery_admin@'%'`);
    return findings.map(({ severity, fix }) => `${severity}: ${fix}`);
  };
  const to = "TO 'chancery_admin'@'%'";
  for (const name of ['CREATE USER', 'PROCESS', 'CONNECTION ADMIN']) {
    assert.deepEqual(await lacks(`${name} ON *.*`, `${name} ON *.*`), [`missing: GRANT ${name} ON *.* ${to}`]);
  }
  assert.deepEqual(await lacks('UPDATE ON mysql.*', 'UPDATE ON mysql.*'), [`missing: GRANT UPDATE ON mysql.* ${to}`]);
  assert.deepEqual(await lacks('TRIGGER ON *.*', 'TRIGGER ON *.*'), [`advice: GRANT TRIGGER ON *.* ${to}`]);
  const proc = 'SELECT (db, name, type, definer) ON mysql.proc';
  assert.deepEqual(await lacks(proc, proc), [`advice: GRANT ${proc} ${to}`]);
  const role = `\`app_reader\` ${to} WITH ADMIN OPTION`;
  await server.run("GRANT app_reader TO chancery_admin@'%'");
  assert.deepEqual(await lacks('ADMIN OPTION FOR app_reader', 'USAGE ON *.*'), [`missing: GRANT ${role}`]);
  await server.run(`GRANT ${role}`);
});

test('accounts without a name are pointed out, which the server takes in place of leased users', async () => {
  await server.run("CREATE USER ''@localhost");
  const found = (await target.diagnose({ memberOf: [] })).filter(({ message }) => message.includes('without a name'));
  assert.deepEqual(
    found.map(({ severity, fix }) => [severity, fix]),
    [['advice', "DROP USER ''@'localhost'"]],
  );
  for (const { fix } of found) await server.run(fix);
  assert.ok((await target.diagnose({ memberOf: [] })).every(({ message }) => !message.includes('without a name')));
});

test('a server that takes no hashes, or is read-only, is pointed out', async () => {
  const fixes = async () => (await target.diagnose({ memberOf: [] })).map(({ severity, fix }) => `${severity}: ${fix}`);
  await server.run("INSTALL SONAME 'simple_password_check'");
  assert.deepEqual(await fixes(), ['missing: SET GLOBAL strict_password_validation = OFF']);
  await assert.rejects(target.createUser(newUser()), (error: TargetError) => /strict_password/.test(error.hint ?? ''));
  await server.run('SET GLOBAL strict_password_validation = OFF');
  assert.deepEqual(await fixes(), []);
  const user = newUser();
  await target.createUser(user);
  await server.run("UNINSTALL SONAME 'simple_password_check'", 'SET GLOBAL read_only = ON');
  assert.deepEqual(await fixes(), ['missing: SET GLOBAL read_only = OFF']);
  await assert.rejects(target.createUser(newUser()), (error: TargetError) => error.outcome === 'not_applied');
  await server.run('SET GLOBAL read_only = OFF');
  await target.revokeUser(user, plain);
});

test('hosts and certificate names of any kind are carried as they are, or refused with nothing made', async () => {
  const everything = () => server.run('SELECT User, Host FROM mysql.global_priv ORDER BY User, Host');
  const found = await everything();
  const part = fc.oneof(
    fc.constantFrom(
      "'",
      '"',
      '`',
      '@',
      '%',
      '\\',
      ';',
      '--',
      '/*',
      '\0',
      '\ud800',
      '😀',
      "'@'%'; DROP USER root; --",
      ',',
    ),
    fc.string({ unit: 'grapheme', maxLength: 6 }),
    fc.constantFrom('h'.repeat(61), 'ü'.repeat(300)),
  );
  const hostile = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(''));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('host', 'subject', 'issuer'), hostile, async (field, text) => {
      const user = newUser(field === 'host' ? { host: text } : {});
      const subject = field === 'subject' ? `CN=${text}` : `CN=${user.username}`;
      const issuer = field === 'issuer' ? `CN=${text}` : undefined;
      const credential = field === 'host' ? user.credential : ({ kind: 'certificate', subject, issuer } as const);
      try {
        await target.createUser({ ...user, credential });
      } catch (error) {
        assert.ok(error instanceof TargetError, String(error));
        assert.deepEqual(await everything(), found);
        return;
      }
      assert.equal((await target.revokeUser(user, plain)).ended, 'removed');
      assert.deepEqual(await everything(), found);
    }),
    { numRuns: 100 },
  );
});
