import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { Recheck } from '#policy/authorize.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { ClaimRow } from './tables.ts';

/** What the operations of claims work with. */
export interface ClaimDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** Asks the policies whether a principal may still do what a claim came of. */
  readonly recheck: Recheck;
  /** Puts an alarm on record; never rejects. */
  readonly alarm: (alarm: Alarm) => Promise<void>;
}

export const alarmReasons = ['claimed_again', 'other_principal', 'narrower_token', 'expired', 'cancelled'] as const;
export type AlarmReason = (typeof alarmReasons)[number];

/** Somebody had a right handle who should not have, or the right one came too late. */
export interface Alarm {
  readonly claim: ClaimRow;
  readonly reason: AlarmReason;
  /** Who tried. */
  readonly principal: string;
  readonly sourceAddress: string | null;
}

export function findClaim(store: Store, namespace: string, id: string): Promise<ClaimRow | undefined> {
  return store.first<ClaimRow>('SELECT * FROM claims WHERE id = ? AND namespace = ?', [id, namespace]);
}

/** Throws `not_found`, for a claim of another namespace as for none; `denied` where what it came of is out of reach. */
export async function requireClaim({ store }: ClaimDeps, grant: Grant, id: string): Promise<ClaimRow> {
  const row = await findClaim(store, grant.namespace, id);
  if (row !== undefined) {
    grant.reach(row.resource);
    return row;
  }
  throw noSuchClaim();
}

/** One answer for what was never there, for another's and for a wrong secret, so that nothing can be tried out. */
export function noSuchClaim(): AppError {
  return new AppError('not_found', 'There is no such claim for this principal.', {
    hint: 'A handle is good for the principal that made it; claim.list_claims with mine lists what is there.',
  });
}

/** For operations on one claim: whoever it was made for. */
export async function ownerOf(
  namespace: string,
  { claim_id: id }: { readonly claim_id: string },
  { store }: ClaimDeps,
): Promise<string | undefined> {
  return (await findClaim(store, namespace, id))?.principal;
}
