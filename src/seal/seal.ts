import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine, Job, SealedColumn } from '#core/engine.ts';
import { createSystemCaller } from '#core/system-call.ts';
import { type BoundOperation, bind } from '#core/operation.ts';
import type { Store } from '#storage/store.ts';
import type { Keyring } from './keyring.ts';
import { deleteUnusedKeys, rewrapValues, type SealDeps, sealOperations } from './operations.ts';
import { listKeys } from './rotation.ts';
import { settingsColumn } from './settings.ts';

export interface SealOptions {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly clock: Clock;
  /** The sealed columns of all engines; the settings are added here. */
  readonly columns: readonly SealedColumn[];
  readonly dispatch: Dispatch;
}

/** The operations on the seal, and the job that finishes rotations. Closing it closes the keyring. */
export function createSeal({ store, keyring, clock, columns, dispatch }: SealOptions): Engine {
  const deps: SealDeps = { store, keyring, clock, columns: [settingsColumn, ...columns] };
  const operations = bind(sealOperations, deps);
  return {
    name: 'seal',
    operations,
    publicRoutes: [],
    jobs: [rewrapJob(deps, operations, dispatch)],
    sealedColumns: [settingsColumn],
    namespacedTables: [],
    close: async () => keyring.close(),
  };
}

/** Milliseconds between two looks at values that were all found in order, while a retired key waits for its deletion. */
const restAfterCleanPass = 3_600_000;

const jobName = 'seal.rewrap';

/** Costs one small query a minute when there is nothing to do. Every page is an operation of its own, and audited. */
function rewrapJob(deps: SealDeps, operations: readonly BoundOperation[], dispatch: Dispatch): Job {
  let clean = { version: 0, at: 0 };
  const call = createSystemCaller({ dispatch, operations, clock: deps.clock, job: jobName });
  async function rewrapAll(): Promise<number> {
    let rewrapped = 0;
    let cursor: string | null = null;
    do {
      const page: { rewrapped: number; next_cursor: string | null } = await call(
        rewrapValues.id,
        cursor === null ? {} : { cursor },
      );
      rewrapped += page.rewrapped;
      cursor = page.next_cursor;
    } while (cursor !== null);
    return rewrapped;
  }
  return {
    name: jobName,
    schedule: '* * * * *',
    async run() {
      const keys = await listKeys(deps.store);
      if (!keys.some((key) => key.state === 'retired')) return;
      const version = deps.keyring.activeVersion;
      const now = deps.clock.now();
      if (clean.version === version && now - clean.at < restAfterCleanPass) return;
      if ((await rewrapAll()) > 0) return; // the next minute looks whether anything slipped through
      await call(deleteUnusedKeys.id, {});
      clean = { version, at: now };
    },
  };
}
