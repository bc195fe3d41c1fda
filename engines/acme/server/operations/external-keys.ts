import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { name, newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import type { Store } from '#storage/store.ts';
import { deactivation } from '#acme/server/acts/accounts.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { directoryUrl } from '#acme/server/directories.ts';
import { isIdentifierPattern } from '#acme/server/identifiers.ts';
import type { AccountRow, ExternalKeyRow } from '#acme/server/tables.ts';
import { directoryUrlField, reachRole, roleName } from './fields.ts';

/** Keys by which ACME clients register accounts in the name of a principal (RFC 8555 §7.3.4). */

const view = z.strictObject({
  key_id: z.string(),
  role: z.string(),
  principal: z.string().describe('In whose name its accounts act'),
  allowed_identifiers: z.array(z.string()).nullable().describe('null: whatever the role allows'),
  skip_validation: z.boolean(),
  max_accounts: z.number().int(),
  accounts: z.number().int().describe('How many have registered with it'),
  status: z.enum(['usable', 'used', 'expired', 'revoked']),
  description: z.string(),
  created_by: z.string(),
  created_at: z.string(),
  expires_at: z.string().nullable(),
  revoked_at: z.string().nullable(),
});

function show(row: ExternalKeyRow, now: number): z.output<typeof view> {
  const time = (at: number | null): string | null => (at === null ? null : toRfc3339(at));
  return {
    key_id: row.id,
    role: row.role,
    principal: row.principal,
    allowed_identifiers: row.allowed_identifiers === null ? null : (JSON.parse(row.allowed_identifiers) as string[]),
    skip_validation: row.skip_validation === 1,
    max_accounts: row.max_accounts,
    accounts: row.accounts,
    status: statusOf(row, now),
    description: row.description,
    created_by: row.created_by,
    created_at: toRfc3339(row.created_at),
    expires_at: time(row.expires_at),
    revoked_at: time(row.revoked_at),
  };
}

function statusOf(row: ExternalKeyRow, now: number): z.output<typeof view>['status'] {
  if (row.revoked_at !== null) return 'revoked';
  if (row.accounts >= row.max_accounts) return 'used';
  return row.expires_at !== null && row.expires_at <= now ? 'expired' : 'usable';
}

const keyResource = ({ key_id }: { readonly key_id: string }): string => `acme/external-account-keys/${key_id}`;
const keyId = z
  .string()
  .regex(/^ack_[0-9a-z]{26}$/, 'an id as acme.create_external_account_key gives it')
  .describe('Id of the key, which clients show as kid');

export const createExternalAccountKey = defineOperation({
  id: 'acme.create_external_account_key',
  title: 'Create an external account key',
  summary:
    'Makes the key by which an ACME client registers at the directory of a role, and shows it once. Its accounts act as the principal, whose policies are asked at every order; names can be narrowed, and vouched for so that no challenge is needed.',
  input: z.strictObject({
    role: roleName,
    principal: name.optional().describe('In whose name accounts act; default: the caller'),
    allowed_identifiers: z
      .array(
        z
          .string()
          .max(255)
          .refine(isIdentifierPattern, 'a.example, *.example for all names below, 10.1.2.3 or 10.0.0.0/8'),
      )
      .min(1)
      .max(100)
      .optional()
      .describe(
        'Names that its accounts may order: a.example, *.example (all below), addresses, CIDR ranges; default: whatever the role allows',
      ),
    skip_validation: z
      .boolean()
      .default(false)
      .describe('Whether allowed_identifiers need no challenge: whoever makes the key vouches for them'),
    max_accounts: z.coerce
      .number()
      .int()
      .min(1)
      .max(100_000)
      .default(1)
      .describe(
        'How many accounts may register with it; a client makes another on each host, and when it has lost its storage',
      ),
    ttl: duration.optional().describe('How long accounts may register with it; default: until it is used or revoked'),
    description: z.string().max(200).default('').describe('For people'),
  }),
  output: view.extend({
    hmac_key: z.string().describe('The key, base64url; it is never shown again'),
    directory_url: directoryUrlField,
  }),
  http: { method: 'POST', path: '/acme/external-account-keys', status: 201 },
  cli: { alias: 'external-account-key' },
  effect: 'additive',
  sensitive: ['hmac_key'],
  resource: ({ role }) => `acme/directories/${role}`,
  facts: ({ ttl }) => ({ ttl }),
  async run(grant, input, deps: ServerDeps) {
    await reachRole(deps, grant, input.role);
    if ((await deps.issuer.roleSince(grant.namespace, input.role)) === undefined)
      throw new AppError('not_found', `There is no role ${input.role} in this namespace.`, {
        hint: 'pki.list_roles lists the roles; each has a directory.',
      });
    if (input.skip_validation && input.allowed_identifiers === undefined)
      throw new AppError(
        'invalid_request',
        'skip_validation needs allowed_identifiers: the names that are vouched for.',
        {
          hint: 'Give allowed_identifiers, or have names validated.',
        },
      );
    const principal = await deps.delegation.bindTo(grant, input.principal ?? grant.principal.name);
    const id = newId('ack', grant.now);
    const secret = randomBytes(32);
    const row: ExternalKeyRow = {
      id,
      namespace: grant.namespace,
      role: input.role,
      principal_id: principal.id,
      principal: principal.name,
      mac_key: deps.sealer.seal({ table: 'acme_server_external_keys', row: id, column: 'mac_key' }, secret),
      allowed_identifiers: input.allowed_identifiers === undefined ? null : JSON.stringify(input.allowed_identifiers),
      skip_validation: input.skip_validation ? 1 : 0,
      max_accounts: input.max_accounts,
      accounts: 0,
      description: input.description,
      created_by: grant.principal.name,
      created_at: grant.now,
      expires_at: endOf(grant, input.ttl),
      revoked_at: null,
    };
    const hmacKey = secret.toString('base64url');
    secret.fill(0);
    return {
      output: {
        ...show(row, grant.now),
        hmac_key: hmacKey,
        directory_url: directoryUrl(deps.baseUrl, grant.namespace, input.role),
      },
      changes: [insert('acme_server_external_keys', { ...row })],
      audit: { key_id: id, account_principal: principal.name, skip_validation: input.skip_validation },
    };
  },
});

function endOf({ now, limits }: Grant, ttl: number | undefined): number | null {
  const ends = [ttl, limits.maxTtl].flatMap((seconds) => (seconds === undefined ? [] : [now + seconds * 1000]));
  if (limits.notAfter !== undefined) ends.push(limits.notAfter);
  return ends.length === 0 ? null : Math.min(...ends);
}

export const listExternalAccountKeys = defineOperation({
  id: 'acme.list_external_account_keys',
  title: 'List external account keys',
  summary: 'Lists external account keys, newest first, those that were used or revoked too. Never shows a key itself.',
  input: z.strictObject({ role: roleName.optional(), ...pageInput }),
  output: z.strictObject({ external_account_keys: z.array(view), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/external-account-keys' },
  cli: { columns: ['key_id', 'role', 'principal', 'status', 'accounts', 'max_accounts'] },
  effect: 'read',
  resource: () => 'acme/external-account-keys',
  async run(grant, { role, limit, cursor }, { store }: ServerDeps) {
    const before = cursor === undefined ? '~' : decodeCursor(cursor, 'string');
    const [filter, parameters] = role === undefined ? ['', []] : [' AND role = ?', [role]];
    const rows = await store.all<ExternalKeyRow>(
      `SELECT * FROM acme_server_external_keys WHERE namespace = ? AND id < ?${filter} ORDER BY id DESC LIMIT ?`,
      [grant.namespace, before, ...parameters, limit + 1],
    );
    const page = cutPage(rows, limit, ({ id }) => id);
    return {
      output: {
        external_account_keys: page.items.map((row) => show(row, grant.now)),
        next_cursor: page.next_cursor,
      },
    };
  },
});

export const revokeExternalAccountKey = defineOperation({
  id: 'acme.revoke_external_account_key',
  title: 'Revoke an external account key',
  summary:
    'Ends an external account key, and with it the accounts that registered with it unless they are to stay. Certificates stay valid.',
  input: z.strictObject({
    key_id: keyId,
    deactivate_accounts: z.boolean().default(true).describe('Whether its accounts end as well; default true'),
  }),
  output: view.extend({ accounts_ended: z.number().int() }),
  http: { method: 'POST', path: '/acme/external-account-keys/{key_id}/revoke' },
  effect: 'destructive',
  idempotent: true,
  resource: keyResource,
  async run(grant, input, deps: ServerDeps) {
    const { store } = deps;
    const row = await requireKey(deps, grant, input.key_id);
    const revokedAt = row.revoked_at ?? grant.now;
    const accounts = input.deactivate_accounts ? await liveAccounts(store, row) : [];
    return {
      output: { ...show({ ...row, revoked_at: revokedAt }, grant.now), accounts_ended: accounts.length },
      changes: [
        // Whoever registers at this moment counts in the row: then both happen one after the other.
        update(
          'acme_server_external_keys',
          { revoked_at: revokedAt },
          { id: row.id, accounts: row.accounts },
          { expect: 1 },
        ),
        ...(accounts.length === 0 ? [] : deactivation(accounts, 'revoked', grant.now)),
      ],
      audit: { accounts_ended: accounts.length },
    };
  },
});

async function requireKey(deps: ServerDeps, grant: Grant, id: string): Promise<ExternalKeyRow> {
  const row = await deps.store.first<ExternalKeyRow>(
    'SELECT * FROM acme_server_external_keys WHERE id = ? AND namespace = ?',
    [id, grant.namespace],
  );
  if (row !== undefined) {
    await reachRole(deps, grant, row.role);
    return row;
  }
  throw new AppError('not_found', `There is no external account key ${id}.`, {
    hint: 'acme.list_external_account_keys lists them; those that ended are forgotten after a month.',
  });
}

async function liveAccounts(store: Store, { id, namespace }: ExternalKeyRow): Promise<string[]> {
  const rows = await store.all<Pick<AccountRow, 'id'>>(
    `SELECT id FROM acme_server_accounts WHERE external_key_id = ? AND namespace = ? AND status = 'valid'`,
    [id, namespace],
  );
  return rows.map((row) => row.id);
}

export const deleteExternalAccountKey = defineOperation({
  id: 'acme.delete_external_account_key',
  title: 'Delete an external account key',
  summary:
    'Forgets an external account key by which nobody can register any more: revoked, expired or used up. Its accounts stay.',
  input: z.strictObject({ key_id: keyId }),
  output: z.strictObject({ key_id: z.string() }),
  http: { method: 'DELETE', path: '/acme/external-account-keys/{key_id}' },
  effect: 'destructive',
  resource: keyResource,
  async run(grant, input, deps: ServerDeps) {
    const row = await requireKey(deps, grant, input.key_id);
    if (statusOf(row, grant.now) === 'usable')
      throw new AppError('wrong_state', `The external account key ${row.id} can still be used.`, {
        hint: 'acme.revoke_external_account_key ends it; then it can be deleted.',
      });
    return {
      output: { key_id: row.id },
      changes: [remove('acme_server_external_keys', { id: row.id }, { expect: 1 })],
    };
  },
});

export const externalKeyOperations = [
  createExternalAccountKey,
  listExternalAccountKeys,
  revokeExternalAccountKey,
  deleteExternalAccountKey,
];
