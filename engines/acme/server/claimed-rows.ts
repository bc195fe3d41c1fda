import { type Change, update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import { issuanceClaim, newClaim, validationClaim } from './claims.ts';

/** Rows with work in them: each says when it is due, and a node takes it by a claim that ends by itself. */

export const challenges = { table: 'acme_server_challenges', claimTime: validationClaim } as const;
export const orders = { table: 'acme_server_orders', claimTime: issuanceClaim } as const;
export type Kind = typeof challenges | typeof orders;

export interface Due {
  readonly id: string;
  readonly namespace: string;
  readonly next_attempt_at: number;
}

/** Ends the claims that were made before a time, and none that was made since. */
export function endClaims({ table, claimTime }: Kind, now: number, madeBefore: number): Change {
  const where = { status: 'processing', claim: { not: null }, next_attempt_at: { lt: madeBefore + claimTime } };
  return update(table, { next_attempt_at: now }, where);
}

/** Takes a row that nobody else took meanwhile; the claim, or undefined. */
export async function claimRow(
  { store, clock }: { readonly store: Store; readonly clock: Clock },
  { table, claimTime }: Kind,
  row: Due,
): Promise<string | undefined> {
  const claim = newClaim();
  const set = { claim, next_attempt_at: clock.now() + claimTime };
  const where = { id: row.id, status: 'processing', next_attempt_at: row.next_attempt_at };
  try {
    await store.commit([update(table, set, where, { expect: 1 })]);
    return claim;
  } catch (error) {
    if (error instanceof AppError && error.code === 'conflict') return undefined;
    throw error;
  }
}
