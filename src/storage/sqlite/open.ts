import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { unavailable } from '#storage/store-errors.ts';
import { applyMigrations } from '#storage/migrate.ts';
import { backupSqlite } from '#storage/sqlite/backup.ts';
import { createCheckpointer } from '#storage/sqlite/checkpointer.ts';
import { openFile, schemaConnection } from '#storage/sqlite/connection.ts';
import { toStoreError } from '#storage/sqlite/errors.ts';
import { createPrivate, lockStore, storeFile } from '#storage/sqlite/lock.ts';
import { createReader } from '#storage/sqlite/reader.ts';
import { openThreadedWriter, type ThreadedWriter } from '#storage/sqlite/threaded-writer.ts';
import type { LinkerModule, Migration, Store, StoreLog } from '#storage/store.ts';
import { createUnitQueue } from '#storage/unit-queue.ts';
import { createWatchers, type Watchers } from '#storage/watchers.ts';

export interface SqliteOptions {
  readonly file: string;
  readonly linker: LinkerModule;
  readonly migrations: readonly Migration[];
  readonly log: StoreLog;
  /** The most pages of 4 KiB that the file may have; absent: as many as the disk holds. */
  readonly maxPages?: number | undefined;
}

/** Bounds how long one batch keeps those that come after it waiting: about 10 ms. */
const maxUnits = 200;

/** Opens the store in a file, which is made with mode 0600 when it is not there. */
export async function openSqliteStore({
  file: path,
  linker,
  migrations,
  log,
  maxPages,
}: SqliteOptions): Promise<Store> {
  const file = storeFile(path);
  const unlock = lockStore(file);
  let database: DatabaseSync | undefined;
  const watchers = createWatchers(log);
  try {
    createPrivate(file);
    database = openFile(file);
    await prepareSchema(database, migrations);
    const writer = await openThreadedWriter({ file, linker, maxPages, watchers, log });
    return assemble({ database, file, writer, watchers, log, unlock });
  } catch (error) {
    database?.close();
    unlock();
    throw toStoreError(error, file);
  }
}

async function prepareSchema(database: DatabaseSync, migrations: readonly Migration[]): Promise<void> {
  database.exec('BEGIN IMMEDIATE');
  try {
    await applyMigrations(schemaConnection(database), migrations);
    database
      .prepare('INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, ?) ON CONFLICT DO NOTHING')
      .run(new Uint8Array(32));
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

interface StoreParts {
  /** For reading; the writing thread has its own. */
  readonly database: DatabaseSync;
  readonly file: string;
  readonly writer: ThreadedWriter;
  readonly watchers: Watchers;
  readonly log: StoreLog;
  readonly unlock: () => void;
}

function assemble({ database, file, writer, watchers, log, unlock }: StoreParts): Store {
  const checkpointer = createCheckpointer(file, log);
  const queue = createUnitQueue(async (units) => {
    await writer.write(units);
    checkpointer.wrote(units.length);
  }, maxUnits);
  const { close: closeReader, ...reader } = createReader(database, file);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await queue.close();
    await checkpointer.close();
    await Promise.all([writer.close(), closeReader()]);
    database.close();
    unlock();
  };
  return {
    kind: 'sqlite',
    ...reader,
    commit: queue.commit,
    watch: watchers.watch,
    backup: (target, progress) => backupSqlite(database, file, target, progress),
    async ping() {
      if (!existsSync(file)) throw unavailable('The file of the store is gone.');
      await reader.first('SELECT seq FROM audit_head WHERE id = 1', []);
    },
    close: () => (closing ??= close()),
  };
}
