import type { Clock } from '#core/clock.ts';
import type { KeepSecrets } from '#core/delivery.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import { bind } from '#core/operation.ts';
import { createSystemCaller } from '#core/system-call.ts';
import type { Recheck } from '#policy/authorize.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { alarmJob, claimActs, isPurgeDue, purgeClaims, purgeJob, raiseAlarm } from './acts.ts';
import { type Alarm, alarmReasons, type ClaimDeps } from './deps.ts';
import { createKeepSecrets } from './keep.ts';
import { claimOperations } from './operations.ts';

export interface ClaimServiceOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly dispatch: Dispatch;
  readonly recheck: Recheck;
  readonly log: StoreLog;
  /** Milliseconds in which secrets must be claimed. */
  readonly ttl: number;
}

export interface ClaimService {
  /** For calls whose secrets may not be told: dispatch keeps them by it. */
  readonly keepSecrets: KeepSecrets;
  /** For main.ts: operations, jobs, metrics. */
  readonly engine: Engine;
}

/** Secrets that wait for the principal they were made for. */
export function createClaimService(options: ClaimServiceOptions): ClaimService {
  const { store, sealer, clock, dispatch, recheck, log, ttl } = options;
  const tally = new Map<Alarm['reason'], number>();
  const alarm = async ({ claim, reason, principal, sourceAddress }: Alarm): Promise<void> => {
    tally.set(reason, (tally.get(reason) ?? 0) + 1);
    log.error(
      { claim: claim.id, namespace: claim.namespace, reason, principal, of: claim.principal, address: sourceAddress },
      'ALARM: the handle of a claim was shown when it was good no more, or by whom it is not for',
    );
    const call = createSystemCaller({ dispatch, operations: acts, clock, job: alarmJob, namespace: claim.namespace });
    const input = { claim_id: claim.id, reason, principal, source_address: sourceAddress };
    // It is refused whether or not that can be put on record; the refusal has its own event.
    await call(raiseAlarm.id, input).catch((err: unknown) => log.error({ err }, 'an alarm could not be put on record'));
  };
  const deps: ClaimDeps = { store, sealer, clock, recheck, alarm };
  const acts = bind(claimActs, deps);
  const purge = createSystemCaller({ dispatch, operations: acts, clock, job: purgeJob });
  return {
    keepSecrets: createKeepSecrets(sealer, ttl),
    engine: {
      name: 'claim',
      operations: bind(claimOperations, deps),
      publicRoutes: [],
      jobs: [
        {
          name: purgeJob,
          schedule: '*/5 * * * * *',
          run: async () => {
            if (await isPurgeDue(deps)) await purge(purgeClaims.id, {});
          },
        },
      ],
      sealedColumns: [{ table: 'claims', key: 'id', column: 'secrets' }],
      namespacedTables: ['claims'],
      gauges: [
        {
          name: 'chancery_claim_alarms_total',
          help: 'Attempts, seen by this server, with the handle of a claim that was used before, has ended or is another principal’s',
          kind: 'counter',
          labels: ['reason'],
          read: () =>
            alarmReasons.map((reason) => ({
              labels: { reason },
              value: tally.get(reason) ?? 0,
            })),
        },
      ],
      close: async () => undefined,
    },
  };
}
