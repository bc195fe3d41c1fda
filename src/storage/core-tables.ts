/** The tables of the house: everything that is not an engine's. Times are milliseconds, JSON is text, booleans 0 or 1. */

export interface NamespaceRow {
  name: string;
  description: string;
  created_at: number;
}

export interface PrincipalRow {
  id: string;
  namespace: string;
  name: string;
  kind: 'human' | 'service' | 'agent';
  description: string;
  /** JSON array of policy names. */
  policies: string;
  disabled: number;
  created_at: number;
}

/** API keys and child tokens. */
export interface CredentialRow {
  id: string;
  namespace: string;
  principal_id: string;
  /** The credential that made this one; null for an API key. A child dies with its parent. */
  parent_id: string | null;
  kind: 'key' | 'token';
  /** SHA-256 of the whole secret, hex. The secret has 256 random bits, so a slow hash would add nothing. */
  secret_hash: string;
  description: string;
  /** JSON array of globs, or null for no narrowing. */
  operations: string | null;
  resources: string | null;
  /** JSON array of globs that are taken out, or null for none. */
  denied_resources: string | null;
  purpose: string | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

export interface PolicyRow {
  namespace: string;
  name: string;
  description: string;
  /** JSON array of rules. */
  rules: string;
  version: number;
  created_at: number;
  updated_at: number;
}

export interface ApprovalRow {
  id: string;
  namespace: string;
  /** Who asks. */
  principal_id: string;
  principal: string;
  operation: string;
  resource: string;
  /** SHA-256 of the canonical input, hex: an approval is for exactly this request. */
  input_hash: string;
  purpose: string | null;
  state: 'pending' | 'approved' | 'rejected' | 'used';
  decided_by: string | null;
  decided_at: number | null;
  created_at: number;
  expires_at: number;
}

export interface AuditEventRow {
  seq: number;
  id: string;
  at: number;
  namespace: string;
  request_id: string;
  principal: string | null;
  principal_kind: string | null;
  credential_id: string | null;
  operation: string;
  resource: string | null;
  outcome: string;
  code: string | null;
  transport: string;
  source_address: string | null;
  purpose: string | null;
  /** JSON object. */
  details: string;
  /** SHA-256 over the previous hash and all columns above, 32 bytes. */
  hash: Uint8Array;
}

export interface AuditHeadRow {
  id: number;
  seq: number;
  hash: Uint8Array;
}

export interface IdempotencyKeyRow {
  namespace: string;
  principal_id: string;
  key: string;
  operation: string;
  input_hash: string;
  /** JSON, without secret fields. */
  output: string;
  created_at: number;
}

/** Data keys, each wrapped by the root key. */
export interface SealKeyRow {
  version: number;
  wrapped_key: Uint8Array;
  /** Names the root key that wraps it: SHA-256 of a label and the key, 16 hex digits. */
  root_key_id: string;
  state: 'active' | 'retired';
  created_at: number;
}

/** Small facts of the installation: its id, the checkpoint key. */
export interface SettingRow {
  name: string;
  value: string;
}

export interface CoreTables {
  namespaces: NamespaceRow;
  principals: PrincipalRow;
  credentials: CredentialRow;
  policies: PolicyRow;
  approvals: ApprovalRow;
  audit_events: AuditEventRow;
  audit_head: AuditHeadRow;
  idempotency_keys: IdempotencyKeyRow;
  seal_keys: SealKeyRow;
  settings: SettingRow;
}
