import { sql } from 'kysely';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import { causeOf, claimChange } from './ending.ts';
import type { LeaseRow, LeaseTables } from './tables.ts';

/** What the sweeper reads. All of it is found by an index, so that its cost is that of what is due and not of what is live. */

export type DueLease = Pick<LeaseRow, 'id' | 'namespace' | 'target' | 'state' | 'cause' | 'next_action_at'>;

type Target = Pick<LeaseRow, 'namespace' | 'target'>;

export interface DueQuery {
  readonly now: number;
  readonly limit: number;
  /** Targets that take no more at present, or are asked on their own. */
  readonly without: readonly Target[];
  /** Leave out what only time would end. */
  readonly wantedOnly: boolean;
}

/**
 * What is due, oldest first, at any but some targets. When thousands are due at those, all of them are passed over, so
 * this is asked seldom, and as a search (in a thread of its own on SQLite).
 */
export function dueQuery(store: Store, { now, limit, without, wantedOnly }: DueQuery) {
  let query = store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .select(['id', 'namespace', 'target', 'state', 'cause', 'next_action_at'])
    .where('next_action_at', '<=', now);
  // The states are those of the index leases_unsettled.
  if (wantedOnly)
    query = query.where(sql<boolean>`state IN ('minting', 'revoking', 'stuck')`).where('cause', 'is not', null);
  if (without.length > 0) {
    const keys = sql.join(without.map(({ namespace, target }) => sql`${`${namespace} ${target}`}`));
    query = query.where(sql<boolean>`namespace || ' ' || target NOT IN (${keys})`);
  }
  return query.orderBy('next_action_at').limit(limit);
}

export function findDue(store: Store, query: DueQuery): Promise<DueLease[]> {
  return dueQuery(store, query).execute();
}

export const dueAtTarget = `SELECT id, namespace, target, state, cause, next_action_at FROM leases
  WHERE namespace = ? AND target = ? AND next_action_at <= ? ORDER BY next_action_at LIMIT ?`;

/** What is due at one target, oldest first. */
export function findDueAt(
  store: Store,
  { namespace, target }: Target,
  now: number,
  limit: number,
): Promise<DueLease[]> {
  return store.all<DueLease>(dueAtTarget, [namespace, target, now, limit]);
}

/** Repeats the last entry up to a power of two, so that there are few texts of statements to prepare. */
function padded<Item>(items: readonly Item[]): Item[] {
  const last = items.at(-1);
  if (last === undefined) return [];
  const length = 2 ** Math.ceil(Math.log2(items.length));
  return [...items, ...Array.from({ length: length - items.length }, () => last)];
}

/** The soonest time after `now` at which a lease comes due. */
export async function nextDueAfter(store: Store, now: number): Promise<number | undefined> {
  const row = await store.first<{ at: number }>(
    'SELECT next_action_at AS at FROM leases WHERE next_action_at > ? ORDER BY next_action_at LIMIT 1',
    [now],
  );
  return row?.at;
}

export interface Claimed {
  readonly leases: readonly LeaseRow[];
  /** Ids of rows that a bad disk or a bad hand has made unreadable. */
  readonly unreadable: readonly string[];
}

/**
 * Takes leases over under one claim; what another node took first is not among the result. Durable when it resolves.
 */
export async function claimDue(store: Store, due: readonly DueLease[], claim: string, now: number): Promise<Claimed> {
  const groups = Map.groupBy(due, ({ state, cause }) => `${state} ${cause}`);
  const changes = [...groups.values()].map((group) => {
    const [first] = group as [DueLease];
    const where = { id: group.map(({ id }) => id), next_action_at: { lte: now } };
    return claimChange(where, first, causeOf(first), claim, now);
  });
  await store.commit(changes);
  const ids = due.map(({ id }) => id);
  try {
    return { leases: await readClaimed(store, ids, claim), unreadable: [] };
  } catch (error) {
    if (error instanceof AppError) throw error;
    return readOneByOne(store, ids, claim);
  }
}

/** One damaged row must not take those with it that were claimed together. */
async function readOneByOne(store: Store, ids: readonly string[], claim: string): Promise<Claimed> {
  const leases: LeaseRow[] = [];
  const unreadable: string[] = [];
  for (const id of ids) {
    try {
      leases.push(...(await readClaimed(store, [id], claim)));
    } catch (error) {
      if (error instanceof AppError) throw error;
      unreadable.push(id);
    }
  }
  return { leases, unreadable };
}

function readClaimed(store: Store, ids: readonly string[], claim: string): Promise<LeaseRow[]> {
  const list = padded(ids);
  return store.all<LeaseRow>(`SELECT * FROM leases WHERE id IN (${list.map(() => '?').join(', ')}) AND claim = ?`, [
    ...list,
    claim,
  ]);
}
