import { type Change, update, type Where } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { LeaseScope, Residue, Revocation } from './contract.ts';
import { countDown } from './counts.ts';
import type { EndCause, LeaseRow, LeaseState } from './tables.ts';
import { claimTime, retryDelay, stuckAfter } from './times.ts';

/**
 * Every step towards the end of a lease, as changes. A step is guarded by what it read, and from the claim on by the
 * claim: of two nodes that work on one lease, only the one that holds the claim can write what came of it.
 */

/** Takes leases over for revocation, as they were read. A batch without `expect` takes those that it gets. */
export function claimChange(
  where: Where,
  lease: Pick<LeaseRow, 'state' | 'cause'>,
  cause: EndCause,
  claim: string,
  now: number,
  guard: { readonly expect?: number } = {},
): Change {
  return update(
    'leases',
    { state: claimedState(lease.state), cause, claim, next_action_at: now + claimTime },
    { ...where, state: lease.state, cause: lease.cause },
    guard,
  );
}

/** Why a lease that is due ends: what somebody wanted comes before what time did. */
export function causeOf({ state, cause }: Pick<LeaseRow, 'state' | 'cause'>): EndCause {
  return cause ?? (state === 'minting' ? 'mint_failed' : 'expired');
}

/** A stuck one stays so until it is gone, so that the alarm does not flicker. */
function claimedState(state: LeaseState): LeaseState {
  return state === 'stuck' ? 'stuck' : 'revoking';
}

function held({ id, claim }: LeaseRow): Where {
  return { id, claim };
}

function lost(): AppError {
  return new AppError('conflict', 'Another node took this lease over meanwhile and ends it.', {
    hint: 'Read the lease to see how it ended.',
  });
}

/** The absence of its subject was verified; `set` is what the row says then. */
export function ended(
  lease: LeaseRow,
  { ended: endedAs }: Revocation,
  now: number,
): { changes: Change[]; set: Partial<LeaseRow> } {
  const set = {
    state: 'revoked',
    claim: null,
    next_action_at: null,
    last_error: null,
    unavailable: 0,
    residue: null,
    ended_at: now,
    // An earlier attempt may have removed it, and failed for what it had left behind.
    ended_as: lease.ended_as ?? endedAs,
  } as const;
  return {
    changes: [update('leases', set, held(lease), { expect: 1, otherwise: lost }), ...countDown(lease)],
    set,
  };
}

export interface Failure {
  readonly message: string;
  readonly unavailable: boolean;
  /** It will not get better by itself: somebody must look now. */
  readonly hopeless: boolean;
  /** The subject itself was removed all the same. */
  readonly removed: boolean;
  readonly residue: readonly Residue[];
}

/** Longest text of an error and longest list of what is left that a row keeps. */
const longestMessage = 500;
const mostResidue = 100;

/** It will be tried again; what is set says when. */
export function failed(lease: LeaseRow, failure: Failure, now: number): { changes: Change[]; set: FailedFields } {
  const attempts = lease.attempts + 1;
  const set: FailedFields = {
    state: attempts >= stuckAfter || failure.hopeless ? 'stuck' : 'revoking',
    claim: null,
    attempts,
    last_error: failure.message.slice(0, longestMessage),
    unavailable: failure.unavailable ? 1 : 0,
    ended_as: failure.removed ? 'removed' : lease.ended_as,
    residue: failure.residue.length === 0 ? null : JSON.stringify(failure.residue.slice(0, mostResidue)),
    next_action_at: now + retryDelay(failure.hopeless ? stuckAfter : attempts, failure.unavailable),
  };
  return { changes: [update('leases', { ...set }, held(lease), { expect: 1, otherwise: lost })], set };
}

export type FailedFields = Pick<
  LeaseRow,
  'state' | 'claim' | 'attempts' | 'last_error' | 'unavailable' | 'residue' | 'next_action_at' | 'ended_as'
>;

/** Sets aside claimed rows that cannot even be read, so that they hold up nobody; somebody must look. */
export function quarantine(ids: readonly string[], claim: string, now: number): Change {
  const set = {
    state: 'stuck',
    claim: null,
    last_error: 'The row of this lease is damaged: it cannot be read.',
    next_action_at: now + retryDelay(stuckAfter, false),
  };
  return update('leases', set, { id: ids, claim }, { add: { attempts: 1 } });
}

/** A minting that is under way only learns that its lease is to end: `activate` sees it, and the row comes due. */
export function markMinting(where: Where, cause: EndCause): Change {
  return update('leases', { cause }, { ...where, state: 'minting', cause: null });
}

/** Ends all live leases that match, in the background; what is being tried again is tried at once. */
export function endMatching(where: Where, cause: EndCause, now: number): Change[] {
  return [
    update('leases', { state: 'revoking', cause, next_action_at: now }, { ...where, state: 'active', cause: null }),
    markMinting(where, cause),
    update('leases', { next_action_at: now }, { ...where, state: ['revoking', 'stuck'], claim: null }),
  ];
}

/** The leases of a scope. */
export function inScope(namespace: string, scope: LeaseScope): Where {
  return { namespace, ...scope };
}
