import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type InProcess, type Reply, startChancery } from '#test/chancery.ts';
import { type MariadbWorld, mariadbWorld } from '#test/mariadb-target.ts';

/** One statement by a user that lives for it, on a real MariaDB, whose blocks and procedures may commit. */

let world: MariadbWorld;
let server: InProcess;

before(async () => {
  world = await mariadbWorld();
  await world.server.run(
    'GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, EXECUTE, CREATE TEMPORARY TABLES ON app.* TO app_writer',
    'CREATE TABLE app.aria (a INT) ENGINE=Aria',
    'CREATE SEQUENCE app.counter',
    "CREATE PROCEDURE app.commit_and_write() BEGIN COMMIT; SET SESSION TRANSACTION READ WRITE; INSERT INTO app.notes VALUES ('x'); COMMIT; END",
    "CREATE FUNCTION app.scribble() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO app.notes VALUES ('x'); RETURN 1; END",
  );
  server = await startChancery(undefined, { env: { CHANCERY_LOG_LEVEL: 'silent' } });
  const { host, port, username, password } = world.settings;
  await server.ok('POST', 'database/connections', {
    name: 'app',
    engine: 'mysql',
    host,
    port,
    username,
    password,
    tls: 'disable',
  });
  await server.ok('POST', 'database/roles', {
    name: 'writer',
    connection: 'app',
    member_of: ['app_writer'],
    database: 'app',
    max_ttl: '1h',
  });
});

after(async () => {
  await server.stop();
  await world.stop();
});

const ask = (sql: string, more: object = {}): Promise<Reply> =>
  server.call('POST', 'database/roles/writer/query', { sql, ...more });

