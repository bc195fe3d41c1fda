import { z } from 'zod';
import { type Change, insert, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import {
  accountResource,
  assertUsable,
  ask,
  openAccount,
  openCurrentKey,
  register,
  requireAccount,
} from '#acme/client/account.ts';
import {
  type AccountDefinition,
  accountName,
  accountOutput,
  type CreateAccountInput,
  createAccountInput,
  parseAccount,
  updateAccountInput,
  viewAccount,
} from '#acme/client/account-schema.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { answering } from '#acme/client/failures.ts';
import { makeKey, sealBytes, sealKey } from '#acme/client/keys.ts';
import type { AccountRow, AcmeClientTables } from '#acme/client/tables.ts';
import type { ExternalAccountKey } from '#acme/client/wire/connection.ts';
import { AcmeProblem, plainText } from '#acme/client/wire/problem.ts';
import { pageByName } from '#storage/page-by-name.ts';

/** Accounts at outside authorities (RFC 8555 §7.3). The row with the sealed key is durable before the authority hears of it. */

const named = z.strictObject({ name: accountName });

export const createAccount = defineOperation({
  id: 'acme.create_account',
  title: 'Create an ACME account',
  summary:
    'Registers an account at an outside certificate authority: a preset (letsencrypt, letsencrypt-staging, zerossl, google, buypass) or any directory URL. Its key is made here and kept sealed. When the answer was lost, the same call goes on with the same key.',
  input: createAccountInput,
  output: accountOutput,
  http: { method: 'POST', path: '/acme/accounts', status: 201 },
  effect: 'additive',
  openWorld: true,
  resource: accountResource,
  async intend(grant, input, deps: ClientDeps) {
    const existing = await findRow(deps, grant, input.name);
    if (existing !== undefined && existing.state !== 'creating')
      throw new AppError('already_exists', `There is an ACME account ${input.name} already.`, {
        hint: 'acme.get_account shows it.',
      });
    await answering('the account', () => assertAccepted(deps, input, existing));
    const { row, changes } = await beginAccount(deps, grant, input, existing);
    return { plan: row, changes, audit: { directory: input.directory } };
  },
  async run(grant, _input, deps, row) {
    const url = await answering('the account', () => registerRow(deps, row));
    const set = { state: 'active', url, external_key: null, version: row.version + 1, updated_at: grant.now } as const;
    return {
      output: viewAccount({ ...row, ...set }),
      changes: [update('acme_accounts', set, { id: row.id, version: row.version }, { expect: 1 })],
      audit: { directory: row.directory, url },
    };
  },
});

function findRow(deps: ClientDeps, grant: Grant, name: string): Promise<AccountRow | undefined> {
  return deps.store.first<AccountRow>('SELECT * FROM acme_accounts WHERE namespace = ? AND name = ?', [
    grant.namespace,
    name,
  ]);
}

/** One that was begun keeps its key where it may be registered already. */
async function beginAccount(
  deps: ClientDeps,
  grant: Grant,
  input: CreateAccountInput,
  existing: AccountRow | undefined,
): Promise<{ row: AccountRow; changes: Change[] }> {
  const id = existing?.id ?? newId('aca', grant.now);
  const place = { table: 'acme_accounts', row: id } as const;
  const reusable =
    existing?.directory === input.directory && parseAccount(existing).key_type === input.key_type
      ? existing
      : undefined;
  const external = externalKey(input);
  const row: AccountRow = {
    id,
    namespace: grant.namespace,
    name: input.name,
    state: 'creating',
    directory: input.directory,
    definition: JSON.stringify({ ...keptExternal(reusable, external), ...definitionOf(input) }),
    url: null,
    key: reusable?.key ?? sealKey(deps.sealer, { ...place, column: 'key' }, await makeKey(input.key_type)),
    next_key: null,
    key_change_started_at: null,
    external_key:
      external === undefined
        ? (reusable?.external_key ?? null)
        : sealBytes(deps.sealer, { ...place, column: 'external_key' }, Buffer.from(external.macKey)),
    version: (existing?.version ?? 0) + 1,
    created_at: existing?.created_at ?? grant.now,
    updated_at: grant.now,
  };
  const { id: _id, ...set } = row;
  const change =
    existing === undefined
      ? insert('acme_accounts', { ...row })
      : update('acme_accounts', { ...set }, { id, version: existing.version }, { expect: 1 });
  return { row, changes: [change] };
}

/** A binding that was given before needs not be given again. */
function keptExternal(row: AccountRow | undefined, external: ExternalAccountKey | undefined) {
  const kept = row === undefined || external !== undefined ? undefined : parseAccount(row).external_key_id;
  return kept === undefined ? {} : { external_key_id: kept };
}

function definitionOf(input: CreateAccountInput): AccountDefinition {
  return {
    contacts: input.contacts,
    ...(input.ca_certificate === undefined ? {} : { ca_certificate: input.ca_certificate }),
    agreed: input.agree_terms_of_service,
    allowed_names: input.allowed_names,
    key_type: input.key_type,
    re_register: input.re_register,
    ...(input.external_account === undefined ? {} : { external_key_id: input.external_account.key_id }),
  };
}

function externalKey({ external_account: given }: CreateAccountInput): ExternalAccountKey | undefined {
  if (given === undefined) return undefined;
  return { keyId: given.key_id, macKey: Buffer.from(given.hmac_key.replace(/=+$/, ''), 'base64url') };
}

async function openExternalKey(
  deps: ClientDeps,
  row: AccountRow,
  { external_key_id: keyId }: AccountDefinition,
): Promise<ExternalAccountKey | undefined> {
  if (row.external_key === null || keyId === undefined) return undefined;
  const place = { table: 'acme_accounts', row: row.id, column: 'external_key' } as const;
  return { keyId, macKey: await deps.sealer.open(place, row.external_key) };
}

async function registerRow(deps: ClientDeps, row: AccountRow): Promise<string> {
  const definition = parseAccount(row);
  const external = await openExternalKey(deps, row, definition);
  const connection = deps.connections.to(row.directory, definition.ca_certificate);
  return register(connection, await openCurrentKey(deps, row), definition, external);
}

/** What the directory says already is asked before anything is on record: it is only read. */
async function assertAccepted(
  deps: ClientDeps,
  input: CreateAccountInput,
  existing: AccountRow | undefined,
): Promise<void> {
  const { meta } = await deps.connections.to(input.directory, input.ca_certificate).directory();
  if (meta?.termsOfService !== undefined && !input.agree_terms_of_service)
    throw new AppError('refused', `The authority has terms of service, at ${plainText(meta.termsOfService)}.`, {
      hint: 'Read them, and make the call again with agree_terms_of_service: true.',
      members: { terms_of_service: plainText(meta.termsOfService) },
    });
  const bound = input.external_account !== undefined || existing?.external_key != null;
  if (meta?.externalAccountRequired === true && !bound)
    throw new AppError('refused', 'The authority asks for an external account binding (RFC 8555 section 7.3.4).', {
      hint: 'Get a key identifier and an HMAC key there, and give them as external_account.',
    });
}

export const getAccount = defineOperation({
  id: 'acme.get_account',
  title: 'Get an ACME account',
  summary: 'Shows an account at an outside authority, without its key.',
  input: named,
  output: accountOutput,
  http: { method: 'GET', path: '/acme/accounts/{name}' },
  effect: 'read',
  resource: accountResource,
  async run(grant, input, deps: ClientDeps) {
    return { output: viewAccount(await requireAccount(deps.store, grant.namespace, input.name)) };
  },
});

export const listAccounts = defineOperation({
  id: 'acme.list_accounts',
  title: 'List ACME accounts',
  summary: 'Lists the accounts at outside authorities by name.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ accounts: z.array(accountOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/accounts' },
  cli: { columns: ['name', 'state', 'directory', 'contacts', 'key_type'] },
  effect: 'read',
  resource: () => 'acme/accounts',
  async run(grant, input, deps: ClientDeps) {
    const query = deps.store
      .tables<AcmeClientTables>()
      .selectFrom('acme_accounts')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    const page = await pageByName(query, input);
    return { output: { accounts: page.items.map(viewAccount), next_cursor: page.next_cursor } };
  },
});

