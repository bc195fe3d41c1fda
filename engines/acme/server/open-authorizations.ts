import { type Change, update } from '#core/change.ts';
import type { Store } from '#storage/store.ts';
import { AcmeError } from './problem.ts';
import type { AccountRow } from './tables.ts';

/**
 * How many authorizations of an account are `pending`, held to its limit by the commit that makes more: the number stands
 * in the row of the account, and every commit that makes, decides or ends one changes it. So the limit holds for
 * requests that come at once, on however many nodes.
 */

/** Rows that are ended in one commit. */
const batch = 500;

/** What an account may still open, and the changes that make it so: what was never fulfilled in time is ended first. */
export interface Room {
  readonly account: Pick<AccountRow, 'id' | 'open_authorizations'>;
  readonly most: number;
  /** How many of those that are counted have expired, and are ended by `changes`. */
  readonly ended: number;
  readonly changes: readonly Change[];
}

/** Throws `rateLimited` where fewer than `asked` may be opened. */
export async function requireRoom(
  store: Store,
  account: Pick<AccountRow, 'id' | 'open_authorizations'>,
  asked: number,
  most: number,
  now: number,
): Promise<Room> {
  const open = account.open_authorizations;
  if (open + asked <= most) return { account, most, ended: 0, changes: [] };
  const expired = await store.all<{ id: string }>(
    `SELECT id FROM acme_server_authorizations
     WHERE account_id = ? AND status = 'pending' AND expires_at <= ? LIMIT ${batch}`,
    [account.id, now],
  );
  const left = open - expired.length;
  if (left + asked <= most) return { account, most, ended: expired.length, changes: endExpired(expired) };
  throw new AcmeError('rateLimited', `The account has ${left} open authorizations; ${most} are allowed.`, {
    retryAfter: 60,
  });
}

/**
 * Counts those that the same commit opens. Where others were faster and the limit is reached, that is a conflict, and the
 * request is decided anew.
 */
export function opened({ account, most, ended, changes }: Room, count: number): Change[] {
  if (count === 0 && ended === 0) return [];
  const where = { id: account.id, status: 'valid', open_authorizations: { lte: most - count + ended } };
  return [
    ...changes,
    update('acme_server_accounts', {}, where, { add: { open_authorizations: count - ended }, expect: 1 }),
  ];
}

/** With the change that takes one out of `pending`. */
export function closedOne(accountId: string): Change {
  return closed(accountId, 1);
}

function closed(accountId: string, count: number): Change {
  return update('acme_server_accounts', {}, { id: accountId }, { add: { open_authorizations: -count } });
}

function endExpired(rows: readonly { readonly id: string }[]): Change[] {
  if (rows.length === 0) return [];
  const where = { id: rows.map(({ id }) => id), status: 'pending' };
  return [update('acme_server_authorizations', { status: 'invalid' }, where, { expect: rows.length })];
}

/** Ends what expired without being fulfilled, of all accounts. */
export async function endUnfulfilled(store: Store, now: number): Promise<{ count: number; changes: Change[] }> {
  const rows = await store.all<{ id: string; account_id: string }>(
    `SELECT id, account_id FROM acme_server_authorizations
     WHERE status = 'pending' AND expires_at <= ? ORDER BY expires_at LIMIT ${batch}`,
    [now],
  );
  const accounts = Map.groupBy(rows, (row) => row.account_id);
  const counted = [...accounts].toSorted(([left], [right]) => (left < right ? -1 : 1));
  return {
    count: rows.length,
    changes: [...endExpired(rows), ...counted.map(([account, ended]) => closed(account, ended.length))],
  };
}
