import type { DatabaseSync } from 'node:sqlite';
import type { Kysely } from 'kysely';
import { createReadPreparer, createStatementCache } from '#storage/sqlite/connection.ts';
import { toStoreError } from '#storage/sqlite/errors.ts';
import { createQueries } from '#storage/sqlite/queries.ts';
import type { Parameter, Store } from '#storage/store.ts';

export interface Reader extends Pick<Store, 'tables' | 'first' | 'all'> {
  readonly close: () => Promise<void>;
}

/**
 * Reads, on connections of their own: in the write-ahead log a reader never waits for the writer, and each statement
 * sees everything that was committed before it began. `first` and `all` are for look-ups by an index and run at once;
 * built queries may be searches and run in a thread (queries.ts). None of them can write.
 */
export function createReader(database: DatabaseSync, file: string): Reader {
  const statements = createStatementCache(createReadPreparer(database));
  const queries = createQueries(file);
  const attempt = <Result>(read: () => Result): Result => {
    try {
      return read();
    } catch (error) {
      throw toStoreError(error, file);
    }
  };
  return {
    tables: <Tables>() => queries.kysely as Kysely<Tables>,
    first: async <Row>(sql: string, parameters: readonly Parameter[]) =>
      attempt(() => statements.get(sql).get(...parameters) as Row | undefined),
    all: async <Row>(sql: string, parameters: readonly Parameter[]) =>
      attempt(() => statements.get(sql).all(...parameters) as Row[]),
    close: queries.close,
  };
}
