import type { DatabaseSync } from 'node:sqlite';
import { quote } from '#storage/change-sql.ts';
import { listTables } from '#storage/sqlite/connection.ts';
import type { Parameter } from '#storage/store.ts';
import type { TableSource, TableTarget } from '#storage/table-copy.ts';

/** Rows per page: a few milliseconds of work. */
const pageSize = 500;

/** A file as the source or the target of a copy. The caller keeps a transaction open around it. */
export function sqliteTables(database: DatabaseSync): TableSource & TableTarget {
  return {
    tables: () => Promise.resolve(listTables(database)),
    count: (table) =>
      Promise.resolve(database.prepare(`SELECT COUNT(*) AS count FROM ${quote(table)}`).get()?.['count'] as number),
    async *pages(table, columns) {
      const statement = database.prepare(`SELECT ${columns.map(quote).join()} FROM ${quote(table)}`);
      statement.setReturnArrays(true);
      let page: Parameter[][] = [];
      for (const row of statement.iterate() as Iterable<unknown>) {
        page.push(row as Parameter[]);
        if (page.length < pageSize) continue;
        yield page;
        page = [];
      }
      if (page.length > 0) yield page;
    },
    async insert(table, columns, rows) {
      const statement = database.prepare(
        `INSERT INTO ${quote(table)} (${columns.map(quote).join()}) VALUES (${columns.map(() => '?').join()})`,
      );
      for (const row of rows) statement.run(...row);
    },
  };
}
