/**
 * The table of claims. Times are milliseconds, JSON is text.
 *
 * A *claim* is the secret part of an answer, kept for the principal that asked until it comes for it. Its *handle* is what
 * the caller was told instead: an id and a secret of which only a verifier is stored, and from which the key is derived.
 */
export interface ClaimRow {
  /** `clm_…`; the handle holds it as well, so it is no secret. */
  id: string;
  namespace: string;
  principal_id: string;
  principal: string;
  /** The API key or token with which it was made. */
  credential_id: string;
  /** What was done, and to what: `database.issue_credentials`, `database/roles/readonly`. */
  operation: string;
  resource: string;
  /** By what that was allowed (Grant.standing): whoever claims must be allowed it still. */
  standing: 'rule' | 'self' | 'owner';
  purpose: string | null;
  /** JSON: names of the secret fields. */
  fields: string;
  /** Derived from the secret of the handle, 32 bytes: tells the right handle, and opens nothing. */
  verifier: Uint8Array;
  /** The answer, encrypted under a key of the handle, then sealed. Null as soon as it was claimed, cancelled or expired. */
  secrets: Uint8Array | null;
  created_at: number;
  expires_at: number;
  claimed_at: number | null;
  /** From where it was claimed; null as well when the transport knows no address. */
  claimed_from: string | null;
  cancelled_at: number | null;
  /** Attempts with the right handle that should not have been: a second claim, one by somebody else, or one after its end. */
  alarms: number;
  alarmed_at: number | null;
}

export interface ClaimTables {
  claims: ClaimRow;
}
