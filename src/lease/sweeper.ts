import type { Clock } from '#core/clock.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { Brake } from './brake.ts';
import { type Breakers, targetKey } from './breaker.ts';
import { type Claims, newClaim } from './claims.ts';
import { claimDue, type DueLease, findDue, findDueAt, nextDueAfter } from './due.ts';
import { quarantine } from './ending.ts';
import type { LeaseRow } from './tables.ts';

/**
 * Ends what is due. There is no timer per lease and nothing to load at start: due leases are found by an index and
 * claimed in batches, as many as their targets have room for. Nodes that share a store share the work, since what
 * one has claimed is not due for the others.
 */
export interface Sweeper {
  /** Sweeps until nothing that can be ended now is due. */
  run(): Promise<void>;
  /** Begins a sweep, or makes the one that is under way look again. */
  wake(): void;
  /** Something comes due then. */
  expect(at: number): void;
  /** Seconds that the last sweep took; undefined before the first. */
  lastSweep(): number | undefined;
  /** Claims nothing any more, and waits for what is under way. */
  close(): Promise<void>;
}

export interface SweeperParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly monotonic: () => number;
  readonly log: StoreLog;
  readonly brake: Brake;
  readonly breakers: Breakers;
  readonly claims: Claims;
  /** Revocations at once per target, unless its engine says another number. */
  readonly concurrency: number;
  /** Likewise, of the target of a lease. */
  readonly width: (lease: LeaseRow) => number;
  /** Ends one claimed lease, through dispatch. */
  readonly end: (lease: LeaseRow) => Promise<void>;
}

/**
 * Claimed at once: per target as many times the usual concurrency as this, and twice its own where that is more; over all
 * targets as many as `mostClaimed`. Bounds memory, and what waits for the claim of a node that died.
 */
const claimsPerSlot = 8;
const mostClaimed = 1024;
const batchSize = 64;
/** How often in a row another node may be faster before this one leaves it to the others until the next sweep. */
const mostFruitless = 10;
/** Milliseconds to wait for revocations under way when the server closes; their claims come due if they last longer. */
const closePatience = 15_000;

/** What is claimed of one target. */
interface Lane {
  readonly namespace: string;
  readonly target: string;
  /** Revocations at once. */
  readonly width: number;
  readonly waiting: LeaseRow[];
  running: number;
}

export function createSweeper(parts: SweeperParts): Sweeper {
  const { log, monotonic } = parts;
  const lanes = new Map<string, Lane>();
  const alarm = createAlarm(parts, () => wake());
  let running: Promise<void> | undefined;
  let changed = Promise.withResolvers<void>();
  let lastSweep: number | undefined;
  /** Whether targets that nothing is under way at may have something due. */
  const search = { needed: true };
  const closing = new AbortController();
  const closed = (): boolean => closing.signal.aborted;

  const signal = (): void => {
    const { resolve } = changed;
    changed = Promise.withResolvers<void>();
    resolve();
  };
  const givingBack = new Set<Promise<void>>();
  const giveBack = (leases: readonly LeaseRow[]): void => {
    const given = parts.claims
      .release(leases)
      .catch((error: unknown) => log.warn({ err: error }, 'claims were not released'))
      .finally(() => givingBack.delete(given));
    givingBack.add(given);
  };
  const start = (lane: Lane, lease: LeaseRow): void => {
    lane.running += 1;
    void parts
      .end(lease)
      .catch((error: unknown) => log.error({ err: error, lease: lease.id }, 'the end of a lease was not recorded'))
      .finally(() => {
        lane.running -= 1;
        parts.claims.drop(lease);
        advance(lane);
        if (lane.running > 0) return room(parts, lane) > 0 ? signal() : undefined;
        lanes.delete(targetKey(lane));
        search.needed = true;
        signal();
      });
  };
  const advance = (lane: Lane): void => {
    while (!closed() && lane.running < lane.width) {
      if (lane.waiting.length > 0 && parts.breakers.admits(targetKey(lane), 1) === 0) {
        // The target went away: what was claimed meanwhile need not fail one by one.
        giveBack(lane.waiting.splice(0));
        if (lane.running === 0) lanes.delete(targetKey(lane));
        return;
      }
      const next = lane.waiting.shift();
      if (next === undefined) return;
      start(lane, next);
    }
  };
  const put = (lease: LeaseRow): void => {
    const key = targetKey(lease);
    const lane = lanes.get(key) ?? newLane(lease, parts.width(lease));
    lanes.set(key, lane);
    lane.waiting.push(lease);
    advance(lane);
  };
  const sweep = async (): Promise<void> => {
    const begun = monotonic();
    let fruitless = 0;
    while (!closed()) {
      const seen = changed.promise;
      const { chosen, taken } = await takeBatch(parts, lanes, search);
      parts.claims.hold(taken);
      taken.forEach(put);
      // Another node was faster; it is at work, and there may be more.
      fruitless = chosen > 0 && taken.length === 0 ? fruitless + 1 : 0;
      if (chosen > 0 && fruitless < mostFruitless) continue;
      if (lanes.size === 0) break;
      await seen;
    }
    lastSweep = (monotonic() - begun) / 1000;
    await alarm.set();
  };
  const run = (): Promise<void> => {
    if (closed()) return Promise.resolve();
    search.needed = true;
    signal();
    return (running ??= sweep().finally(() => (running = undefined)));
  };
  const wake = (): void => {
    run().catch((error: unknown) => log.error({ err: error }, 'a sweep of the leases failed'));
  };
  return {
    run,
    wake,
    expect: alarm.expect,
    lastSweep: () => lastSweep,
    async close() {
      closing.abort();
      alarm.close();
      signal();
      await running?.catch(() => undefined);
      giveBack([...lanes.values()].flatMap((lane) => lane.waiting.splice(0)));
      await Promise.all(givingBack);
      for (const [key, lane] of lanes) if (lane.running === 0) lanes.delete(key);
      const patience = AbortSignal.timeout(closePatience);
      const lapse = new Promise((resolve) => patience.addEventListener('abort', resolve));
      while (lanes.size > 0 && !patience.aborted) await Promise.race([changed.promise, lapse]);
    },
  };
}

