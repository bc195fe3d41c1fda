import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import type { Change, Row, Value } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { touchedTables } from '#storage/change-sql.ts';
import { startThread } from '#storage/sqlite/checkpointer.ts';
import type { FromWriter, ToWriter, UnitData, UnitOutcome, WriterSettings } from '#storage/sqlite/writer-messages.ts';
import { takenError, unavailable, unexpectedError } from '#storage/store-errors.ts';
import type { StoreLog } from '#storage/store.ts';
import type { Unit } from '#storage/unit-queue.ts';
import type { Watchers } from '#storage/watchers.ts';

export interface ThreadedWriter {
  /** Writes one batch and settles its units; never rejects. One batch at a time. */
  readonly write: (units: readonly Unit[]) => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface ThreadedWriterParts extends WriterSettings {
  readonly watchers: Pick<Watchers, 'changed' | 'changedUnknown'>;
  readonly log: StoreLog;
}

/** Starts the writing thread; resolves when it has opened the file. */
export async function openThreadedWriter(parts: ThreadedWriterParts): Promise<ThreadedWriter> {
  let thread: Worker | undefined = await startWriter(parts);
  return {
    async write(units) {
      try {
        thread ??= await startWriter(parts);
        settle(parts, units, await exchange(thread, parts, units));
      } catch (cause) {
        // Whether the batch is in the file is not known; what is there, later reads will see.
        thread = undefined;
        parts.watchers.changedUnknown();
        const error = unavailable(
          'The writing thread of the store ended; whether this was stored is not known.',
          cause,
        );
        for (const unit of units) unit.reject(error);
      }
    },
    async close() {
      if (thread === undefined) return;
      const exited = once(thread, 'exit');
      thread.ref();
      send(thread, { type: 'close' });
      await exited;
    },
  };
}

async function startWriter({ file, linker, maxPages }: WriterSettings): Promise<Worker> {
  const settings: WriterSettings = { file, linker, maxPages };
  const thread = startThread('writer-thread', settings);
  await once(thread, 'message');
  thread.unref();
  return thread;
}

/** Sends a batch and waits for its outcomes; rejects when the thread ends instead. */
function exchange(
  thread: Worker,
  { log }: ThreadedWriterParts,
  units: readonly Unit[],
): Promise<readonly UnitOutcome[]> {
  return new Promise((resolve, reject) => {
    const hear = (message: FromWriter): void => {
      if (message.type === 'log') log.error({ detail: message.detail }, message.message);
      if (message.type !== 'wrote') return;
      leave();
      resolve(message.outcomes);
    };
    const fail = (cause: unknown): void => {
      leave();
      reject(cause instanceof Error ? cause : new Error('the thread exited'));
    };
    const leave = (): void => {
      thread.off('message', hear).off('error', fail).off('exit', fail);
      thread.unref();
    };
    thread.on('message', hear).on('error', fail).on('exit', fail);
    // Somebody waits for this batch, so the process must not end before the answer.
    thread.ref();
    send(thread, { type: 'write', units: units.map(toData) });
  });
}

function send(thread: Worker, message: ToWriter): void {
  thread.postMessage(message);
}

function toData({ changes, events }: Unit): UnitData {
  return { changes: changes.map(withoutGuardErrors), events };
}

function withoutGuardErrors(change: Change): Change {
  switch (change.kind) {
    case 'insert':
      return { kind: 'insert', table: change.table, row: compact(change.row) };
    case 'update':
      return { ...change, otherwise: undefined };
    case 'delete':
      return { ...change, otherwise: undefined };
  }
}

/** A view is sent with the whole buffer that it looks into; rows get bytes of their own. */
function compact(row: Row): Row {
  let compacted: Record<string, Value> | undefined;
  for (const column in row) {
    const value = row[column];
    if (!(value instanceof Uint8Array) || value.byteLength === value.buffer.byteLength) continue;
    compacted ??= { ...row };
    compacted[column] = new Uint8Array(value);
  }
  return compacted ?? row;
}

function settle(parts: ThreadedWriterParts, units: readonly Unit[], outcomes: readonly UnitOutcome[]): void {
  const tables = new Set<string>();
  for (const [index, unit] of units.entries()) {
    if (outcomes[index]) continue;
    touchedTables(unit.changes, tables);
    if (unit.events.length > 0) tables.add('audit_events');
  }
  // Caches first: who is told that a commit is done must not read what was before it.
  parts.watchers.changed(tables);
  for (const [index, unit] of units.entries()) {
    const outcome = outcomes[index];
    if (outcome) unit.reject(errorOf(unit, outcome));
    else unit.resolve();
  }
}

function errorOf(unit: Unit, outcome: Exclude<UnitOutcome, null>): Error {
  if ('fault' in outcome) return new TypeError(outcome.fault);
  if ('unmet' in outcome) {
    const change = unit.changes[outcome.unmet];
    if (change === undefined) return new Error('the writing thread names a change that there is not');
    return change.kind === 'insert' ? takenError(change) : unexpectedError(change);
  }
  const { code, message, hint, retryAfter, cause } = outcome.error;
  return new AppError(code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
