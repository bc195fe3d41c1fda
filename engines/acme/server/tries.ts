import { randomInt } from 'node:crypto';
import { type Change, insert, remove, update } from '#core/change.ts';
import type { Store } from '#storage/store.ts';
import { AcmeError } from './problem.ts';
import type { ChallengeRow, TryRow } from './tables.ts';

/**
 * How often validations of one name of one account may fail in an hour. What goes on may fail as well, so it takes one of
 * as many numbers as the limit allows; two that take the same number at once are a conflict, on however many nodes.
 */

/** Milliseconds. */
const hour = 3_600_000;

/** The changes that take a number. Throws `rateLimited` when there is none. */
export async function beginTry(
  store: Store,
  challenge: Pick<ChallengeRow, 'id' | 'account_id'>,
  identifier: string,
  most: number,
  now: number,
): Promise<Change> {
  const rows = await store.all<Pick<TryRow, 'slot' | 'ends_at'>>(
    'SELECT slot, ends_at FROM acme_server_tries WHERE account_id = ? AND identifier = ?',
    [challenge.account_id, identifier],
  );
  const counted = rows.filter((row) => row.ends_at > now);
  if (counted.length >= most) throw tooMany(identifier, most, Math.min(...counted.map((row) => row.ends_at)) - now);
  const slot = freeSlot(new Set(counted.map((row) => row.slot)), most);
  const over = rows.find((row) => row.slot === slot);
  const key = { account_id: challenge.account_id, identifier, slot };
  const set = { challenge_id: challenge.id, ends_at: now + hour };
  if (over === undefined) return insert('acme_server_tries', { ...key, ...set });
  return update('acme_server_tries', set, { ...key, ends_at: over.ends_at }, { expect: 1 });
}

/** By chance, so that those who ask at once seldom meet. There is one. */
function freeSlot(taken: ReadonlySet<number>, most: number): number {
  const start = randomInt(most);
  for (let step = 0; ; step++) {
    const slot = (start + step) % most;
    if (!taken.has(slot)) return slot;
  }
}

function tooMany(identifier: string, most: number, retryAfter: number): AcmeError {
  return new AcmeError(
    'rateLimited',
    `${most} validations of ${identifier} by this account go on or have failed within an hour, which is the limit here.`,
    { retryAfter: Math.max(1, Math.ceil(retryAfter / 1000)) },
  );
}

/** It counts for an hour more. */
export function failedTry({ id }: ChallengeRow, now: number): Change {
  return update('acme_server_tries', { ends_at: now + hour }, { challenge_id: id });
}

/** It counts no more. */
export function endedTry({ id }: ChallengeRow): Change {
  return remove('acme_server_tries', { challenge_id: id });
}
