import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Change, Where } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation, type Outcome } from '#core/operation.ts';
import { newClaim } from '#lease/claims.ts';
import { findLease, type LeaseDeps, ownerOf, reachLease, readLease } from '#lease/deps.ts';
import { claimChange, endMatching, markMinting } from '#lease/ending.ts';
import { revoke } from '#lease/revocation.ts';
import type { LeaseRow, LeaseTables } from '#lease/tables.ts';
import { leaseId, leaseView, showLease } from '#lease/views.ts';
import { filterFields, filterNames } from './filter.ts';
import { type Filter, requireKnown } from './known.ts';

interface RevokePlan {
  /** The lease as it is once the intent is on record. */
  readonly lease: LeaseRow;
  /** Whose turn it is: ours when we hold the claim, another's, or nobody's when there is nothing to do now. */
  readonly turn: 'ours' | 'theirs' | 'nobody';
}

/** Milliseconds that a request waits for somebody else who is ending the lease, and between looks. */
const patience = 30_000;
const lookEvery = 100;

const revokedView = leaseView.extend({
  gone: z.boolean().describe('Whether its user is verified gone; false: it is not yet, and the end is tried again'),
});
type RevokedView = z.output<typeof revokedView>;

function showRevoked(lease: LeaseRow): RevokedView {
  return { ...showLease(lease), gone: lease.state === 'revoked' };
}

export const revokeLease = defineOperation({
  id: 'lease.revoke_lease',
  title: 'Revoke a lease',
  summary:
    'Ends a lease now and answers when its user is verified gone. When the target fails, the lease stays in state revoking with the error and is tried again for ever; calling this again tries at once.',
  input: z.strictObject({ lease_id: leaseId }),
  output: revokedView,
  http: { method: 'POST', path: '/leases/{lease_id}/revoke' },
  cli: { verdict: 'gone' },
  resource: ({ lease_id: id }) => `leases/${id}`,
  effect: 'destructive',
  idempotent: true,
  openWorld: true,
  owner: ownerOf,
  async intend(grant, input, deps: LeaseDeps) {
    const lease = await findLease(deps, grant, input.lease_id);
    const { plan, changes } = planRevocation(lease, deps.clock.now());
    return { plan, changes, audit: { target: lease.target, subject: lease.subject, state: lease.state } };
  },
  async run(_grant, _input, deps, { lease, turn }): Promise<Outcome<RevokedView>> {
    if (turn === 'ours') return conclude(deps, lease);
    const now = turn === 'theirs' ? await awaitOther(deps, lease) : lease;
    return { output: showRevoked(now), audit: { state: now.state, cause: now.cause } };
  },
});

function planRevocation(lease: LeaseRow, now: number): { plan: RevokePlan; changes: Change[] } {
  const where = { id: lease.id, namespace: lease.namespace };
  if (lease.state === 'revoked') return { plan: { lease, turn: 'nobody' }, changes: [] };
  if (lease.state === 'minting' && lease.claim === null && (lease.next_action_at ?? 0) > now) {
    // Whoever is making it must end first: then the commit that would make it active fails, and the row comes due.
    if (lease.cause !== null) return { plan: { lease, turn: 'nobody' }, changes: [] };
    const marked = { ...lease, cause: 'revoked' as const };
    return {
      plan: { lease: marked, turn: 'nobody' },
      changes: [{ ...markMinting(where, 'revoked'), expect: 1 } as Change],
    };
  }
  if (lease.claim !== null && (lease.next_action_at ?? 0) > now)
    return { plan: { lease, turn: 'theirs' }, changes: [] };
  const claim = newClaim();
  const cause = lease.cause ?? 'revoked';
  return {
    plan: { lease: { ...lease, cause, claim }, turn: 'ours' },
    changes: [claimChange({ ...where, claim: lease.claim }, lease, cause, claim, now, { expect: 1 })],
  };
}

async function conclude(deps: LeaseDeps, claimed: LeaseRow): Promise<Outcome<RevokedView>> {
  const { lease, changes, sessions } = await revoke(deps.revocation, claimed);
  if (lease.next_action_at !== null) deps.expect(lease.next_action_at);
  return { output: showRevoked(lease), changes, audit: endFacts(lease, sessions) };
}

/** What the audit says of an attempt. */
function endFacts(lease: LeaseRow, sessions: number) {
  return {
    state: lease.state,
    cause: lease.cause,
    target: lease.target,
    subject: lease.subject,
    ended_as: lease.ended_as,
    sessions_ended: sessions,
    failed_attempts: lease.attempts,
  };
}

