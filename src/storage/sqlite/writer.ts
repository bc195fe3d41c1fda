import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Change, Insert } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { type ChangeDialect, compileChange, insertShape, quote, rowValues } from '#storage/change-sql.ts';
import { createStatementCache, type StatementCache } from '#storage/sqlite/connection.ts';
import { isFull, isTaken, toStoreError } from '#storage/sqlite/errors.ts';
import type { UnitData, UnitOutcome } from '#storage/sqlite/writer-messages.ts';
import type { ChainHead, ChainLinker, StoreLog } from '#storage/store.ts';

/** What the writer works with. */
export interface WriterParts {
  readonly database: DatabaseSync;
  readonly file: string;
  readonly linker: ChainLinker;
  readonly log: Pick<StoreLog, 'error'>;
}

/** A guard of a change was not met; the main thread, which has the guard, makes the error. */
class UnmetChange extends Error {
  readonly index: number;

  constructor(index: number) {
    super('a guard was not met');
    this.index = index;
  }
}

interface Writer extends WriterParts {
  readonly statements: StatementCache;
  readonly inserts: Map<string, StatementSync>;
  /** The end of the audit chain as committed; undefined when it must be read again. */
  head: ChainHead | undefined;
}

/** Writes batches, each in one transaction. Returns how each unit ended. */
export function createWriter(parts: WriterParts): (units: readonly UnitData[]) => UnitOutcome[] {
  const writer: Writer = {
    ...parts,
    statements: createStatementCache((text) => parts.database.prepare(text)),
    inserts: new Map(),
    head: undefined,
  };
  return (units) => write(writer, units);
}

function write(writer: Writer, units: readonly UnitData[]): UnitOutcome[] {
  const failed = new Map<UnitData, unknown>();
  try {
    transact(writer, units, failed);
  } catch (thrown) {
    abandon(writer, thrown);
    // One unit may be too large for what is left, and the others not.
    if (units.length > 1 && isFull(thrown)) return units.flatMap((unit) => write(writer, [unit]));
    return units.map((unit) => outcomeOf(failed.get(unit) ?? toStoreError(thrown, writer.file)));
  }
  return units.map((unit) => (failed.has(unit) ? outcomeOf(failed.get(unit)) : null));
}

/** Throws when the transaction as a whole failed; puts the errors of single units into `failed`. */
function transact(writer: Writer, units: readonly UnitData[], failed: Map<UnitData, unknown>): void {
  const { statements } = writer;
  const before = (writer.head ??= readHead(writer));
  const head = applyTogether(writer, units, before) ?? applyApart(writer, units, before, failed);
  if (failed.size === units.length) {
    statements.get('ROLLBACK').run();
    return;
  }
  if (head !== before) {
    statements.get('UPDATE audit_head SET seq = ?, hash = ? WHERE id = 1').run(head.seq, head.hash);
  }
  statements.get('COMMIT').run();
  writer.head = head;
}

/**
 * Begins a transaction and applies all units, or leaves no transaction and returns undefined when one of them fails.
 * Without savepoints, for which SQLite copies every page before it changes: measured, an eighth of a batch.
 */
function applyTogether(writer: Writer, units: readonly UnitData[], before: ChainHead): ChainHead | undefined {
  const { database, statements } = writer;
  statements.get('BEGIN IMMEDIATE').run();
  try {
    return units.reduce((head, unit) => applyUnit(writer, unit, head), before);
  } catch (error) {
    // SQLite rolls the whole transaction back by itself when the disk is full or fails.
    if (!database.isTransaction) throw error;
    statements.get('ROLLBACK').run();
    return undefined;
  }
}

