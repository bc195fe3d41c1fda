import type { Clock } from '#core/clock.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { type Asker, createShares } from '#acme/shares.ts';
import { challenges, claimRow, type Due, endClaims, orders } from './claimed-rows.ts';
import { newClaim } from './claims.ts';
import { coalesced } from './coalesced.ts';
import { backgroundOf } from './perform.ts';
import { validateOne, type ValidationParts } from './validation.ts';

/**
 * Work that no request waits for: validating challenges, and issuing for orders that somebody left behind. Each piece is
 * a row with the time when it is due; a node takes it by a claim, and what a node that died had taken comes due again.
 */
export interface Work {
  /** A claim for a challenge that is validated here at once; null: no place is free for this one, and the sweep comes to it. */
  takePlace(asker: Asker): string | null;
  /** Gives a place back that was not used. */
  releasePlace(asker: Asker): void;
  /** Validates what was claimed by `takePlace`. */
  validate(asker: Asker, challengeId: string, claim: string): void;
  /** Takes up what is due. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

export interface WorkParts extends ValidationParts {
  readonly clock: Clock;
  readonly log: StoreLog;
  /** Validations at once. */
  readonly places: number;
}

const ordersAtOnce = 20;

interface Picked {
  readonly asker: Asker;
  readonly row: Due;
}

export function createWork(parts: WorkParts): Work {
  const { store, clock, log, places } = parts;
  const shares = createShares(places);
  let closed = false;
  const running = new Set<Promise<void>>();
  const timers = new Set<NodeJS.Timeout>();

  const track = (work: Promise<void>): void => {
    const tracked: Promise<void> = work
      .catch((error: unknown) => log.warn({ err: error }, 'work for an ACME client failed; it is tried again'))
      .finally(() => running.delete(tracked));
    running.add(tracked);
  };
  const sweepAt = (at: number): void => {
    if (closed) return;
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        void sweepChallenges();
      },
      Math.max(0, at - clock.now()),
    );
    timer.unref();
    timers.add(timer);
  };
  /** Challenges wait for a place. */
  let isBehind = false;
  const validate = (asker: Asker, challengeId: string, claim: string): void => {
    const work = async (): Promise<void> => {
      try {
        const next = await validateOne(parts, asker.namespace, challengeId, claim);
        if (next !== null) sweepAt(next);
      } finally {
        shares.give(asker);
        if (isBehind) void sweepChallenges();
      }
    };
    track(work());
  };
  /** The next of an account, with a place for it; undefined: there is none, or no place. */
  const pick = async (waiting: Map<Asker, Due[] | undefined>, asker: Asker): Promise<Picked | undefined> => {
    if (closed || !shares.take(asker)) return undefined;
    let row: Due | undefined;
    try {
      // Read once: what is being claimed is due until it is.
      const rows = waiting.get(asker) ?? (await challengesDue(store, asker, clock.now(), places));
      waiting.set(asker, rows);
      row = rows.shift();
      return row && { asker, row };
    } finally {
      if (row === undefined) shares.give(asker);
    }
  };
  const start = async ({ asker, row }: Picked): Promise<void> => {
    let claim: string | undefined;
    try {
      claim = await claimRow(parts, challenges, row);
      if (claim !== undefined) validate(asker, row.id, claim);
    } finally {
      if (claim === undefined) shares.give(asker);
    }
  };
  /** One for each account that waits, then another, as long as there are places for them. */
  const takeInTurns = async (): Promise<void> => {
    const waiting = new Map<Asker, Due[] | undefined>();
    for (const asker of closed ? [] : await askersDue(store, clock.now())) waiting.set(asker, undefined);
    isBehind = waiting.size > 0;
    const starting: Promise<void>[] = [];
    while (waiting.size > 0)
      for (const asker of shares.fairly([...waiting.keys()])) {
        const picked = await pick(waiting, asker);
        if (picked === undefined) waiting.delete(asker);
        else starting.push(start(picked));
      }
    for (const end of await Promise.allSettled(starting)) if (end.status === 'rejected') throw end.reason;
  };
  const resume = async (row: Due): Promise<void> => {
    const claim = closed ? undefined : await claimRow(parts, orders, row);
    if (claim === undefined) return;
    await parts.perform('acme.resume_issuance', { order_id: row.id, claim }, backgroundOf(row.namespace));
  };
  const resumeAll = async (): Promise<void> => {
    for (;;) {
      const rows = closed ? [] : await ordersDue(store, clock.now());
      const ends = await Promise.allSettled(rows.map((row) => resume(row)));
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      if (rows.length < ordersAtOnce) return;
    }
  };
  const sweepOf = (work: () => Promise<void>) =>
    coalesced(() =>
      work().catch((error: unknown) => log.warn({ err: error }, 'the sweep of ACME challenges and orders failed')),
    );
  const sweepChallenges = sweepOf(takeInTurns);
  const sweepOrders = sweepOf(resumeAll);
  // A store in a file has one server: whoever held claims before this one started is dead.
  const startedAt = clock.now();
  let freed: Promise<void> | undefined = store.kind === 'sqlite' ? undefined : Promise.resolve();
  const freeClaims = (): Promise<void> =>
    store.commit([challenges, orders].map((kind) => endClaims(kind, clock.now(), startedAt)));
  const sweep = async (): Promise<void> => {
    freed ??= freeClaims().catch((error: unknown) => {
      freed = undefined;
      log.warn({ err: error }, 'the claims of the server before this one could not be ended');
    });
    await freed;
    await Promise.all([sweepChallenges(), sweepOrders()]);
  };
  return {
    takePlace(asker) {
      if (!closed && shares.take(asker)) return newClaim();
      isBehind = true;
      return null;
    },
    releasePlace: (asker) => shares.give(asker),
    validate,
    sweep,
    async close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      await parts.validator.close();
      await Promise.all([sweepChallenges(), sweepOrders()]);
      await Promise.all(running);
    },
  };
}

/** Whose challenges are due, who waits longest first. */
async function askersDue(store: Store, now: number): Promise<Asker[]> {
  const rows = await store.all<{ namespace: string; role: string; account_id: string }>(
    `SELECT namespace, role, account_id, MIN(next_attempt_at) AS since FROM acme_server_challenges
     WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ?
     GROUP BY namespace, role, account_id ORDER BY since`,
    [now],
  );
  return rows.map(({ namespace, role, account_id: account }) => ({ namespace, role, account }));
}

function challengesDue(store: Store, { account }: Asker, now: number, most: number): Promise<Due[]> {
  return store.all<Due>(
    `SELECT id, namespace, next_attempt_at FROM acme_server_challenges
     WHERE account_id = ? AND next_attempt_at IS NOT NULL AND next_attempt_at <= ?
     ORDER BY next_attempt_at LIMIT ${most}`,
    [account, now],
  );
}

function ordersDue(store: Store, now: number): Promise<Due[]> {
  return store.all<Due>(
    `SELECT id, namespace, next_attempt_at FROM acme_server_orders
     WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ${ordersAtOnce}`,
    [now],
  );
}