async function rows(sql: string, more: object = {}) {
  const { status, body } = await ask(sql, more);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function assertNothingLeft(): Promise<void> {
  assert.deepEqual(
    await world.server.run("SELECT User FROM mysql.user WHERE User LIKE 'chy\\_%' AND is_role = 'N'"),
    [],
  );
  assert.deepEqual(
    await world.server.run("SELECT USER FROM information_schema.PROCESSLIST WHERE USER LIKE 'chy\\_%'"),
    [],
  );
  assert.deepEqual(await world.server.run('XA RECOVER'), []);
  assert.deepEqual(await world.server.run('SELECT note FROM app.notes'), [{ note: 'first' }]);
  assert.deepEqual(await world.server.run('SELECT a FROM app.aria'), []);
}

test('a statement is answered as a new user, which is gone with the answer', async () => {
  const answer = await rows("SELECT note, SUBSTRING_INDEX(USER(), '@', 1) AS who FROM notes WHERE note = ?", {
    parameters: ['first'],
  });
  assert.deepEqual(answer.rows, [['first', answer.username]]);
  assert.deepEqual(answer.columns[0], { name: 'note', type: 'varchar' });
  assert.deepEqual([answer.truncated, answer.user_removed], [false, true]);
  await assertNothingLeft();
  const lease = await server.ok('GET', `leases/${answer.lease_id}`);
  assert.deepEqual([lease.state, lease.ended_as], ['revoked', 'removed']);
  for (const sql of [
    'SHOW TABLES',
    'DESCRIBE notes',
    'EXPLAIN SELECT * FROM notes',
    'WITH q AS (SELECT 1) SELECT * FROM q',
  ])
    assert.ok((await rows(sql)).row_count > 0, sql);
});

test('values come as JSON holds them without loss', async () => {
  const answer = await rows(`SELECT CAST(9007199254740993 AS SIGNED) AS a, 42 AS b, CAST(0.1 AS DECIMAL(30, 20)) AS c,
    CAST(1.5 AS DOUBLE) AS d, NULL AS e, CAST('2026-01-02 03:04:05.678' AS DATETIME(3)) AS f, DATE '2026-01-02' AS g,
    X'00ff' AS h, JSON_COMPACT('{"a": 12345678901234567890}') AS i, TRUE AS j, CAST('-838:59:59' AS TIME) AS k,
    ST_GeomFromText('POINT(1 2)') IS NOT NULL AS l, CAST(18446744073709551615 AS UNSIGNED) AS m`);
  assert.deepEqual(answer.rows[0], [
    '9007199254740993',
    42,
    '0.10000000000000000000',
    1.5,
    null,
    '2026-01-02 03:04:05.678',
    '2026-01-02',
    '\\x00ff',
    '{"a":12345678901234567890}',
    1,
    '-838:59:59',
    1,
    '18446744073709551615',
  ]);
  const types = answer.columns.map(({ type }: { type: string }) => type);
  assert.deepEqual([types[0], types[2], types[5], types[7]], ['bigint', 'decimal', 'datetime', 'varbinary']);
});

test('parameters are values, whatever stands in them', async () => {
  const answer = await rows('SELECT ?, ?, ?, ?', { parameters: ["'; DROP TABLE notes; --", 7, null, '\\'] });
  assert.deepEqual(answer.rows, [["'; DROP TABLE notes; --", 7, null, '\\']]);
  assert.equal((await ask('SELECT ?')).status, 422);
});

test('what writes is refused by the database, whatever the statement does before', async () => {
  const writing = [
    "INSERT INTO notes VALUES ('x')",
    "INSERT INTO notes VALUES ('x') RETURNING note",
    'INSERT INTO aria VALUES (1)',
    "REPLACE INTO notes VALUES ('x')",
    "UPDATE notes SET note = 'x'",
    'DELETE FROM notes',
    'TRUNCATE notes',
    'CREATE TABLE t (a INT)',
    'CREATE TABLE t AS SELECT 1',
    'CREATE TEMPORARY TABLE t (a INT)',
    'DROP TABLE notes',
    'ALTER TABLE notes ADD COLUMN b INT',
    'SELECT * FROM notes FOR UPDATE',
    'SELECT NEXTVAL(counter)',
    'SELECT scribble()',
    'CALL commit_and_write()',
    'ANALYZE TABLE notes',
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE notes",
    "SELECT * FROM notes INTO OUTFILE '/tmp/chancery-out'",
    "EXECUTE IMMEDIATE 'INSERT INTO notes VALUES (1)'",
    "SET STATEMENT tx_read_only = 0 FOR INSERT INTO notes VALUES ('x')",
    "BEGIN NOT ATOMIC COMMIT; SET SESSION TRANSACTION READ WRITE; INSERT INTO notes VALUES ('x'); COMMIT; END",
    "BEGIN NOT ATOMIC SET SESSION TRANSACTION READ WRITE; INSERT INTO notes VALUES ('x'); END",
    "BEGIN NOT ATOMIC SET @@tx_read_only = 0; INSERT INTO notes VALUES ('x'); END",
    "BEGIN NOT ATOMIC SET autocommit = 1; INSERT INTO notes VALUES ('x'); END",
    'COMMIT',
    'START TRANSACTION READ WRITE',
    "XA END 'x'",
    "XA PREPARE 'x'",
  ];
  for (const sql of writing) {
    const { status, body } = await ask(sql);
    assert.deepEqual([status, body.code], [422, 'refused'], `${sql}: ${JSON.stringify(body)}`);
    assert.match(body.detail, /^The server says: .+ \(\d+\)/, sql);
  }
  // A handler that swallows every refusal of the server: the statement ends well, has done nothing, and is told nothing.
  const swallowing = `BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; XA END ''; XA ROLLBACK ''; COMMIT;
    ROLLBACK; SET SESSION TRANSACTION READ WRITE; SET autocommit = 1; START TRANSACTION READ WRITE;
    INSERT INTO notes VALUES ('x'); INSERT INTO aria VALUES (1); COMMIT; END`;
  const swallowed = await ask(swallowing);
  assert.equal(swallowed.status, 422);
  assert.match(swallowed.body.detail, /reached for the transaction/);
  await assertNothingLeft();
});

test('several statements and what is none are refused', async () => {
  for (const sql of ['SELECT 1; SELECT 2', "SELECT 1; INSERT INTO notes VALUES ('x')", 'SELEC 1', ';'])
    assert.equal((await ask(sql)).status, 422, sql);
  const { body } = await ask('SELECT * FROM nowhere');
  assert.match(body.detail, /nowhere' doesn't exist \(1146\)/);
  await assertNothingLeft();
});

test('rows are cut at max_rows and at max_bytes, and one that is huge is not waited for', async () => {
  const cut = await rows('SELECT seq FROM seq_1_to_100000', { max_rows: 3 });
  assert.deepEqual([cut.rows, cut.truncated_by], [[[1], [2], [3]], 'rows']);
  const limited = await rows('SELECT seq FROM seq_1_to_100000 LIMIT 50000', { max_rows: 3 });
  assert.deepEqual([limited.row_count, limited.truncated_by], [3, 'rows']);
  const whole = await rows('SELECT seq FROM seq_1_to_3', { max_rows: 3 });
  assert.equal(whole.truncated, false);
  const bytes = await rows("SELECT REPEAT('x', 1000) FROM seq_1_to_1000", { max_rows: 1000, max_bytes: 10_000 });
  assert.deepEqual([bytes.row_count, bytes.truncated_by], [9, 'bytes']);
  const huge = await rows("SELECT REPEAT('x', 12000000)");
  assert.deepEqual([huge.row_count, huge.truncated_by], [0, 'bytes']);
  await assertNothingLeft();
});

test('a statement that hangs is ended, also when it takes off the limit of the server', async () => {
  for (const sql of ['SELECT SLEEP(50)', 'SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(50)']) {
    const { status, body } = await ask(sql, { timeout: '1s' });
    assert.equal(status, 422, sql);
    assert.match(body.detail, /took longer than 1 s/);
    await assertNothingLeft();
  }
});
