import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import { bind } from '#core/operation.ts';
import type { Narrowing } from '#core/principal.ts';
import { createSystemCaller } from '#core/system-call.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { createBrake } from './brake.ts';
import { createBreakers } from './breaker.ts';
import { createClaims } from './claims.ts';
import type { LeaseEngine, Leases } from './contract.ts';
import type { LeaseDeps } from './deps.ts';
import { leaseGauges } from './gauges.ts';
import { createLeases } from './manager.ts';
import { leaseOperations } from './operations/all.ts';
import type { RevocationParts } from './revocation.ts';
import { createSweeper, type Sweeper } from './sweeper.ts';
import type { LeaseRow } from './tables.ts';

export interface LeaseServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Milliseconds that never jump; `performance.now` by default. */
  readonly monotonic?: () => number;
  readonly dispatch: Dispatch;
  readonly log: StoreLog;
  /**
   * Revocations at once per target, where the engine does not say another number; below the size of its pool, so that
   * minting is served as well. Default 4.
   */
  readonly concurrency?: number;
}

export interface LeaseService {
  readonly leases: Leases;
  /** For main.ts: operations, jobs, metrics. */
  readonly engine: Engine;
  /** Begins to sweep; before that nothing is ended but by request. */
  start(): void;
  /** Sweeps now, and resolves when nothing that can be ended is due any more. */
  sweep(): Promise<void>;
  /** Twice is once. */
  close(): Promise<void>;
}

const sweepJob = 'lease.sweep';
const purgeJob = 'lease.purge_revoked';

/** For src/job-scopes.ts: what the background jobs of leases may do. */
export const leaseJobScopes: Readonly<Record<string, Narrowing>> = {
  [sweepJob]: { operations: ['lease.end_lease', 'lease.apply_brake'], resources: ['leases/*'] },
  [purgeJob]: { operations: ['lease.purge_revoked'], resources: ['leases'] },
};

/** Leases for any engine (contract.ts). Starting costs the same however many there are. */
export function createLeaseService(options: LeaseServiceOptions): LeaseService {
  const { store, clock, dispatch, log, monotonic = () => performance.now(), concurrency = 4 } = options;
  const engines = new Map<string, LeaseEngine>();
  const breakers = createBreakers(monotonic);
  const claims = createClaims({ store, clock, log });
  const tally = { removed: 0, alreadyAbsent: 0, failed: 0 };
  const revocation: RevocationParts = { store, clock, log, engines, breakers, claims, tally };
  let started = false;
  const wake = (): void => {
    if (started) sweeper.wake();
  };
  const expect = (at: number): void => {
    if (started) sweeper.expect(at);
  };
  const deps: LeaseDeps = { store, clock, monotonic, log, engines, breakers, revocation, wake, expect };
  const operations = bind(leaseOperations, deps);
  const call = (job: string, namespace = 'root') => createSystemCaller({ dispatch, operations, clock, job, namespace });
  const end = async ({ namespace, id, claim }: LeaseRow): Promise<void> => {
    await call(sweepJob, namespace)('lease.end_lease', { lease_id: id, claim });
  };
  const brake = createBrake({ store, clock, monotonic, engines, log, call: call(sweepJob) });
  const sweeper: Sweeper = createSweeper({
    store,
    clock,
    monotonic,
    log,
    brake,
    breakers,
    claims,
    concurrency,
    width: (lease) => engines.get(lease.engine)?.atOnce?.(lease) ?? concurrency,
    end,
  });
  const purge = async (): Promise<void> => {
    while ((await call(purgeJob)<{ more: boolean }>('lease.purge_revoked', {})).more);
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await sweeper.close();
    claims.close();
  };
  const service = {
    leases: createLeases({ store, clock, log, engines, wake, expect }),
    start() {
      started = true;
      sweeper.wake();
    },
    sweep: () => sweeper.run(),
    close: () => (closing ??= close()),
  };
  return {
    ...service,
    engine: {
      name: 'lease',
      operations,
      publicRoutes: [],
      jobs: [
        // A sweep may take long when much is due, and nobody waits for it: it says itself what goes wrong.
        { name: sweepJob, schedule: '*/5 * * * * *', run: async () => wake() },
        { name: purgeJob, schedule: '43 3 * * *', run: purge },
      ],
      sealedColumns: [],
      namespacedTables: ['leases'],
      gauges: leaseGauges({ store, clock, breakers, tally, sweeper }),
      close: service.close,
    },
  };
}
