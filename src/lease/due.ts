import type { Parameter, Store } from '#storage/store.ts';
import { causeOf, claimChange } from './ending.ts';
import type { LeaseRow } from './tables.ts';

/** What the sweeper reads. All of it is found by an index, so that its cost is that of what is due and not of what is live. */

export type DueLease = Pick<LeaseRow, 'id' | 'namespace' | 'target' | 'state' | 'cause' | 'next_action_at'>;

export interface DueQuery {
  readonly now: number;
  readonly limit: number;
  /** Targets that take no more at present. */
  readonly without: readonly Pick<LeaseRow, 'namespace' | 'target'>[];
  /** Leave out what only time would end. */
  readonly wantedOnly: boolean;
}

/** The statement that finds what is due, oldest first. */
export function dueStatement(query: DueQuery): { sql: string; parameters: Parameter[] } {
  const parameters: Parameter[] = [query.now];
  let sql = 'SELECT id, namespace, target, state, cause, next_action_at FROM leases WHERE next_action_at <= ?';
  // The states are those of the index leases_unsettled.
  if (query.wantedOnly) sql += ` AND state IN ('minting', 'revoking', 'stuck') AND cause IS NOT NULL`;
  if (query.without.length > 0) {
    const without = padded(query.without);
    sql += ` AND (namespace, target) NOT IN (VALUES ${without.map(() => '(?, ?)').join(', ')})`;
    for (const { namespace, target } of without) parameters.push(namespace, target);
  }
  parameters.push(query.limit);
  return { sql: `${sql} ORDER BY next_action_at LIMIT ?`, parameters };
}

/** Repeats the last entry up to a power of two, so that there are few texts of statements to prepare. */
function padded<Item>(items: readonly Item[]): Item[] {
  const last = items.at(-1);
  if (last === undefined) return [];
  const length = 2 ** Math.ceil(Math.log2(items.length));
  return [...items, ...Array.from({ length: length - items.length }, () => last)];
}

export function findDue(store: Store, query: DueQuery): Promise<DueLease[]> {
  const { sql, parameters } = dueStatement(query);
  return store.all<DueLease>(sql, parameters);
}

/** The soonest time after `now` at which a lease comes due. */
export async function nextDueAfter(store: Store, now: number): Promise<number | undefined> {
  const row = await store.first<{ at: number }>(
    'SELECT next_action_at AS at FROM leases WHERE next_action_at > ? ORDER BY next_action_at LIMIT 1',
    [now],
  );
  return row?.at;
}

/**
 * Takes leases over under one claim; what another node took first is not among the result. Durable when it resolves.
 */
export async function claimDue(
  store: Store,
  due: readonly DueLease[],
  claim: string,
  now: number,
): Promise<LeaseRow[]> {
  const groups = Map.groupBy(due, ({ state, cause }) => `${state} ${cause}`);
  const changes = [...groups.values()].map((group) => {
    const [first] = group as [DueLease];
    const where = { id: group.map(({ id }) => id), next_action_at: { lte: now } };
    return claimChange(where, first, causeOf(first), claim, now);
  });
  await store.commit(changes);
  const ids = padded(due.map(({ id }) => id));
  return store.all<LeaseRow>(`SELECT * FROM leases WHERE id IN (${ids.map(() => '?').join(', ')}) AND claim = ?`, [
    ...ids,
    claim,
  ]);
}
