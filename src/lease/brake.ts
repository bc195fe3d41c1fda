import { type Change, insert, remove, update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { SystemCaller } from '#core/system-call.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { LeaseEngine } from './contract.ts';
import { restoredSetting } from './migrations.ts';
import type { LeaseBrakeRow, LeaseRow } from './tables.ts';

/**
 * The brake on mass expiry. A clock that jumps forward, or a store from a backup, makes leases look overdue whose
 * users are at work. So when many are overdue at once and the clock is under suspicion, the target's own clock decides;
 * if it does not vouch for ours, nothing ends by expiry until somebody who has looked says so.
 */
export interface Brake {
  /** Looks at clock, store and targets. Called before each batch; its time is the one to sweep by. */
  look(): Promise<Look>;
}

export interface Look {
  readonly now: number;
  /** `braked`: only what somebody wanted may end. `wait`: it cannot be told yet, so the same. */
  readonly mode: 'free' | 'wait' | 'braked';
}

export interface BrakeParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Milliseconds that never jump. */
  readonly monotonic: () => number;
  readonly engines: ReadonlyMap<string, LeaseEngine>;
  readonly log: StoreLog;
  readonly call: SystemCaller;
}

const staleHeartbeat = 3_600_000;
const heartbeatEvery = 60_000;
/** Overdue, jump of the clock, difference between two clocks: below this, none of them matters. */
const tolerance = 300_000;
const fewestOverdue = 20;
const smallestShare = 0.1;
/** How many targets are asked for the time. */
const mostAsked = 8;

export function createBrake(parts: BrakeParts): Brake {
  const { store, clock, monotonic } = parts;
  let last: { readonly wall: number; readonly mono: number } | undefined;
  let suspicion: string | undefined;
  let beatAt = -Infinity;
  const beat = async (row: LeaseBrakeRow | undefined, now: number): Promise<void> => {
    if (row !== undefined && monotonic() - beatAt < heartbeatEvery) return;
    await store
      .commit([row === undefined ? firstRow(now) : update('lease_brake', { heartbeat_at: now }, { id: 1 })])
      .catch(ignoreConflict);
    beatAt = monotonic();
  };
  const notice = (row: LeaseBrakeRow | undefined, now: number): void => {
    const mono = monotonic();
    if (row !== undefined && now - row.heartbeat_at > staleHeartbeat) suspicion = 'nothing was swept for a long time';
    if (last !== undefined && now - last.wall - (mono - last.mono) > tolerance) suspicion = 'the clock jumped forward';
    last = { wall: now, mono };
  };
  return {
    async look() {
      const now = clock.now();
      const row = await readBrake(store);
      notice(row, now);
      if (row?.applied_at != null) {
        suspicion = undefined;
        await beat(row, now);
        return { now, mode: 'braked' };
      }
      const restored = await wasRestored(parts);
      const verdict = restored
        ? await apply(parts, 'the store was restored from a backup', now)
        : await judge(parts, suspicion, now);
      if (verdict !== 'wait') suspicion = undefined;
      if (verdict !== 'wait') await beat(row, now);
      return { now, mode: verdict };
    },
  };
}

export function readBrake(store: Store): Promise<LeaseBrakeRow | undefined> {
  return store.first<LeaseBrakeRow>('SELECT * FROM lease_brake WHERE id = 1', []);
}

/** The row of the installation, made by whichever node sweeps first. */
export function firstRow(now: number, applied: AppliedBrake = released): Change {
  return insert('lease_brake', { id: 1, heartbeat_at: now, ...applied });
}

export type AppliedBrake = Pick<LeaseBrakeRow, 'applied_at' | 'reason' | 'overdue'>;
export const released: AppliedBrake = { applied_at: null, reason: null, overdue: null };

/** Another node made the row first. */
function ignoreConflict(error: unknown): void {
  if (!(error instanceof AppError && error.code === 'conflict')) throw error;
}

