import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type InProcess, startChancery } from '#test/chancery.ts';
import { type MariadbServer, startMariadb } from '#test/mariadb.ts';

/** The name of the transaction that keeps a statement from writing, where the server tells it to who may read that. */

let target: MariadbServer;
let server: InProcess;

before(async () => {
  target = await startMariadb({
    settings: {
      'performance-schema': 'ON',
      'performance-schema-instrument': 'transaction=ON',
      'performance-schema-consumer-events-transactions-current': 'ON',
    },
  });
  await target.run(
    'CREATE DATABASE app',
    'CREATE TABLE app.notes (note TEXT)',
    'CREATE ROLE watcher',
    'CREATE ROLE writer',
    'GRANT SELECT, INSERT ON app.* TO watcher, writer',
    'GRANT SELECT ON performance_schema.* TO watcher',
  );
  server = await startChancery(undefined, { env: { CHANCERY_LOG_LEVEL: 'silent' } });
  await server.ok('POST', 'database/connections', {
    name: 'app',
    engine: 'mysql',
    host: '127.0.0.1',
    port: target.port,
    username: 'root',
    password: target.password,
    tls: 'disable',
  });
  for (const name of ['watcher', 'writer'])
    await server.ok('POST', 'database/roles', { name, connection: 'app', member_of: [name], database: 'app' });
});

after(async () => {
  await server.stop();
  await target.stop();
});

const attack = (then: string) => `BEGIN NOT ATOMIC
  DECLARE x TEXT;
  SELECT REPLACE(REPLACE(XID_GTRID, CHAR(0), ''), '0x', '') INTO x
    FROM performance_schema.events_transactions_current WHERE XA_STATE = 'ACTIVE' LIMIT 1;
  EXECUTE IMMEDIATE CONCAT('XA END X''', x, '''');
  EXECUTE IMMEDIATE CONCAT('XA ${then} X''', x, '''');
  SET SESSION TRANSACTION READ WRITE;
  INSERT INTO app.notes VALUES ('written');
  COMMIT;
END`;

test('who may read the name of the transaction ends none, and leaves none prepared', async () => {
  for (const then of ['ROLLBACK', 'PREPARE'])
    for (const role of ['watcher', 'writer']) {
      const { status } = await server.call('POST', `database/roles/${role}/query`, { sql: attack(then) });
      assert.equal(status, 422, `${role} ${then}`);
    }
  assert.deepEqual(await target.run('SELECT note FROM app.notes'), []);
  assert.deepEqual(await target.run('XA RECOVER'), []);
});

test('where a definer tells the name, a statement that left the transaction is not answered, whatever it puts in its place', async () => {
  await target.run(
    `CREATE SQL SECURITY DEFINER VIEW app.peek AS SELECT REPLACE(REPLACE(XID_GTRID, CHAR(0), ''), '0x', '') AS name
       FROM performance_schema.events_transactions_current WHERE XA_STATE = 'ACTIVE'`,
  );
  const leave = (then: string) => `BEGIN NOT ATOMIC
    DECLARE x TEXT;
    SELECT CONCAT('X''', name, '''') INTO x FROM app.peek LIMIT 1;
    EXECUTE IMMEDIATE CONCAT('XA END ', x);
    EXECUTE IMMEDIATE CONCAT('XA ROLLBACK ', x);
    ${then}
    SELECT seq FROM seq_1_to_500;
  END`;
  const tricks = [
    leave(''),
    leave("EXECUTE IMMEDIATE CONCAT('XA START ', x);"),
    leave("SET SESSION TRANSACTION READ WRITE; INSERT INTO app.notes VALUES ('written'); COMMIT;"),
    leave(
      "SET SESSION TRANSACTION READ WRITE; START TRANSACTION; EXECUTE IMMEDIATE 'COMMIT'; EXECUTE IMMEDIATE CONCAT('XA START ', x);",
    ),
  ];
  for (const sql of tricks)
    for (const limits of [{}, { max_rows: 3 }]) {
      const { status, body } = await server.call('POST', 'database/roles/writer/query', { sql, ...limits });
      assert.equal(status, 422, JSON.stringify([sql, body]));
      assert.match(body.detail, /reached for the transaction/, sql);
    }
  // The server let it happen, and that is why the answer is a refusal with a word about it.
  assert.ok((await target.run('SELECT note FROM app.notes')).length > 0);
  assert.deepEqual(await target.run('XA RECOVER'), []);
});

test('who may not is answered', async () => {
  const { rows } = await server.ok('POST', 'database/roles/writer/query', { sql: 'SELECT 1' });
  assert.deepEqual(rows, [[1]]);
});
