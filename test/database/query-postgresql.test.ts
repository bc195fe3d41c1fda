import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client, InProcess, Reply } from '#test/chancery.ts';
import { startChancery } from '#test/chancery.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import { foundDatabase, leasedUsers, until } from './fixture.ts';

/** One statement by a user that lives for it, on a real PostgreSQL. */

let world: PostgresWorld;
let server: InProcess;

before(async () => {
  world = await postgresWorld();
  await world.root(`
    CREATE SEQUENCE public.counter;
    GRANT ALL ON public.counter TO app_writer;
    GRANT ALL ON public.notes TO app_writer;
    GRANT CREATE ON SCHEMA public TO app_writer;
    CREATE TYPE public.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION public.scribble() RETURNS int SECURITY DEFINER LANGUAGE sql AS
      $$ INSERT INTO public.notes VALUES ('by a function'); SELECT 1 $$;
    CREATE FUNCTION public.unlock() RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); INSERT INTO public.notes VALUES ('x'); RETURN 'x'; END $$;
    CREATE PROCEDURE public.commit_and_write() LANGUAGE plpgsql AS
      $$ BEGIN SET default_transaction_read_only = off; COMMIT; INSERT INTO public.notes VALUES ('by a procedure'); COMMIT; END $$`);
  server = await startChancery(undefined, { env: { CHANCERY_LOG_LEVEL: 'silent' } });
  await foundDatabase(server, world, { member_of: ['app_writer'] });
});

after(async () => {
  await server.stop();
  await world.stop();
});

const ask = (sql: string, more: object = {}, client: Client = server): Promise<Reply> =>
  client.call('POST', 'database/roles/readonly/query', { sql, ...more });

