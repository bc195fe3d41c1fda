import { type Change, insert, update } from '#core/change.ts';
import { newId } from '#core/ids.ts';
import { defineAct } from '#core/operation.ts';
import { z } from 'zod';
import type { ChallengeType, Identifier } from '#acme/challenge/contract.ts';
import { randomBytes } from 'node:crypto';
import type { ServerDeps } from '#acme/server/deps.ts';
import type { Directory } from '#acme/server/directories.ts';
import { authorizedName, isAllowed, together } from '#acme/server/identifiers.ts';
import { closedOne, opened, requireRoom, type Room } from '#acme/server/open-authorizations.ts';
import type { Subproblem } from '#acme/server/problem.ts';
import { assertRate } from '#acme/server/rates.ts';
import { requireAccount, requireAuthorization } from '#acme/server/records.ts';
import type { AccountRow, AuthorizationRow, ChallengeRow } from '#acme/server/tables.ts';
import { mayIssue } from '#acme/server/permission.ts';
import { accountId, authorizationId, identifier, requireDirectory, sourceAddress } from './fields.ts';
import { assertIssuable } from './names.ts';

/** Authorizations: that an account speaks for a name (RFC 8555 §7.1.4, §7.5). */

/** Milliseconds that a row is kept after it is of no more use, for clients that look again. */
const keptAfter = 86_400_000;

export interface PlannedAuthorization {
  readonly id: string;
  readonly changes: readonly Change[];
  /** How many of these changes open one: 0 or 1. */
  readonly opened: number;
}

/** The challenge types that can prove a name: dns-01 alone for wildcards (RFC 8555 §8.4), none by DNS for addresses (RFC 8738 §7). */
export function challengesFor({ settings }: Directory, { type, value }: Identifier): readonly ChallengeType[] {
  return settings.challenge_types.filter((offered) => {
    if (type === 'ip') return offered !== 'dns-01';
    return !value.startsWith('*.') || offered === 'dns-01';
  });
}

/** Throws `rejectedIdentifier` with a subproblem for each name that cannot be proved here. */
export function assertProvable(directory: Directory, account: AccountRow, identifiers: readonly Identifier[]): void {
  const faults = identifiers
    .filter((each) => !isTrusted(account, each) && challengesFor(directory, each).length === 0)
    .map(
      (each): Subproblem => ({
        type: 'rejectedIdentifier',
        detail: `No challenge that this directory offers proves ${each.value}.`,
        identifier: each,
      }),
    );
  if (faults.length > 0) throw together(faults, identifiers.length);
}

/** Names that whoever gave out the external account key vouched for (RFC 8555 §7.4.1: authorizations may begin valid). */
function isTrusted({ skip_validation, allowed_identifiers }: AccountRow, name: Identifier): boolean {
  if (skip_validation !== 1 || allowed_identifiers === null) return false;
  return isAllowed(JSON.parse(allowed_identifiers) as string[], name);
}

/** A valid one of the account that still holds long enough, or a new one. */
export async function planAuthorization(
  { store }: ServerDeps,
  directory: Directory,
  account: AccountRow,
  name: Identifier,
  now: number,
): Promise<PlannedAuthorization> {
  const { identifier: authorized, wildcard } = authorizedName(name);
  const { settings } = directory;
  // Half an hour is left to finish an order that begins now.
  const known = await store.first<{ id: string }>(
    `SELECT id FROM acme_server_authorizations
     WHERE account_id = ? AND identifier = ? AND status = 'valid' AND expires_at > ? AND identifier_type = ? AND wildcard = ?
     ORDER BY expires_at DESC LIMIT 1`,
    [account.id, authorized.value, now + 1_800_000, authorized.type, wildcard ? 1 : 0],
  );
  if (known !== undefined) return { id: known.id, changes: [], opened: 0 };
  const trusted = isTrusted(account, name);
  const expires = now + 1000 * (trusted ? settings.authorization_lifetime : settings.order_lifetime);
  const row: AuthorizationRow = {
    id: newId('asz', now),
    namespace: account.namespace,
    role: account.role,
    account_id: account.id,
    status: trusted ? 'valid' : 'pending',
    identifier_type: authorized.type,
    identifier: authorized.value,
    wildcard: wildcard ? 1 : 0,
    failed_at: null,
    created_at: now,
    expires_at: expires,
    purge_at: expires + keptAfter,
  };
  const challenges = trusted ? [] : challengesFor(directory, name).map((type, index) => newChallenge(row, type, index));
  return {
    id: row.id,
    changes: [
      insert('acme_server_authorizations', { ...row }),
      ...challenges.map((each) => insert('acme_server_challenges', { ...each })),
    ],
    opened: trusted ? 0 : 1,
  };
}

