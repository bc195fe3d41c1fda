import type { Parameter, Store } from '#storage/store.ts';
import type { Clock } from '#core/clock.ts';
import { AcmeError } from './problem.ts';

/** Milliseconds that rates are counted over. */
const hour = 3_600_000;

/**
 * Requests under way for something that is counted in the store: they count as well, or a burst would read the same
 * number many times. Other nodes are not seen; a limit may be passed by what they have under way.
 */
export interface Places {
  /** Runs `work` while its place counts; `others` is how many were there before. */
  hold<Result>(key: string, work: (others: number) => Promise<Result>): Promise<Result>;
}

export function createPlaces(): Places {
  const held = new Map<string, number>();
  return {
    async hold(key, work) {
      const others = held.get(key) ?? 0;
      held.set(key, others + 1);
      try {
        return await work(others);
      } finally {
        const left = (held.get(key) ?? 1) - 1;
        if (left === 0) held.delete(key);
        else held.set(key, left);
      }
    },
  };
}

/** What one account may ask for, whatever comes of it: each request that does something is in the audit. */
export interface Bucket {
  /** Throws `rateLimited` when there is none left for `key`. */
  take(key: string): void;
}

const mostKept = 10_000;

/** Token buckets of this node: `burst` at once, then `perSecond`. */
export function createBucket(clock: Clock, perSecond: number, burst: number): Bucket {
  const buckets = new Map<string, { left: number; at: number }>();
  return {
    take(key) {
      const now = clock.now();
      const known = buckets.get(key);
      const refilled = known === undefined ? burst : known.left + (Math.max(0, now - known.at) / 1000) * perSecond;
      const left = Math.min(burst, refilled) - 1;
      if (left < 0)
        throw new AcmeError('rateLimited', 'The account asks for too much at once.', {
          retryAfter: Math.ceil(-left / perSecond),
        });
      // Taken out and put in again, so that the first one is the one that was not used for longest.
      buckets.delete(key);
      if (buckets.size >= mostKept) buckets.delete(buckets.keys().next().value as string);
      buckets.set(key, { left, at: now });
    },
  };
}

export interface Rate {
  /** What is counted, for people. */
  readonly what: string;
  /** Rows with a column `at`, newest first; it ends where LIMIT would follow. */
  readonly sql: string;
  readonly parameters: readonly Parameter[];
  readonly most: number;
  /** How many are under way. */
  readonly others: number;
  readonly now: number;
}

/** Throws `rateLimited` when the last hour has seen as many as are allowed, with the time when the first leaves it. */
export async function assertRate(store: Store, rate: Rate): Promise<void> {
  const { most, others, now } = rate;
  // The one that must be older than an hour for another to be allowed.
  const offset = most - 1 - others;
  if (offset < 0) throw limited(rate, 1);
  const row = await store.first<{ at: number }>(`${rate.sql} LIMIT 1 OFFSET ${offset}`, rate.parameters);
  if (row !== undefined && row.at > now - hour) throw limited(rate, Math.ceil((row.at + hour - now) / 1000));
}

function limited({ what, most }: Rate, retryAfter: number): AcmeError {
  return new AcmeError('rateLimited', `There were ${most} ${what} within an hour, which is the limit here.`, {
    retryAfter: Math.max(1, retryAfter),
  });
}
