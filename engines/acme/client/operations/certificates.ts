import { z } from 'zod';
import { update } from '#core/change.ts';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { assertAllowed } from '#acme/client/allowed-names.ts';
import { certificateResource, nextAction, renewalOf } from '#acme/client/acts/maintain-certificate.ts';
import {
  blocksOf,
  type CertificateView,
  certificateOutput,
  certificateSummary,
  requireCertificate,
  summarize,
  viewCertificate,
} from '#acme/client/certificate-view.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { openKey } from '#acme/client/keys.ts';
import { hookUrlField, parseDefinition, waitSeconds } from '#acme/client/order/definition.ts';
import { orderOutput, viewOrder } from '#acme/client/order/view.ts';
import type { AccountRow, AcmeClientTables, CertificateRow, OrderRow } from '#acme/client/tables.ts';
import { obstacleTo } from '#acme/client/renewal/obstacle.ts';
import { waitForEnd } from './orders.ts';

/** Certificates that orders brought: the inventory of what outside authorities issued. */

const id = z
  .string()
  .max(64)
  .regex(/^acc_[0-9a-z]+$/, 'is not the id of a certificate')
  .describe('Id of the certificate');
export const namedCertificate = z.strictObject({ id });
const named = namedCertificate;

export const listCertificates = defineOperation({
  id: 'acme.list_certificates',
  title: 'List outside certificates',
  summary:
    'Lists certificates from outside authorities, newest first, by name, account, state and end, and those whose renewal fails.',
  input: z.strictObject({
    name: z.string().max(255).toLowerCase().optional().describe('Only those ordered for this name or address'),
    account: z.string().max(63).optional().describe('Only those of this account'),
    status: z.enum(['valid', 'expired', 'revoked']).optional().describe('Only those in this state'),
    expires_within: duration.optional().describe('Only those that end within this time, and have not ended yet'),
    failing: z.stringbool().or(z.boolean()).optional().describe('Only those whose renewal fails, or does not'),
    ...pageInput,
  }),
  output: z.strictObject({ certificates: z.array(certificateSummary), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/acme/certificates' },
  cli: { columns: ['id', 'identifiers', 'account', 'status', 'not_after', 'key'] },
  effect: 'read',
  resource: () => 'acme/certificates',
  async run(grant, input, deps: ClientDeps) {
    const db = deps.store.tables<AcmeClientTables>();
    const { now, namespace } = grant;
    let query = db.selectFrom('acme_certificates').selectAll().where('namespace', '=', namespace);
    if (input.name !== undefined)
      query = query.where(
        'id',
        'in',
        db
          .selectFrom('acme_certificate_names')
          .select('certificate_id')
          .where('namespace', '=', namespace)
          .where('name', '=', input.name),
      );
    if (input.account !== undefined) query = query.where('account', '=', input.account);
    if (input.status === 'revoked') query = query.where('state', '=', 'revoked');
    else if (input.status !== undefined)
      query = query.where('state', '=', 'valid').where('not_after', input.status === 'valid' ? '>=' : '<', now);
    if (input.expires_within !== undefined)
      query = query.where('not_after', '>=', now).where('not_after', '<', now + input.expires_within * 1000);
    if (input.failing !== undefined) query = query.where('failing_since', input.failing ? 'is not' : 'is', null);
    if (input.cursor !== undefined) query = query.where('id', '<', decodeCursor(input.cursor, 'string'));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(input.limit + 1)
      .execute();
    const page = cutPage(rows, input.limit, (row) => row.id);
    return {
      output: { certificates: page.items.map((row) => summarize(row, now)), next_cursor: page.next_cursor },
    };
  },
});

/** Who ordered it needs no rule to fetch and to end it. */
export async function ownerOf(namespace: string, input: { readonly id: string }, { store }: ClientDeps) {
  const row = await store.first<{ principal: string }>(
    'SELECT principal FROM acme_certificates WHERE id = ? AND namespace = ?',
    [input.id, namespace],
  );
  return row?.principal;
}

export const getCertificate = defineOperation({
  id: 'acme.get_certificate',
  title: 'Get an outside certificate',
  summary: 'Shows a certificate from an outside authority with its chain and how its renewal stands; never its key.',
  input: named,
  output: certificateOutput,
  http: { method: 'GET', path: '/acme/certificates/{id}' },
  effect: 'read',
  owner: ownerOf,
  resource: certificateResource,
  async run(grant, input, deps: ClientDeps) {
    return { output: viewCertificate(await requireCertificate(deps.store, grant, input.id), grant.now) };
  },
});

export const downloadCertificate = defineOperation({
  id: 'acme.download_certificate',
  title: 'Download a certificate',
  summary:
    'Returns a certificate with its chain and, the first time after it was issued or renewed, the private key that was made for it. The key is deleted with that, unless renewals are to use it again: then it stays sealed and is not shown again.',
  input: named,
  output: z.strictObject({
    id: z.string(),
    serial_number: z.string(),
    certificate: z.string().describe('PEM'),
    chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
    full_chain: z.string().describe('The certificate and its chain, PEM, as servers take it'),
    private_key: z.string().optional().describe('PKCS #8, PEM; returned once'),
    key: z
      .enum(['returned', 'elsewhere', 'collected', 'deleted'])
      .describe(
        'returned: it is here, this once; elsewhere: a CSR brought it; collected: it was returned before; deleted: before anybody fetched it. Where it is lost, renew the certificate',
      ),
    not_after: z.string(),
  }),
  http: { method: 'POST', path: '/acme/certificates/{id}/download' },
  effect: 'mutating',
  sensitive: ['private_key'],
  owner: ownerOf,
  resource: certificateResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireCertificate(deps.store, grant, input.id);
    const [certificate = '', ...chain] = blocksOf(row.chain);
    const shown = viewCertificate(row, grant.now);
    const output = {
      id: row.id,
      serial_number: row.serial_number,
      certificate,
      chain,
      full_chain: row.chain,
      not_after: shown.not_after,
    };
    if (row.private_key === null || row.key_collected_at !== null)
      return { output: { ...output, key: withoutKey(shown.key) }, audit: { key: false } };
    const place = { table: 'acme_certificates', row: row.id, column: 'private_key' } as const;
    const key = await openKey(deps.sealer, place, row.private_key);
    const set = {
      key_collected_at: grant.now,
      ...(keepsKey(row) ? {} : { private_key: null }),
      updated_at: grant.now,
    };
    return {
      output: { ...output, key: 'returned' as const, private_key: key.export({ type: 'pkcs8', format: 'pem' }) },
      changes: [
        update(
          'acme_certificates',
          set,
          { id: row.id, serial_number: row.serial_number, key_collected_at: null },
          { add: { version: 1 }, expect: 1 },
        ),
      ],
      audit: { key: true, serial_number: row.serial_number },
    };
  },
});

function withoutKey(key: CertificateView['key']): 'elsewhere' | 'collected' | 'deleted' {
  return key === 'elsewhere' || key === 'deleted' ? key : 'collected';
}

function keepsKey(row: CertificateRow): boolean {
  return row.renew === 1 && row.state === 'valid' && parseDefinition(row).reuse_key;
}

export const updateCertificate = defineOperation({
  id: 'acme.update_certificate',
  title: 'Change the renewal of a certificate',
  summary:
    'Turns the renewal of an outside certificate on or off, gives its hook another URL, or makes the caller the one who ordered it. Off deletes a key that was kept for renewals only.',
  input: named.extend({
    take_over: z
      .boolean()
      .default(false)
      .describe(
        'Whether it is yours from now on: renewals ask about your rights, not those of who ordered it; you must be allowed to order it, and to do with it what its owner may',
      ),
    renew: z.boolean().optional().describe('Whether to renew it by itself'),
    hook_url: hookUrlField.nullable().optional().describe('Another URL of the hook; null removes it'),
  }),
  output: certificateOutput,
  http: { method: 'PATCH', path: '/acme/certificates/{id}' },
  effect: 'mutating',
  idempotent: true,
  owner: ownerOf,
  resource: certificateResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireCertificate(deps.store, grant, input.id);
    const { hook_url: before, ...definition } = parseDefinition(row);
    if (input.hook_url != null && row.hook_key === null)
      throw new AppError(
        'wrong_state',
        'This certificate was ordered without a hook, so there is no key to sign with.',
        {
          hint: 'Order it again with hook_url.',
        },
      );
    if (input.take_over) await assertMayHave(deps, grant, row);
    const hook = input.hook_url === undefined ? before : (input.hook_url ?? undefined);
    const renew = input.renew === undefined ? row.renew : input.renew ? 1 : 0;
    const set = {
      renew,
      definition: JSON.stringify({ ...definition, ...(hook === undefined ? {} : { hook_url: hook }) }),
      ...(hook === undefined ? { hook_serial: null, hook_at: null } : {}),
      // What was kept for renewals alone has no use any more.
      ...(renew === 0 && row.key_collected_at !== null ? { private_key: null } : {}),
      ...(renew === 0 ? { failures: 0, failing_since: null, last_error: null, stopped: null } : {}),
      ...(input.take_over ? takenOver(grant) : {}),
      claim: null,
      next_action_at: grant.now,
      updated_at: grant.now,
    };
    return {
      output: viewCertificate({ ...row, ...set }, grant.now),
      changes: [
        update('acme_certificates', set, { id: row.id, version: row.version }, { add: { version: 1 }, expect: 1 }),
      ],
      audit: { renew: renew === 1, ...(input.take_over ? { taken_over_from: row.principal } : {}) },
    };
  },
});