function newChallenge(
  { id, namespace, role, account_id, created_at }: AuthorizationRow,
  type: ChallengeType,
  position: number,
): ChallengeRow {
  return {
    id: newId('ash', created_at),
    namespace,
    role,
    account_id,
    authorization_id: id,
    type,
    status: 'pending',
    // RFC 8555 §8: at least 128 bits; it is what the applicant cannot guess.
    token: randomBytes(32).toString('base64url'),
    error: null,
    attempts: 0,
    validated_at: null,
    claim: null,
    next_attempt_at: null,
    position,
  };
}

/** Throws `rateLimited` where too many authorizations are open, or a name has failed too often of late. */
export async function assertAuthorizationRates(
  { store }: ServerDeps,
  { settings }: Directory,
  account: AccountRow,
  names: readonly Identifier[],
  now: number,
): Promise<Room> {
  const { limits } = settings;
  for (const { value } of names.map((each) => authorizedName(each).identifier))
    await assertRate(store, {
      what: `failed validations of ${value} by this account`,
      sql: `SELECT failed_at AS at FROM acme_server_authorizations
            WHERE account_id = ? AND identifier = ? AND failed_at IS NOT NULL ORDER BY failed_at DESC`,
      parameters: [account.id, value],
      most: limits.failed_validations,
      others: 0,
      now,
    });
  return requireRoom(store, account, names.length, limits.pending_authorizations, now);
}

export const acceptAuthorization = defineAct({
  id: 'acme.accept_authorization',
  title: 'Pre-authorize a name',
  summary: 'Makes an authorization for a name before it is ordered (RFC 8555 section 7.4.1).',
  input: z.strictObject({ account_id: accountId, identifier, source_address: sourceAddress }),
  output: z.strictObject({ authorization_id: authorizationId }),
  effect: 'additive',
  resource: ({ account_id }) => `acme/subscribers/${account_id}`,
  async run(grant, input, deps: ServerDeps) {
    const account = await requireAccount(deps.store, grant.namespace, input.account_id);
    const directory = await requireDirectory(deps, account.namespace, account.role);
    const names = [input.identifier];
    await mayIssue(deps, directory, account, account.role, input.source_address, grant.now);
    const room = await assertAuthorizationRates(deps, directory, account, names, grant.now);
    await assertIssuable(deps, account, account.role, names, undefined);
    assertProvable(directory, account, names);
    const planned = await planAuthorization(deps, directory, account, input.identifier, grant.now);
    return {
      output: { authorization_id: planned.id },
      changes: [...planned.changes, ...opened(room, planned.opened)],
      audit: { account: account.id, account_principal: account.principal, authorization: planned.id },
    };
  },
});

export const deactivateAuthorization = defineAct({
  id: 'acme.accept_authorization_change',
  title: 'Deactivate an authorization',
  summary: 'Ends an authorization at the request of its account (RFC 8555 section 7.5.2).',
  input: z.strictObject({ account_id: accountId, authorization_id: authorizationId }),
  output: z.strictObject({}),
  effect: 'mutating',
  idempotent: true,
  resource: ({ authorization_id }) => `acme/subscriber-authorizations/${authorization_id}`,
  async run(grant, input, { store }: ServerDeps) {
    const account = await requireAccount(store, grant.namespace, input.account_id);
    const row = await requireAuthorization(store, account, input.authorization_id);
    const isOpen = row.status === 'pending';
    const where = { id: row.id, status: row.status };
    return {
      output: {},
      changes:
        isOpen || row.status === 'valid'
          ? [
              update('acme_server_authorizations', { status: 'deactivated' }, where, { expect: 1 }),
              ...(isOpen ? [closedOne(row.account_id)] : []),
            ]
          : [],
      audit: { account: account.id, account_principal: account.principal, authorization: row.id },
    };
  },
});
