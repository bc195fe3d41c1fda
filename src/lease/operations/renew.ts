import { z } from 'zod';
import { update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { engineOf, findLease, type LeaseDeps, ownerOf, readLease } from '#lease/deps.ts';
import type { LeaseRow } from '#lease/tables.ts';
import { leaseId, leaseView, showLease } from '#lease/views.ts';

export const renewLease = defineOperation({
  id: 'lease.renew_lease',
  title: 'Renew a lease',
  summary:
    'Lets a live lease go on for the given time from now, never past its maximum and never shorter than it has already. Policy and role are asked again, as for a new one.',
  input: z.strictObject({
    lease_id: leaseId,
    increment: duration.describe('How long it shall live from now (15m, 1h, or seconds)'),
  }),
  output: leaseView.extend({
    capped: z.boolean().describe('Whether it lives for less than was asked for, since it reached its maximum'),
  }),
  http: { method: 'POST', path: '/leases/{lease_id}/renew' },
  resource: ({ lease_id: id }) => `leases/${id}`,
  effect: 'mutating',
  openWorld: true,
  owner: ownerOf,
  facts: ({ increment }) => ({ ttl: increment }),
  async run(grant, input, deps: LeaseDeps) {
    const lease = await findLease(deps, grant, input.lease_id);
    const now = deps.clock.now();
    requireRenewable(lease, now);
    const engine = engineOf(deps, lease);
    const { maxTtl } = await engine.mayRenew(grant, lease, input.increment);
    const wanted = now + input.increment * 1000;
    const max = latestEnd(grant, lease, maxTtl, now);
    if (max <= lease.expires_at) throw atMaximum(lease, max);
    // A renewal never takes away what the lease has already.
    const expiresAt = Math.max(lease.expires_at, Math.min(wanted, max));
    const renewed = { ...lease, expires_at: expiresAt, next_action_at: expiresAt, renewals: lease.renewals + 1 };
    await engine.extend(lease, expiresAt).catch(async (error: unknown) => {
      throw (await hasChanged(deps, lease)) ? changedMeanwhile(error) : error;
    });
    deps.expect(expiresAt);
    return {
      output: { ...showLease(renewed), capped: max < wanted },
      changes: [renewal(lease, expiresAt)],
      audit: { target: lease.target, subject: lease.subject, expires_at: toRfc3339(expiresAt) },
    };
  },
});

/** Only of the row as it was read: an end or another renewal in between wins, and the sweeper puts the target right. */
function renewal(lease: LeaseRow, expiresAt: number) {
  return update(
    'leases',
    { expires_at: expiresAt, next_action_at: expiresAt, renewals: lease.renewals + 1 },
    {
      id: lease.id,
      namespace: lease.namespace,
      state: 'active',
      cause: null,
      expires_at: lease.expires_at,
      renewals: lease.renewals,
    },
    { expect: 1, otherwise: changedMeanwhile },
  );
}

/** Milliseconds: the earliest of what the lease was given, what the role allows today, and what the policy leaves. */
function latestEnd({ limits }: Grant, lease: LeaseRow, maxTtl: number, now: number): number {
  return Math.min(
    lease.max_expires_at,
    lease.issued_at + maxTtl * 1000,
    limits.maxTtl === undefined ? Infinity : now + limits.maxTtl * 1000,
    limits.notAfter ?? Infinity,
  );
}

function requireRenewable(lease: LeaseRow, now: number): void {
  if (lease.state === 'active' && lease.cause === null && lease.expires_at > now) return;
  const found = lease.state === 'active' ? 'has expired' : `is ${lease.state}`;
  throw new AppError('wrong_state', `The lease ${found}, and only one that lives can be renewed.`, {
    hint: 'Ask for a new one.',
    members: { state: lease.state },
  });
}

function atMaximum(lease: LeaseRow, max: number): AppError {
  const latest = Math.max(max, lease.issued_at);
  return new AppError('wrong_state', 'The lease cannot be renewed any further: it has reached its maximum.', {
    hint: 'Ask for a new one before this one ends.',
    members: { expires_at: toRfc3339(lease.expires_at), max_expires_at: toRfc3339(latest) },
  });
}

/** What is being taken back at the target cannot be extended there, and says so in the target's words. */
async function hasChanged({ store }: LeaseDeps, { namespace, id, ...read }: LeaseRow): Promise<boolean> {
  const now = await readLease(store, namespace, id);
  return now?.state !== read.state || now.cause !== read.cause || now.renewals !== read.renewals;
}

function changedMeanwhile(cause?: unknown): AppError {
  return new AppError('conflict', 'The lease was ended or renewed by somebody else at the same moment.', {
    cause,
    hint: 'Read the lease, and renew it again if it still lives.',
  });
}
