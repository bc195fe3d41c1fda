import { toRfc3339 } from '#core/clock.ts';
import type { z } from 'zod';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { attributeValues } from '#pki/x509/name.ts';
import { encodePem } from '#pki/x509/pem.ts';
import type { CertificateOutput, certificateSummary } from './certificate-schema.ts';
import type { CertificateRow } from './tables.ts';

/** A stored certificate as it is shown. */
export function viewCertificate(row: CertificateRow, now: number): CertificateOutput {
  return { ...summarizeCertificate(row, now), certificate: encodePem('CERTIFICATE', row.certificate) };
}

export function summarizeCertificate(row: CertificateRow, now: number): z.output<typeof certificateSummary> {
  return {
    serial_number: row.serial_number,
    kind: row.kind,
    authority: row.authority,
    role: row.role,
    principal: row.principal,
    purpose: row.purpose,
    subject: row.subject,
    names: namesOf(row),
    key_sha256: row.spki_sha256,
    not_before: toRfc3339(row.not_before),
    not_after: toRfc3339(row.not_after),
    issued_at: toRfc3339(row.issued_at),
    status: statusOf(row, now),
    revoked_at: row.revoked_at === null ? null : toRfc3339(row.revoked_at),
    revocation_reason: row.revocation_reason,
    invalidity_date: row.invalidity_date === null ? null : toRfc3339(row.invalidity_date),
  };
}

/** What was revoked stays revoked after its end; only what was valid to the last expires. */
function statusOf(row: CertificateRow, now: number): CertificateOutput['status'] {
  return row.status === 'valid' && row.not_after < now ? 'expired' : row.status;
}

/** Every name that stands in it: the alternative names, then common names as `cn:agent`. */
export function heldNames(row: Pick<CertificateRow, 'certificate'>): string[] {
  const { subject } = decodeCertificate(row.certificate);
  return [...namesOf(row), ...attributeValues(subject, 'common_name').map((text) => `cn:${text}`)];
}

/** Subject alternative names as `dns:a.example`, in the order of the certificate. */
export function namesOf(row: Pick<CertificateRow, 'certificate'>): string[] {
  const names = extensionValue(decodeCertificate(row.certificate).extensions, 'subject_alt_name') ?? [];
  return names.flatMap((name) => ('value' in name ? [`${name.kind}:${name.value}`] : []));
}
