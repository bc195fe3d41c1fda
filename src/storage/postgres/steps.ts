import type { Change, Delete, Insert, Update, Value } from '#core/change.ts';
import {
  type BoundStatement,
  type ChangeDialect,
  compileChange,
  insertShape,
  quote,
  rowValues,
} from '#storage/change-sql.ts';
import type { TableTypes } from '#storage/postgres/connection.ts';
import { arrayLiteral } from '#storage/postgres/sql.ts';

/** One statement to send: rows for one table, or an update or delete. */
export type Step =
  | { readonly kind: 'insert'; readonly shape: string; readonly inserts: Pick<Insert, 'table' | 'row' | 'taken'>[] }
  | { readonly kind: 'change'; readonly change: Update | Delete };

/**
 * The statements of a list of changes, in an order with the same effect: an insert joins the rows that wait for the same
 * table unless an update or delete of that table came between. Nothing else ties two tables together (no triggers, no
 * foreign keys).
 */
export function planSteps(changes: Iterable<Pick<Insert, 'kind' | 'table' | 'row' | 'taken'> | Change>): Step[] {
  const steps: Step[] = [];
  const open = new Map<string, Extract<Step, { kind: 'insert' }>[]>();
  for (const change of changes) {
    if (change.kind !== 'insert') {
      open.delete(change.table);
      steps.push({ kind: 'change', change });
      continue;
    }
    const shape = insertShape(change);
    const ofTable = open.get(change.table);
    const step = ofTable?.find((each) => each.shape === shape);
    if (step) {
      step.inserts.push(change);
      continue;
    }
    const added = { kind: 'insert' as const, shape, inserts: [change] };
    if (ofTable) ofTable.push(added);
    else open.set(change.table, [added]);
    steps.push(added);
  }
  return steps;
}

/** Each change as its own statement, so that an error says which one it was. */
export function singleSteps(changes: Iterable<Change>): Step[] {
  return Array.from(changes, (change) =>
    change.kind === 'insert'
      ? { kind: 'insert', shape: insertShape(change), inserts: [change] }
      : { kind: 'change', change },
  );
}

const dialect: ChangeDialect = {
  oneOf: (column, values) => ({ sql: `${column} = ANY (?)`, values: [arrayLiteral(values)] }),
};

export function compileStep(step: Step, types: TableTypes): BoundStatement {
  if (step.kind === 'change') return compileChange(step.change, dialect);
  return compileInserts(step.inserts, types);
}

function compileInserts(inserts: readonly Pick<Insert, 'table' | 'row'>[], types: TableTypes): BoundStatement {
  const [first] = inserts;
  if (first === undefined) throw new TypeError('no rows to insert');
  const columns = Object.keys(first.row);
  const rows = inserts.map(({ row }) => rowValues(row));
  return {
    text: insertText(first.table, columns, types),
    values: columns.map((_, index) => arrayLiteral(rows.map((row) => row[index] as Value))),
  };
}

/** One text for any number of rows: each column is one parameter, an array. */
export function insertText(table: string, columns: readonly string[], types: TableTypes): string {
  const arrays = columns.map((column) => `?::${typeOf(types, table, column)}[]`);
  return `INSERT INTO ${quote(table)} (${columns.map(quote).join()}) SELECT * FROM unnest(${arrays.join()})`;
}

function typeOf(types: TableTypes, table: string, column: string): string {
  const type = types.get(table)?.get(column);
  if (type === undefined) throw new TypeError(`the schema has no column ${table}.${column}`);
  return type;
}
