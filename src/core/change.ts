import type { AppError } from './errors.ts';

/**
 * Writes as data. An operation reads, decides, and returns the changes; `dispatch` commits them together with the audit
 * record, or not at all. No transaction is ever open while somebody awaits (docs/architecture.md, "Writes are data").
 *
 * Isolation comes from guards: an update that expects one row and finds none, or an insert whose key is taken, undoes
 * the whole unit and throws the guard's error.
 */

/** What a column holds: text, whole number, bytes, or nothing. Booleans are 0 and 1, times are milliseconds, JSON is text. */
export type Value = string | number | Uint8Array | null;
export type Row = Readonly<Record<string, Value>>;

/** A condition on one column: equal to a value, one of several, or compared. */
export type Condition =
  | Value
  | readonly Value[]
  | { readonly lt?: number; readonly lte?: number; readonly gt?: number; readonly gte?: number; readonly not?: Value };
export type Where = Readonly<Record<string, Condition>>;

export interface Insert {
  readonly kind: 'insert';
  readonly table: string;
  readonly row: Row;
  /** Makes the error for a key that is taken. Without it, a taken key is a `conflict`. */
  readonly taken?: (() => AppError) | undefined;
}

export interface Update {
  readonly kind: 'update';
  readonly table: string;
  readonly set: Row;
  /** Adds to whole-number columns in place, so that counters need no read. */
  readonly add?: Readonly<Record<string, number>> | undefined;
  readonly where: Where;
  /** How many rows must be touched; absent: any number. */
  readonly expect?: number | undefined;
  /** Makes the error when `expect` is not met. Without it, that is a `conflict`, and dispatch tries the operation again. */
  readonly otherwise?: (() => AppError) | undefined;
}

export interface Delete {
  readonly kind: 'delete';
  readonly table: string;
  readonly where: Where;
  readonly expect?: number | undefined;
  readonly otherwise?: (() => AppError) | undefined;
}

export type Change = Insert | Update | Delete;

interface Guard {
  readonly expect?: number | undefined;
  readonly otherwise?: (() => AppError) | undefined;
}

export function insert(table: string, row: Row, taken?: () => AppError): Insert {
  return { kind: 'insert', table, row, taken };
}

export function update(
  table: string,
  set: Row,
  where: Where,
  guard: Guard & { readonly add?: Readonly<Record<string, number>> } = {},
): Update {
  return { kind: 'update', table, set, where, ...guard };
}

export function remove(table: string, where: Where, guard: Guard = {}): Delete {
  return { kind: 'delete', table, where, ...guard };
}
