import { type Change, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { CertificateRow, OrderRow } from '#acme/client/tables.ts';
import { afterFailure } from '#acme/client/renewal/schedule.ts';
import type { OrderProgress } from './definition.ts';

/**
 * What one step of an order came to, and the changes that say so. All of them are guarded by the claim: of two nodes that
 * work on one order, only the one that holds it can write.
 */
export type StepOutcome =
  /** On to the next step, at once. */
  | { readonly kind: 'go'; readonly set: StepFields; readonly changes?: readonly Change[] }
  /** Nothing went wrong; there is something to wait for. */
  | { readonly kind: 'wait'; readonly set?: StepFields; readonly until: number | null }
  /** It will be tried again. */
  | { readonly kind: 'retry'; readonly reason: string; readonly set?: StepFields; readonly until: number }
  /** The authority made it invalid, and it is ordered again: for the `order`-th time. */
  | {
      readonly kind: 'repeat';
      readonly reason: string;
      readonly order: number;
      readonly set: StepFields;
      readonly until: number;
    }
  | { readonly kind: 'fail'; readonly reason: string; readonly steps?: OrderProgress }
  | { readonly kind: 'issued'; readonly changes: readonly Change[]; readonly note?: string }
  /** The order had ended, and nothing of it is left outside. */
  | { readonly kind: 'cleaned' };

export type StepFields = Partial<Pick<OrderRow, 'state' | 'url' | 'replaces' | 'give_up_at'>> & {
  readonly steps?: OrderProgress;
};

/** How long a claim holds without a sign of life of the node that has it. */
export const claimTime = 30_000;
const longestReason = 1000;

export interface Written {
  readonly changes: Change[];
  readonly state: OrderRow['state'];
  /** Whether the claim goes on. */
  readonly again: boolean;
}

/** `certificate` is the one that a renewal is for. */
export function write(
  row: OrderRow,
  certificate: CertificateRow | undefined,
  outcome: StepOutcome,
  now: number,
): Written {
  switch (outcome.kind) {
    case 'go': {
      const set = { ...columns(outcome.set), attempts: 0, last_error: null, next_action_at: now + claimTime };
      return {
        changes: [guarded(row, set, now), ...(outcome.changes ?? [])],
        state: outcome.set.state ?? row.state,
        again: true,
      };
    }
    case 'wait': {
      const set = { ...columns(outcome.set ?? {}), claim: null, last_error: null, next_action_at: outcome.until };
      return { changes: [guarded(row, set, now)], state: outcome.set?.state ?? row.state, again: false };
    }
    case 'retry': {
      const set = {
        ...columns(outcome.set ?? {}),
        claim: null,
        attempts: row.attempts + 1,
        last_error: outcome.reason.slice(0, longestReason),
        next_action_at: outcome.until,
      };
      return { changes: [guarded(row, set, now)], state: outcome.set?.state ?? row.state, again: false };
    }
    case 'repeat': {
      const set = {
        ...columns(outcome.set),
        claim: null,
        attempts: 0,
        last_error: outcome.reason.slice(0, longestReason),
        next_action_at: outcome.until,
      };
      return { changes: [guarded(row, set, now)], state: outcome.set.state ?? row.state, again: false };
    }
    case 'fail': {
      const { steps, reason } = outcome;
      const last = steps === undefined ? row : { ...row, progress: JSON.stringify(steps) };
      return { ...ended(last, certificate, 'failed', reason, now), again: false };
    }
    case 'issued': {
      const end = ended(row, certificate, 'issued', null, now);
      return { changes: [...end.changes, ...outcome.changes], state: 'issued', again: false };
    }
    case 'cleaned': {
      const set = { claim: null, next_action_at: null };
      return {
        changes: [guarded(row, set, now), remove('acme_client_challenges', { order_id: row.id })],
        state: row.state,
        again: false,
      };
    }
  }
}

function columns({ steps, ...set }: StepFields) {
  return { ...set, ...(steps === undefined ? {} : { progress: JSON.stringify(steps) }) };
}

function guarded(row: OrderRow, set: Readonly<Record<string, string | number | null>>, now: number): Change {
  const where = { id: row.id, claim: row.claim, state: row.state };
  return update('acme_client_orders', { ...set, updated_at: now }, where, { expect: 1, otherwise: lost });
}

function lost(): AppError {
  return new AppError('conflict', 'The order was taken over or ended meanwhile.', {
    hint: 'acme.get_order shows it.',
  });
}

/**
 * The end of an order: what answered challenges goes, but for TXT records that may still be published, which come due at
 * once to be taken away.
 */
export function ended(
  row: OrderRow,
  certificate: CertificateRow | undefined,
  state: 'issued' | 'failed' | 'cancelled',
  reason: string | null,
  now: number,
): { changes: Change[]; state: OrderRow['state'] } {
  const set = {
    state,
    progress: row.progress,
    claim: null,
    attempts: 0,
    last_error: reason?.slice(0, longestReason) ?? null,
    private_key: null,
    hook_key: null,
    next_action_at: now,
    ended_at: now,
  };
  const changes: Change[] = [
    guarded(row, set, now),
    remove('acme_client_challenges', { order_id: row.id, published: 0 }),
  ];
  if (state !== 'issued' && certificate !== undefined)
    changes.push(afterFailure(certificate, row, state, reason ?? 'The renewal was cancelled.', now));
  return { changes, state };
}
