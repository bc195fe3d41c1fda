import { z } from 'zod';
import { type Change, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { countDown } from '#lease/counts.ts';
import { type LeaseDeps, reachLease } from '#lease/deps.ts';
import type { LeaseRow, LeaseTables } from '#lease/tables.ts';
import { filterFields } from './filter.ts';
import { reason } from './reason.ts';

/** Leases per call, so that no commit is long. */
const batch = 200;

/** For a target that no longer exists. Nothing else takes a lease off the books unproved. */
export const forgetLeases = defineOperation({
  id: 'lease.forget_leases',
  title: 'Forget the leases of a target that is gone for good',
  summary:
    'Takes up to 200 leases of a target off the books whose end was tried and which could not be reached, without proof that their users are gone. Only for a database that no longer exists: one that is away is tried again by itself.',
  input: z.strictObject({
    target: filterFields.target.unwrap().describe('The target that is gone (database/connections/app)'),
    reason: reason.describe('Why its users cannot exist any more, in words; at most 200 characters'),
  }),
  output: z.strictObject({
    forgotten: z.int().describe('Leases that are revoked now, with ended_as forgotten'),
    more: z.boolean().describe('Whether there may be more: call again'),
  }),
  http: { method: 'POST', path: '/leases/forget' },
  resource: () => 'leases',
  effect: 'destructive',
  async run(grant, input, deps: LeaseDeps) {
    grant.reach(input.target);
    const rows = await unreachable(deps, grant.namespace, input.target);
    for (const row of rows) reachLease(grant, row);
    if (rows.length === 0) throw nothingToForget(input.target);
    return {
      output: { forgotten: rows.length, more: rows.length === batch },
      changes: rows.flatMap((row) => forget(row, input.reason, grant.now)),
      audit: { target: input.target, reason: input.reason, forgotten: rows.length },
    };
  },
});

function unreachable({ store }: LeaseDeps, namespace: string, target: string): Promise<LeaseRow[]> {
  return store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .selectAll()
    .where('namespace', '=', namespace)
    .where('target', '=', target)
    .where('state', 'in', ['revoking', 'stuck'])
    .where('unavailable', '=', 1)
    .where('claim', 'is', null)
    .orderBy('id')
    .limit(batch)
    .execute();
}

/** Guarded by what was read: one that is being tried at this moment is left to that. */
function forget(lease: LeaseRow, why: string, now: number): Change[] {
  const set = {
    state: 'revoked',
    next_action_at: null,
    last_error: `Forgotten: ${why}`,
    unavailable: 0,
    ended_at: now,
    ended_as: 'forgotten',
  };
  const where = { id: lease.id, namespace: lease.namespace, claim: null, attempts: lease.attempts };
  return [update('leases', set, where, { expect: 1 }), ...countDown(lease)];
}

function nothingToForget(target: string): AppError {
  return new AppError('wrong_state', `There is no lease of ${target} whose end was tried at a target that was away.`, {
    hint: 'End them first with lease.revoke_leases; what could not be reached can be forgotten after the first try.',
  });
}