async function rows(sql: string, more: object = {}) {
  const { status, body } = await ask(sql, more);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function assertNothingLeft(): Promise<void> {
  assert.deepEqual(await leasedUsers(world), []);
  const sessions = await world.root("SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'chy\\_%'");
  assert.deepEqual(sessions, []);
  assert.deepEqual(await world.root('SELECT gid FROM pg_prepared_xacts'), []);
}

test('a statement is answered as a new user, which is gone with the answer', async () => {
  const answer = await rows('SELECT note, current_user::text AS who FROM notes WHERE note = $1', {
    parameters: ['first'],
    purpose: 'a test',
  });
  assert.deepEqual(answer.columns, [
    { name: 'note', type: 'text' },
    { name: 'who', type: 'text' },
  ]);
  assert.deepEqual(answer.rows, [['first', answer.username]]);
  assert.deepEqual([answer.row_count, answer.truncated, answer.user_removed], [1, false, true]);
  await assertNothingLeft();
  const lease = await server.ok('GET', `leases/${answer.lease_id}`);
  assert.deepEqual(
    [lease.state, lease.cause, lease.ended_as, lease.purpose],
    ['revoked', 'revoked', 'removed', 'a test'],
  );
  const { events } = await server.ok('GET', 'audit/events?operation=database.run_query');
  assert.deepEqual(
    events.slice(0, 2).map((event: { outcome: string }) => event.outcome),
    ['ok', 'intent'],
  );
  assert.ok(!JSON.stringify(events).includes('SELECT note'));
});

test('values come as JSON holds them without loss', async () => {
  const answer = await rows(
    `SELECT 1::int2 AS a, 9007199254740993::int8 AS b, 42::int8 AS c, 0.1::numeric(30, 20) AS d,
    1.5::float8 AS e, 'NaN'::float8 AS f, true AS g, NULL::text AS h, timestamptz '2026-01-02 03:04:05.678+02' AS i,
    date '2026-01-02' AS j, '\\x00ff'::bytea AS k, '{"a": 12345678901234567890}'::json AS l, ARRAY[1, 2] AS m,
    'good'::mood AS n, 'x'::uuid IS NULL AS o`.replace(`, 'x'::uuid IS NULL AS o`, ''),
  );
  assert.deepEqual(answer.rows[0], [
    1,
    '9007199254740993',
    42,
    '0.10000000000000000000',
    1.5,
    'NaN',
    true,
    null,
    '2026-01-02 01:04:05.678+00',
    '2026-01-02',
    '\\x00ff',
    '{"a": 12345678901234567890}',
    '{1,2}',
    'good',
  ]);
  assert.deepEqual(
    answer.columns.map(({ type }: { type: string }) => type),
    [
      'int2',
      'int8',
      'int8',
      'numeric',
      'float8',
      'float8',
      'bool',
      'text',
      'timestamptz',
      'date',
      'bytea',
      'json',
      'integer[]',
      'mood',
    ],
  );
});

test('parameters are values, whatever stands in them', async () => {
  const answer = await rows('SELECT $1::text, $2::int, $3::bool, $4::text, $5::numeric', {
    parameters: ["'; DROP TABLE notes; --", 7, true, null, 1.25],
  });
  assert.deepEqual(answer.rows, [["'; DROP TABLE notes; --", 7, true, null, '1.25']]);
});

test('what writes is refused by the database, in its words', async () => {
  const writing = [
    "INSERT INTO notes VALUES ('x')",
    "INSERT INTO notes VALUES ('x') RETURNING note",
    "UPDATE notes SET note = 'x'",
    'DELETE FROM notes',
    'TRUNCATE notes',
    'CREATE TABLE t (a int)',
    'CREATE TEMP TABLE t (a int)',
    'SELECT * INTO t FROM notes',
    'CREATE TABLE t AS SELECT 1',
    'DROP TABLE notes',
    'COPY notes FROM STDIN',
    "WITH w AS (INSERT INTO notes VALUES ('x') RETURNING note) SELECT * FROM w",
    "EXPLAIN ANALYZE INSERT INTO notes VALUES ('x')",
    "DO $$ BEGIN INSERT INTO notes VALUES ('x'); END $$",
    'CALL commit_and_write()',
    'SELECT scribble()',
    'SELECT unlock()',
    "SELECT nextval('counter')",
    "SELECT setval('counter', 7)",
    'SELECT * FROM notes FOR UPDATE',
    'GRANT SELECT ON notes TO unrelated',
  ];
  for (const sql of writing) {
    const { status, body } = await ask(sql);
    assert.deepEqual([status, body.code], [422, 'refused'], `${sql}: ${JSON.stringify(body)}`);
    assert.match(body.detail, /^PostgreSQL says: .+ \([0-9A-Z]{5}\)/, sql);
  }
  // Up to PostgreSQL 15 large objects may be made in a transaction that is read-only; this one is never committed.
  await ask('SELECT lo_create(0)');
  assert.deepEqual(await world.root('SELECT oid FROM pg_largeobject_metadata'), []);
  assert.deepEqual(await world.root('SELECT note FROM notes'), [{ note: 'first' }]);
  await assertNothingLeft();
});

test('no statement makes the transaction writable and then writes', async () => {
  const tricks = [
    "DO $$ BEGIN SET default_transaction_read_only = off; COMMIT; INSERT INTO notes VALUES ('x'); COMMIT; END $$",
    "DO $$ BEGIN ROLLBACK; PERFORM set_config('default_transaction_read_only', 'off', false); COMMIT; INSERT INTO notes VALUES ('x'); END $$",
    "DO $$ BEGIN PERFORM set_config('transaction_read_only', 'off', true); INSERT INTO notes VALUES ('x'); END $$",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO notes VALUES ('x'); END $$",
    "SELECT set_config('transaction_read_only', 'off', false), scribble()",
    "PREPARE TRANSACTION 'left behind'",
  ];
  for (const sql of tricks) assert.equal((await ask(sql)).status, 422, sql);
  // Alone these change nothing: no other statement follows.
  for (const sql of ['COMMIT', 'ROLLBACK', 'SET TRANSACTION READ WRITE', 'SET default_transaction_read_only = off'])
    assert.deepEqual((await rows(sql)).rows, [], sql);
  assert.deepEqual(await world.root('SELECT note FROM notes'), [{ note: 'first' }]);
  await assertNothingLeft();
});

test('what outlives a transaction elsewhere does not outlive the query', async () => {
  const lasting = [
    'SELECT pg_advisory_lock(4711)',
    'SELECT pg_advisory_lock_shared(4712)',
    "SELECT set_config('search_path', 'elsewhere', false)",
    'SET SESSION work_mem = 65536',
    'LISTEN elsewhere',
    "SELECT pg_notify('elsewhere', 'x')",
    "NOTIFY elsewhere, 'x'",
    'PREPARE kept AS SELECT 1',
    'DECLARE kept CURSOR FOR SELECT 1',
    'SELECT pg_export_snapshot()',
    'LOCK TABLE notes IN ACCESS EXCLUSIVE MODE',
    'SELECT lo_creat(-1)',
    "SELECT lo_from_bytea(0, 'x')",
  ];
  for (const sql of lasting) await ask(sql);
  assert.deepEqual(await world.root("SELECT objid FROM pg_locks WHERE locktype = 'advisory'"), []);
  assert.deepEqual(await world.root('SELECT oid FROM pg_largeobject_metadata'), []);
  assert.deepEqual(await world.root("SELECT relname FROM pg_class WHERE relname LIKE 'kept%'"), []);
  assert.deepEqual(await world.root("SELECT name FROM pg_ls_dir('pg_snapshots') AS name"), []);
  await assertNothingLeft();
});

test('what reaches out of the transaction is refused to whoever is not given it', async () => {
  const reaching = [
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/chancery-query'",
    "COPY notes FROM PROGRAM 'true'",
    "SELECT lo_export(1, '/tmp/chancery-query')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    'CREATE EXTENSION dblink',
    'CREATE FOREIGN DATA WRAPPER w',
    "ALTER ROLE CURRENT_USER SET search_path = 'x'",
    "ALTER ROLE CURRENT_USER PASSWORD 'x'",
    "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
    'ALTER SYSTEM SET work_mem = 65536',
    'CHECKPOINT',
    'SELECT pg_reload_conf()',
    'SELECT pg_switch_wal()',
    'SELECT pg_stat_reset()',
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_create_logical_replication_slot('x', 'test_decoding')",
    "COMMENT ON TABLE notes IS 'x'",
    'VACUUM notes',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chancery_admin'",
  ];
  for (const sql of reaching) {
    const { status, body } = await ask(sql);
    assert.deepEqual([status, body.code], [422, 'refused'], `${sql}: ${JSON.stringify(body)}`);
  }
  await assertNothingLeft();
});

test('what the set-up script adds for queries takes away what writes the log of the server without a right to write', async () => {
  const emit = "SELECT pg_logical_emit_message(false, 'x', 'y') IS NOT NULL";
  assert.equal((await ask(emit)).status, 200);
  const { script } = await server.ok('POST', 'database/admin-setup', { engine: 'postgresql' });
  const [, hardening] = /\/\*\n(.*)\*\//s.exec(script) ?? [];
  assert.ok(hardening);
  await world.root(hardening);
  const { status, body } = await ask(emit);
  assert.equal(status, 422);
  assert.match(body.detail, /permission denied for function .* \(42501\)/);
  assert.equal((await rows('SELECT 1')).user_removed, true);
});

test('several statements, none, and what is none are refused', async () => {
  const several = await ask("SELECT 1; INSERT INTO notes VALUES ('x')");
  assert.match(several.body.detail, /cannot insert multiple commands/);
  assert.equal((await ask('SELEC 1')).status, 422);
  assert.equal((await ask('')).status, 400);
  assert.equal((await ask('SELECT 1 \0; SELECT 2')).status, 400);
  assert.equal((await ask('SELECT $1::int')).status, 422);
  assert.equal((await ask(`SELECT '${'x'.repeat(65_536)}'`)).status, 400);
  assert.deepEqual((await rows('-- nothing')).rows, []);
  const copied = await ask('COPY notes TO STDOUT');
  assert.match(copied.body.detail, /COPY is not taken here/);
});

test('rows are cut at max_rows, and it is told', async () => {
  const cut = await rows('SELECT generate_series(1, 1000000000)', { max_rows: 5 });
  assert.deepEqual(cut.rows, [[1], [2], [3], [4], [5]]);
  assert.deepEqual([cut.truncated, cut.truncated_by, cut.row_count], [true, 'rows', 5]);
  const whole = await rows('SELECT g FROM generate_series(1, 5) AS g', { max_rows: 5 });
  assert.deepEqual([whole.truncated, whole.row_count], [false, 5]);
});

test('rows are cut at max_bytes, and one that is huge is not even waited for', async () => {
  const cut = await rows("SELECT repeat('x', 1000) FROM generate_series(1, 1000)", {
    max_rows: 1000,
    max_bytes: 10_000,
  });
  assert.deepEqual([cut.truncated_by, cut.row_count, cut.columns[0].name], ['bytes', 9, 'repeat']);
  const used = process.memoryUsage.rss();
  const huge = await rows("SELECT repeat('x', 300000000)");
  assert.deepEqual([huge.truncated_by, huge.row_count], ['bytes', 0]);
  assert.ok(process.memoryUsage.rss() - used < 150_000_000);
  await assertNothingLeft();
});

test('a statement that hangs is ended at its timeout', async () => {
  const hung = await ask('SELECT pg_sleep(60)', { timeout: '1s' });
  assert.deepEqual([hung.status, hung.body.code], [422, 'refused']);
  assert.match(hung.body.detail, /took longer than 1 s/);
  await assertNothingLeft();
});

test('errors are capped, and what could steer a terminal in them is told by number', async () => {
  const { body } = await ask(
    `DO $$ BEGIN RAISE EXCEPTION '%', E'\\x1b[31m' || chr(8238) || repeat('y', 10000); END $$`,
  );
  assert.match(body.detail, /\\u\{1b\}\[31m\\u\{202e\}yyy/);
  assert.ok(body.detail.length < 700);
});

test('what the role may not read is refused, and so is a query by whom the policy does not allow', async () => {
  await world.root('CREATE TABLE secrets (a int)');
  const refused = await ask('SELECT * FROM secrets');
  assert.match(refused.body.detail, /permission denied for table secrets \(42501\)/);
  await server.ok('POST', 'policies', {
    name: 'lessees',
    rules: [{ effect: 'allow', operations: ['database.issue_credentials'], resources: ['**'] }],
  });
  await server.ok('POST', 'principals', { name: 'lessee', kind: 'agent', policies: ['lessees'] });
  const { key } = await server.ok('POST', 'principals/lessee/keys', {});
  assert.equal((await ask('SELECT 1', {}, server.as(key as string))).status, 403);
});

test('an answer is not kept for a repeat', async () => {
  const headers = { 'idempotency-key': 'one' };
  const body = { sql: 'SELECT random()' };
  const first = await server.ok('POST', 'database/roles/readonly/query', body, headers);
  const second = await server.ok('POST', 'database/roles/readonly/query', body, headers);
  assert.notDeepEqual(first.rows, second.rows);
});

test('a caller that goes away ends the statement', async () => {
  const { chancery } = server;
  const operation = chancery.operations.find(({ id }) => id === 'database.run_query');
  assert.ok(operation);
  const abort = new AbortController();
  const call = chancery.dispatch({
    operation,
    input: { role: 'readonly', sql: 'SELECT pg_sleep(50)', timeout: '60s' },
    credentials: { kind: 'bearer', token: server.token ?? '' },
    transport: 'mcp',
    sourceAddress: null,
    requestId: 'req_1',
    signal: abort.signal,
  });
  const outcome = assert.rejects(call, /was given up/);
  const running = "SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'chy\\_%' AND query LIKE '%pg_sleep(50)%'";
  await until('it runs', async () => (await world.root(running)).length === 1);
  abort.abort();
  await outcome;
  await assertNothingLeft();
});

const restQuery = (signal: AbortSignal) =>
  fetch(`${server.url}/v1/database/roles/readonly/query`, {
    method: 'POST',
    signal,
    headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ sql: 'SELECT pg_sleep(50)', timeout: '60s' }),
  });

