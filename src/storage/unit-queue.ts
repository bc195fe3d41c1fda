import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AuditEvent } from '#core/audit-event.ts';
import type { Change } from '#core/change.ts';
import { AppError } from '#core/errors.ts';

/** What one call of `commit` brought, and whom to tell. */
export interface Unit {
  readonly changes: readonly Change[];
  readonly events: readonly AuditEvent[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface UnitQueue {
  readonly commit: (changes: readonly Change[], events?: readonly AuditEvent[]) => Promise<void>;
  /** Waits for what was given already, and refuses the rest. */
  readonly close: () => Promise<void>;
}

/**
 * Group commit. Units that were given while the batch before was written, or in the same turn of the event loop, are
 * written together; batches follow each other, so the order of calls is the order of units. `write` settles every unit
 * and never rejects.
 */
export function createUnitQueue(write: (units: readonly Unit[]) => void | Promise<void>, maxUnits: number): UnitQueue {
  let waiting: Unit[] = [];
  let running: Promise<void> | undefined;
  let closed = false;
  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      // One turn, so that the event loop serves others between batches and the batch is as large as it can be.
      await nextTurn();
      const units = waiting.slice(0, maxUnits);
      waiting = waiting.slice(maxUnits);
      await write(units);
    }
    running = undefined;
  };
  return {
    commit(changes, events = []) {
      if (closed) return Promise.reject(new AppError('unavailable', 'The store is closed.'));
      if (changes.length === 0 && events.length === 0) return Promise.resolve();
      return new Promise((resolve, reject) => {
        waiting.push({ changes, events, resolve, reject });
        running ??= run();
      });
    },
    async close() {
      closed = true;
      await running;
    },
  };
}
