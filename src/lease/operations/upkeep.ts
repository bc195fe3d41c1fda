import { z } from 'zod';
import { remove, update } from '#core/change.ts';
import { defineOperation } from '#core/operation.ts';
import { brakeIsOff, firstRow, forgetRestore, readBrake, released } from '#lease/brake.ts';
import type { LeaseDeps } from '#lease/deps.ts';
import { keepRevoked } from '#lease/times.ts';
import { reason } from './reason.ts';

export const applyBrake = defineOperation({
  id: 'lease.apply_brake',
  title: 'Apply the brake on mass expiry',
  summary:
    'Stops all ending by expiry, on all nodes, until lease.release_brake. The sweeper calls it when many leases are overdue and the clock cannot be trusted; an administrator may, before working on clock or store.',
  input: z.strictObject({
    reason: reason.describe('Why, in words; at most 200 characters'),
    overdue: z.int().min(0).max(1e9).default(0).describe('Leases that are overdue now'),
  }),
  output: z.strictObject({ applied: z.boolean().describe('False when it was applied already') }),
  http: { method: 'POST', path: '/leases/brake/apply' },
  resource: () => 'leases/brake',
  effect: 'mutating',
  idempotent: true,
  installation: true,
  async run(grant, input, { store }: LeaseDeps) {
    const row = await readBrake(store);
    const brake = { applied_at: grant.now, reason: input.reason, overdue: input.overdue };
    const applied = row?.applied_at == null;
    const change =
      row === undefined
        ? firstRow(grant.now, brake)
        : update('lease_brake', brake, { id: 1, applied_at: null }, { expect: 1 });
    return {
      output: { applied },
      changes: applied ? [change] : [],
      audit: { reason: input.reason, overdue: input.overdue, applied },
    };
  },
});

export const releaseBrake = defineOperation({
  id: 'lease.release_brake',
  title: 'Release the brake on mass expiry',
  summary:
    'Lets leases end by expiry again, after somebody has looked at the clock or at the restored store. What is overdue is revoked at once.',
  input: z.strictObject({ reason: reason.describe('What was found, in words; at most 200 characters') }),
  output: z.strictObject({ released: z.boolean() }),
  http: { method: 'POST', path: '/leases/brake/release' },
  resource: () => 'leases/brake',
  effect: 'destructive',
  installation: true,
  async intend(grant, input, { store }: LeaseDeps) {
    const brake = await readBrake(store);
    if (brake?.applied_at == null) throw brakeIsOff();
    // By now everybody knows of the time that passed unswept: it is no reason to brake again.
    const set = { ...released, heartbeat_at: grant.now };
    return {
      plan: undefined,
      changes: [update('lease_brake', set, { id: 1, applied_at: brake.applied_at }, { expect: 1 }), forgetRestore()],
      audit: { reason: input.reason },
    };
  },
  async run(_grant, input, { wake }) {
    wake();
    return { output: { released: true }, audit: { reason: input.reason } };
  },
});

/** Rows per call, so that no commit is long. */
const purgeBatch = 1000;

export const purgeRevoked = defineOperation({
  id: 'lease.purge_revoked',
  title: 'Purge old leases',
  summary:
    'Deletes up to 1,000 leases of all namespaces that were verified gone more than 30 days ago; the audit log keeps what happened. A background job calls it once a day until none is left.',
  input: z.strictObject({}),
  output: z.strictObject({
    deleted: z.int().describe('Leases deleted'),
    more: z.boolean().describe('Whether there may be more'),
  }),
  http: { method: 'POST', path: '/leases/purge' },
  resource: () => 'leases',
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run(grant, _input, { store }: LeaseDeps) {
    const rows = await store.all<{ id: string }>(
      `SELECT id FROM leases WHERE ended_at < ? AND state = 'revoked' ORDER BY ended_at LIMIT ?`,
      [grant.now - keepRevoked, purgeBatch],
    );
    const deleted = rows.length;
    return {
      output: { deleted, more: deleted === purgeBatch },
      changes: deleted === 0 ? [] : [remove('leases', { id: rows.map(({ id }) => id), state: 'revoked' })],
      audit: { deleted },
    };
  },
});
