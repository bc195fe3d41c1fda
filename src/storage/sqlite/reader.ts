import type { DatabaseSync } from 'node:sqlite';
import { Kysely, SqliteDialect, type SqliteDatabase } from 'kysely';
import { createReadPreparer, createStatementCache } from '#storage/sqlite/connection.ts';
import { toStoreError } from '#storage/sqlite/errors.ts';
import type { Store } from '#storage/store.ts';

/**
 * Reads, on a connection of their own: in the write-ahead log a reader never waits for the writer, and each statement
 * sees everything that was committed before it began. They cannot write: see `createReadPreparer`.
 */
export function createReader(database: DatabaseSync, file: string): Pick<Store, 'tables' | 'first' | 'all'> {
  const statements = createStatementCache(createReadPreparer(database));
  const attempt = <Result>(read: () => Result): Result => {
    try {
      return read();
    } catch (error) {
      throw toStoreError(error, file);
    }
  };
  const kysely = createKysely((sql, parameters) => attempt(() => statements.get(sql).all(...(parameters as string[]))));
  return {
    tables: <Tables>() => kysely as Kysely<Tables>,
    first: async <Row>(sql: string, parameters: readonly (string | number | Uint8Array | null)[]) =>
      attempt(() => statements.get(sql).get(...parameters) as Row | undefined),
    all: async <Row>(sql: string, parameters: readonly (string | number | Uint8Array | null)[]) =>
      attempt(() => statements.get(sql).all(...parameters) as Row[]),
  };
}

/** Kysely speaks to the interface of better-sqlite3; this is as much of it as reading needs. */
function createKysely(all: (sql: string, parameters: readonly unknown[]) => unknown[]): Kysely<unknown> {
  const database: SqliteDatabase = {
    prepare: (sql) => ({
      reader: true,
      all: (parameters) => all(sql, parameters),
      iterate: (parameters) => all(sql, parameters)[Symbol.iterator](),
      run: () => {
        throw new TypeError('writes go through Store.commit');
      },
    }),
    close: () => undefined,
  };
  return new Kysely<unknown>({ dialect: new SqliteDialect({ database }) });
}
