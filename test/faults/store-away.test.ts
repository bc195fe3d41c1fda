import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';
import {
  assertAllStored,
  assertAuditVerifies,
  type Load,
  newWitness,
  startLoad,
  storedSerials,
  untilIssued,
  untilTrue,
  type Witness,
} from './load.ts';
import { descendants } from './machine.ts';
import { assertNoCrash, foundServer, spawner } from './server.ts';

/**
 * F17 of the fault list. The audit log is in the store, so what blocks the one blocks the other: then no secret may leave,
 * since nobody could ever know that it did. The service comes back by itself.
 */

async function onPostgres(context: TestContext) {
  const database = await startPostgres();
  context.after(() => database.stop());
  const spawn = spawner(context, { env: { CHANCERY_STORAGE: await database.createDatabase() } });
  const { folder } = await foundServer(spawn);
  return { database, spawn: () => spawn({ folder }) };
}

/** Every answer that is no certificate says that the store is not there, holds no key, and says what to do. */
function assertOnlyUnavailable(witness: Witness): void {
  for (const { status, body } of witness.refused) {
    assert.deepEqual([status, body.code], [503, 'unavailable'], JSON.stringify(body));
    assert.match(body.hint, /./);
    assert.doesNotMatch(JSON.stringify(body), /PRIVATE KEY/);
  }
}

async function untilRefused(load: Load, count: number): Promise<void> {
  const before = load.witness.refused.length;
  await untilTrue(() => load.witness.refused.length >= before + count, `${count} refusals`, load.witness);
}

test('a crash of PostgreSQL under load costs nothing that was answered, and the service returns with it', async (context) => {
  const { database, spawn } = await onPostgres(context);
  const server = await spawn();
  const witness = newWitness();
  const load = startLoad(context, server, { witness });
  for (let round = 0; round < 3; round++) {
    await load.seen((round + 1) * 30);
    await database.pause('immediate');
    await untilRefused(load, 20);
    const issued = witness.issued.length;
    await untilRefused(load, 5);
    assert.equal(witness.issued.length, issued, 'a certificate was answered without a store');
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    assert.equal((await fetch(`${server.url}/readyz`)).status, 503);
    await database.start();
  }
  await load.seen(110);
  await load.stop();
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  assert.equal(witness.unanswered, 0);
  assertOnlyUnavailable(witness);
  assertNoCrash(server);
  await assertAllStored(server, witness.issued);
  const stored = await storedSerials(server);
  // A crash between a commit and its answer: the server says so when the database stays away for half a minute.
  const unknown = witness.refused.filter(({ body }) => /may have been stored or not/.test(body.detail)).length;
  const extra = stored.length - witness.issued.length;
  assert.ok(extra >= 0 && extra <= unknown, `${extra} certificates are stored that were refused, ${unknown} may be`);
  const rows = await assertAuditVerifies(server);
  context.diagnostic(
    `3 crashes of PostgreSQL: ${witness.issued.length} certificates answered, ${witness.refused.length} refused with ` +
      `503 (${unknown} of unknown outcome, ${extra} of them stored), 0 lost; ${rows} audit rows verified`,
  );
});

test('while PostgreSQL hangs no secret is answered, and the service returns when it goes on', async (context) => {
  const { database, spawn } = await onPostgres(context);
  const server = await spawn();
  const witness = newWitness();
  const load = startLoad(context, server, { witness });
  await load.seen(30);
  const hung = hang(database);
  context.after(() => resume(hung));
  // What was answered before the stop may still be on its way to the clients.
  await sleep(500);
  const issued = witness.issued.length;
  await untilRefused(load, 1);
  assert.equal(witness.issued.length, issued, 'a certificate was answered while the store hung');
  resume(hung);
  await load.stop();
  await untilIssued(context, server, witness);
  assert.equal(witness.unanswered, 0);
  assertOnlyUnavailable(witness);
  assertNoCrash(server);
  await assertAllStored(server, witness.issued);
  await assertAuditVerifies(server);
  context.diagnostic(
    `hang: ${issued} certificates answered before, ${witness.refused.length} refused with 503, 0 lost`,
  );
});

/** Stops its processes, the postmaster first, so that it makes no more. */
function hang(database: PostgresServer): readonly number[] {
  const [line] = readFileSync(join(database.socketFolder, 'data', 'postmaster.pid'), 'utf8').split('\n');
  const postmaster = Number(line);
  process.kill(postmaster, 'SIGSTOP');
  const others = descendants(postmaster);
  for (const pid of others) process.kill(pid, 'SIGSTOP');
  return [...others, postmaster];
}

function resume(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // gone meanwhile
    }
  }
}

test('while somebody else locks the SQLite file nothing is issued, and the service returns when it is free', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  const witness = newWitness();
  const load = startLoad(context, server, { witness });
  await load.seen(20);
  const other = new DatabaseSync(join(folder, 'chancery.db'), { timeout: 5000 });
  context.after(() => other.isOpen && other.close());
  other.exec('BEGIN IMMEDIATE');
  await sleep(200);
  const issued = witness.issued.length;
  await untilRefused(load, 12);
  assert.equal(witness.issued.length, issued, 'a certificate was answered while the store was locked');
  other.exec('ROLLBACK');
  other.close();
  await load.stop();
  await untilIssued(context, server, witness);
  assertOnlyUnavailable(witness);
  assertNoCrash(server);
  await assertAllStored(server, witness.issued);
  assert.equal((await storedSerials(server)).length, witness.issued.length);
  await assertAuditVerifies(server);
});

test('a SQLite file whose audit log takes no row lets no certificate out', async (context) => {
  const spawn = spawner(context);
  const { folder } = await foundServer(spawn);
  alter(folder, `CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no row'); END`);
  await assert.rejects(spawn({ folder }), /chancery: error: /);
  alter(folder, 'DROP TRIGGER refuse');
  const server = await spawn({ folder });
  const witness = newWitness();
  await untilIssued(context, server, witness);
  alter(folder, `CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no row'); END`);
  for (let index = 0; index < 5; index++) {
    const reply = await server.call('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
    assert.ok(reply.status >= 500, String(reply.status));
    assert.doesNotMatch(JSON.stringify(reply.body), /CERTIFICATE|PRIVATE KEY|no row/);
  }
  alter(folder, 'DROP TRIGGER refuse');
  await untilIssued(context, server, witness);
  assert.equal((await storedSerials(server)).length, witness.issued.length);
  await assertAuditVerifies(server);
  assertNoCrash(server);
});

function alter(folder: string, sql: string): void {
  const database = new DatabaseSync(join(folder, 'chancery.db'), { timeout: 5000 });
  database.exec(sql);
  database.close();
}
