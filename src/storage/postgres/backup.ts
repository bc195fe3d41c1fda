import { makeWholeFile } from '#storage/backup-file.ts';
import { applyMigrations, migrationsTable, readVersion } from '#storage/migrate.ts';
import { connect, schemaConnection } from '#storage/postgres/connection.ts';
import { toStoreError } from '#storage/postgres/errors.ts';
import { postgresTables } from '#storage/postgres/tables.ts';
import { newFile, schemaConnection as sqliteSchema } from '#storage/sqlite/connection.ts';
import { toStoreError as fromSqlite } from '#storage/sqlite/errors.ts';
import { sqliteTables } from '#storage/sqlite/tables.ts';
import type { Migration, Store, StoreLog } from '#storage/store.ts';
import { copyTables } from '#storage/table-copy.ts';

/**
 * Copies one snapshot of the database into a SQLite file, page by page, so that the event loop goes on. The schema of
 * the file is made by the same migrations that the database has.
 */
export async function backupPostgres(
  { url, migrations, log }: { url: string; migrations: readonly Migration[]; log: StoreLog },
  ...[path, progress]: Parameters<Store['backup']>
): Promise<void> {
  const client = await connect(url, 'long', log).catch((error: unknown) => {
    throw toStoreError(error);
  });
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const version = await readVersion(schemaConnection(client));
    await makeWholeFile(path, async (partial) => {
      const file = newFile(partial);
      try {
        await applyMigrations(sqliteSchema(file), migrations, version);
        await copyTables(postgresTables(client), sqliteTables(file), new Set([migrationsTable]), progress);
        file.exec('COMMIT');
      } finally {
        file.close();
      }
    });
    await client.query('COMMIT');
  } catch (error) {
    throw toStoreError(fromSqlite(error, path));
  } finally {
    await client.end().catch(() => undefined);
  }
}
