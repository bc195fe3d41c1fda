import type { Client, QueryResult } from 'pg';
import type { Change, Insert } from '#core/change.ts';
import { touchedTables } from '#storage/change-sql.ts';
import type { TableTypes } from '#storage/postgres/connection.ts';
import { isLostRace, isTaken, isTimeout, isUnreachable, toStoreError } from '#storage/postgres/errors.ts';
import type { createStatementNames } from '#storage/postgres/sql.ts';
import { compileStep, planSteps, type Step, singleSteps } from '#storage/postgres/steps.ts';
import { commitOrResolve, OutcomeUnknown } from '#storage/postgres/transaction.ts';
import { takenError, unexpectedError } from '#storage/store-errors.ts';
import type { ChainHead, ChainLinker, Parameter, StoreLog } from '#storage/store.ts';
import type { Unit } from '#storage/unit-queue.ts';
import type { Watchers } from '#storage/watchers.ts';

/** What the writer works with. */
export interface WriterParts {
  /** The connection for writing: the one that is open, or a new one. It answers several statements per wait (`pipeline`). */
  readonly connection: () => Promise<Client>;
  /** Gives a connection up: it is broken or in an unknown state. */
  readonly discard: (client: Client) => void;
  readonly types: TableTypes;
  readonly linker: ChainLinker;
  readonly watchers: Pick<Watchers, 'changed'>;
  /** The payload that tells other nodes which tables changed. */
  readonly notice: (tables: Iterable<string>) => { channel: string; payload: string };
  readonly names: ReturnType<typeof createStatementNames>;
  readonly log: StoreLog;
}

/** How often a batch is tried when the connection broke before anything could be committed, or a race was lost. */
const maxTries = 3;

/**
 * Writes a batch in one transaction. First quickly, with the rows of all units joined per table; when anything of that
 * fails, carefully, in parts behind savepoints. Settles every unit.
 *
 * The row of the audit head is locked first, so batches of all nodes follow each other: the chain has no fork, no two
 * batches wait for each other, and a guard sees what was committed before it.
 */
export function createWriter(parts: WriterParts): (units: readonly Unit[]) => Promise<void> {
  return async (units) => {
    const failed = new Map<Unit, unknown>();
    try {
      await writeBatch(parts, units, failed);
    } catch (thrown) {
      parts.log.error({ err: thrown }, 'a batch could not be committed');
      const error = toStoreError(thrown);
      for (const unit of units) unit.reject(error);
      return;
    }
    parts.watchers.changed(tablesOf(units.filter((unit) => !failed.has(unit))));
    for (const unit of units) {
      const error = failed.get(unit);
      if (error === undefined) unit.resolve();
      else unit.reject(error);
    }
  };
}

async function writeBatch(parts: WriterParts, units: readonly Unit[], failed: Map<Unit, unknown>): Promise<void> {
  let careful = false;
  for (let attempt = 1; ; attempt++) {
    failed.clear();
    const client = await parts.connection();
    try {
      await (careful ? writeCarefully(parts, client, units, failed) : writeQuickly(parts, client, units));
      return;
    } catch (error) {
      const lost = !(await rollBack(parts, client));
      const again = lost || isUnreachable(error) || isLostRace(error);
      const last = attempt === maxTries || error instanceof OutcomeUnknown || isTimeout(error);
      if (last || (careful && !again)) throw error;
      if (!again && units.length === 1) {
        failed.set(units[0] as Unit, toStoreError(error));
        return;
      }
      careful ||= !again;
    }
  }
}

/** Ends the transaction, if there is one. False when the connection is gone; then it is given up. */
async function rollBack(parts: WriterParts, client: Client): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    parts.discard(client);
    return false;
  }
}

/** All units at once. Throws when any of them fails. */
async function writeQuickly(parts: WriterParts, client: Client, units: readonly Unit[]): Promise<void> {
  const { head: before, transaction } = await begin(parts, client);
  const { steps, head } = prepare(parts, units, before);
  const [written, ended] = await Promise.allSettled([
    runSteps(parts, client, steps),
    finish(parts, client, head, tablesOf(units)),
  ]);
  // In this order: after an error of a step, the end fails only because the transaction is aborted.
  if (written.status === 'rejected') throw written.reason;
  if (ended.status === 'rejected') throw ended.reason;
  await commitOrResolve(parts, client, { number: transaction, head });
}

/** The statements of units, and where they leave the audit chain; undefined when they leave it as it is. */
function prepare(
  parts: WriterParts,
  units: readonly Unit[],
  before: ChainHead,
): { steps: Step[]; head: ChainHead | undefined } {
  const events = units.flatMap((unit) => unit.events);
  const linked = events.length === 0 ? undefined : parts.linker(before, events);
  const changes = [...units.flatMap((unit) => unit.changes), ...(linked?.rows ?? []).map(auditInsert)];
  return { steps: units.length === 1 ? singleSteps(changes) : planSteps(changes), head: linked?.head };
}

