import { AppError } from '#core/errors.ts';
import type { Parameter } from '#storage/store.ts';

/** A consistent view of a database, to copy from. */
export interface TableSource {
  /** Tables with their columns. */
  readonly tables: () => Promise<ReadonlyMap<string, readonly string[]>>;
  readonly count: (table: string) => Promise<number>;
  /** All rows in pages, each row in the order of `columns`. */
  readonly pages: (table: string, columns: readonly string[]) => AsyncIterable<readonly (readonly Parameter[])[]>;
}

/** A database with an empty schema, to copy into. */
export interface TableTarget {
  readonly tables: () => Promise<ReadonlyMap<string, readonly string[]>>;
  readonly count: (table: string) => Promise<number>;
  readonly insert: (
    table: string,
    columns: readonly string[],
    rows: readonly (readonly Parameter[])[],
  ) => Promise<void>;
}

/**
 * Copies the tables that the target's schema has, but those in `without`, and compares what arrived: the same columns,
 * as many rows. Throws `wrong_state` when they differ. Tables that are not Chancery's stay where they are.
 */
export async function copyTables(
  source: TableSource,
  target: TableTarget,
  without: ReadonlySet<string>,
  progress?: (done: number, total: number) => void,
): Promise<void> {
  const tables = await target.tables();
  requireSameTables(await source.tables(), tables);
  const counts = new Map<string, number>();
  for (const table of tables.keys()) if (!without.has(table)) counts.set(table, await source.count(table));
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  let done = 0;
  for (const [table, count] of counts) {
    const columns = tables.get(table) ?? [];
    for await (const rows of source.pages(table, columns)) {
      await target.insert(table, columns, rows);
      progress?.((done += rows.length), total);
    }
    const arrived = await target.count(table);
    if (arrived !== count) throw differs(`${table} had ${count} rows, and ${arrived} arrived`);
  }
}

function requireSameTables(
  source: ReadonlyMap<string, readonly string[]>,
  target: ReadonlyMap<string, readonly string[]>,
): void {
  for (const [table, here] of target) {
    const there = source.get(table);
    if (there === undefined) throw differs(`the source has no table ${table}`);
    if (there.toSorted().join() !== here.toSorted().join()) throw differs(`the columns of ${table} are not the same`);
  }
}

function differs(what: string): AppError {
  return new AppError('wrong_state', `The copy does not match: ${what}.`, {
    hint: 'Nothing was kept of the copy. The source was changed by something other than Chancery, or is damaged.',
  });
}