async function awaitOther({ store }: LeaseDeps, lease: LeaseRow): Promise<LeaseRow> {
  const deadline = performance.now() + patience;
  let row = lease;
  while (row.state !== 'revoked' && row.claim === lease.claim && performance.now() < deadline) {
    await sleep(lookEvery);
    row = (await readLease(store, lease.namespace, lease.id)) ?? row;
  }
  return row;
}

export const revokeLeases = defineOperation({
  id: 'lease.revoke_leases',
  title: 'Revoke many leases',
  summary:
    'Ends every live lease that matches all of the given filters, in the background. Answers as soon as that is on record, with how many they are; lease.list_leases shows how it goes.',
  input: z.strictObject({ ...filterFields }),
  output: z.strictObject({
    revoking: z.int().describe('Leases that are ended now, and those whose end is tried again at once'),
    minting: z.int().describe('Leases that are still being made, and ended after that'),
  }),
  http: { method: 'POST', path: '/leases/revoke', status: 202 },
  resource: () => 'leases',
  effect: 'destructive',
  idempotent: true,
  async intend(grant, input, deps: LeaseDeps) {
    const where = filterOf(grant, input);
    for (const named of [input.role, input.target]) if (named !== undefined) grant.reach(named);
    const plan = await countMatches(deps, grant, where);
    if (plan.revoking + plan.minting === 0) await requireKnown(deps, grant.namespace, input);
    const filter = filterNames.filter((field) => input[field] !== undefined).join();
    return { plan, changes: endMatching(where, 'revoked', deps.clock.now()), audit: { ...plan, filter } };
  },
  async run(_grant, _input, { wake }, plan) {
    wake();
    return { output: plan, audit: plan };
  },
});

function filterOf(grant: Grant, input: Filter): Where {
  const given = filterNames.flatMap((field) => (input[field] === undefined ? [] : [[field, input[field]] as const]));
  if (given.length === 0)
    throw new AppError('invalid_request', 'No filter is given, and everything is never revoked at once.', {
      hint: `Give ${filterNames.join(', ')}.`,
    });
  return { namespace: grant.namespace, ...Object.fromEntries(given) };
}

async function countMatches(
  { store }: LeaseDeps,
  grant: Grant,
  where: Where,
): Promise<{ revoking: number; minting: number }> {
  let query = store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .select(({ fn }) => ['state', 'role', 'target', fn.countAll<number>().as('count')])
    .where('state', '<>', 'revoked')
    .groupBy(['state', 'role', 'target']);
  for (const [field, value] of Object.entries(where))
    query = query.where(field as 'namespace' | 'role', '=', value as string);
  const rows = await query.execute();
  for (const row of rows) reachLease(grant, row);
  const of = (minting: boolean) =>
    rows.filter(({ state }) => (state === 'minting') === minting).reduce((sum, { count }) => sum + count, 0);
  return { revoking: of(false), minting: of(true) };
}

/** What the sweeper runs for each lease that it has claimed. */
export const endLease = defineOperation({
  id: 'lease.end_lease',
  title: 'End a claimed lease',
  summary:
    'Revokes one lease under a claim that was taken before. The sweeper of each node calls it; whoever has no claim gets nothing done by it.',
  input: z.strictObject({
    lease_id: leaseId,
    claim: z
      .string()
      .regex(/^[0-9a-f]{32}$/, 'not a claim')
      .describe('The claim that was taken on it'),
  }),
  output: z.strictObject({
    state: z.string().describe('State of the lease now; superseded when the claim does not hold any more'),
    next_attempt_at: z.int().nullable().describe('When it is tried again, in milliseconds since 1970'),
  }),
  http: { method: 'POST', path: '/leases/{lease_id}/end' },
  resource: ({ lease_id: id }) => `leases/${id}`,
  effect: 'destructive',
  openWorld: true,
  async run(grant, input, deps: LeaseDeps) {
    const claimed = await readLease(deps.store, grant.namespace, input.lease_id);
    if (claimed === undefined || claimed.claim !== input.claim || claimed.state === 'revoked')
      return { output: { state: 'superseded', next_attempt_at: null }, audit: { state: 'superseded' } };
    const { lease, changes, sessions } = await revoke(deps.revocation, claimed);
    const output = { state: lease.state, next_attempt_at: lease.next_action_at };
    if (lease.next_action_at !== null) deps.expect(lease.next_action_at);
    return { output, changes, audit: endFacts(lease, sessions) };
  },
});