function newLane({ namespace, target }: Pick<LeaseRow, 'namespace' | 'target'>, width: number): Lane {
  return { namespace, target, width, waiting: [], running: 0 };
}

interface Batch {
  /** How many were due and had room. */
  readonly chosen: number;
  readonly taken: readonly LeaseRow[];
}

type Lanes = ReadonlyMap<string, Lane>;

/** Claims what is due of the targets that have room. */
async function takeBatch(parts: SweeperParts, lanes: Lanes, search: { needed: boolean }): Promise<Batch> {
  const limit = Math.min(batchSize, mostClaimed - parts.claims.size());
  if (limit <= 0) return { chosen: 0, taken: [] };
  const { now, mode } = await parts.brake.look();
  const due =
    mode === 'free' ? await findAll(parts, lanes, search, now, limit) : await findWanted(parts, lanes, now, limit);
  const chosen = choose(due, (key, lease) => room(parts, lanes.get(key) ?? newLane(lease, parts.concurrency)));
  return { chosen: chosen.length, taken: chosen.length === 0 ? [] : await claim(parts, chosen, now) };
}

async function claim(
  { store, log }: SweeperParts,
  chosen: readonly DueLease[],
  now: number,
): Promise<readonly LeaseRow[]> {
  const token = newClaim();
  const { leases, unreadable } = await claimDue(store, chosen, token, now);
  if (unreadable.length > 0) {
    await store.commit([quarantine(unreadable, token, now)]);
    log.error({ leases: unreadable }, 'rows of leases cannot be read and are set aside; somebody must look');
  }
  return leases;
}

/** First what is due where something is under way already, each target by itself; then elsewhere, when that is needed. */
async function findAll(
  parts: SweeperParts,
  lanes: Lanes,
  search: { needed: boolean },
  now: number,
  limit: number,
): Promise<DueLease[]> {
  const due: DueLease[] = [];
  for (const lane of lanes.values()) {
    const most = Math.min(room(parts, lane), limit - due.length);
    if (most > 0) due.push(...(await findDueAt(parts.store, lane, now, most)));
  }
  if (!search.needed || due.length >= limit) return due;
  search.needed = false;
  const without = [...lanes.values(), ...restingTargets(parts)];
  const elsewhere = await findDue(parts.store, { now, limit: limit - due.length, without, wantedOnly: false });
  if (elsewhere.length > 0) search.needed = true;
  return [...due, ...elsewhere];
}

/** Under the brake there is little to end, and it has an index of its own. */
function findWanted(parts: SweeperParts, lanes: Lanes, now: number, limit: number): Promise<DueLease[]> {
  const full = [...lanes.values()].filter((lane) => room(parts, lane) === 0);
  return findDue(parts.store, { now, limit, without: [...full, ...restingTargets(parts)], wantedOnly: true });
}

/** Targets that are away and not to be probed yet. */
function restingTargets({ breakers }: SweeperParts): Pick<LeaseRow, 'namespace' | 'target'>[] {
  return breakers.open().flatMap(({ target: key }) => (breakers.admits(key, 1) === 0 ? [splitKey(key)] : []));
}

/** How many more of a target may be claimed: nothing before half of what it has is done, so that batches are large. */
function room({ breakers, concurrency }: SweeperParts, lane: Lane): number {
  const most = Math.max(concurrency * claimsPerSlot, lane.width * 2);
  const held = lane.waiting.length + lane.running;
  const admitted = breakers.admits(targetKey(lane), most);
  // A target that is away gets one probe.
  if (admitted < most) return held === 0 ? admitted : 0;
  return held > most / 2 ? 0 : most - held;
}

function choose(due: readonly DueLease[], roomOf: (key: string, lease: DueLease) => number): DueLease[] {
  const left = new Map<string, number>();
  return due.filter((lease) => {
    const key = targetKey(lease);
    const free = left.get(key) ?? roomOf(key, lease);
    left.set(key, free - 1);
    return free > 0;
  });
}

function splitKey(key: string): Pick<LeaseRow, 'namespace' | 'target'> {
  const space = key.indexOf(' ');
  return { namespace: key.slice(0, space), target: key.slice(space + 1) };
}

/** Node fires a timer at once when its time does not fit into 31 bits. */
const longestTimer = 2 ** 31 - 1;
/** What comes due in the same moment is swept together. */
const shortestTimer = 20;

/** The one timer of a node: it wakes the sweeper when the soonest lease comes due. */
function createAlarm({ store, clock }: Pick<SweeperParts, 'store' | 'clock'>, ring: () => void) {
  let timer: NodeJS.Timeout | undefined;
  let setFor = Infinity;
  let closed = false;
  const expect = (at: number): void => {
    if (closed || at >= setFor) return;
    clearTimeout(timer);
    setFor = at;
    const delay = Math.min(Math.max(at - clock.now(), shortestTimer), longestTimer);
    timer = setTimeout(() => {
      setFor = Infinity;
      ring();
    }, delay);
    timer.unref();
  };
  return {
    expect,
    async set() {
      const at = await nextDueAfter(store, clock.now());
      if (at !== undefined) expect(at);
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
