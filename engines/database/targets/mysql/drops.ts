import { setTimeout as sleep } from 'node:timers/promises';
import type { TargetError, UserName } from '#database/target.ts';
import { errorNumber } from './errors.ts';
import { gather } from './gather.ts';
import { half, type Pool } from './pool.ts';
import { account } from './quote.ts';
import { dropGroup, dropUserAlone, findAccounts, removeUser } from './removal.ts';
import type { Session } from './session.ts';

/** `ER_CANNOT_USER_REFERENCED_AS_DEFINER` (MySQL 8.0.22 and later). */
const isDefiner = 4006;

export interface Removal {
  readonly removed: boolean;
  /** Why the server refused to drop it. */
  readonly kept: TargetError | undefined;
}

/**
 * The statements that change accounts. The server runs them one after the other, and the time of each grows with the
 * number of accounts: MariaDB reads the whole table of memberships for every user that it makes or drops, and builds its
 * picture of all rights anew after every statement. So users to be dropped wait for each other and go in one statement,
 * and one statement at a time; and a minting, for which somebody waits, comes before the next of them.
 */
export interface Drops {
  drop(user: UserName): Promise<Removal>;
  /** Work of a minting, before which no further drop begins, for a while. */
  mint<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** Milliseconds that one statement may keep a minting waiting, about; and that drops wait for mintings to end. */
const longestDrop = 12;
const deference = 100;
/** Nobody is kept waiting where nobody has minted for so long (ms). */
const quiet = 1000;
/**
 * Users of a statement: one would cost the server almost as much as two. Where mintings never end, drops come seldom, and
 * `late` go at a time.
 */
const users = { least: 2, late: 16, most: 32 } as const;

export function createDrops(pool: Pool): Drops {
  const mints = countMints();
  /** Milliseconds that one user took lately. */
  let pace = longestDrop / users.least;
  let late = false;
  const dropped = gather<UserName, ReadonlyMap<UserName, Removal>>({
    most: () => (mints.since() > quiet ? users.most : Math.max(late ? users.late : 0, clamp(longestDrop / pace))),
    turn: async () => {
      late = !(await mints.ended(deference));
    },
    width: half(pool),
    work: (group) =>
      pool.use(async (session) => {
        const begun = performance.now();
        const removals = await removeAll(session, group);
        pace = 0.7 * pace + (0.3 * (performance.now() - begun)) / group.length;
        return removals;
      }),
  });
  return {
    async drop(user) {
      const request = { ...user };
      return (await dropped(request)).get(request) ?? { removed: false, kept: undefined };
    },
    mint: (work) => mints.during(work),
  };
}

function clamp(count: number): number {
  return Math.min(users.most, Math.max(users.least, Math.floor(count)));
}

async function removeAll(session: Session, group: readonly UserName[]): Promise<ReadonlyMap<UserName, Removal>> {
  const removals = new Map<UserName, Removal>();
  if (session.flavor === 'mariadb') {
    const removed = await removeTogether(session, group);
    for (const user of group) removals.set(user, { removed: removed.has(user), kept: undefined });
    return removals;
  }
  // MySQL drops all users of a statement or none, and one costs it little.
  for (const user of group) removals.set(user, await remove(session, user));
  return removals;
}

async function remove(session: Session, user: UserName): Promise<Removal> {
  try {
    return { removed: await removeUser(session, user), kept: undefined };
  } catch (error) {
    if (errorNumber(error) !== isDefiner) throw error;
    return { removed: false, kept: error as TargetError };
  }
}

/**
 * Gives those that were there; of several requests for one user the first has removed it. A user that is not there is
 * dropped all the same, and by itself: that waits for a minting whose answer was lost.
 */
async function removeTogether(session: Session, group: readonly UserName[]): Promise<ReadonlySet<UserName>> {
  const { people } = await findAccounts(session, group);
  const there = new Set(group.filter((user) => people.delete(account(user))));
  if (there.size > 0) await dropGroup(session, 'USER', [...there]);
  for (const user of group) if (!there.has(user) && (await dropUserAlone(session, user))) there.add(user);
  const { bundles } = await findAccounts(session, group);
  const bundled = group.filter((user) => bundles.delete(user.username));
  if (bundled.length > 0) await dropGroup(session, 'ROLE', bundled);
  return there.union(new Set(bundled));
}

/** How many mintings are under way. */
function countMints() {
  let running = 0;
  let last = -Infinity;
  let idle = Promise.withResolvers<void>();
  return {
    async during<Result>(work: () => Promise<Result>): Promise<Result> {
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        last = performance.now();
        if (running === 0) {
          idle.resolve();
          idle = Promise.withResolvers<void>();
        }
      }
    },
    /** Milliseconds since one was under way. */
    since: () => (running > 0 ? 0 : performance.now() - last),
    /** Resolves when none is, or so many milliseconds have passed; whether none is. */
    async ended(patience: number): Promise<boolean> {
      if (running === 0) return true;
      const lapse = new AbortController();
      const lapsed = sleep(patience, false, { signal: lapse.signal }).catch(() => false);
      const none = await Promise.race([idle.promise.then(() => true), lapsed]);
      lapse.abort();
      return none;
    },
  };
}
