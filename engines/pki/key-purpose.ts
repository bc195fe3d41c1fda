import type { KeyType } from '#pki/x509/algorithm.ts';
import { oids } from '#pki/x509/oid.ts';

/** What the key of an end entity may be for: names of our requests and roles, as RFC 5280 spells them. */

/** Extended key usages by name, with their OIDs (RFC 5280 §4.2.1.12). */
export const extendedKeyUsageOids = {
  server_auth: oids.serverAuth,
  client_auth: oids.clientAuth,
  code_signing: oids.codeSigning,
  email_protection: oids.emailProtection,
  time_stamping: oids.timeStamping,
} as const;

/** Key usages that a certificate of an end entity may have (RFC 5280 §4.2.1.3). */
export const leafKeyUsages = [
  'digital_signature',
  'content_commitment',
  'key_encipherment',
  'data_encipherment',
  'key_agreement',
] as const;
export type LeafKeyUsage = (typeof leafKeyUsages)[number];

/**
 * The usages among `usages` that a key of this type can do. RSA signs and encrypts, EC signs and agrees (RFC 5480 §3),
 * Ed25519 and ML-DSA only sign (RFC 8410 §5, RFC 9881 §5).
 */
export function keyUsagesFor(type: KeyType, usages: readonly LeafKeyUsage[]): LeafKeyUsage[] {
  return usages.filter((usage) => abilities[usage].test(type));
}

const abilities: Readonly<Record<LeafKeyUsage, RegExp>> = {
  digital_signature: /^/,
  content_commitment: /^/,
  key_encipherment: /^rsa-/,
  data_encipherment: /^rsa-/,
  key_agreement: /^ec-/,
};

/** Which key usages each purpose is consistent with (RFC 5280 §4.2.1.12). */
const usagesOfPurpose: Readonly<Record<string, readonly LeafKeyUsage[]>> = {
  server_auth: ['digital_signature', 'key_encipherment', 'key_agreement'],
  client_auth: ['digital_signature', 'key_agreement'],
  code_signing: ['digital_signature'],
  email_protection: ['digital_signature', 'content_commitment', 'key_encipherment', 'key_agreement'],
  time_stamping: ['digital_signature', 'content_commitment'],
};

/**
 * The usages that serve none of the purposes: a certificate with both must not be issued (RFC 5280 §4.2.1.12). A purpose
 * that is only known by its OID may need any usage.
 */
export function uselessKeyUsages(usages: readonly LeafKeyUsage[], purposes: readonly string[]): LeafKeyUsage[] {
  const known = purposes.map((purpose) => usagesOfPurpose[purpose]);
  return usages.filter((usage) => known.every((useful) => useful !== undefined && !useful.includes(usage)));
}
