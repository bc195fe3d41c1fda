import { z } from 'zod';
import { type Change, insert, update } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineAct } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { assertUsable } from '#acme/server/external-binding.ts';
import { networkOf } from '#acme/server/networks.ts';
import { AcmeError, keptProblem } from '#acme/server/problem.ts';
import { assertRate } from '#acme/server/rates.ts';
import { findAccountByKey, type Place, requireAccount } from '#acme/server/records.ts';
import type { AccountRow, ExternalKeyRow } from '#acme/server/tables.ts';
import { accountId, contactList, directoryRole, jsonText, requireDirectory, thumbprint } from './fields.ts';

/** Accounts: made, changed, deactivated, given another key (RFC 8555 §7.3). */

const accountResource = (input: { readonly account_id: string }) => `acme/subscribers/${input.account_id}`;

const registration = z.strictObject({
  role: directoryRole,
  jwk: jsonText,
  thumbprint,
  contact: contactList,
  terms: z.string().max(2048).nullable().describe('URL of the terms that were agreed to'),
  external_key_id: z.string().max(128).nullable(),
  external_binding: jsonText.nullable(),
  source_address: z.string().max(64),
});

export const acceptAccount = defineAct({
  id: 'acme.accept_account',
  title: 'Register an ACME account',
  summary: 'Makes an account for a key that asked for one by newAccount, and counts the external account key.',
  input: registration,
  output: z.strictObject({ account_id: accountId, created: z.boolean() }),
  effect: 'additive',
  resource: ({ role }) => `acme/directories/${role}`,
  run: (grant, input, deps: ServerDeps) =>
    deps.places.hold(`account ${networkOf(input.source_address)}`, (others) => register(grant, input, deps, others)),
});

async function register(
  grant: Grant,
  input: z.output<typeof registration>,
  deps: ServerDeps,
  others: number,
): Promise<{
  output: { account_id: string; created: boolean };
  changes: Change[];
  audit: Record<string, string | null>;
}> {
  const { namespace, now } = grant;
  const place = { namespace, role: input.role };
  const known = await findAccountByKey(deps.store, place, input.thumbprint);
  if (known !== undefined)
    return { output: { account_id: known.id, created: false }, changes: [], audit: { account: known.id } };
  await assertAccountRate(deps, place, input.source_address, others, now);
  const external = input.external_key_id === null ? undefined : await requireExternal(deps, place, input, now);
  const row: AccountRow = {
    id: newId('asa', now),
    namespace,
    role: input.role,
    status: 'valid',
    thumbprint: input.thumbprint,
    jwk: input.jwk,
    contact: JSON.stringify(input.contact),
    terms: input.terms,
    external_key_id: external?.id ?? null,
    external_binding: input.external_binding,
    principal_id: external?.principal_id ?? null,
    principal: external?.principal ?? null,
    allowed_identifiers: external?.allowed_identifiers ?? null,
    skip_validation: external?.skip_validation ?? 0,
    source_address: input.source_address,
    source_network: networkOf(input.source_address),
    open_authorizations: 0,
    version: 1,
    created_at: now,
    ended_at: null,
  };
  return {
    output: { account_id: row.id, created: true },
    changes: [...(external === undefined ? [] : [countAccount(external)]), insert('acme_server_accounts', { ...row })],
    audit: { account: row.id, external_account_key: row.external_key_id, account_principal: row.principal },
  };
}

/** Throws `rateLimited` when an address has made as many accounts in an hour as it may. */
export async function assertAccountRate(
  deps: ServerDeps,
  { namespace, role }: Place,
  address: string,
  others: number,
  now: number,
): Promise<void> {
  const { settings } = await requireDirectory(deps, namespace, role);
  await assertRate(deps.store, {
    what: 'new accounts from this address',
    sql: `SELECT created_at AS at FROM acme_server_accounts
          WHERE namespace = ? AND role = ? AND source_network = ? ORDER BY created_at DESC`,
    parameters: [namespace, role, networkOf(address)],
    most: settings.limits.accounts_per_address,
    others,
    now,
  });
}

