import type { CertificateFacts } from '#core/issuer.ts';

/**
 * The identifier by which clients name a certificate (RFC 9773 §4.1): key identifier of its authority and serial number
 * as DER writes it, each base64url. Certificates of ours always have an authority key identifier; one without would get
 * an identifier that no client makes.
 */
export function certIdOf({
  authorityKeyId,
  serialOctets,
}: Pick<CertificateFacts, 'authorityKeyId' | 'serialOctets'>): string {
  const text = (octets: Uint8Array): string => Buffer.from(octets).toString('base64url');
  return `${text(authorityKeyId ?? new Uint8Array())}.${text(serialOctets)}`;
}
