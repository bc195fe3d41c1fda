import { z } from 'zod';
import { update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { type AnyOperation, defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import type { Principal } from '#core/principal.ts';
import { areWithin } from '#policy/judge.ts';
import { openContent } from './content.ts';
import { type Alarm, type ClaimDeps, findClaim, noSuchClaim, ownerOf, requireClaim } from './deps.ts';
import { claimHandle, claimId, deriveKeys, parseHandle, verifies } from './handle.ts';
import { redeemId } from './keep.ts';
import type { ClaimRow, ClaimTables } from './tables.ts';
import { claimStates, claimView, fieldsOf, showClaim, stateOf } from './views.ts';

/** Fetching what was kept, once, and seeing what is kept. Claims are made by dispatch (keep.ts). */

const redeemed = z.strictObject({
  claim_id: z.string().describe('Id of the claim'),
  operation: z.string().describe('What made the secrets'),
  resource: z.string().describe('From what'),
  fields: z.array(z.string()).describe('Names of the secret fields in output'),
  created_at: z.string().describe('RFC 3339'),
  output: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('The whole answer of that operation, its secrets among it. Told once and deleted'),
});

export const redeemClaim = defineOperation({
  id: redeemId,
  title: 'Claim kept secrets',
  summary:
    'Gives the secrets that were kept in place of being told, once, to the principal that they were made for. It must still be allowed what made them. Every later attempt is refused and raises an alarm. Use chancery claim, which brings them into files or into the environment of a command.',
  input: z.strictObject({ handle: claimHandle }),
  output: redeemed,
  http: { method: 'POST', path: '/claims/redeem', bodyLimit: 4096 },
  cli: { arguments: ['handle'] },
  resource: ({ handle }) => `claims/${parseHandle(handle)?.id ?? 'none'}`,
  effect: 'destructive',
  sensitive: ['output'],
  access: 'self',
  async run(grant, { handle }, deps: ClaimDeps) {
    const { row, key } = await knownClaim(deps, grant, handle);
    if (row.claimed_at !== null) {
      await deps.alarm(alarmOf(grant, row, 'claimed_again'));
      throw claimedBefore(row, row.claimed_at);
    }
    const state = stateOf(row, grant.now);
    if (row.secrets === null || state !== 'open') {
      await deps.alarm(alarmOf(grant, row, state === 'cancelled' ? state : 'expired'));
      throw gone(row, grant.now);
    }
    await requireStanding(deps, grant, row);
    const output = await openContent(deps.sealer, key, row, row.secrets);
    return {
      output: {
        claim_id: row.id,
        operation: row.operation,
        resource: row.resource,
        fields: fieldsOf(row),
        created_at: toRfc3339(row.created_at),
        output,
      },
      // Of two at once the second finds no row, reads again, and is refused as the second.
      changes: [
        update(
          'claims',
          { claimed_at: grant.now, claimed_from: grant.sourceAddress, secrets: null },
          { id: row.id, namespace: row.namespace, claimed_at: null, cancelled_at: null, secrets: { not: null } },
          { expect: 1 },
        ),
      ],
      audit: { claim_id: row.id, made_by: row.operation, made_from: row.resource },
    };
  },
});

/** The claim whose handle this is, when it is this principal's. A right handle in a wrong hand raises an alarm. */
async function knownClaim(
  deps: ClaimDeps,
  grant: Grant,
  handle: string,
): Promise<{ readonly row: ClaimRow; readonly key: Buffer }> {
  const parts = parseHandle(handle);
  const row = parts && (await findClaim(deps.store, grant.namespace, parts.id));
  if (parts === undefined || row === undefined) throw noSuchClaim();
  const { key, verifier } = deriveKeys(parts);
  if (!verifies(verifier, row.verifier)) throw noSuchClaim();
  grant.reach(row.resource);
  const { principal } = grant;
  const wrong =
    row.principal_id !== principal.id
      ? 'other_principal'
      : couldHaveMade(principal, row)
        ? undefined
        : 'narrower_token';
  if (wrong === undefined) return { row, key };
  await deps.alarm(alarmOf(grant, row, wrong));
  throw noSuchClaim();
}

/** Throws `denied` where the policies do not allow any more what the secrets came of. */
async function requireStanding(
  { recheck }: ClaimDeps,
  grant: Grant,
  { standing, operation, resource, purpose }: ClaimRow,
): Promise<void> {
  if (standing === 'self') return;
  const owned = standing === 'owner';
  await recheck(grant, { operation, resource, owned, approvedBefore: true, purpose: purpose ?? undefined });
}

/**
 * A token that was narrowed to other things gets nothing by a handle that it could not get without one. That which made
 * it could: to make a narrower token it need not be left the operation.
 */
function couldHaveMade(
  { narrowings, credentialId }: Principal,
  { operation, resource, credential_id: madeBy }: ClaimRow,
): boolean {
  return credentialId === madeBy || areWithin(narrowings, { operation, resource });
}

function alarmOf({ principal, sourceAddress }: Grant, claim: ClaimRow, reason: Alarm['reason']): Alarm {
  return { claim, reason, principal: principal.name, sourceAddress };
}

const mintAnew = 'Ask for new ones; revoke those that were made, if nobody can have them.';

function claimedBefore(row: ClaimRow, at: number): AppError {
  return new AppError('wrong_state', `These secrets were claimed at ${toRfc3339(at)} already, and are kept no more.`, {
    hint: `An alarm was raised. If it was not you, somebody else has them: revoke them. ${mintAnew}`,
    members: { claim_id: row.id, claimed_at: toRfc3339(at), operation: row.operation, resource: row.resource },
  });
}

function gone(row: ClaimRow, now: number): AppError {
  const state = stateOf(row, now);
  const how = state === 'expired' ? `expired at ${toRfc3339(Math.min(row.expires_at, now))}` : `was ${state}`;
  return new AppError('wrong_state', `The claim ${how}, and the secrets are kept no more.`, {
    hint: `An alarm was raised. ${mintAnew}`,
    members: { claim_id: row.id, operation: row.operation, resource: row.resource },
  });
}

export const listClaims = defineOperation({
  id: 'claim.list_claims',
  title: 'List claims',
  summary:
    'Lists secrets that wait to be claimed, or were, newest first; never the secrets. Everybody may list their own. Kept for 30 days.',
  input: z.strictObject({
    mine: z.boolean().default(false).describe('Only those of the caller'),
    state: z.enum(claimStates).optional().describe('Only those in this state'),
    alarmed: z.boolean().default(false).describe('Only those with an alarm'),
    ...pageInput,
  }),
  output: z.strictObject({ claims: z.array(claimView).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/claims' },
  cli: { columns: ['id', 'state', 'principal', 'operation', 'resource', 'expires_at'] },
  resource: () => 'claims',
  effect: 'read',
  access: ({ mine }) => (mine ? 'self' : 'policy'),
  async run(grant, { mine, state, alarmed, limit, cursor }, { store }: ClaimDeps) {
    const { namespace, now } = grant;
    let query = store.tables<ClaimTables>().selectFrom('claims').selectAll().where('namespace', '=', namespace);
    if (mine) query = query.where('principal_id', '=', grant.principal.id);
    if (alarmed) query = query.where('alarms', '>', 0);
    if (cursor !== undefined) query = query.where('id', '<', decodeCursor(cursor, 'string'));
    if (state === 'claimed') query = query.where('claimed_at', 'is not', null);
    else if (state !== undefined) query = query.where('claimed_at', 'is', null);
    if (state === 'cancelled') query = query.where('cancelled_at', 'is not', null);
    if (state === 'open' || state === 'expired') query = query.where('cancelled_at', 'is', null);
    if (state === 'open') query = query.where('expires_at', '>', now).where('secrets', 'is not', null);
    if (state === 'expired')
      query = query.where((its) => its.or([its('expires_at', '<=', now), its('secrets', 'is', null)]));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const page = cutPage(rows, limit, (row) => row.id);
    return { output: { claims: page.items.map((row) => showClaim(row, now)), next_cursor: page.next_cursor } };
  },
});

const onOne = {
  input: z.strictObject({ claim_id: claimId }),
  output: claimView,
  resource: ({ claim_id: id }: { claim_id: string }) => `claims/${id}`,
  owner: ownerOf,
};

export const getClaim = defineOperation({
  ...onOne,
  id: 'claim.get_claim',
  title: 'Show a claim',
  summary: 'Shows what a claim holds by name, whether it was claimed and when; never the secrets.',
  http: { method: 'GET', path: '/claims/{claim_id}' },
  effect: 'read',
  run: async (grant, { claim_id: id }, deps: ClaimDeps) => ({
    output: showClaim(await requireClaim(deps, grant, id), grant.now),
  }),
});

export const cancelClaim = defineOperation({
  ...onOne,
  id: 'claim.cancel_claim',
  title: 'Cancel a claim',
  summary:
    'Deletes secrets that nobody has claimed, so that their handle is good no more. What they open stays: revoke its lease or certificate.',
  http: { method: 'POST', path: '/claims/{claim_id}/cancel' },
  effect: 'destructive',
  idempotent: true,
  async run(grant, { claim_id: id }, deps: ClaimDeps) {
    const row = await requireClaim(deps, grant, id);
    const state = stateOf(row, grant.now);
    if (state === 'claimed') throw claimedBefore(row, row.claimed_at ?? grant.now);
    if (state !== 'open') return { output: showClaim(row, grant.now) };
    const set = { cancelled_at: grant.now, secrets: null };
    return {
      output: showClaim({ ...row, ...set }, grant.now),
      changes: [update('claims', set, { id, namespace: row.namespace, claimed_at: null }, { expect: 1 })],
      audit: { claim_id: id, made_by: row.operation, made_from: row.resource },
    };
  },
});

/** Every operation on claims. */
export const claimOperations: readonly AnyOperation<ClaimDeps>[] = [redeemClaim, listClaims, getClaim, cancelClaim];
