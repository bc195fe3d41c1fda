import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppError } from '#core/errors.ts';
import { hasDigest, syncPath } from '#storage/backup-file.ts';
import {
  allMigrations,
  applyMigrations,
  migrationsTable,
  readVersion,
  refuseNewer,
  type SchemaConnection,
} from '#storage/migrate.ts';
import { parseStoreUrl } from '#storage/open.ts';
import { connect, readTableTypes, schemaConnection as postgresSchema } from '#storage/postgres/connection.ts';
import { toStoreError as fromPostgres } from '#storage/postgres/errors.ts';
import { migrationLock } from '#storage/postgres/open.ts';
import { postgresTables } from '#storage/postgres/tables.ts';
import { listTables, newFile, schemaConnection as sqliteSchema } from '#storage/sqlite/connection.ts';
import { toStoreError as fromSqlite } from '#storage/sqlite/errors.ts';
import { createPrivate, lockStore, storeFile } from '#storage/sqlite/lock.ts';
import { sqliteTables } from '#storage/sqlite/tables.ts';
import type { Migration, StoreLog } from '#storage/store.ts';
import { copyTables, type TableTarget } from '#storage/table-copy.ts';

export interface RestoreOptions {
  /** The file that `Store.backup` wrote. */
  readonly from: string;
  /** Where to: `sqlite:<file>` or `postgres://…`, with nothing in it. */
  readonly url: string;
  /** As for `openStore`. */
  readonly migrations: readonly Migration[];
  /** SQL of the engines, run on the rows once they are there: what must not go back in time with the rest. */
  readonly afterwards?: readonly string[] | undefined;
  readonly log?: StoreLog | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Fills an empty store of either kind from a backup of either kind, so that it also moves a store from SQLite to
 * PostgreSQL. All or nothing: the schema of the backup is made, the rows are copied and counted, and what this version
 * adds to the schema is applied, in one transaction or in a file that is renamed at the end.
 *
 * Throws `not_found` without a backup, `invalid_request` when it is damaged or none of ours, `wrong_state` when its
 * schema is newer than this version or the target is not empty.
 */
export async function restoreBackup(options: RestoreOptions): Promise<void> {
  const { afterwards = [] } = options;
  const migrations = allMigrations(options.migrations);
  const place = parseStoreUrl(options.url);
  await checkDigest(options.from);
  const backup = new DatabaseSync(options.from, { readOnly: true });
  try {
    await checkBackup(backup, migrations);
    const fill: Fill = async (schema, target) => {
      await fillFrom(backup, schema, target, migrations, options.progress);
      for (const statement of afterwards) await schema.execute(statement);
    };
    if (place.kind === 'sqlite') await restoreToFile(place.file, fill);
    else await restoreToDatabase(place.url, fill, options.log ?? silent);
  } finally {
    backup.close();
  }
}

/** Makes the schema and the rows in the transaction that the target has open. */
type Fill = (schema: SchemaConnection, target: TableTarget) => Promise<void>;

async function fillFrom(
  backup: DatabaseSync,
  schema: SchemaConnection,
  target: TableTarget,
  migrations: readonly Migration[],
  progress: RestoreOptions['progress'],
): Promise<void> {
  await applyMigrations(schema, migrations, await readVersion(sqliteSchema(backup)));
  await copyTables(sqliteTables(backup), target, new Set([migrationsTable]), progress);
  await applyMigrations(schema, migrations);
}

async function checkDigest(path: string): Promise<void> {
  if (!existsSync(path)) {
    throw new AppError('not_found', 'There is no backup at this path.', { hint: 'Give the path of the backup file.' });
  }
  if (!(await hasDigest(path))) throw notABackup('it is damaged, or no backup of Chancery');
}

async function checkBackup(backup: DatabaseSync, migrations: readonly Migration[]): Promise<void> {
  refuseDamaged(backup);
  if (!listTables(backup).has(migrationsTable)) throw notABackup('it has no schema of Chancery');
  refuseNewer(await readVersion(sqliteSchema(backup)), migrations);
  const head = backup.prepare('SELECT seq, hash FROM audit_head WHERE id = 1').get();
  const last = backup.prepare('SELECT seq, hash FROM audit_events ORDER BY seq DESC LIMIT 1').get();
  const end = { seq: last?.['seq'] ?? 0, hash: last?.['hash'] ?? new Uint8Array(32) };
  if (head?.['seq'] !== end.seq || Buffer.compare(head['hash'] as Uint8Array, end.hash as Uint8Array) !== 0) {
    throw notABackup('its audit log does not end where its head says');
  }
}

function refuseDamaged(backup: DatabaseSync): void {
  let finding: unknown;
  try {
    finding = backup.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
  } catch (error) {
    throw notABackup('it cannot be read', error);
  }
  if (finding !== 'ok') throw notABackup('the store was damaged when it was taken', finding);
}

function notABackup(why: string, cause?: unknown): AppError {
  return new AppError('invalid_request', `The file cannot be restored: ${why}.`, {
    hint: 'Take another backup; nothing was changed.',
    cause,
  });
}

async function restoreToFile(path: string, fill: Fill): Promise<void> {
  const file = storeFile(path);
  const unlock = lockStore(file);
  try {
    if ([file, `${file}-wal`].some((each) => existsSync(each))) throw notEmpty('there is a file already');
    const partial = `${file}.restoring`;
    await rm(partial, { force: true });
    createPrivate(partial);
    const target = newFile(partial);
    try {
      await fill(sqliteSchema(target), sqliteTables(target));
      target.exec('COMMIT');
    } finally {
      target.close();
    }
    await syncPath(partial);
    await rename(partial, file);
    await syncPath(dirname(file));
  } catch (error) {
    await rm(`${file}.restoring`, { force: true });
    throw fromSqlite(error, file);
  } finally {
    unlock();
  }
}

async function restoreToDatabase(url: string, fill: Fill, log: StoreLog): Promise<void> {
  const client = await connect(url, 'long', log).catch((error: unknown) => {
    throw fromPostgres(error);
  });
  try {
    await client.query('BEGIN');
    await client.query(`SELECT pg_advisory_xact_lock(${migrationLock})`);
    const [table] = (await readTableTypes(client)).keys();
    if (table !== undefined) throw notEmpty(`the database has a table ${table}`);
    await fill(postgresSchema(client), postgresTables(client));
    await client.query('COMMIT');
  } catch (error) {
    throw fromPostgres(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function notEmpty(why: string): AppError {
  return new AppError('wrong_state', `The target of the restore is not empty: ${why}.`, {
    hint: 'Restore into a new file or a new database, then point CHANCERY_STORAGE at it.',
  });
}

const silent: StoreLog = { info: () => undefined, warn: () => undefined, error: () => undefined };
