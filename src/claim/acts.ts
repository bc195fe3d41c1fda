import { z } from 'zod';
import { remove, update } from '#core/change.ts';
import { type AnyAct, defineAct } from '#core/operation.ts';
import type { Narrowing } from '#core/principal.ts';
import { alarmReasons, type ClaimDeps, requireClaim } from './deps.ts';
import { claimId } from './handle.ts';

/** What the server itself does about claims. */

/** Milliseconds for which a claim is remembered after its end, so that a late attempt is known for what it is. */
const remembered = 30 * 86_400_000;

export const raiseAlarm = defineAct({
  id: 'claim.raise_alarm',
  title: 'Raise an alarm on a claim',
  summary:
    'Puts on record that a right handle was shown a second time, after its end, or by somebody whose claim it is not.',
  input: z.strictObject({
    claim_id: claimId,
    reason: z.enum(alarmReasons).describe('What happened'),
    principal: z.string().max(256).describe('Who tried'),
    source_address: z.string().max(64).nullable().describe('From where'),
  }),
  output: z.strictObject({}),
  resource: ({ claim_id: id }) => `claims/${id}`,
  effect: 'mutating',
  async run(grant, input, deps: ClaimDeps) {
    const row = await requireClaim(deps, grant, input.claim_id);
    return {
      output: {},
      changes: [
        update('claims', { alarmed_at: grant.now }, { id: row.id, namespace: row.namespace }, { add: { alarms: 1 } }),
      ],
      audit: {
        alarm: true,
        reason: input.reason,
        tried_by: input.principal,
        tried_from: input.source_address,
        claim_of: row.principal,
        made_by: row.operation,
        made_from: row.resource,
        claimed_at: row.claimed_at,
        claimed_from: row.claimed_from,
      },
    };
  },
});

export const purgeClaims = defineAct({
  id: 'claim.purge_claims',
  title: 'Purge claims',
  summary: 'Deletes secrets that were not claimed in time, and what is known of claims that ended 30 days ago.',
  input: z.strictObject({}),
  output: z.strictObject({}),
  resource: () => 'claims',
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run({ now }, _input, { store }: ClaimDeps) {
    const counts = await store.first<{ secrets: number; forgotten: number }>(purgeable, [now, now - remembered]);
    return {
      output: {},
      changes: [
        update('claims', { secrets: null }, { expires_at: { lte: now }, secrets: { not: null } }),
        remove('claims', { expires_at: { lt: now - remembered } }),
      ],
      audit: { ...counts },
    };
  },
});

const purgeable = `SELECT
  (SELECT COUNT(*) FROM claims WHERE expires_at <= ? AND secrets IS NOT NULL) AS secrets,
  (SELECT COUNT(*) FROM claims WHERE expires_at < ?) AS forgotten`;

/** Whether a purge has anything to do, so that no event is written for nothing. */
export async function isPurgeDue({ store, clock }: Pick<ClaimDeps, 'store' | 'clock'>): Promise<boolean> {
  const now = clock.now();
  const counts = await store.first<{ secrets: number; forgotten: number }>(purgeable, [now, now - remembered]);
  return (counts?.secrets ?? 0) + (counts?.forgotten ?? 0) > 0;
}

export const claimActs: readonly AnyAct<ClaimDeps>[] = [raiseAlarm, purgeClaims];

/** Names of the background jobs, and for src/job-scopes.ts what each may do. */
export const alarmJob = 'claim.watch';
export const purgeJob = 'claim.purge_claims';
export const claimJobScopes: Readonly<Record<string, Narrowing>> = {
  [alarmJob]: { operations: [raiseAlarm.id], resources: ['claims/*'] },
  [purgeJob]: { operations: [purgeClaims.id], resources: ['claims'] },
};