export const updateAccount = defineOperation({
  id: 'acme.update_account',
  title: 'Change an ACME account',
  summary: 'Changes the contacts of an account, at the authority too, and how it is used here.',
  input: updateAccountInput,
  output: accountOutput,
  http: { method: 'PATCH', path: '/acme/accounts/{name}' },
  effect: 'mutating',
  idempotent: true,
  openWorld: true,
  resource: accountResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireAccount(deps.store, grant.namespace, input.name);
    assertUsable(row);
    const { contacts } = input;
    const after = changed(parseAccount(row), input);
    const set = { definition: JSON.stringify(after), version: row.version + 1, updated_at: grant.now };
    // With the new roots: the authority may be known by no others.
    if (contacts !== undefined)
      await answering('the contacts', async () =>
        ask(await openAccount(deps, { ...row, ...set }), row.url ?? '', { contact: contacts }),
      );
    return {
      output: viewAccount({ ...row, ...set }),
      changes: [
        update('acme_accounts', set, { id: row.id, version: row.version }, { expect: 1 }),
        lookAtRenewals(row, grant.now),
      ],
      audit: { contacts: contacts !== undefined, roots: input.ca_certificate !== undefined },
    };
  },
});

function changed(before: AccountDefinition, input: z.output<typeof updateAccountInput>): AccountDefinition {
  const { ca_certificate: rootsBefore, ...others } = before;
  const roots = input.ca_certificate === undefined ? rootsBefore : (input.ca_certificate ?? undefined);
  return {
    ...others,
    ...(roots === undefined ? {} : { ca_certificate: roots }),
    contacts: input.contacts ?? before.contacts,
    re_register: input.re_register ?? before.re_register,
    allowed_names: input.allowed_names ?? before.allowed_names,
  };
}

