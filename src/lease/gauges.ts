import type { Gauge } from '#core/gauge.ts';
import type { Clock } from '#core/clock.ts';
import type { Store } from '#storage/store.ts';
import { readBrake } from './brake.ts';
import type { Breakers } from './breaker.ts';
import { overdueTolerance, readStates } from './numbers.ts';
import type { Tally } from './revocation.ts';
import type { Sweeper } from './sweeper.ts';

export interface GaugeParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly breakers: Breakers;
  readonly tally: Tally;
  readonly sweeper: Pick<Sweeper, 'lastSweep'>;
}

/** What a watcher of leases wants to be woken by: stuck, overdue, a target that is away, the brake. */
export function leaseGauges({ store, clock, breakers, tally, sweeper }: GaugeParts): Gauge[] {
  const states = () => readStates(store, clock.now() - overdueTolerance);
  return [
    {
      name: 'chancery_leases',
      help: 'Leases that are not revoked, by state, in all namespaces',
      kind: 'gauge',
      labels: ['state'],
      async read() {
        const { overdue: _overdue, ...byState } = await states();
        return Object.entries(byState).map(([state, value]) => ({ labels: { state }, value }));
      },
    },
    {
      name: 'chancery_leases_overdue',
      help: 'Leases that should have been looked at more than a minute ago',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: (await states()).overdue }],
    },
    {
      name: 'chancery_lease_target_away',
      help: 'Targets that this server cannot reach, so that their leases wait; absent while it can',
      kind: 'gauge',
      labels: ['namespace', 'target'],
      read: () =>
        breakers.open().map(({ target: key }) => {
          const [namespace = '', target = ''] = key.split(' ');
          return { labels: { namespace, target }, value: 1 };
        }),
    },
    {
      name: 'chancery_lease_brake_applied',
      help: '1 while nothing ends by expiry until lease.release_brake',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: (await readBrake(store))?.applied_at == null ? 0 : 1 }],
    },
    {
      name: 'chancery_lease_revocations_total',
      help: 'Revocations by this server, by how they ended',
      kind: 'counter',
      labels: ['outcome'],
      read: () => [
        { labels: { outcome: 'removed' }, value: tally.removed },
        { labels: { outcome: 'already_absent' }, value: tally.alreadyAbsent },
        { labels: { outcome: 'failed' }, value: tally.failed },
      ],
    },
    {
      name: 'chancery_lease_last_sweep_seconds',
      help: 'How long the last sweep of this server took; absent before the first',
      kind: 'gauge',
      labels: [],
      read: () => {
        const seconds = sweeper.lastSweep();
        return seconds === undefined ? [] : [{ value: seconds }];
      },
    },
  ];
}
