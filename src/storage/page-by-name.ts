import { type SelectQueryBuilder, sql, type SqlBool } from 'kysely';
import { cutPage, decodeCursor } from '#core/page.ts';

/** One page of what a query finds, in the order of names. Throws `invalid_request` for a cursor of another list. */
export async function pageByName<Tables, Table extends keyof Tables, Row extends { readonly name: string }>(
  query: SelectQueryBuilder<Tables, Table, Row>,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ items: Row[]; next_cursor: string | null }> {
  const rest = cursor === undefined ? query : query.where(sql<SqlBool>`name > ${decodeCursor(cursor, 'string')}`);
  const rows = await rest
    .orderBy(sql`name`)
    .limit(limit + 1)
    .execute();
  return cutPage<Row>(rows, limit, (row) => row.name);
}
