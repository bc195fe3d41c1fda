import type { Client } from 'pg';
import { quote } from '#storage/change-sql.ts';
import { readTableTypes } from '#storage/postgres/connection.ts';
import { arrayLiteral, toDollars } from '#storage/postgres/sql.ts';
import { insertText } from '#storage/postgres/steps.ts';
import type { Parameter } from '#storage/store.ts';
import type { TableSource, TableTarget } from '#storage/table-copy.ts';

/** Rows per page. Their values stand in memory once as text and once as they are. */
const pageSize = 200;

/** A database as the source or the target of a copy, in the transaction that is open on the connection. */
export function postgresTables(client: Client): TableSource & TableTarget {
  return {
    async tables() {
      const types = await readTableTypes(client);
      return new Map([...types].map(([table, columns]) => [table, [...columns.keys()]]));
    },
    async count(table) {
      const { rows } = await client.query<{ count: number }>(`SELECT COUNT(*) AS count FROM ${quote(table)}`);
      return rows[0]?.count ?? 0;
    },
    async *pages(table, columns) {
      await client.query(`DECLARE page NO SCROLL CURSOR FOR SELECT ${columns.map(quote).join()} FROM ${quote(table)}`);
      for (;;) {
        const { rows } = await client.query<Parameter[]>({ text: `FETCH ${pageSize} FROM page`, rowMode: 'array' });
        if (rows.length === 0) break;
        yield rows;
      }
      await client.query('CLOSE page');
    },
    async insert(table, columns, rows) {
      const types = await readTableTypes(client);
      const values = columns.map((_, index) => arrayLiteral(rows.map((row) => row[index] ?? null)));
      await client.query(toDollars(insertText(table, columns, types)), values);
    },
  };
}