/** What this one orders itself it may have renewed. */
async function assertMayOrder({ delegation }: ClientDeps, grant: Grant, row: CertificateRow): Promise<void> {
  await delegation.assertMayItself(grant, {
    operation: 'acme.create_order',
    resource: `acme/accounts/${row.account}`,
  });
}

/** Who it belongs to may do all of this without a rule: nobody gets by that what they may not. */
const ofTheOwner = ['get', 'download', 'update', 'renew', 'revoke', 'delete'];

async function assertMayHave(deps: ClientDeps, grant: Grant, row: CertificateRow): Promise<void> {
  await assertMayOrder(deps, grant, row);
  const resource = certificateResource(row);
  for (const verb of ofTheOwner)
    await deps.delegation.assertMayItself(grant, { operation: `acme.${verb}_certificate`, resource });
}

function takenOver({ principal, sourceAddress }: Grant) {
  return { principal: principal.name, principal_id: principal.id, source_address: sourceAddress };
}

export const renewCertificate = defineOperation({
  id: 'acme.renew_certificate',
  title: 'Renew a certificate now',
  summary:
    'Orders the renewal of an outside certificate now, whenever it would be due. When one is under way, that order is answered. The present certificate stays until the new one is there.',
  input: named.extend({ wait: waitSeconds }),
  output: orderOutput,
  http: { method: 'POST', path: '/acme/certificates/{id}/renew' },
  effect: 'additive',
  openWorld: true,
  owner: ownerOf,
  resource: certificateResource,
  async intend(grant, input, deps: ClientDeps) {
    const row = await requireCertificate(deps.store, grant, input.id);
    if (row.order_id !== null) return { plan: row.order_id, changes: [] };
    const account = await activeAccount(deps, row);
    assertAllowed(account, parseDefinition(row).identifiers);
    // Where who ordered may not any more, whoever asks now must.
    if ((await obstacleTo(deps, account, row, grant.now)) !== undefined) await assertMayOrder(deps, grant, row);
    const { orderId, changes } = await renewalOf(deps, grant, account, { ...row, state: 'valid' });
    const set = { order_id: orderId, renew_reason: 'request', claim: null, updated_at: grant.now };
    return {
      plan: orderId,
      changes: [
        ...changes,
        update(
          'acme_certificates',
          { ...set, next_action_at: nextAction({ ...row, order_id: orderId }, grant.now) },
          { id: row.id, order_id: null, version: row.version },
          { add: { version: 1 }, expect: 1 },
        ),
      ],
      audit: { order: orderId },
    };
  },
  async run(grant, input, deps, orderId) {
    deps.wake();
    const row = await deps.store.first<OrderRow>('SELECT * FROM acme_client_orders WHERE id = ?', [orderId]);
    if (row === undefined)
      throw new AppError('conflict', 'The order of the renewal is gone.', { hint: 'Make the call again.' });
    return { output: viewOrder(await waitForEnd(deps, grant, row, input.wait)), audit: { order: orderId } };
  },
});

export async function activeAccount(deps: ClientDeps, row: CertificateRow): Promise<AccountRow> {
  const account = await deps.store.first<AccountRow>(`SELECT * FROM acme_accounts WHERE id = ? AND state = 'active'`, [
    row.account_id,
  ]);
  if (account !== undefined) return account;
  throw new AppError('wrong_state', `The ACME account ${row.account} of this certificate is not active.`, {
    hint: 'Order a new certificate by another account.',
  });
}
