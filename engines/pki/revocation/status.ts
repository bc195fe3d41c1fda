import type { Store } from '#storage/store.ts';
import type { CrlReason } from '#pki/x509/revocation-reason.ts';
import { reasonOf } from './crl-entries.ts';

/** What is known of a certificate of ours, for whoever validates here and need not ask over the network. */
export type RevocationStatus =
  | { readonly kind: 'good' }
  /** A hold is a revocation with reason certificate_hold. */
  | { readonly kind: 'revoked'; readonly revokedAt: number; readonly reason: CrlReason }
  /** An issuer of ours, but it never issued this. */
  | { readonly kind: 'unknown' };

/**
 * The status of the certificate with this serial number under the issuer with this key. Undefined when the issuer is
 * none of the namespace: then its own CRL or OCSP must be asked. `serialNumber` is lower-case hex.
 */
export async function revocationStatus(
  store: Store,
  namespace: string,
  issuerSpkiSha256: string,
  serialNumber: string,
): Promise<RevocationStatus | undefined> {
  const row = await store.first<{ status: string; revoked_at: number | null; revocation_reason: string | null }>(
    `SELECT c.status AS status, c.revoked_at AS revoked_at, c.revocation_reason AS revocation_reason
     FROM pki_certificates c JOIN pki_issuers i ON i.id = c.issuer_id
     WHERE c.serial_number = ? AND c.namespace = ? AND i.spki_sha256 = ?`,
    [serialNumber, namespace, issuerSpkiSha256],
  );
  if (row?.status === 'valid') return { kind: 'good' };
  if (row) return { kind: 'revoked', revokedAt: row.revoked_at ?? 0, reason: reasonOf(row.revocation_reason) };
  const issuer = await store.first('SELECT id FROM pki_issuers WHERE namespace = ? AND spki_sha256 = ?', [
    namespace,
    issuerSpkiSha256,
  ]);
  return issuer === undefined ? undefined : { kind: 'unknown' };
}
