import type { Change } from '#core/change.ts';
import { update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { type Breakers, targetKey } from './breaker.ts';
import type { Claims } from './claims.ts';
import { type LeaseEngine, type Revocation, RevocationError } from './contract.ts';
import { ended, type Failure, failed } from './ending.ts';
import type { LeaseRow } from './tables.ts';
import { revocationLimit } from './times.ts';

/** What is counted since the start, for metrics. */
export interface Tally {
  removed: number;
  alreadyAbsent: number;
  failed: number;
}

export interface RevocationParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly engines: ReadonlyMap<string, LeaseEngine>;
  readonly breakers: Breakers;
  readonly claims: Claims;
  readonly tally: Tally;
}

export interface Ended {
  /** The lease as it is when the changes are committed. */
  readonly lease: LeaseRow;
  readonly changes: readonly Change[];
  readonly sessions: number;
}

/**
 * The one way in which a lease ends, whoever wanted it: the engine takes its subject back and proves it gone, and the
 * changes say what came of it. The caller holds the claim, and commits.
 */
export async function revoke(parts: RevocationParts, lease: LeaseRow): Promise<Ended> {
  const { breakers, claims, clock, tally } = parts;
  const key = targetKey(lease);
  claims.hold([lease]);
  breakers.begin(key);
  try {
    const revocation = await callEngine(parts, lease);
    const back = breakers.end(key, true);
    const now = clock.now();
    const { changes, set } = ended(lease, revocation, now);
    tally[set.ended_as === 'removed' ? 'removed' : 'alreadyAbsent'] += 1;
    if (back) changes.push(...retryUnavailable(lease, now));
    return { lease: { ...lease, ...set }, changes, sessions: revocation.sessions };
  } catch (error) {
    return fail(parts, lease, key, toFailure(parts, lease, error));
  } finally {
    claims.drop(lease);
  }
}

function fail(parts: RevocationParts, lease: LeaseRow, key: string, failure: Failure): Ended {
  const now = parts.clock.now();
  const back = parts.breakers.end(key, !failure.unavailable);
  parts.tally.failed += 1;
  const { changes, set } = failed(lease, failure, now);
  const facts = { lease: lease.id, target: lease.target, attempts: set.attempts, reason: set.last_error };
  if (set.state === 'stuck') parts.log.error(facts, 'a lease cannot be ended; somebody must look');
  else parts.log.warn(facts, 'a lease could not be ended yet');
  if (back) changes.push(...retryUnavailable(lease, now));
  return { lease: { ...lease, ...set }, changes, sessions: 0 };
}

/** The target answers again: what waited for that need not wait any longer. */
function retryUnavailable({ namespace, target }: LeaseRow, now: number): Change[] {
  const where = { namespace, target, state: ['revoking', 'stuck'], claim: null, unavailable: 1 };
  return [update('leases', { next_action_at: now }, where)];
}

async function callEngine({ engines }: RevocationParts, lease: LeaseRow): Promise<Revocation> {
  const engine = engines.get(lease.engine);
  if (engine === undefined) throw new RevocationError(`This server has no engine ${lease.engine}.`);
  requireReadable(lease);
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new RevocationError('The engine did not answer in time.', { unavailable: true })),
    revocationLimit,
  );
  timer.unref();
  try {
    return await Promise.race([engine.revoke(lease), promise]);
  } finally {
    clearTimeout(timer);
  }
}

class UnreadableRow extends Error {}

/** A row that a bad disk or a bad hand has changed is nothing that an engine should have to expect. */
function requireReadable(lease: LeaseRow): void {
  for (const column of ['facts', 'revocation'] as const) {
    try {
      const value: unknown = JSON.parse(lease[column]);
      if (typeof value === 'object' && value !== null) continue;
    } catch {
      // the one error below
    }
    throw new UnreadableRow(`The row of this lease is damaged: its column ${column} is not a JSON object.`);
  }
}

function toFailure({ log }: RevocationParts, lease: LeaseRow, error: unknown): Failure {
  if (error instanceof UnreadableRow)
    return { message: error.message, unavailable: false, hopeless: true, removed: false, residue: [] };
  if (error instanceof RevocationError) {
    const { message, unavailable, residue, removed } = error;
    if (error.unexpected) log.error({ err: error.cause, lease: lease.id }, 'a revocation failed unexpectedly');
    return { message, unavailable, hopeless: false, removed, residue };
  }
  log.error({ err: error, lease: lease.id }, 'a revocation failed unexpectedly');
  const message = error instanceof AppError ? error.message : 'An internal error occurred; the log has the details.';
  return { message, unavailable: false, hopeless: false, removed: false, residue: [] };
}