/** How far a careful batch has come. */
interface Progress {
  head: ChainHead;
  /** What is to be sent next, before anything else: it keeps or undoes what was tried last. */
  reset: 'SAVEPOINT unit' | 'RELEASE SAVEPOINT unit; SAVEPOINT unit' | 'ROLLBACK TO SAVEPOINT unit';
  readonly failed: Map<Unit, unknown>;
}

/** Units in parts, each behind a savepoint; what fails is divided further, until single units are left to blame. */
async function writeCarefully(
  parts: WriterParts,
  client: Client,
  units: readonly Unit[],
  failed: Map<Unit, unknown>,
): Promise<void> {
  const { head: before, transaction } = await begin(parts, client);
  const progress: Progress = { head: before, reset: 'SAVEPOINT unit', failed };
  await writeParts(parts, client, units, progress);
  await client.query(progress.reset);
  const written = units.filter((unit) => !failed.has(unit));
  if (written.length === 0) {
    await client.query('ROLLBACK');
    return;
  }
  const head = progress.head === before ? undefined : progress.head;
  await finish(parts, client, head, tablesOf(written));
  await commitOrResolve(parts, client, { number: transaction, head });
}

/** Into how many parts units are divided that failed together. */
const division = 8;

async function writeParts(
  parts: WriterParts,
  client: Client,
  units: readonly Unit[],
  progress: Progress,
): Promise<void> {
  const size = Math.ceil(units.length / division);
  for (let start = 0; start < units.length; start += size) {
    const part = units.slice(start, start + size);
    try {
      await writePart(parts, client, part, progress);
    } catch (error) {
      if (isUnreachable(error) || isLostRace(error)) throw error;
      if (part.length > 1) await writeParts(parts, client, part, progress);
      else progress.failed.set(part[0] as Unit, toStoreError(error));
    }
  }
}

async function writePart(
  parts: WriterParts,
  client: Client,
  units: readonly Unit[],
  progress: Progress,
): Promise<void> {
  const { steps, head } = prepare(parts, units, progress.head);
  const reset = client.query(progress.reset);
  progress.reset = 'ROLLBACK TO SAVEPOINT unit';
  const [ready, written] = await Promise.allSettled([reset, runSteps(parts, client, steps)]);
  if (ready.status === 'rejected') throw ready.reason;
  if (written.status === 'rejected') throw written.reason;
  progress.reset = 'RELEASE SAVEPOINT unit; SAVEPOINT unit';
  progress.head = head ?? progress.head;
}

/** Sends all statements without waiting in between, then looks at every answer; throws the first error. */
async function runSteps(parts: WriterParts, client: Client, steps: readonly Step[]): Promise<void> {
  const statements = steps.map((step) => compileStep(step, parts.types));
  const answers = await Promise.allSettled(
    statements.map(({ text, values }) => client.query({ ...parts.names(text), values: [...values] })),
  );
  for (const [index, answer] of answers.entries()) checkAnswer(steps[index] as Step, answer);
}

function checkAnswer(step: Step, answer: PromiseSettledResult<QueryResult>): void {
  if (answer.status === 'rejected') {
    throw step.kind === 'insert' && isTaken(answer.reason) ? takenError(step.inserts[0] as Insert) : answer.reason;
  }
  if (step.kind === 'change' && step.change.expect !== undefined && answer.value.rowCount !== step.change.expect) {
    throw unexpectedError(step.change);
  }
}

function auditInsert(row: Readonly<Record<string, Parameter>>): Change {
  return { kind: 'insert', table: 'audit_events', row };
}

interface Begun {
  readonly head: ChainHead;
  /** The transaction's id, to learn afterwards what became of it. */
  readonly transaction: string;
}

async function begin(parts: WriterParts, client: Client): Promise<Begun> {
  const [, { rows }] = await Promise.all([
    client.query('BEGIN'),
    client.query<{ seq: number; hash: Buffer; transaction: string }>(
      parts.names(
        'SELECT seq, hash, pg_current_xact_id()::text AS transaction FROM audit_head WHERE id = 1 FOR UPDATE',
      ),
    ),
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error('the store has no audit head');
  return { head: { seq: row.seq, hash: row.hash }, transaction: row.transaction };
}

/** The last statement: moves the head, and tells the other nodes when the transaction is committed. */
async function finish(
  parts: WriterParts,
  client: Client,
  head: ChainHead | undefined,
  tables: ReadonlySet<string>,
): Promise<void> {
  const { channel, payload } = parts.notice(tables);
  if (head === undefined) {
    await client.query({ ...parts.names('SELECT pg_notify(?, ?)'), values: [channel, payload] });
    return;
  }
  await client.query({
    ...parts.names('UPDATE audit_head SET seq = ?, hash = ? WHERE id = 1 RETURNING pg_notify(?, ?)'),
    values: [head.seq, head.hash, channel, payload],
  });
}

function tablesOf(units: readonly Unit[]): Set<string> {
  const tables = new Set<string>();
  for (const unit of units) {
    touchedTables(unit.changes, tables);
    if (unit.events.length > 0) tables.add('audit_events');
  }
  return tables;
}
