import type { KeyType } from '#pki/x509/algorithm.ts';

/**
 * The tables of the PKI engine. Times are milliseconds, JSON is text, certificates are DER.
 *
 * Terms (Vault's and RFC 5280's). An *authority* is a name that people use: `issuing`. An *issuer* is one key of it
 * with its certificate; rotation gives the authority another issuer, and the older ones keep answering for what they
 * signed (CRL, OCSP) until it has expired.
 */

export type IssuerState =
  /** The key exists, its certificate does not yet: a CSR is out. */
  | 'pending'
  /** Signs certificates. Exactly one of an active authority's issuers. */
  | 'active'
  /** Signs CRLs and OCSP answers only. */
  | 'retiring';

export interface AuthorityRow {
  id: string;
  namespace: string;
  name: string;
  description: string;
  kind: 'root' | 'intermediate';
  state: 'active' | 'pending' | 'retired';
  /** JSON: AuthoritySettings. */
  settings: string;
  created_at: number;
}

export interface IssuerRow {
  id: string;
  namespace: string;
  authority_id: string;
  /** 1, 2, 3 … within the authority; part of the URLs of its CRLs. */
  number: number;
  state: IssuerState;
  key_type: KeyType;
  /** PKCS#8 DER, sealed. */
  private_key: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  spki: Uint8Array;
  /** Hex. */
  spki_sha256: string;
  /** Name, DER. */
  subject: Uint8Array;
  /** Null while pending. */
  certificate: Uint8Array | null;
  serial_number: string | null;
  not_before: number | null;
  not_after: number | null;
  /** The issuer of ours that signed it; null for roots and for what an outside authority signed. */
  parent_id: string | null;
  /** Certificates above it that are not ours: concatenated DER, nearest first. */
  outside_chain: Uint8Array | null;
  /** The request that is out, DER; null when none is. */
  request: Uint8Array | null;
  created_at: number;
}

/** Another certificate for the key of one of our issuers, made by another authority (RFC 4949: cross-certification). */
export interface CrossCertificateRow {
  id: string;
  namespace: string;
  issuer_id: string;
  certificate: Uint8Array;
  not_after: number;
  created_at: number;
}

export interface RoleRow {
  namespace: string;
  name: string;
  authority: string;
  /** JSON: what role-schema.ts parses. */
  definition: string;
  version: number;
  created_at: number;
  updated_at: number;
}

/** How many certificates a role with limits has issued (role-limits.ts). */
export interface RoleCountRow {
  namespace: string;
  role: string;
  /** Hours since 1970-01-01T00:00:00Z: the one in which `issued` were issued. */
  hour: number;
  issued: number;
  /** Since it has limits; grows with each, so that an update can be guarded by it. */
  total: number;
}

export type CertificateStatus = 'valid' | 'held' | 'revoked';

export interface CertificateRow {
  /** `crt_…`, in the order of issuance: lists are sorted by it. */
  id: string;
  namespace: string;
  serial_number: string;
  issuer_id: string;
  /** Name of the authority. */
  authority: string;
  /** Null for certificates of authorities. */
  role: string | null;
  /** Name of the principal that asked. */
  principal: string;
  kind: 'leaf' | 'authority' | 'ocsp_signer';
  certificate: Uint8Array;
  /** RFC 4514. */
  subject: string;
  /** Hex. */
  spki_sha256: string;
  not_before: number;
  not_after: number;
  issued_at: number;
  status: CertificateStatus;
  revoked_at: number | null;
  /** RFC 5280 §5.3.1 in snake_case: `key_compromise`. */
  revocation_reason: string | null;
  invalidity_date: number | null;
  /** The shard of the issuer's CRL that its distribution point names; -1 when the certificate names none. */
  crl_shard: number;
  purpose: string | null;
}

/** One row per name, for search: `dns:a.example`, `ip:10.0.0.1`; `cn:agent` for a common name that is no alternative name. */
export interface CertificateNameRow {
  namespace: string;
  name: string;
  certificate_id: string;
}

export interface BlockedKeyRow {
  namespace: string;
  /** Hex. */
  spki_sha256: string;
  reason: string;
  principal: string;
  blocked_at: number;
}

/** How many certificates of an issuer name a shard of its CRL, counted in blocks (crl-shards.ts). */
export interface CrlShardRow {
  issuer_id: string;
  shard: number;
  reserved: number;
}

/** A base URL under which certificates name a shard of a CRL of their issuer (crl-addresses.ts). */
export interface CrlAddressRow {
  issuer_id: string;
  shard: number;
  base_url: string;
  namespace: string;
  first_used_at: number;
}

/**
 * How far the CRL of a shard is behind. Every change of a certificate's status adds one to `changes` in the same commit,
 * and a CRL says in `published` which count it has seen: no clock is compared, so no change is ever missed. Shard -1
 * stands for certificates that name no CRL; nothing is published for it.
 */
export interface CrlStateRow {
  issuer_id: string;
  shard: number;
  namespace: string;
  changes: number;
  published: number;
  /** thisUpdate of the last CRL that was made because its time had come; 0: none yet. */
  scheduled_at: number;
  /** When the next one is made, changes or not. */
  rebuild_at: number;
}

/** The newest CRL of each kind of each shard; `base` is the full CRL that the delta CRL builds on. */
export interface CrlRow {
  issuer_id: string;
  shard: number;
  kind: 'full' | 'delta' | 'base';
  namespace: string;
  number: number;
  made_at: number;
  /** Earlier than made_at: it is backdated. */
  this_update: number;
  next_update: number;
  entries: number;
  crl: Uint8Array;
}

export interface OcspSignerRow {
  id: string;
  issuer_id: string;
  namespace: string;
  key_type: KeyType;
  /** PKCS#8 DER, sealed. */
  private_key: Uint8Array;
  certificate: Uint8Array;
  not_before: number;
  not_after: number;
  serial_number: string;
  /** 1, 2, 3 … within the issuer; unique, so that of two nodes that renew at once one takes what the other made. */
  generation: number;
}

export interface PkiTables {
  pki_authorities: AuthorityRow;
  pki_issuers: IssuerRow;
  pki_cross_certificates: CrossCertificateRow;
  pki_roles: RoleRow;
  pki_role_counts: RoleCountRow;
  pki_certificates: CertificateRow;
  pki_certificate_names: CertificateNameRow;
  pki_blocked_keys: BlockedKeyRow;
  pki_crl_shards: CrlShardRow;
  pki_crl_addresses: CrlAddressRow;
  pki_crl_states: CrlStateRow;
  pki_crls: CrlRow;
  pki_ocsp_signers: OcspSignerRow;
}
