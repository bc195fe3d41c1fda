import type { z } from 'zod';
import type { Change } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { heldNames } from '#pki/certificate-view.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { bulkChanges, countMatches, hasFilter, maxPerCall, selectMatches, sortBySteps } from '#pki/revocation/bulk.ts';
import { issuersOfCertificates, retirements } from '#pki/revocation/retirement.ts';
import { requireKnownNames } from '#pki/revocation/known-filter.ts';
import {
  releaseCertificateInput,
  type RevokeCertificateInput,
  revokeCertificateInput,
  revokeCertificatesInput,
  revokeCertificatesOutput,
  type StatusOutput,
  statusOutput,
} from '#pki/revocation/schema.ts';
import {
  markStale,
  refusedStep,
  releaseChange,
  type Revocation,
  revocationOf,
  stepChanges,
  stepFor,
} from '#pki/revocation/status-change.ts';
import { visibility } from '#pki/revocation/visibility.ts';
import type { CertificateRow } from '#pki/tables.ts';
import { certificateResource, requireCertificate } from './inventory.ts';

/** Revoking certificates, holding and releasing them. */

export const revokeCertificate = defineOperation({
  id: 'pki.revoke_certificate',
  title: 'Revoke a certificate',
  summary:
    'Revokes a certificate, or holds it with reason certificate_hold. OCSP says so at once and the CRL within a second. A revocation is final; a hold can be released.',
  input: revokeCertificateInput,
  output: statusOutput,
  http: { method: 'POST', path: '/pki/certificates/{serial_number}/revoke' },
  effect: 'destructive',
  idempotent: true,
  resource: certificateResource,
  async run(grant, input, deps: PkiDeps) {
    const row = await requireCertificate(deps, grant, input.serial_number);
    refuseUnexpected(row, input);
    const revocation = revocationOf(input, grant);
    const step = stepFor(row, revocation.reason);
    if (step === 'refused') throw refusedStep(row, revocation.reason);
    if (step === 'done') return { output: await viewStatus(deps, row, grant, []), audit: { already: true } };
    const retired =
      step === 'hold' ? none : await retirements(deps, grant, await issuersOfCertificates(deps, grant, [row]));
    const after = afterStep(row, step, revocation);
    return {
      output: await viewStatus(deps, after, grant, retired.notes),
      changes: [
        ...stepChanges(step, row.status, [row], revocation),
        ...(await markStale(deps.store, [row])),
        ...retired.changes,
      ],
      audit: { reason: revocation.reason, authority: row.authority, status: after.status },
    };
  },
});

const none: { readonly changes: readonly Change[]; readonly notes: readonly string[] } = { changes: [], notes: [] };

function refuseUnexpected(row: CertificateRow, { expected }: RevokeCertificateInput): void {
  if (expected === undefined) return;
  const { name } = expected;
  const names = heldNames(row);
  const isOther =
    (name !== undefined && !names.some((held) => held === name || held.slice(held.indexOf(':') + 1) === name)) ||
    (expected.authority !== undefined && expected.authority !== row.authority) ||
    (expected.role !== undefined && expected.role !== row.role);
  if (!isOther) return;
  throw new AppError('wrong_state', `Certificate ${row.serial_number} is not the one that is expected.`, {
    hint: `It was issued by authority ${row.authority}${row.role === null ? '' : `, role ${row.role}`}, for ${names.slice(0, 5).join(', ') || 'no name'}.`,
  });
}

function afterStep(row: CertificateRow, step: 'hold' | 'revoke' | 'worsen', revocation: Revocation): CertificateRow {
  const { reason, now, invalidityDate } = revocation;
  return {
    ...row,
    status: step === 'hold' ? 'held' : 'revoked',
    revocation_reason: reason,
    revoked_at: row.status === 'valid' ? now : row.revoked_at,
    invalidity_date: invalidityDate ?? (row.status === 'valid' ? null : row.invalidity_date),
  };
}

