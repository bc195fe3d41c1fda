import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { ChildServer, Client } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { startPostgres } from '#test/postgres.ts';
import {
  assertAllRevocable,
  assertAllStored,
  assertAuditVerifies,
  type Issued,
  newWitness,
  startLoad,
  storedSerials,
} from './load.ts';
import { assertNoCrash, foundServer, type Spawn, spawner, temporaryFolder } from './server.ts';

/** F18 of the fault list: an old backup is restored, and the world remembers what was done after it. */

const run = promisify(execFile);

interface OldBackup {
  /** Of the stopped server. */
  readonly folder: string;
  readonly backup: string;
  /** What was issued before the backup, and what after it. */
  readonly before: readonly Issued[];
  readonly after: readonly Issued[];
  /** Of the last CRL that anybody can have fetched. */
  readonly crlNumber: number;
}

/** A server that was backed up, issued 200 more and revoked some of them, published that, and stopped. */
async function backUpAndGoOn(context: TestContext, spawn: Spawn): Promise<OldBackup> {
  const { folder } = await foundServer(spawn);
  const server = await spawn({ folder });
  const before = await issueMany(context, server, 50);
  await assertAllRevocable(server, before.slice(0, 3));
  // The backup holds a CRL that says all that was so when it was made: nothing in it asks for another one.
  await fetchCrl(server);
  const { path } = await server.ok('POST', 'system/backups', {});
  const after = await issueMany(context, server, 200);
  await assertAllRevocable(server, after.slice(0, 20));
  const crlNumber = await fetchCrl(server);
  await server.stop();
  return { folder, backup: path, before, after, crlNumber };
}

async function issueMany(context: TestContext, client: Client, count: number): Promise<readonly Issued[]> {
  const witness = newWitness();
  const load = startLoad(context, client, { witness });
  await load.seen(count);
  await load.stop();
  return witness.issued;
}

/** Fetches the CRL as a relying party does; returns its number. */
async function fetchCrl(client: Client): Promise<number> {
  const status = () => client.ok('GET', 'pki/authorities/issuing/crl');
  const reply = await fetch((await status()).crls[0].url);
  assert.equal(reply.status, 200);
  await reply.arrayBuffer();
  return (await status()).crls[0].number;
}

/** `chancery server restore` with the settings of the server that is to be. */
async function restore(backup: string, folder: string, storage?: string): Promise<void> {
  const chancery = join(import.meta.dirname, '../../bin/chancery');
  const env = {
    PATH: process.env['PATH'],
    ...compileCache,
    CHANCERY_DATA: folder,
    ...(storage === undefined ? {} : { CHANCERY_STORAGE: storage }),
  };
  const { stdout } = await run(chancery, ['server', 'restore', '--from', backup], { env, timeout: 60_000 });
  assert.match(stdout, /^restored /);
}

/** A new folder with what an operator keeps beside a backup: the root key and the administrator's token. */
function freshFolder(context: TestContext, old: string): string {
  const folder = temporaryFolder(context, 'restored');
  for (const file of ['root.key', 'admin.token']) copyFileSync(join(old, file), join(folder, file));
  return folder;
}

async function assertGoesOn(context: TestContext, server: ChildServer, old: OldBackup): Promise<void> {
  await assertAuditVerifies(server);
  await assertAllStored(server, old.before);
  for (const { serial } of old.before.slice(0, 3))
    assert.equal((await server.ok('GET', `pki/certificates/${serial}`)).status, 'revoked');
  const crlNumber = await fetchCrl(server);
  assert.ok(crlNumber > old.crlNumber, `the CRL number went from ${old.crlNumber} to ${crlNumber}`);
  const again = await issueMany(context, server, 200);
  const all = [...old.before, ...old.after, ...again].map(({ serial }) => serial);
  assert.equal(new Set(all).size, all.length, 'a serial number was used twice');
  await assertAllRevocable(server, again.slice(0, 5));
  assert.ok((await fetchCrl(server)) > crlNumber);
  const stored = await storedSerials(server);
  assert.equal(stored.length, old.before.length + again.length);
  const rows = await assertAuditVerifies(server);
  assertNoCrash(server);
  context.diagnostic(
    `${old.after.length} certificates issued after the backup, ${again.length} after the restore: 0 serial numbers ` +
      `twice; CRL number ${old.crlNumber} → ${crlNumber}; ${rows} audit rows verified`,
  );
}

test('an old backup restored into a fresh folder starts, uses no serial number twice and numbers its CRLs on', async (context) => {
  const spawn = spawner(context);
  const old = await backUpAndGoOn(context, spawn);
  const folder = freshFolder(context, old.folder);
  await restore(old.backup, folder);
  await assertGoesOn(context, await spawn({ folder }), old);
});

test('an old backup of SQLite restored into PostgreSQL starts, uses no serial number twice and numbers its CRLs on', async (context) => {
  const database = await startPostgres();
  context.after(() => database.stop());
  const storage = await database.createDatabase();
  const spawn = spawner(context);
  const old = await backUpAndGoOn(context, spawn);
  const folder = freshFolder(context, old.folder);
  await restore(old.backup, folder, storage);
  await assertGoesOn(context, await spawn({ folder, env: { CHANCERY_STORAGE: storage } }), old);
});

test('an old backup restored beside later checkpoints is refused as a rollback, until they are moved away', async (context) => {
  const spawn = spawner(context);
  const old = await backUpAndGoOn(context, spawn);
  // A start signs a checkpoint of all that was done since the backup.
  await (await spawn({ folder: old.folder })).stop();
  const away = temporaryFolder(context, 'away');
  const files = readdirSync(old.folder).filter((file) => file.startsWith('chancery.db'));
  assert.ok(files.includes('chancery.db'), files.join());
  for (const file of files) renameSync(join(old.folder, file), join(away, file));
  await restore(old.backup, old.folder);
  await assert.rejects(spawn({ folder: old.folder }), ({ message }: Error) => {
    assert.match(message, /^chancery: error: The audit log contradicts a checkpoint .+\.$/m);
    assert.match(message, /^hint: .+checkpoints\.log/m);
    return true;
  });
  renameSync(join(old.folder, 'checkpoints.log'), join(away, 'checkpoints.log'));
  await assertGoesOn(context, await spawn({ folder: old.folder }), old);
});

test('a restore over a store that has something in it is refused and changes nothing', async (context) => {
  const spawn = spawner(context);
  const old = await backUpAndGoOn(context, spawn);
  await assert.rejects(restore(old.backup, old.folder), /not empty/);
  const server = await spawn({ folder: old.folder });
  await assertAllStored(server, [...old.before, ...old.after]);
  await assertAuditVerifies(server);
});
