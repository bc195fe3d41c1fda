import type { Store } from '#storage/store.ts';
import type { LeaseState } from './tables.ts';

/** How many leases there are, found by counters and by the few that are not active, never by counting all. */
export interface StateNumbers {
  readonly minting: number;
  readonly active: number;
  readonly revoking: number;
  readonly stuck: number;
  readonly overdue: number;
}

/** Milliseconds after which a lease that is due counts as overdue. */
export const overdueTolerance = 60_000;

/** Of a namespace, or of all. */
export async function readStates(store: Store, overdueBefore: number, namespace?: string): Promise<StateNumbers> {
  const only = namespace === undefined ? '' : ' AND namespace = ?';
  const parameters = namespace === undefined ? [] : [namespace];
  const [live, unsettled, overdue] = await Promise.all([
    store.first<{ live: number | null }>(
      `SELECT CAST(SUM(live) AS BIGINT) AS live FROM lease_counts WHERE scope LIKE 'principals/%'${only}`,
      parameters,
    ),
    store.all<{ state: LeaseState; count: number }>(
      `SELECT state, COUNT(*) AS count FROM leases WHERE state IN ('minting', 'revoking', 'stuck')${only} GROUP BY state`,
      parameters,
    ),
    store.first<{ count: number }>(`SELECT COUNT(*) AS count FROM leases WHERE next_action_at <= ?${only}`, [
      overdueBefore,
      ...parameters,
    ]),
  ]);
  const of = (state: LeaseState) => unsettled.find((row) => row.state === state)?.count ?? 0;
  const others = of('minting') + of('revoking') + of('stuck');
  return {
    minting: of('minting'),
    active: Math.max(0, (live?.live ?? 0) - others),
    revoking: of('revoking'),
    stuck: of('stuck'),
    overdue: overdue?.count ?? 0,
  };
}