/** Leases of a backup may have been renewed since, or ended; where there are none, the mark says nothing. */
async function wasRestored({ store }: BrakeParts): Promise<boolean> {
  const mark = await store.first('SELECT name FROM settings WHERE name = ?', [restoredSetting]);
  if (mark === undefined) return false;
  if ((await countAll(store)) > 0) return true;
  await store.commit([forgetRestore()]);
  return false;
}

export function forgetRestore(): Change {
  return remove('settings', { name: restoredSetting });
}

/** What to do under a suspicion; without one, nothing is counted. */
async function judge(parts: BrakeParts, reason: string | undefined, now: number): Promise<Look['mode']> {
  if (reason === undefined) return 'free';
  const { store, log } = parts;
  const overdue = await countOverdue(store, now - tolerance);
  if (overdue < Math.max(fewestOverdue, (await countAll(store)) * smallestShare)) return 'free';
  const witness = await askTargets(parts, now);
  if (witness === 'differs') return apply(parts, reason, now);
  const facts = { overdue, reason };
  if (witness === 'agrees') log.info(facts, 'many leases are overdue, and the clock of their target agrees');
  else log.warn(facts, 'many leases are overdue and no target can be asked for the time, so expiry waits');
  return witness === 'agrees' ? 'free' : 'wait';
}

async function apply({ store, log, call }: BrakeParts, reason: string, now: number): Promise<'braked'> {
  const overdue = await countOverdue(store, now);
  await call('lease.apply_brake', { reason, overdue });
  log.error({ overdue, reason }, 'the brake on mass expiry was applied: nothing ends by expiry until it is released');
  return 'braked';
}

/** Leases that only time would end, and that it would have ended before `at`. */
export async function countOverdue(store: Store, at: number): Promise<number> {
  const row = await store.first<{ count: number }>(
    'SELECT COUNT(*) AS count FROM leases WHERE next_action_at <= ? AND cause IS NULL',
    [at],
  );
  return row?.count ?? 0;
}

/** All that live, from the counters of principals. */
export async function countAll(store: Store): Promise<number> {
  const row = await store.first<{ live: number | null }>(
    `SELECT CAST(SUM(live) AS BIGINT) AS live FROM lease_counts WHERE scope LIKE 'principals/%'`,
    [],
  );
  return row?.live ?? 0;
}

/** Whether the clocks of targets with overdue leases agree with ours. A target without a clock cannot vouch for it. */
async function askTargets(parts: BrakeParts, now: number): Promise<'agrees' | 'differs' | 'silent'> {
  const answers = await Promise.all(
    (await leasesToAsk(parts.store, now)).map(async (lease) => {
      const engine = parts.engines.get(lease.engine);
      try {
        const before = parts.monotonic();
        const time = await engine?.targetTime(lease);
        if (time === undefined) return 'differs';
        const ours = now + (parts.monotonic() - before);
        return Math.abs(time - ours) <= tolerance ? 'agrees' : 'differs';
      } catch {
        return 'silent';
      }
    }),
  );
  if (answers.includes('differs')) return 'differs';
  return answers.includes('agrees') ? 'agrees' : 'silent';
}

/** One lease of each of some targets that have overdue ones. */
async function leasesToAsk(store: Store, now: number): Promise<LeaseRow[]> {
  const targets = await store.all<{ id: string }>(
    `SELECT MIN(id) AS id FROM leases WHERE next_action_at <= ? AND cause IS NULL
     GROUP BY namespace, target ORDER BY COUNT(*) DESC LIMIT ?`,
    [now - tolerance, mostAsked],
  );
  const rows = await Promise.all(
    // A damaged row says nothing of the clock.
    targets.map(({ id }) => store.first<LeaseRow>('SELECT * FROM leases WHERE id = ?', [id]).catch(() => undefined)),
  );
  return rows.filter((row) => row !== undefined);
}

/** The answer to a request that would need the brake to be on. */
export function brakeIsOff(): AppError {
  return new AppError('wrong_state', 'The brake on mass expiry is not applied.', {
    hint: 'lease.get_status shows its state.',
  });
}