/** Begins a transaction and applies each unit behind a savepoint, so that those that fail leave nothing behind. */
function applyApart(
  writer: Writer,
  units: readonly UnitData[],
  before: ChainHead,
  failed: Map<UnitData, unknown>,
): ChainHead {
  const { database, statements } = writer;
  let head = before;
  statements.get('BEGIN IMMEDIATE').run();
  for (const unit of units) {
    statements.get('SAVEPOINT unit').run();
    try {
      head = applyUnit(writer, unit, head);
    } catch (error) {
      if (!database.isTransaction) throw error;
      statements.get('ROLLBACK TO unit').run();
      failed.set(unit, error instanceof UnmetChange ? error : toStoreError(error, writer.file));
    }
    statements.get('RELEASE unit').run();
  }
  return head;
}

/** Returns the new end of the audit chain. */
function applyUnit(writer: Writer, unit: UnitData, head: ChainHead): ChainHead {
  for (const [index, change] of unit.changes.entries()) applyChange(writer, change, index);
  if (unit.events.length === 0) return head;
  const linked = writer.linker(head, unit.events);
  for (const row of linked.rows) insert(writer, { table: 'audit_events', row }, -1);
  return linked.head;
}

function applyChange(writer: Writer, change: Change, index: number): void {
  if (change.kind === 'insert') {
    insert(writer, change, index);
    return;
  }
  const { text, values } = compileChange(change, dialect);
  const { changes } = writer.statements.get(text).run(...values);
  if (change.expect !== undefined && changes !== change.expect) throw new UnmetChange(index);
}

function insert(writer: Writer, change: Pick<Insert, 'table' | 'row'>, index: number): void {
  const shape = insertShape(change);
  let statement = writer.inserts.get(shape);
  if (statement === undefined) {
    const columns = Object.keys(change.row);
    statement = writer.database.prepare(
      `INSERT INTO ${quote(change.table)} (${columns.map(quote).join()}) VALUES (${columns.map(() => '?').join()})`,
    );
    writer.inserts.set(shape, statement);
  }
  try {
    statement.run(...rowValues(change.row));
  } catch (error) {
    throw isTaken(error) && index >= 0 ? new UnmetChange(index) : error;
  }
}

/** What happened, without functions and causes, so that it can be sent to another thread. */
function outcomeOf(error: unknown): Exclude<UnitOutcome, null> {
  if (error instanceof UnmetChange) return { unmet: error.index };
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
  if (!(error instanceof AppError)) return { fault: error instanceof Error ? error.message : String(error) };
  const { code, message, hint, retryAfter } = error;
  return { error: { code, message, hint, retryAfter, cause } };
}

/** One text for lists of any length, so that it is prepared once; bytes do not fit into JSON and get a `?` each. */
const dialect: ChangeDialect = {
  oneOf: (column, values) =>
    values.some((value) => value instanceof Uint8Array)
      ? { sql: `${column} IN (${values.map(() => '?').join()})`, values }
      : { sql: `${column} IN (SELECT value FROM json_each(?))`, values: [JSON.stringify(values)] },
};

function readHead(writer: Writer): ChainHead {
  const row = writer.statements.get('SELECT seq, hash FROM audit_head WHERE id = 1').get();
  if (row === undefined) throw new Error('the store has no audit head');
  return { seq: row['seq'] as number, hash: row['hash'] as Uint8Array };
}

/** Undoes a transaction that failed as a whole, so that nothing of it can come back. */
function abandon(writer: Writer, thrown: unknown): void {
  writer.head = undefined;
  writer.log.error({ err: thrown }, 'a batch could not be committed');
  try {
    if (writer.database.isTransaction) writer.statements.get('ROLLBACK').run();
    if (isFull(thrown)) {
      // What the log holds may fit into free pages of the store; then the log starts again from its beginning.
      writer.database.exec('PRAGMA wal_checkpoint(RESTART)');
    } else {
      // A commit whose fsync failed stands in the log all the same, and a crash before the next commit would bring back
      // what is about to be reported as failed. Writing anything durably puts it out of reach.
      writer.database.exec('UPDATE audit_head SET id = 1 WHERE id = 1');
    }
  } catch (error) {
    writer.log.error({ err: error }, 'the store does not recover yet');
  }
}
