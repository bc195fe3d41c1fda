import type { Change, Condition, Delete, Insert, Update, Value, Where } from '#core/change.ts';

/**
 * Changes as SQL. Names of tables and columns come from our code only, and are checked and quoted all the same; values
 * are always parameters. The text has `?` for each parameter.
 */

/** Where the two databases say it differently. */
export interface ChangeDialect {
  /** The condition that a column holds one of several values, and its parameters. */
  oneOf(column: string, values: readonly Exclude<Value, null>[]): { sql: string; values: readonly Value[] };
}

/** A statement and what stands for its `?`s. */
export interface BoundStatement {
  readonly text: string;
  readonly values: readonly Value[];
}

/** Names a shape of insert: the same table and columns. */
export function insertShape(insert: Pick<Insert, 'table' | 'row'>): string {
  return `${insert.table} ${Object.keys(insert.row).join()}`;
}

/** The values of a row in the order of its columns. */
export function rowValues(row: Insert['row']): Value[] {
  const values = Object.values(row);
  for (const value of values) checkValue(value);
  return values;
}

/** An update or delete. Its text is the same whenever table, columns and kinds of conditions are. */
export function compileChange(change: Update | Delete, dialect: ChangeDialect): BoundStatement {
  const values: Value[] = [];
  const head =
    change.kind === 'delete'
      ? `DELETE FROM ${quote(change.table)}`
      : `UPDATE ${quote(change.table)} SET ${assignments(change, values)}`;
  return { text: `${head} WHERE ${conditions(change.table, change.where, dialect, values)}`, values };
}

function assignments(update: Update, values: Value[]): string {
  const parts: string[] = [];
  for (const [column, value] of Object.entries(update.set)) {
    checkValue(value);
    values.push(value);
    parts.push(`${quote(column)} = ?`);
  }
  for (const [column, amount] of Object.entries(update.add ?? {})) {
    checkValue(amount);
    values.push(amount);
    parts.push(`${quote(column)} = ${quote(column)} + ?`);
  }
  return parts.join(', ');
}

function conditions(table: string, where: Where, dialect: ChangeDialect, values: Value[]): string {
  const parts: string[] = [];
  for (const [column, condition] of Object.entries(where)) addCondition(column, condition, dialect, parts, values);
  // An empty condition would touch every row of every namespace: never what was meant.
  if (parts.length === 0) throw new TypeError(`a change of ${table} needs a condition`);
  return parts.join(' AND ');
}

function addCondition(
  column: string,
  condition: Condition,
  dialect: ChangeDialect,
  parts: string[],
  values: Value[],
): void {
  const name = quote(column);
  if (condition === null) {
    parts.push(`${name} IS NULL`);
  } else if (isList(condition)) {
    parts.push(oneOf(name, condition, dialect, values));
  } else if (typeof condition === 'object' && !(condition instanceof Uint8Array)) {
    parts.push(...comparisons(column, name, condition, values));
  } else {
    checkValue(condition);
    values.push(condition);
    parts.push(`${name} = ?`);
  }
}

function isList(condition: Condition): condition is readonly Value[] {
  return Array.isArray(condition);
}

function oneOf(name: string, list: readonly Value[], dialect: ChangeDialect, values: Value[]): string {
  const present = list.filter((value) => value !== null);
  for (const value of present) checkValue(value);
  const parts = list.length === present.length ? [] : [`${name} IS NULL`];
  if (present.length > 0) {
    const { sql, values: more } = dialect.oneOf(name, present);
    values.push(...more);
    parts.push(sql);
  }
  return parts.length === 0 ? '1 = 0' : `(${parts.join(' OR ')})`;
}

const operators = { lt: '<', lte: '<=', gt: '>', gte: '>=', not: 'IS DISTINCT FROM' } as const;

function comparisons(
  column: string,
  name: string,
  condition: Partial<Record<keyof typeof operators, Value>>,
  values: Value[],
): string[] {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(condition)) {
    if (!(key in operators)) throw new TypeError(`the condition on ${column} has no comparison ${key}`);
    checkValue(value);
    if (value === null) {
      if (key !== 'not') throw new TypeError(`the condition on ${column} compares with null`);
      parts.push(`${name} IS NOT NULL`);
    } else {
      values.push(value);
      parts.push(`${name} ${operators[key as keyof typeof operators]} ?`);
    }
  }
  if (parts.length === 0) throw new TypeError(`the condition on ${column} compares with nothing`);
  return parts;
}

/**
 * Refuses what the two databases would take differently or drop silently: undefined (a condition that is not there),
 * booleans, fractions, whole numbers beyond 2^53.
 */
function checkValue(value: unknown): void {
  if (value === null || typeof value === 'string' || Number.isSafeInteger(value) || value instanceof Uint8Array) return;
  throw new TypeError(`a column holds text, a safe whole number, bytes or null, not ${typeof value}`);
}

const quoted = new Map<string, string>();

/** An identifier in quotes. Throws when it is not one that our code would write. */
export function quote(identifier: string): string {
  const known = quoted.get(identifier);
  if (known !== undefined) return known;
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(identifier)) throw new TypeError('not an identifier of this schema');
  const text = `"${identifier}"`;
  quoted.set(identifier, text);
  return text;
}

/** The tables that changes touch. */
export function touchedTables(changes: readonly Change[], tables: Set<string>): void {
  for (const change of changes) tables.add(change.table);
}
