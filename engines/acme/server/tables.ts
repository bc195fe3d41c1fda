/**
 * The tables of the ACME server. Times are milliseconds, JSON is text, booleans 0 or 1.
 *
 * Terms (RFC 8555 §7.1). A *directory* is what a client is pointed to; there is one for each role of the PKI. An
 * *account* belongs to one directory. Objects that hang on each other repeat namespace and account, so that every query
 * can be held to them.
 */

export interface DirectoryRow {
  namespace: string;
  /** The role of the PKI, and the name of the directory. */
  role: string;
  /** JSON: what settings.ts parses. */
  settings: string;
  version: number;
  updated_at: number;
}

/** Secrets of the installation: the key that authenticates nonces. */
export interface KeyRow {
  id: string;
  /** 32 octets, sealed. */
  secret: Uint8Array;
  created_at: number;
}

/** A nonce that was used; those that were not have no row. */
export interface NonceRow {
  /** The unique half of it, base64url. */
  nonce: string;
  expires_at: number;
}

/** A key for external account binding (RFC 8555 §7.3.4). */
export interface ExternalKeyRow {
  id: string;
  namespace: string;
  role: string;
  principal_id: string;
  principal: string;
  /** 32 octets, sealed. */
  mac_key: Uint8Array;
  /** JSON array, or null: whatever the role allows. */
  allowed_identifiers: string | null;
  skip_validation: number;
  max_accounts: number;
  accounts: number;
  description: string;
  created_by: string;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

export type AccountStatus = 'valid' | 'deactivated' | 'revoked';

export interface AccountRow {
  id: string;
  namespace: string;
  role: string;
  status: AccountStatus;
  /** RFC 7638, of the present key. */
  thumbprint: string;
  /** JSON. */
  jwk: string;
  /** JSON array of URLs. */
  contact: string;
  /** The terms of service that were agreed to, by URL; null: none. */
  terms: string | null;
  /** What came of the external account binding, held by the account itself: its key may be gone when it counts. */
  external_key_id: string | null;
  /** JSON: the binding as it came, to be shown in the account object. */
  external_binding: string | null;
  principal_id: string | null;
  principal: string | null;
  allowed_identifiers: string | null;
  skip_validation: number;
  source_address: string;
  /** Whose accounts are counted together: the address, or the /64 of an IPv6 address. */
  source_network: string;
  /** How many of its authorizations have the status `pending`, so that a commit can hold them to a limit. */
  open_authorizations: number;
  version: number;
  created_at: number;
  /** When it was deactivated or revoked. */
  ended_at: number | null;
}

/**
 * `open` is what is told as `pending`, `ready` or `invalid`: that hangs on the authorizations, and two of them may become
 * valid at the same moment on two nodes.
 */
export type OrderState = 'open' | 'processing' | 'valid' | 'invalid';

export interface OrderRow {
  id: string;
  namespace: string;
  /** The directory. */
  role: string;
  account_id: string;
  status: OrderState;
  /** JSON array of identifiers, in the order that they were asked for. */
  identifiers: string;
  /** The role of the PKI that issues: that of the directory, or of the profile. */
  issuing_role: string;
  profile: string | null;
  not_after: number | null;
  /** Certificate identifier of RFC 9773 §4.1. */
  replaces: string | null;
  /** JSON: problem document. */
  error: string | null;
  /** DER, from finalize on. */
  csr: Uint8Array | null;
  /** What is asked of the issuer: not_after, or an earlier end that the policy sets; null: the default of the role. */
  end_at: number | null;
  /** Asked of a role that wants one, where the CSR has none. */
  common_name: string | null;
  certificate_id: string | null;
  /** Fencing token of the node that issues. */
  claim: string | null;
  next_attempt_at: number | null;
  finalized_at: number | null;
  /** The address that finalized it, which policies may ask for. */
  finalized_from: string | null;
  created_at: number;
  expires_at: number;
  /** After which the row is of no use. */
  purge_at: number;
}

export interface OrderAuthorizationRow {
  order_id: string;
  authorization_id: string;
  position: number;
}

/** `expired` is told of what has expired, and not stored. */
export type AuthorizationState = 'pending' | 'valid' | 'invalid' | 'deactivated';

export interface AuthorizationRow {
  id: string;
  namespace: string;
  role: string;
  account_id: string;
  status: AuthorizationState;
  identifier_type: 'dns' | 'ip';
  /** Without `*.`. */
  identifier: string;
  wildcard: number;
  failed_at: number | null;
  created_at: number;
  expires_at: number;
  purge_at: number;
}

export type ChallengeState = 'pending' | 'processing' | 'valid' | 'invalid';

export interface ChallengeRow {
  id: string;
  namespace: string;
  /** Of the authorization: for whom it is validated. */
  role: string;
  account_id: string;
  authorization_id: string;
  type: 'http-01' | 'dns-01' | 'tls-alpn-01';
  status: ChallengeState;
  token: string;
  /** JSON: problem document of the last try. */
  error: string | null;
  attempts: number;
  validated_at: number | null;
  /** Fencing token of the node that validates. */
  claim: string | null;
  /** When somebody is to validate (again), or the claim ends; null: nobody is. */
  next_attempt_at: number | null;
  position: number;
}

/**
 * A validation that goes on or failed, of one name of one account: as many at a time as the limit of the directory has
 * numbers for. One that is proved has no row any more.
 */
export interface TryRow {
  account_id: string;
  /** Without `*.`. */
  identifier: string;
  slot: number;
  challenge_id: string;
  /** After which it counts no more. */
  ends_at: number;
}

/** What was issued to accounts; the certificates themselves are in the inventory of the PKI. */
export interface CertificateRow {
  id: string;
  namespace: string;
  role: string;
  account_id: string;
  order_id: string;
  serial_number: string;
  /** SHA-256 of the DER, hex. */
  fingerprint: string;
  /** RFC 9773 §4.1. */
  cert_id: string;
  identifiers: string;
  /** PEM: certificate and all above it. JSON array. */
  chain: string;
  not_before: number;
  not_after: number;
  purge_at: number;
}
