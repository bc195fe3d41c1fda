/**
 * The tables of the ACME client. Times are milliseconds, JSON is text.
 *
 * Terms (RFC 8555). An *account* is ours at the authority behind one directory. An *order* asks it for one certificate; each
 * try is an order of its own. A *certificate* is what orders brought, one after the other: renewal replaces what it holds.
 */

export type AccountState =
  /** On record, and maybe at the CA: the next creation of the same name goes on with the same key. */
  'creating' | 'active' | 'deactivated';

export interface AccountRow {
  /** `aca_…` */
  id: string;
  namespace: string;
  name: string;
  state: AccountState;
  /** URL. */
  directory: string;
  /** JSON: what account-schema.ts parses; never a key. */
  definition: string;
  /** What the CA calls it, the `kid` of requests; null until it answered. */
  url: string | null;
  /** PKCS#8 DER, sealed. */
  key: Uint8Array;
  /** Likewise; not null while a key change is open, and then either may be the one that the CA knows. */
  next_key: Uint8Array | null;
  key_change_started_at: number | null;
  /** HMAC key of the external account binding, sealed; null as soon as it was used. */
  external_key: Uint8Array | null;
  version: number;
  created_at: number;
  updated_at: number;
}

/** States that end an order. */
export const finalStates = ['issued', 'failed', 'cancelled'] as const;

export const openStates = [
  /** The CA has not heard of it, or its answer was lost. */
  'created',
  /** Its authorizations are to be read. */
  'authorizing',
  /** TXT records are to be published by the provider. */
  'publishing',
  /** Somebody is to publish TXT records. */
  'operator',
  /** The records are published and not yet seen. */
  'propagating',
  /** The CA is to be told that it may look. */
  'responding',
  /** The CA looks. */
  'validating',
  'finalizing',
  'downloading',
] as const;

export type OrderState = (typeof openStates)[number] | (typeof finalStates)[number];

export interface OrderRow {
  /** `aco_…` */
  id: string;
  namespace: string;
  account_id: string;
  /** Name of the account. */
  account: string;
  /** `acc_…`: the certificate that it is for, which exists when it is a renewal. */
  certificate_id: string;
  renewal: number;
  state: OrderState;
  /** JSON: what order-definition.ts parses. */
  definition: string;
  /** That of the definition, by which the places for work are shared. */
  dns_provider: string | null;
  /** PKCS#10 DER. */
  csr: Uint8Array;
  /** PKCS#8 DER, sealed; null where a CSR was given, and as soon as the certificate has it. */
  private_key: Uint8Array | null;
  /** HMAC key of the hook, sealed, until the certificate has it. */
  hook_key: Uint8Array | null;
  /** What the CA calls it; durable before anything else is asked. */
  url: string | null;
  /** JSON: what order/progress.ts parses. */
  progress: string;
  /** RFC 9773 §5: the certID that it replaces; null once the CA refused to hear it. */
  replaces: string | null;
  /** When somebody must look at it; null when nobody need. */
  next_action_at: number | null;
  /** Fencing token of the node that works on it. */
  claim: string | null;
  /** Failures in a row. */
  attempts: number;
  last_error: string | null;
  /** Milliseconds after which it is given up. */
  give_up_at: number;
  principal: string;
  principal_id: string | null;
  /** Where the request came from that ordered. */
  source_address: string | null;
  purpose: string | null;
  created_at: number;
  updated_at: number;
  ended_at: number | null;
}

/** What an order answers challenges with. */
export interface ChallengeRow {
  /** `ach_…` */
  id: string;
  namespace: string;
  order_id: string;
  type: string;
  /** The identifier, without `*.`. */
  identifier: string;
  token: string;
  key_authorization: string;
  /** DNS-01: whether a record may be there that is to be taken away. */
  published: number;
  created_at: number;
}

export type CertificateState = 'valid' | 'revoked';

export interface CertificateRow {
  /** `acc_…` */
  id: string;
  namespace: string;
  account_id: string;
  account: string;
  state: CertificateState;
  revoked_at: number | null;
  revocation_reason: string | null;
  /** Who ordered it; its rights are asked at each renewal, as of then and from there. */
  principal: string;
  principal_id: string | null;
  source_address: string | null;
  purpose: string | null;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  key_sha256: string;
  /** JSON: the definition of its orders. */
  definition: string;
  /** PKCS#10 DER of the last order. */
  csr: Uint8Array;
  /** PEM, the leaf first. */
  chain: string;
  serial_number: string;
  not_before: number;
  not_after: number;
  /** When it was delivered, by our clock. */
  obtained_at: number;
  /** Sealed; see docs/acme-client.md for how long it is kept. */
  private_key: Uint8Array | null;
  /** When it was handed out; null: it waits to be. */
  key_collected_at: number | null;
  hook_key: Uint8Array | null;
  /** What is to be told to the hook; null: nothing is. */
  hook_serial: string | null;
  hook_attempts: number;
  hook_at: number | null;
  renew: number;
  /** Of this serial number: when it is to be renewed, and the authority's word on it (RFC 9773). */
  renew_at: number;
  renew_reason: string;
  window_start: number | null;
  window_end: number | null;
  explanation_url: string | null;
  window_check_at: number | null;
  /** The order that is under way; one at a time, whichever node made it. */
  order_id: string | null;
  failures: number;
  failing_since: number | null;
  last_error: string | null;
  /** Why renewal is not tried at present. */
  stopped: string | null;
  next_action_at: number | null;
  claim: string | null;
  renewals: number;
  version: number;
  created_at: number;
  updated_at: number;
}

export interface DnsProviderRow {
  /** `adp_…` */
  id: string;
  namespace: string;
  name: string;
  kind: string;
  /** JSON: its settings, without secrets. */
  definition: string;
  /** JSON: its secrets, sealed. */
  secrets: Uint8Array | null;
  version: number;
  created_at: number;
  updated_at: number;
}

/** Names of `*.example.com` and the like, for search. */
export interface CertificateNameRow {
  namespace: string;
  name: string;
  certificate_id: string;
}

export interface AcmeClientTables {
  acme_accounts: AccountRow;
  acme_client_orders: OrderRow;
  acme_client_challenges: ChallengeRow;
  acme_certificates: CertificateRow;
  acme_certificate_names: CertificateNameRow;
  acme_dns_providers: DnsProviderRow;
}
