import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { readBrake } from '#lease/brake.ts';
import { findLease, type LeaseDeps, ownerOf } from '#lease/deps.ts';
import { overdueTolerance, readStates } from '#lease/numbers.ts';
import type { LeaseTables } from '#lease/tables.ts';
import { leaseId, leaseStates, leaseView, showLease } from '#lease/views.ts';
import { filterFields, filterNames } from './filter.ts';

export const listLeases = defineOperation({
  id: 'lease.list_leases',
  title: 'List leases',
  summary:
    'Lists leases with their state, newest first: what lives, what cannot be ended and why, and what ended in the last 30 days.',
  input: z.strictObject({
    ...filterFields,
    state: z.enum(leaseStates).optional().describe('Only those in this state'),
    subject: z.string().min(1).max(256).optional().describe('Only that of this user name'),
    ...pageInput,
  }),
  output: z.strictObject({ leases: z.array(leaseView).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/leases' },
  cli: { columns: ['id', 'state', 'role', 'subject', 'principal', 'expires_at'] },
  resource: () => 'leases',
  effect: 'read',
  async run(grant, input, { store }: LeaseDeps) {
    let query = store.tables<LeaseTables>().selectFrom('leases').selectAll().where('namespace', '=', grant.namespace);
    for (const field of [...filterNames, 'state', 'subject'] as const) {
      const value = input[field];
      if (value !== undefined) query = query.where(field, '=', value);
    }
    if (input.cursor !== undefined) query = query.where('id', '<', decodeCursor(input.cursor, 'string'));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(input.limit + 1)
      .execute();
    const page = cutPage(rows, input.limit, (row) => row.id);
    return { output: { leases: page.items.map(showLease), next_cursor: page.next_cursor } };
  },
});

export const getLease = defineOperation({
  id: 'lease.get_lease',
  title: 'Show a lease',
  summary:
    'Shows a lease: until when it lives, and, when it is ending, how often that failed, why, what is left at the target and when it is tried again.',
  input: z.strictObject({ lease_id: leaseId }),
  output: leaseView,
  http: { method: 'GET', path: '/leases/{lease_id}' },
  resource: ({ lease_id: id }) => `leases/${id}`,
  effect: 'read',
  owner: ownerOf,
  run: async (grant, input, deps: LeaseDeps) => ({
    output: showLease(await findLease(deps, grant, input.lease_id)),
  }),
});

export const getStatus = defineOperation({
  id: 'lease.get_status',
  title: 'Show how leases fare',
  summary:
    'Counts the live leases of the namespace by state and those that are overdue, and shows the targets that are away and the brake on mass expiry.',
  input: z.strictObject({}),
  output: z.strictObject({
    minting: z.int().describe('Leases that are being made'),
    active: z.int().describe('Leases that live'),
    revoking: z.int().describe('Leases that are being ended'),
    stuck: z.int().describe('Leases that cannot be ended, so that somebody must look'),
    overdue: z.int().describe('Leases that should have been looked at more than a minute ago'),
    brake: z
      .strictObject({
        applied_at: z.string().describe('RFC 3339'),
        reason: z.string().describe('Why it was applied'),
        overdue: z.int().describe('Leases that were overdue then, in all namespaces'),
      })
      .nullable()
      .describe('Applied: nothing ends by expiry until lease.release_brake. Null while it is off'),
    targets_away: z
      .array(
        z.strictObject({
          target: z.string().describe('Resource of the target'),
          failures: z.int().describe('Revocations in a row that could not reach it'),
          next_probe_seconds: z.int().describe('Seconds until it is tried again'),
        }),
      )
      .describe('Targets that this server cannot reach, so that their leases wait'),
  }),
  http: { method: 'GET', path: '/leases/status' },
  resource: () => 'leases',
  effect: 'read',
  async run(grant, _input, { store, breakers, monotonic }: LeaseDeps) {
    const [numbers, brake] = await Promise.all([
      readStates(store, grant.now - overdueTolerance, grant.namespace),
      readBrake(store),
    ]);
    const prefix = `${grant.namespace} `;
    const away = breakers.open().filter(({ target }) => target.startsWith(prefix));
    return {
      output: {
        ...numbers,
        brake:
          brake?.applied_at == null
            ? null
            : { applied_at: toRfc3339(brake.applied_at), reason: brake.reason ?? '', overdue: brake.overdue ?? 0 },
        targets_away: away.map(({ target, failures, probeAt }) => ({
          target: target.slice(prefix.length),
          failures,
          next_probe_seconds: Math.max(0, Math.ceil((probeAt - monotonic()) / 1000)),
        })),
      },
    };
  },
});
