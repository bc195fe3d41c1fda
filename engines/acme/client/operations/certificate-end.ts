import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { type Change, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { ask, openAccount } from '#acme/client/account.ts';
import { certificateResource } from '#acme/client/acts/maintain-certificate.ts';
import { certificateOutput, requireCertificate, viewCertificate } from '#acme/client/certificate-view.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { answering } from '#acme/client/failures.ts';
import { ended } from '#acme/client/order/outcome.ts';
import type { AccountRow, CertificateRow, OrderRow } from '#acme/client/tables.ts';
import { AcmeProblem } from '#acme/client/wire/problem.ts';
import { activeAccount, namedCertificate as named, ownerOf } from './certificates.ts';

/** The end of a certificate: revoked at its authority, or forgotten here. */

/** RFC 5280 §5.3.1, those that subscribers may give. */
const reasons = {
  unspecified: 0,
  key_compromise: 1,
  affiliation_changed: 3,
  superseded: 4,
  cessation_of_operation: 5,
  privilege_withdrawn: 9,
} as const;

export const revokeCertificate = defineOperation({
  id: 'acme.revoke_certificate',
  title: 'Revoke an outside certificate',
  summary:
    'Has the authority revoke a certificate, by the account that ordered it (RFC 8555 section 7.6), and stops its renewal.',
  input: named.extend({
    reason: z
      .enum(Object.keys(reasons) as (keyof typeof reasons)[])
      .default('unspecified')
      .describe('Why (RFC 5280 section 5.3.1)'),
  }),
  output: certificateOutput,
  http: { method: 'POST', path: '/acme/certificates/{id}/revoke' },
  effect: 'destructive',
  idempotent: true,
  openWorld: true,
  owner: ownerOf,
  resource: certificateResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireCertificate(deps.store, grant, input.id);
    if (row.state === 'revoked') return { output: viewCertificate(row, grant.now) };
    const account = await activeAccount(deps, row);
    await answering('the revocation', () => revokeAtAuthority(deps, account, row, reasons[input.reason]));
    const set = {
      state: 'revoked',
      revoked_at: grant.now,
      revocation_reason: input.reason,
      renew: 0,
      order_id: null,
      private_key: null,
      claim: null,
      next_action_at: null,
      updated_at: grant.now,
    } as const;
    return {
      output: viewCertificate({ ...row, ...set }, grant.now),
      changes: [
        ...(await cancelRenewal(deps, row, grant.now)),
        update(
          'acme_certificates',
          set,
          { id: row.id, serial_number: row.serial_number },
          { add: { version: 1 }, expect: 1 },
        ),
      ],
      audit: { serial_number: row.serial_number, reason: input.reason },
    };
  },
});

/** What is under way for a certificate that is to be no more. */
async function cancelRenewal({ store }: ClientDeps, row: CertificateRow, now: number): Promise<Change[]> {
  if (row.order_id === null) return [];
  const order = await store.first<OrderRow>('SELECT * FROM acme_client_orders WHERE id = ? AND ended_at IS NULL', [
    row.order_id,
  ]);
  return order === undefined ? [] : ended(order, undefined, 'cancelled', null, now).changes;
}

async function revokeAtAuthority(
  deps: ClientDeps,
  row: AccountRow,
  certificate: CertificateRow,
  reason: number,
): Promise<void> {
  const account = await openAccount(deps, row);
  const { revokeCert } = await account.connection.directory();
  if (revokeCert === undefined)
    throw new AppError('refused', 'The authority does not offer revocation by ACME.', {
      hint: 'Ask it to revoke the certificate in another way, and forget it with acme.delete_certificate.',
    });
  const der = new X509Certificate(certificate.chain).raw.toString('base64url');
  try {
    await ask(account, revokeCert, { certificate: der, reason });
  } catch (error) {
    // The answer to the request before was lost.
    if (!(error instanceof AcmeProblem && error.type === 'alreadyRevoked')) throw error;
  }
}

export const deleteCertificate = defineOperation({
  id: 'acme.delete_certificate',
  title: 'Forget an outside certificate',
  summary:
    'Forgets a certificate from an outside authority and a key that waits for it, and cancels its renewal. It stays valid until it ends: revoke it first if it must not.',
  input: named,
  output: z.strictObject({ id: z.string(), deleted: z.literal(true) }),
  http: { method: 'DELETE', path: '/acme/certificates/{id}' },
  effect: 'destructive',
  owner: ownerOf,
  resource: certificateResource,
  async run(grant, input, deps: ClientDeps) {
    const row = await requireCertificate(deps.store, grant, input.id);
    return {
      output: { id: row.id, deleted: true as const },
      changes: [
        ...(await cancelRenewal(deps, row, grant.now)),
        remove('acme_certificate_names', { certificate_id: row.id }),
        remove('acme_certificates', { id: row.id, version: row.version }, { expect: 1 }),
      ],
      audit: { serial_number: row.serial_number },
    };
  },
});
