import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { generatePassword } from '#database/password.ts';
import { parseStatement, renderStatement } from '#database/statement.ts';
import { type NewUser, type Target, TargetError, type TargetSettings, type TargetTls } from '#database/target.ts';
import { postgresql } from '#database/targets/postgresql.ts';
import { makeUsername, newUsernameTag } from '#database/username.ts';
import { blackHole } from '#test/black-hole.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';

/** What is PostgreSQL's own; what all kinds share is in test/contract/target.test.ts. */
const hour = 3_600_000;
const tag = newUsernameTag();

function newUser(over: Partial<NewUser> = {}) {
  const password = generatePassword();
  return {
    username: makeUsername('{{random}}', { tag, role: 'r', principal: 'p', now: 0 }, 63),
    password,
    credential: { kind: 'password' as const, password },
    expiresAt: Date.now() + hour,
    memberOf: ['app_reader'],
    statements: [],
    ...over,
  };
}

const plan = { statements: [] };
const targetError =
  (kind: TargetError['kind'], outcome: TargetError['outcome'], message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof TargetError, String(error));
    assert.deepEqual([error.kind, error.outcome], [kind, outcome], error.message);
    assert.match(error.message, message);
    return true;
  };

describe('a target on PostgreSQL', () => {
  let world: PostgresWorld;
  let target: Target;
  before(async () => {
    world = await postgresWorld({
      settings: { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' },
    });
    await world.root('CREATE EXTENSION pg_stat_statements');
    target = world.kind.open(world.settings);
  });
  after(async () => {
    await target?.close();
    await world?.stop();
  });
  const open = (over: Partial<TargetSettings>) => world.kind.open({ ...world.settings, ...over });
  const row = async (sql: string) => (await world.root(sql))[0] ?? {};

  test('makes a role that may log in and nothing more, with its bounds', async () => {
    const user = newUser({
      connectionLimit: 3,
      statementTimeout: 30,
      idleInTransactionTimeout: 1.5,
      actAs: 'app_owner',
    });
    await target.createUser(user);
    const role =
      await row(`SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
      rolconnlimit, rolconfig, extract(epoch FROM rolvaliduntil)::float8 * 1000 AS until FROM pg_roles WHERE rolname = '${user.username}'`);
    assert.deepEqual(role, {
      rolsuper: false,
      rolinherit: true,
      rolcreaterole: false,
      rolcreatedb: false,
      rolcanlogin: true,
      rolreplication: false,
      rolbypassrls: false,
      rolconnlimit: 3,
      rolconfig: ['role=app_owner', 'statement_timeout=30000', 'idle_in_transaction_session_timeout=1500'],
      until: user.expiresAt,
    });
    const session = await world.logIn(user, user.password);
    assert.deepEqual(await session.query('SELECT current_user, session_user'), [
      { current_user: 'app_owner', session_user: user.username },
    ]);
    await session.close();
    assert.equal((await target.revokeUser(user, plan)).ended, 'removed');
  });

  test('a user with a certificate has no password', async () => {
    const user = newUser({ credential: { kind: 'certificate', subject: 'CN=x' } });
    await target.createUser(user);
    const role = await row(`SELECT rolpassword FROM pg_authid WHERE rolname = '${user.username}'`);
    assert.deepEqual(role, { rolpassword: null });
    for (const password of ['', 'x']) assert.equal(await target.canLogIn(user, password), false);
    await target.revokeUser(user, plan);
  });

  test('the password is nowhere at the server: not in its statistics, its log, its tables or its files', async () => {
    const users = [newUser(), newUser({ memberOf: [], statements: world.readerStatements })];
    const next = generatePassword();
    for (const user of users) await target.createUser(user);
    await target.setPassword(users[0] ?? newUser(), next);
    assert.equal(await target.canLogIn(users[0] ?? newUser(), next), true);
    await world.root('CHECKPOINT');
    const statistics = JSON.stringify(await world.root('SELECT query FROM pg_stat_statements'));
    const activity = JSON.stringify(await world.root('SELECT query FROM pg_stat_activity'));
    assert.match(statistics, /CREATE ROLE/);
    const secrets = [...users.map(({ password }) => password), next];
    for (const secret of secrets) {
      for (const text of [statistics, activity, await world.serverLog()]) assert.ok(!text.includes(secret));
      const found = execFileSync('sh', [
        '-c',
        `grep -rlaF -e "$1" "$2" || true`,
        'sh',
        secret,
        join(world.server.socketFolder, 'data'),
      ]);
      assert.equal(found.toString(), '');
    }
    for (const user of users) await target.revokeUser(user, plan);
  });

  test('an error never cites the verifier', async () => {
    const user = newUser({ statements: ['CREATE ROLE {{name}} PASSWORD {{password}} {{expiration}}'] });
    const error = await target.createUser(user).catch((thrown: unknown) => thrown);
    assert.ok(targetError('statement', 'not_applied', /syntax error/)(error));
    const inner = newUser({ statements: ['CREATE ROLE {{name}}; SELECT {{password}} {{password}}'] });
    const second = await target.createUser(inner).catch((thrown: unknown) => thrown);
    assert.ok(targetError('statement', 'not_applied', /syntax error/)(second));
    const cast = newUser({ statements: ['CREATE ROLE {{name}}; SELECT {{password}}::int'] });
    const third = await target.createUser(cast).catch((thrown: unknown) => thrown);
    assert.ok(targetError('statement', 'not_applied', /invalid input syntax/)(third));
    for (const each of [error, second, third]) {
      const all = JSON.stringify([
        String(each),
        each,
        Object.entries(each as TargetError),
        (each as TargetError).cause,
      ]);
      assert.ok(!/SCRAM-SHA-256\$\d/.test(all), all);
    }
  });

  test("the server's own number of SCRAM iterations is kept", async () => {
    const modern = await postgresWorld({ major: 18, settings: { scram_iterations: '8192' } });
    const other = modern.kind.open(modern.settings);
    for (const user of [newUser(), newUser()]) {
      await other.createUser(user);
      const [role] = await modern.root(`SELECT rolpassword FROM pg_authid WHERE rolname = '${user.username}'`);
      assert.match(String(role?.['rolpassword']), /^SCRAM-SHA-256\$8192:/);
      assert.equal(await other.canLogIn(user, user.password), true);
    }
    await other.close();
    await modern.stop();
  });

  test('creation statements that end the transaction are refused', async () => {
    const user = newUser({ statements: ['CREATE ROLE {{name}}; COMMIT', 'SELECT 1'] });
    await assert.rejects(
      target.createUser(user),
      targetError('statement', 'unknown', /statement 1 ends the transaction/),
    );
    assert.equal((await target.revokeUser(user, plan)).ended, 'removed');
  });

  test('what statements set does not stay for the next one on the connection', async () => {
    const narrow = open({ maxConnections: 1 });
    const statements = [
      'CREATE ROLE {{name}}; SET search_path = public; SET standard_conforming_strings = off; SET SESSION statement_timeout = 0; SET ROLE app_owner',
    ];
    const user = newUser({ statements });
    await narrow.createUser(user);
    const probe = newUser({
      statements: [
        "CREATE ROLE {{name}}; SELECT 1 / (current_setting('search_path') = 'pg_catalog' AND current_user = session_user AND current_setting('standard_conforming_strings') = 'on' AND current_setting('statement_timeout') <> '0')::int",
      ],
    });
    await narrow.createUser(probe);
    for (const each of [user, probe]) await narrow.revokeUser(each, plan);
    await narrow.close();
  });

  test('functions that others put in our way are not called', async () => {
    await world.root(`CREATE FUNCTION public.left(text, int) RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$;
      CREATE FUNCTION public.starts_with(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT 1 / 0 = 1 $$;
      ALTER ROLE chancery_admin SET search_path = public, pg_catalog`);
    assert.deepEqual(await target.listUsers('nobody'), []);
    await world.root('ALTER ROLE chancery_admin RESET search_path');
  });

  test('values are read by the server as they were meant, wherever a placeholder stands', async () => {
    const value = fc
      .array(fc.constantFrom("'", '"', '\\', '$$', '--', '/*', '{{name}}', ';', 'ü', ' ', 'a', '\n', 'U&', 'E'), {
        minLength: 1,
        maxLength: 6,
      })
      .map((parts) => parts.join(''));
    const places: ((text: string) => [string, string])[] = [
      (text) => ['SELECT {{password}} AS v', text],
      (text) => ["SELECT 'it''s <{{password}}>' AS v", `it's <${text}>`],
      (text) => ["SELECT E'\\'<{{password}}>\\\\' AS v", `'<${text}>\\`],
      (text) => ["SELECT E'a' -- '\n  'b\\'{{password}}' AS v", `ab'${text}`],
      (text) => ["SELECT $$'$$ || {{password}} /* ' /* */ */ AS v", `'${text}`],
      (text) => [
        'SELECT key AS v FROM json_each(to_json((SELECT r FROM (SELECT 1 AS "<{{name}}>") AS r)))',
        `<${text}>`,
      ],
      (text) => ['SELECT key AS v FROM json_each(to_json((SELECT r FROM (SELECT 1 AS {{name}}) AS r)))', text],
    ];
    await fc.assert(
      fc.asyncProperty(value, fc.constantFrom(...places), async (text, place) => {
        const [script, expected] = place(text);
        const sql = renderStatement(parseStatement(script, 'postgresql', 'creation'), { name: text, password: text });
        assert.deepEqual(await world.root(sql), [{ v: expected }], sql);
      }),
      { numRuns: 100 },
    );
  });

  test('an administrator without the right to make roles is told so', async () => {
    await world.root("CREATE ROLE weak LOGIN PASSWORD 'weak'");
    const weak = open({ username: 'weak', password: 'weak' });
    await assert.rejects(weak.createUser(newUser()), targetError('privilege', 'not_applied'));
    const fixes = (await weak.diagnose({ memberOf: ['app_reader', 'nowhere'] })).map(({ fix }) => fix);
    assert.deepEqual(fixes.slice(0, 1), ['ALTER ROLE "weak" CREATEROLE']);
    assert.ok(fixes.includes('CREATE ROLE "nowhere" NOLOGIN'));
    await weak.close();
  });

  test('a superuser works as well, and is advised against', async () => {
    const url = new URL(world.server.url());
    const root = open({ username: 'postgres', password: url.password });
    const user = newUser();
    await root.createUser(user);
    const session = await world.logIn(user, user.password);
    await session.query("BEGIN; SELECT 1; PREPARE TRANSACTION 'by a user of a superuser'");
    assert.deepEqual(await root.revokeUser(user, plan), { ended: 'removed', sessions: 1 });
    assert.deepEqual(await world.root('SELECT gid FROM pg_prepared_xacts'), []);
    assert.deepEqual(
      (await root.diagnose({ memberOf: [] })).map(({ severity }) => severity),
      ['advice'],
    );
    await root.close();
  });

  test('groups through which users could become a superuser, a maker of roles or the administrator are found', async () => {
    await world.root(`
      CREATE ROLE gateway NOLOGIN; CREATE ROLE behind NOLOGIN; GRANT postgres TO behind; GRANT behind TO gateway;
      CREATE ROLE clerk NOLOGIN CREATEROLE; CREATE ROLE runner NOLOGIN; GRANT pg_execute_server_program TO runner;
      CREATE ROLE harmless NOLOGIN; GRANT pg_read_all_data TO harmless`);
    const doctor = open({});
    const found = async (group: string) =>
      (await doctor.diagnose({ memberOf: [group] }))
        .filter(({ fix }) => fix.startsWith('--'))
        .map(({ severity }) => severity);
    assert.deepEqual(await found('gateway'), ['missing']);
    assert.deepEqual(await found('clerk'), ['missing']);
    assert.deepEqual(await found('chancery_admin'), ['missing']);
    assert.deepEqual(await found('postgres'), ['missing']);
    assert.deepEqual(await found('runner'), ['advice']);
    assert.deepEqual(await found('harmless'), []);
    const fixes = (await doctor.diagnose({ memberOf: ['postgres'] })).map(({ fix }) => fix).join('\n');
    assert.doesNotMatch(fixes, /ALTER ROLE "postgres"/);
    await doctor.close();
    const url = new URL(world.server.url());
    const root = open({ username: 'postgres', password: url.password });
    const severities = (await root.diagnose({ memberOf: ['gateway'] })).map(({ severity }) => severity);
    assert.deepEqual(severities, ['advice', 'missing']);
    await root.close();
  });

  test('an administrator with thousands of live roles is advised where that makes it slow', async (context) => {
    const modern = await postgresWorld({ major: 18 });
    context.after(() => modern.stop());
    const admin = modern.kind.open(modern.settings);
    context.after(() => admin.close());
    const crowd = async (of: Target) =>
      (await of.diagnose({ memberOf: ['app_reader'] })).filter(({ message }) => message.includes('slower'));
    assert.deepEqual(await crowd(admin), []);
    await modern.root(`SET SESSION AUTHORIZATION chancery_admin;
      DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE ROLE crowd_%s', i); END LOOP; END $$`);
    assert.equal((await crowd(admin)).length, 1);
  });

  test('the set-up script takes any names, and can be run again', async () => {
    const names = [`a"b'c`, '$chancery0$', 'd\\e', '{{name}}'];
    await world.root(names.map((name) => `CREATE ROLE "${name.replaceAll('"', '""')}" NOLOGIN`).join(';'));
    const script = postgresql.adminSetup({
      username: `x'y"$chancery1$`,
      memberOf: names,
      reassignTo: names[0],
      actAs: names[1],
    });
    await world.root(script);
    await world.root(script);
    const [role] = await world.root(`SELECT rolcreaterole, rolsuper FROM pg_roles WHERE rolname = 'x''y"$chancery1$'`);
    assert.deepEqual(role, { rolcreaterole: true, rolsuper: false });
    assert.throws(() => postgresql.adminSetup({ username: 'x'.repeat(64), memberOf: [] }), TargetError);
  });

  test('the environment and the files of libpq are not asked', async () => {
    const pgpass = join(mkdtempSync(join(tmpdir(), 'chancery-pgpass-')), 'pgpass');
    writeFileSync(pgpass, `*:*:*:*:${world.settings.password}\n`, { mode: 0o600 });
    const hostile = {
      PGHOST: '192.0.2.1',
      PGHOSTADDR: '192.0.2.1',
      PGPORT: '1',
      PGUSER: 'postgres',
      PGDATABASE: 'nowhere',
      PGPASSWORD: world.settings.password,
      PGPASSFILE: pgpass,
      PGOPTIONS: '-c no_such_setting=1',
      PGSSLMODE: 'verify-full',
      PGSSLNEGOTIATION: 'direct',
      PGAPPNAME: 'somebody else',
      PGCLIENTENCODING: 'LATIN1',
      PGCLIENT_ENCODING: 'LATIN1',
      PGREPLICATION: 'database',
      PGBINARY: '1',
      PGTZ: 'Mars',
    };
    const kept = Object.keys(hostile).map((name) => [name, process.env[name]] as const);
    const plain = open({ database: undefined, applicationName: 'chancery/env' });
    Object.assign(process.env, hostile);
    try {
      assert.equal((await plain.inspect()).encrypted, false);
      const empty = open({ password: '' });
      await assert.rejects(empty.inspect(), targetError('login', 'not_applied'));
      await empty.close();
    } finally {
      for (const [name, value] of kept) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      rmSync(join(pgpass, '..'), { recursive: true });
    }
    const [session] = await world.root(
      "SELECT datname, usename FROM pg_stat_activity WHERE application_name = 'chancery/env'",
    );
    assert.deepEqual(session, { datname: 'postgres', usename: 'chancery_admin' });
    await plain.close();
  });

  test('Unix sockets and what is no host are refused', async () => {
    for (const host of [world.server.socketFolder, '', '@abstract', 'a b', 'a\0b', '\\\\pipe', 'x/y'])
      assert.throws(() => open({ host }), targetError('unreachable', 'not_applied', /not a host name/));
  });

  test("the limits of time are the server's own", async () => {
    const limited = open({ statementTimeout: 1234, maxConnections: 1, applicationName: `chancery/${'x'.repeat(100)}` });
    const user = newUser({
      statements: [
        "CREATE ROLE {{name}}; SELECT 1 / (current_setting('statement_timeout') = '1234ms' AND current_setting('lock_timeout') = '617ms')::int",
      ],
    });
    await limited.createUser(user);
    await limited.revokeUser(user, plan);
    await limited.close();
  });

  test('a server that falls silent: a mint has an unknown outcome, and its user can be revoked', async () => {
    const way = await blackHole(world.server.port);
    const far = open({ port: way.port, statementTimeout: 300, connectTimeout: 500 });
    await far.inspect();
    way.swallow('answers');
    const user = newUser();
    await assert.rejects(far.createUser(user), targetError('timeout', 'unknown'));
    await assert.rejects(far.inspect(), targetError('unreachable', 'not_applied'));
    await far.close();
    await way.close();
    assert.equal(await world.userExists(user), true);
    assert.equal((await target.revokeUser(user, plan)).ended, 'removed');
  });

  test('idle connections that a firewall has dropped are found out and replaced', async (t) => {
    const way = await blackHole(world.server.port);
    const far = open({ port: way.port, connectTimeout: 500 });
    await Promise.all([far.inspect(), far.inspect(), far.inspect()]);
    way.forget();
    const later = performance.now() + 10_000;
    t.mock.method(performance, 'now', () => later);
    const user = newUser();
    await far.createUser(user);
    assert.equal((await far.revokeUser(user, plan)).ended, 'removed');
    await far.close();
    await way.close();
  });

  test('a wait for a connection has an end', async () => {
    const narrow = open({ maxConnections: 1, connectTimeout: 300, statementTimeout: 5000 });
    await narrow.inspect();
    const long = narrow.createUser(
      newUser({ statements: ['SELECT pg_sleep(1), {{name}} FROM (SELECT 1 AS {{name}}) AS t'] }),
    );
    const asleep = "SELECT 1 FROM pg_stat_activity WHERE usename = 'chancery_admin' AND wait_event = 'PgSleep'";
    while ((await world.root(asleep)).length === 0) continue;
    await assert.rejects(narrow.inspect(), targetError('timeout', 'not_applied', /became free/));
    await long;
    await narrow.inspect();
    await narrow.close();
  });

  test('a server that was started again is used again', async () => {
    const user = newUser();
    await target.createUser(user);
    await world.server.restart();
    while (
      !(await target.inspect().then(
        () => true,
        () => false,
      ))
    )
      continue;
    assert.equal((await target.revokeUser(user, plan)).ended, 'removed');
    await world.server.pause();
    await assert.rejects(target.createUser(newUser()), targetError('unreachable', 'not_applied'));
    await world.server.start();
    await target.inspect();
  });
});

describe('TLS to PostgreSQL', () => {
  let world: PostgresWorld;
  let folder: string;
  let ca: string;
  before(async () => {
    world = await postgresWorld();
    folder = mkdtempSync(join(tmpdir(), 'chancery-postgres-tls-'));
    const openssl = (...parts: string[]) => execFileSync('openssl', parts, { cwd: folder, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    for (const name of ['ca', 'other'])
      openssl(
        'req',
        '-x509',
        ...key,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.pem`,
        '-subj',
        `/CN=${name}`,
        '-days',
        '2',
      );
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      'server.key',
      '-out',
      'server.crt',
      '-subj',
      '/CN=db.example',
      '-days',
      '2',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-addext',
      'subjectAltName=DNS:db.example,DNS:localhost',
      '-addext',
      'basicConstraints=critical,CA:FALSE',
    );
    ca = readFileSync(join(folder, 'ca.pem'), 'utf8');
    const data = join(world.server.socketFolder, 'data');
    const { uid, gid } = statSync(data);
    for (const name of ['server.key', 'server.crt']) {
      writeFileSync(join(data, name), readFileSync(join(folder, name)));
      chmodSync(join(data, name), 0o600);
      if (process.getuid?.() === 0) chownSync(join(data, name), uid, gid);
    }
    writeFileSync(
      join(data, 'pg_hba.conf'),
      'hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all postgres 127.0.0.1/32 scram-sha-256\n',
    );
    await world.root('ALTER SYSTEM SET ssl = on');
    await world.server.restart();
  });
  after(async () => {
    await world?.stop();
    if (folder) rmSync(folder, { recursive: true });
  });

  const attempt = async (tls: TargetTls, host = '127.0.0.1') => {
    const target = world.kind.open({ ...world.settings, host, tls });
    try {
      return (await target.inspect()).encrypted;
    } finally {
      await target.close();
    }
  };
  const other = () => readFileSync(join(folder, 'other.pem'), 'utf8');

  test('is used in every mode but `disable`, which this server refuses', async () => {
    assert.equal(await attempt({ mode: 'require' }), true);
    assert.equal(await attempt({ mode: 'verify-ca', ca }), true);
    assert.equal(await attempt({ mode: 'verify-full', ca }, 'localhost'), true);
    assert.equal(await attempt({ mode: 'verify-full', ca, serverName: 'db.example' }), true);
    assert.equal(await attempt({ mode: 'verify-full', ca, serverName: 'db.example' }, 'localhost'), true);
    await assert.rejects(attempt({ mode: 'disable' }), targetError('login', 'not_applied', /no encryption|SSL off/));
  });

  test('is refused with another CA, with the CAs of the system and for another name', async () => {
    const refused = targetError('unreachable', 'not_applied', /^No TLS with PostgreSQL/);
    await assert.rejects(attempt({ mode: 'verify-ca', ca: other() }), refused);
    await assert.rejects(attempt({ mode: 'verify-full', ca: other() }, 'localhost'), refused);
    await assert.rejects(attempt({ mode: 'verify-full' }, 'localhost'), refused);
    await assert.rejects(attempt({ mode: 'verify-full', ca }), refused);
    await assert.rejects(attempt({ mode: 'verify-full', ca, serverName: 'other.example' }, 'localhost'), refused);
  });

  test('is not waived by NODE_TLS_REJECT_UNAUTHORIZED', async () => {
    const kept = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      await assert.rejects(attempt({ mode: 'verify-ca', ca: other() }), TargetError);
    } finally {
      if (kept === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = kept;
    }
  });

  test('holds for the visits to other databases and for logins of users as well', async () => {
    const target = world.kind.open({ ...world.settings, host: 'localhost', tls: { mode: 'verify-full', ca } });
    const user = newUser();
    await target.createUser(user);
    assert.equal(await target.canLogIn(user, user.password), true);
    assert.match(target.connectionUrl(user, user.password, 'app'), /@localhost:\d+\/app\?sslmode=verify-full$/);
    await world.rootIn('postgres', `CREATE SCHEMA left_over AUTHORIZATION "${user.username}"`);
    assert.equal((await target.revokeUser(user, plan)).ended, 'removed');
    await target.close();
  });

  test('a server without TLS is refused', async () => {
    await world.root('ALTER SYSTEM SET ssl = off');
    await world.server.restart();
    await assert.rejects(attempt({ mode: 'require' }), targetError('unreachable', 'not_applied', /No TLS/));
  });
});