async function requireExternal(
  { store }: ServerDeps,
  { namespace, role }: Place,
  input: z.output<typeof registration>,
  now: number,
): Promise<ExternalKeyRow> {
  const row = await store.first<ExternalKeyRow>(
    'SELECT * FROM acme_server_external_keys WHERE id = ? AND namespace = ? AND role = ?',
    [input.external_key_id, namespace, role],
  );
  if (row === undefined) throw new AcmeError('unauthorized', 'The key of the external account binding is gone.');
  assertUsable(row, now);
  return row;
}

/** Conflicts once the key has no place left or was revoked, so that of two at once only one takes the last place. */
function countAccount({ id, max_accounts }: ExternalKeyRow): Change {
  return update(
    'acme_server_external_keys',
    {},
    { id, revoked_at: null, accounts: { lt: max_accounts } },
    { add: { accounts: 1 }, expect: 1 },
  );
}

export const acceptAccountChange = defineAct({
  id: 'acme.accept_account_change',
  title: 'Change an ACME account',
  summary: 'Replaces the contacts of an account at its own request, or deactivates it with its open orders.',
  input: z.strictObject({
    account_id: accountId,
    contact: contactList.optional(),
    deactivate: z.boolean(),
  }),
  output: z.strictObject({}),
  effect: 'mutating',
  idempotent: true,
  resource: accountResource,
  async run(grant, input, { store }: ServerDeps) {
    const account = await requireAccount(store, grant.namespace, input.account_id);
    const facts = { account: account.id, account_principal: account.principal };
    if (input.deactivate)
      return {
        output: {},
        changes: deactivation([account.id], 'deactivated', grant.now),
        audit: { ...facts, deactivated: true },
      };
    if (input.contact === undefined) return { output: {}, audit: facts };
    const set = { contact: JSON.stringify(input.contact), version: account.version + 1 };
    const where = { id: account.id, version: account.version, status: 'valid' };
    return { output: {}, changes: [update('acme_server_accounts', set, where, { expect: 1 })], audit: facts };
  },
});

/**
 * RFC 8555 §7.3.6: what is open, or waits to be issued, is cancelled with the account; what was issued stays. What a node
 * is issuing at this moment asks for the account itself.
 */
export function deactivation(accountIds: readonly string[], status: 'deactivated' | 'revoked', now: number): Change[] {
  const open = { account_id: accountIds, status: 'open' };
  const waiting = { account_id: accountIds, status: 'processing', claim: null };
  const cancelled = {
    status: 'invalid',
    error: keptProblem('unauthorized', `The account is ${status}.`),
    next_attempt_at: null,
  };
  return [
    update(
      'acme_server_accounts',
      { status, open_authorizations: 0, ended_at: now },
      { id: accountIds, status: 'valid' },
    ),
    update('acme_server_orders', { status: 'invalid' }, open),
    update('acme_server_orders', cancelled, waiting),
    update(
      'acme_server_authorizations',
      { status: 'deactivated' },
      { account_id: accountIds, status: ['pending', 'valid'] },
    ),
  ];
}

export const acceptKeyChange = defineAct({
  id: 'acme.accept_key_change',
  title: 'Change the key of an ACME account',
  summary: 'Puts the key that a client has proved to have in the place of the present key of its account.',
  input: z.strictObject({
    account_id: accountId,
    old_thumbprint: thumbprint,
    jwk: jsonText,
    thumbprint,
  }),
  output: z.strictObject({}),
  effect: 'mutating',
  resource: accountResource,
  async run(grant, input, deps: ServerDeps) {
    const account = await requireAccount(deps.store, grant.namespace, input.account_id);
    const directory = await requireDirectory(deps, grant.namespace, account.role);
    const other = await findAccountByKey(deps.store, account, input.thumbprint);
    // RFC 8555 §7.3.5
    if (other !== undefined)
      throw new AcmeError('malformed', 'The new key belongs to an account already.', {
        status: 409,
        headers: { location: directory.url(`account/${other.id}`) },
      });
    const set = { jwk: input.jwk, thumbprint: input.thumbprint, version: account.version + 1 };
    const where = { id: account.id, thumbprint: input.old_thumbprint, status: 'valid' };
    return {
      output: {},
      changes: [update('acme_server_accounts', set, where, { expect: 1 })],
      audit: { account: account.id, account_principal: account.principal, key: input.thumbprint },
    };
  },
});