/** What the account may not any more is told of its certificates at once, while there is time. */
function lookAtRenewals({ id }: AccountRow, now: number): Change {
  const where = { account_id: id, renew: 1, state: 'valid', claim: null };
  return update('acme_certificates', { next_action_at: now }, where);
}

export const deactivateAccount = defineOperation({
  id: 'acme.deactivate_account',
  title: 'Deactivate an ACME account',
  summary:
    'Deactivates an account at the authority, for ever (RFC 8555 section 7.3.6). Certificates stay valid; they can no longer be renewed or revoked by this account.',
  input: named,
  output: accountOutput,
  http: { method: 'POST', path: '/acme/accounts/{name}/deactivate' },
  effect: 'destructive',
  idempotent: true,
  openWorld: true,
  resource: accountResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireAccount(deps.store, grant.namespace, input.name);
    if (row.state === 'deactivated') return { output: viewAccount(row) };
    assertUsable(row);
    await assertNoOpenOrders(deps, row);
    await answering('the deactivation', async () => deactivateAtAuthority(deps, row));
    const set = { state: 'deactivated', next_key: null, version: row.version + 1, updated_at: grant.now } as const;
    return {
      output: viewAccount({ ...row, ...set }),
      changes: [
        update('acme_accounts', set, { id: row.id, version: row.version }, { expect: 1 }),
        lookAtRenewals(row, grant.now),
      ],
      audit: { directory: row.directory },
    };
  },
});

/** What was deactivated, and whose answer was lost, is refused from then on. */
async function deactivateAtAuthority(deps: ClientDeps, row: AccountRow): Promise<void> {
  try {
    await ask(await openAccount(deps, row), row.url ?? '', { status: 'deactivated' });
  } catch (error) {
    if (error instanceof AcmeProblem && ['unauthorized', 'accountDoesNotExist'].includes(error.type)) return;
    throw error;
  }
}

async function assertNoOpenOrders(deps: ClientDeps, row: AccountRow): Promise<void> {
  const open = await deps.store.first<{ id: string }>(
    'SELECT id FROM acme_client_orders WHERE account_id = ? AND ended_at IS NULL LIMIT 1',
    [row.id],
  );
  if (open !== undefined)
    throw new AppError('wrong_state', `The order ${open.id} of the account ${row.name} is under way.`, {
      hint: 'Wait for it, or cancel it with acme.cancel_order.',
    });
}

export const deleteAccount = defineOperation({
  id: 'acme.delete_account',
  title: 'Delete an ACME account',
  summary:
    'Forgets an account and its key, here only. It must be deactivated first, and must not be needed to renew certificates.',
  input: named,
  output: z.strictObject({ name: z.string(), deleted: z.literal(true) }),
  http: { method: 'DELETE', path: '/acme/accounts/{name}' },
  effect: 'destructive',
  resource: accountResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireAccount(deps.store, grant.namespace, input.name);
    if (row.state === 'active')
      throw new AppError('wrong_state', `The ACME account ${row.name} is active at its authority.`, {
        hint: 'Deactivate it first with acme.deactivate_account.',
      });
    await assertNoOpenOrders(deps, row);
    const renewing = await deps.store.first<{ id: string }>(
      `SELECT id FROM acme_certificates WHERE account_id = ? AND renew = 1 AND state = 'valid' LIMIT 1`,
      [row.id],
    );
    if (renewing !== undefined)
      throw new AppError('wrong_state', `The certificate ${renewing.id} is renewed by the account ${row.name}.`, {
        hint: 'Turn its renewal off with acme.update_certificate.',
      });
    return {
      output: { name: row.name, deleted: true as const },
      changes: [remove('acme_accounts', { id: row.id, version: row.version }, { expect: 1 })],
    };
  },
});
