import { randomBytes } from 'node:crypto';
import { update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { type Asker, createShares, type Shares } from '#acme/shares.ts';
import { claimTime } from './order/outcome.ts';

/**
 * Works on rows that are due, as many at a time as there are slots, which are shared: who waits for an authority or a DNS
 * provider that hangs keeps others from nothing. A row is claimed before it is worked on, and what one node has claimed
 * is not due for others; a node that dies renews its claims no more, and they come due again.
 */
export interface Worker {
  /** From now on; before, nothing is claimed. */
  start(): Promise<void>;
  /** Looks for what is due. */
  wake(): void;
  /** Claims nothing any more, and waits for what is under way. */
  close(): Promise<void>;
}

export interface DueRow {
  readonly id: string;
  readonly namespace: string;
  readonly claim: string;
}

export interface WorkerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly table: 'acme_client_orders' | 'acme_certificates';
  /** How many at once. */
  readonly slots: number;
  readonly work: (row: DueRow) => Promise<void>;
}

const refreshEvery = claimTime / 3;
const closePatience = 20_000;
const longestTimer = 2 ** 31 - 1;
const shortestTimer = 20;

export function createWorker(parts: WorkerParts): Worker {
  const { store, clock, log, table } = parts;
  const shares = createShares(parts.slots);
  const running = new Map<string, { readonly row: SharingRow; readonly end: Promise<void> }>();
  let started = false;
  let closed = false;
  let looking: Promise<void> | undefined;
  let again = false;
  let looked = 0;
  let timer: NodeJS.Timeout | undefined;
  let refresh: NodeJS.Timeout | undefined;

  const begin = (row: SharingRow): void => {
    const end = parts
      .work(row)
      .catch((error: unknown) => {
        // Somebody ended or changed it meanwhile, and what was done here is not written.
        if (error instanceof AppError && error.code === 'conflict') return;
        log.error({ err: error, id: row.id }, 'work at an ACME authority failed');
      })
      .finally(() => {
        running.delete(row.id);
        shares.give(row);
        wake();
      });
    running.set(row.id, { row, end });
  };
  const look = async (): Promise<void> => {
    do {
      again = false;
      looked = clock.now();
      if (!closed && running.size < parts.slots) (await claimDue(parts, shares, looked)).forEach(begin);
    } while (again);
    await setTimer();
  };
  /** For what comes due after the last look. What was due then and found no place gets one when the next work ends. */
  const setTimer = async (): Promise<void> => {
    const next = await store.first<{ at: number }>(
      `SELECT next_action_at AS at FROM ${table} WHERE next_action_at > ? ORDER BY next_action_at LIMIT 1`,
      [looked],
    );
    clearTimeout(timer);
    if (next === undefined || closed) return;
    timer = setTimeout(wake, Math.min(Math.max(next.at - clock.now(), shortestTimer), longestTimer));
    timer.unref();
  };
  const wake = (): void => {
    if (!started || closed) return;
    again = true;
    looking ??= look()
      .catch((error: unknown) => log.error({ err: error }, 'what is due at ACME authorities could not be read'))
      .finally(() => {
        looking = undefined;
        // Something may have come between the last look and here.
        if (again) wake();
      });
  };
  return {
    async start() {
      // A store that only this process has: claims of before are of a process that is gone.
      if (store.kind === 'sqlite')
        await store.commit([update(table, { claim: null, next_action_at: clock.now() }, { claim: { not: null } })]);
      started = true;
      refresh = setInterval(
        () =>
          void keepClaims(
            parts,
            [...running.values()].map(({ row }) => row),
          ),
        refreshEvery,
      );
      refresh.unref();
      wake();
    },
    wake,
    async close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(refresh);
      await looking;
      const patience = AbortSignal.timeout(closePatience);
      const lapse = new Promise((resolve) => patience.addEventListener('abort', resolve));
      await Promise.race([Promise.all([...running.values()].map(({ end }) => end)), lapse]);
    },
  };
}

interface SharingRow extends DueRow, Asker {}

/** Durable when it resolves; what another node took first is not among the result. */
async function claimDue(parts: WorkerParts, shares: Shares, now: number): Promise<SharingRow[]> {
  const { store, table } = parts;
  const taken = shares.fairly(await dueRows(parts, now)).filter((row) => shares.take(row));
  if (taken.length === 0) return [];
  const claim = randomBytes(16).toString('hex');
  const ids = taken.map(({ id }) => id);
  const claimed = new Set<string>();
  try {
    const set = { claim, next_action_at: now + claimTime };
    await store.commit([update(table, set, { id: ids, next_action_at: { lte: now } })]);
    const marks = ids.map(() => '?').join(', ');
    const found = await store.all<{ id: string }>(`SELECT id FROM ${table} WHERE id IN (${marks}) AND claim = ?`, [
      ...ids,
      claim,
    ]);
    for (const { id } of found) claimed.add(id);
  } finally {
    for (const row of taken) if (!claimed.has(row.id)) shares.give(row);
  }
  return taken.filter(({ id }) => claimed.has(id)).map((row) => ({ ...row, claim }));
}

/**
 * The first of every account and, among its orders, of every DNS provider, before the second of any. Places are shared by
 * namespace, then account, then provider: what the server calls namespace, role and account.
 */
function dueRows({ store, slots, table }: WorkerParts, now: number): Promise<Omit<SharingRow, 'claim'>[]> {
  const provider = table === 'acme_client_orders' ? `COALESCE(dns_provider, '')` : `''`;
  return store.all(
    `SELECT id, namespace, account_id AS role, provider AS account FROM (
       SELECT id, namespace, account_id, ${provider} AS provider, next_action_at,
         ROW_NUMBER() OVER (PARTITION BY namespace, account_id, ${provider} ORDER BY next_action_at) AS place
       FROM ${table} WHERE next_action_at <= ?) AS due
     WHERE place <= ? ORDER BY place, next_action_at LIMIT ?`,
    [now, slots, 4 * slots],
  );
}

async function keepClaims({ store, clock, log, table }: WorkerParts, rows: readonly DueRow[]): Promise<void> {
  if (rows.length === 0) return;
  const where = { id: rows.map(({ id }) => id), claim: [...new Set(rows.map(({ claim }) => claim))] };
  await store
    .commit([update(table, { next_action_at: clock.now() + claimTime }, where)])
    .catch((error: unknown) => log.warn({ err: error }, 'claims of ACME orders were not renewed'));
}