async function viewStatus(
  deps: PkiDeps,
  row: CertificateRow,
  grant: Grant,
  notes: readonly string[],
): Promise<StatusOutput> {
  return {
    serial_number: row.serial_number,
    status: row.status,
    revoked_at: row.revoked_at === null ? null : toRfc3339(row.revoked_at),
    revocation_reason: row.revocation_reason,
    invalidity_date: row.invalidity_date === null ? null : toRfc3339(row.invalidity_date),
    visible: visibility(
      await deps.directory.requireAuthority(row.namespace, row.authority),
      row,
      grant.now,
      deps.store.kind,
    ),
    notes: [...notes],
  };
}

export const releaseCertificate = defineOperation({
  id: 'pki.release_certificate',
  title: 'Release a held certificate',
  summary: 'Makes a held certificate valid again. What is revoked stays revoked.',
  input: releaseCertificateInput,
  output: statusOutput,
  http: { method: 'POST', path: '/pki/certificates/{serial_number}/release' },
  effect: 'mutating',
  idempotent: true,
  resource: certificateResource,
  async run(grant, input, deps: PkiDeps) {
    const row = await requireCertificate(deps, grant, input.serial_number);
    if (row.status === 'revoked')
      throw new AppError('wrong_state', `Certificate ${row.serial_number} is revoked, and that is final.`, {
        hint: 'Only a certificate that is held can be released. Issue a new one.',
      });
    const after: CertificateRow = {
      ...row,
      status: 'valid',
      revoked_at: null,
      revocation_reason: null,
      invalidity_date: null,
    };
    const output = await viewStatus(deps, after, grant, []);
    if (row.status === 'valid') return { output, audit: { already: true } };
    return {
      output,
      changes: [releaseChange(row), ...(await markStale(deps.store, [row]))],
      audit: { authority: row.authority },
    };
  },
});

export const revokeCertificates = defineOperation({
  id: 'pki.revoke_certificates',
  title: 'Revoke many certificates',
  summary:
    'Revokes everything that matches all of the given filters, up to 10,000 a call; dry_run only counts. Expired certificates, and those of authorities and OCSP signers, are revoked only when named by serial number, certificate or key.',
  input: revokeCertificatesInput,
  output: revokeCertificatesOutput,
  http: { method: 'POST', path: '/pki/certificates/revoke', bodyLimit: 1_048_576 },
  effect: 'destructive',
  idempotent: true,
  resource: () => 'pki/certificates',
  async run(grant, input, deps: PkiDeps) {
    if (!hasFilter(input))
      throw new AppError('invalid_request', 'No filter is given, and everything is never revoked at once.', {
        hint: 'Give serial_numbers, certificate, authority, role, principal, name or key_sha256.',
      });
    const revocation = revocationOf(input, grant);
    const rows = await selectMatches(deps, grant, input, revocation.reason);
    const steps = sortBySteps(rows, revocation.reason);
    const counted = await countMatches(deps, grant, input, revocation.reason);
    if (counted.open + counted.already === 0) await requireKnownNames(deps, grant, input);
    const output: z.output<typeof revokeCertificatesOutput> = {
      dry_run: input.dry_run,
      revoked: steps.changing.length,
      already: counted.already,
      left: rows.length < maxPerCall ? 0 : Math.max(0, counted.open - rows.length),
      serial_numbers: steps.changing.slice(0, 100).map((row) => row.serial_number),
    };
    if (input.dry_run) return { output, audit: { dry_run: true, revoked: 0, would_revoke: output.revoked } };
    const issuers = revocation.reason === 'certificate_hold' ? [] : await issuersOfCertificates(deps, grant, rows);
    return {
      output,
      changes: [
        ...bulkChanges(steps, revocation),
        ...(await markStale(deps.store, steps.changing)),
        ...(await retirements(deps, grant, issuers)).changes,
      ],
      audit: {
        reason: revocation.reason,
        revoked: output.revoked,
        left: output.left,
        filter: Object.keys(input).join(),
      },
    };
  },
});

export const revocationOperations = [revokeCertificate, releaseCertificate, revokeCertificates];