const mcpQuery = (signal: AbortSignal) =>
  fetch(`${server.url}/mcp`, {
    method: 'POST',
    signal,
    headers: {
      authorization: `Bearer ${server.token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        name: 'database_run_query',
        arguments: { role: 'readonly', sql: 'SELECT pg_sleep(50)', timeout: '60s' },
      },
    }),
  }).then((reply) => reply.text());

async function assertAllRevoked(): Promise<void> {
  await until('no lease is left', async () => {
    const { leases } = await server.ok('GET', 'leases?limit=1000');
    return leases.every(({ state }: { state: string }) => state === 'revoked');
  });
  await until('no user is left', async () => (await leasedUsers(world)).length === 0);
  await assertNothingLeft();
}

for (const [face, send] of Object.entries({ REST: restQuery, MCP: mcpQuery })) {
  test(`a client of ${face} that hangs up ends the statement at the database`, async () => {
    const client = new AbortController();
    const outcome = assert.rejects(send(client.signal), { name: 'AbortError' });
    const running = "SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'chy\\_%' AND query LIKE '%pg_sleep(50)%'";
    await until('it runs', async () => (await world.root(running)).length === 1);
    client.abort();
    await outcome;
    await until('it does not run', async () => (await world.root(running)).length === 0);
    await assertAllRevoked();
  });
}

test('credentials that nobody waits for any more are taken back', async () => {
  const { chancery } = server;
  const operation = chancery.operations.find(({ id }) => id === 'database.issue_credentials');
  assert.ok(operation);
  const call = chancery.dispatch({
    operation,
    input: { role: 'readonly' },
    credentials: { kind: 'bearer', token: server.token ?? '' },
    transport: 'rest',
    sourceAddress: null,
    requestId: 'req_1',
    signal: AbortSignal.abort(),
  });
  await assert.rejects(call, { code: 'wrong_state' });
  await assertAllRevoked();
});

test('a client that hangs up at any moment leaves neither lease nor user', async () => {
  const moments = Array.from({ length: 12 }, (_, index) => index * 15);
  await Promise.all(
    moments.map(async (moment) => {
      const client = new AbortController();
      setTimeout(() => client.abort(), moment);
      await assert.rejects(restQuery(client.signal), { name: 'AbortError' });
    }),
  );
  await assertAllRevoked();
});

test('revoking the lease of a statement that runs ends the statement', async () => {
  const asked = ask('SELECT pg_sleep(50)', { timeout: '60s' });
  const running = "SELECT usename FROM pg_stat_activity WHERE usename LIKE 'chy\\_%' AND query LIKE '%pg_sleep(50)%'";
  await until('it runs', async () => (await world.root(running)).length === 1);
  const { leases } = await server.ok('GET', 'leases?state=minting');
  await server.ok('POST', `leases/${leases[0].id}/revoke`, {});
  const { status, body } = await asked;
  assert.deepEqual([status, body.code], [422, 'refused']);
  assert.match(body.detail, /its lease was revoked/);
  await until('the lease is revoked', async () => {
    const { state, cause } = await server.ok('GET', `leases/${leases[0].id}`);
    return state === 'revoked' && cause === 'revoked';
  });
  await assertNothingLeft();
});

test('a user that cannot be removed at once is told, and is removed later', async () => {
  const asked = rows('SELECT pg_sleep(1)');
  const running = "SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'chy\\_%' AND query LIKE '%pg_sleep(1)%'";
  await until('it runs', async () => (await world.root(running)).length === 1);
  await world.root('ALTER ROLE chancery_admin NOCREATEROLE');
  const answer = await asked;
  assert.deepEqual([answer.rows.length, answer.user_removed], [1, false]);
  const users = await leasedUsers(world);
  await world.root('ALTER ROLE chancery_admin CREATEROLE');
  assert.deepEqual(users, [answer.username]);
  await until('it is gone', async () => (await leasedUsers(world)).length === 0);
  await until(
    'the lease is revoked',
    async () => (await server.ok('GET', `leases/${answer.lease_id}`)).state === 'revoked',
  );
});

test('many at once are answered, and leave nothing', async () => {
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => rows(`SELECT ${index}`)));
  assert.deepEqual(
    answers.map(({ rows: [[value]] }) => value),
    Array.from({ length: 12 }, (_, index) => index),
  );
  await assertNothingLeft();
  const { leases } = await server.ok('GET', 'leases?limit=1000');
  for (const { state, id } of leases) assert.equal(state, 'revoked', id);
});
