import { z } from 'zod';
import { remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { name } from '#core/ids.ts';
import { deactivation } from '#acme/server/acts/accounts.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import type { AccountRow, CertificateRow } from '#acme/server/tables.ts';
import { readDirectoryRow } from '#acme/server/directories.ts';
import { parseSettings } from '#acme/server/settings.ts';
import { reachRole, roleName } from './fields.ts';

/** Accounts that ACME clients registered here, as operators see them. */

const view = z.strictObject({
  account_id: z.string(),
  role: z.string(),
  status: z.enum(['valid', 'deactivated', 'revoked']),
  principal: z.string().nullable().describe('In whose name it acts; null: the directory was open to anybody'),
  external_account_key: z.string().nullable(),
  contact: z.array(z.string()),
  key_thumbprint: z.string().describe('RFC 7638'),
  terms_of_service: z.string().nullable().describe('What was agreed to'),
  source_address: z.string().describe('From where it registered'),
  created_at: z.string(),
});

function show(row: AccountRow): z.output<typeof view> {
  return {
    account_id: row.id,
    role: row.role,
    status: row.status,
    principal: row.principal,
    external_account_key: row.external_key_id,
    contact: JSON.parse(row.contact) as string[],
    key_thumbprint: row.thumbprint,
    terms_of_service: row.terms,
    source_address: row.source_address,
    created_at: toRfc3339(row.created_at),
  };
}

const accountId = z
  .string()
  .regex(/^asa_[0-9a-z]{26}$/, 'an id as it ends the URL of the account')
  .describe('Id of the account, with which its URL ends');
const byId = z.strictObject({ account_id: accountId });
const accountResource = ({ account_id }: { readonly account_id: string }): string => `acme/subscribers/${account_id}`;

export const listSubscribers = defineOperation({
  id: 'acme.list_subscribers',
  title: 'List ACME subscribers',
  summary: 'Lists the accounts that ACME clients registered here, newest first.',
  input: z.strictObject({
    role: roleName.optional(),
    principal: name.optional().describe('Only accounts that act in the name of this principal'),
    ...pageInput,
  }),
  output: z.strictObject({ subscribers: z.array(view), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/subscribers' },
  cli: { columns: ['account_id', 'role', 'principal', 'status', 'created_at'] },
  effect: 'read',
  resource: () => 'acme/subscribers',
  async run(grant, { role, principal, limit, cursor }, { store }: ServerDeps) {
    const before = cursor === undefined ? '~' : decodeCursor(cursor, 'string');
    const filters = [
      ...(role === undefined ? [] : [['role', role] as const]),
      ...(principal === undefined ? [] : [['principal', principal] as const]),
    ];
    const rows = await store.all<AccountRow>(
      `SELECT * FROM acme_server_accounts WHERE namespace = ? AND id < ?${filters.map(([column]) => ` AND ${column} = ?`).join('')}
       ORDER BY id DESC LIMIT ?`,
      [grant.namespace, before, ...filters.map(([, value]) => value), limit + 1],
    );
    const page = cutPage(rows, limit, ({ id }) => id);
    return { output: { subscribers: page.items.map(show), next_cursor: page.next_cursor } };
  },
});

async function requireSubscriber(deps: ServerDeps, grant: Grant, id: string): Promise<AccountRow> {
  const row = await deps.store.first<AccountRow>('SELECT * FROM acme_server_accounts WHERE id = ? AND namespace = ?', [
    id,
    grant.namespace,
  ]);
  if (row !== undefined) {
    await reachRole(deps, grant, row.role);
    return row;
  }
  throw new AppError('not_found', `There is no ACME account ${id}.`, { hint: 'acme.list_subscribers lists them.' });
}

export const getSubscriber = defineOperation({
  id: 'acme.get_subscriber',
  title: 'Get an ACME subscriber',
  summary: 'Shows an account that an ACME client registered here.',
  input: byId,
  output: view,
  http: { method: 'GET', path: '/acme/subscribers/{account_id}' },
  effect: 'read',
  resource: accountResource,
  async run(grant, input, deps: ServerDeps) {
    return { output: show(await requireSubscriber(deps, grant, input.account_id)) };
  },
});

export const revokeSubscriber = defineOperation({
  id: 'acme.revoke_subscriber',
  title: 'Revoke an ACME subscriber',
  summary:
    'Ends an account with its open orders; its key is not taken again as long as the account is kept. Its certificates stay valid.',
  input: byId,
  output: view,
  http: { method: 'POST', path: '/acme/subscribers/{account_id}/revoke' },
  effect: 'destructive',
  idempotent: true,
  resource: accountResource,
  async run(grant, input, deps: ServerDeps) {
    const row = await requireSubscriber(deps, grant, input.account_id);
    if (row.status !== 'valid') return { output: show(row), audit: { already: true } };
    return { output: show({ ...row, status: 'revoked' }), changes: deactivation([row.id], 'revoked', grant.now) };
  },
});

export const agreeForSubscriber = defineOperation({
  id: 'acme.agree_for_subscriber',
  title: 'Record that a subscriber agreed to changed terms',
  summary:
    'Says that the people behind an account agreed to the present terms of service of its directory, after they changed.',
  input: byId,
  output: view,
  http: { method: 'POST', path: '/acme/subscribers/{account_id}/agree' },
  effect: 'mutating',
  idempotent: true,
  resource: accountResource,
  async run(grant, input, deps: ServerDeps) {
    const row = await requireSubscriber(deps, grant, input.account_id);
    const directory = await readDirectoryRow(deps.store, grant.namespace, row.role);
    const terms = directory === undefined ? null : parseSettings(directory.settings).terms_of_service;
    return {
      output: show({ ...row, terms }),
      changes: [update('acme_server_accounts', { terms }, { id: row.id }, { expect: 1 })],
      audit: { terms_of_service: terms },
    };
  },
});

export const deleteSubscriber = defineOperation({
  id: 'acme.delete_subscriber',
  title: 'Delete an ACME subscriber',
  summary:
    'Forgets an account that was revoked or deactivated and has no certificate that is still valid. Its orders are gone within ten minutes; its certificates stay in the inventory.',
  input: byId,
  output: z.strictObject({ account_id: z.string() }),
  http: { method: 'DELETE', path: '/acme/subscribers/{account_id}' },
  effect: 'destructive',
  resource: accountResource,
  async run(grant, input, deps: ServerDeps) {
    const row = await requireSubscriber(deps, grant, input.account_id);
    if (row.status === 'valid')
      throw new AppError('wrong_state', `The ACME account ${row.id} is in use.`, {
        hint: 'acme.revoke_subscriber ends it; then it can be deleted.',
      });
    await assertNothingValid(deps, row, grant.now);
    const ofAccount = { account_id: row.id };
    return {
      output: { account_id: row.id },
      changes: [
        remove('acme_server_accounts', { id: row.id, status: row.status }, { expect: 1 }),
        // What hangs on it may be much: the purge takes it away in parts.
        ...['orders', 'authorizations', 'certificates'].map((kind) =>
          update(`acme_server_${kind}`, { purge_at: grant.now }, ofAccount),
        ),
      ],
      audit: { account_principal: row.principal },
    };
  },
});

const mostShown = 10;

async function assertNothingValid({ store, issuer }: ServerDeps, row: AccountRow, now: number): Promise<void> {
  const issuing = await store.first(
    `SELECT id FROM acme_server_orders WHERE account_id = ? AND status = 'processing' LIMIT 1`,
    [row.id],
  );
  if (issuing !== undefined)
    throw new AppError('wrong_state', `An order of the ACME account ${row.id} is being issued.`, {
      hint: 'It ends within a minute.',
    });
  const certificates = await store.all<Pick<CertificateRow, 'serial_number'>>(
    'SELECT serial_number FROM acme_server_certificates WHERE account_id = ? AND not_after > ? ORDER BY not_after DESC',
    [row.id, now],
  );
  const valid: string[] = [];
  for (const { serial_number: serial } of certificates) {
    if ((await issuer.statusOf(row.namespace, serial)) !== 'revoked') valid.push(serial);
    if (valid.length === mostShown) break;
  }
  if (valid.length === 0) return;
  throw new AppError('wrong_state', `The ACME account ${row.id} has certificates that are valid.`, {
    hint: 'Revoke them with pki.revoke_certificate, or wait for their end.',
    details: valid.map((serial) => ({ at: '/account_id', message: `certificate ${serial} is valid` })),
  });
}

export const subscriberOperations = [
  listSubscribers,
  getSubscriber,
  revokeSubscriber,
  agreeForSubscriber,
  deleteSubscriber,
];
