/**
 * The tables of leases. Times are milliseconds, JSON is text. A row never holds a password or a key.
 *
 * Terms (Vault's). A *lease* is the right to a credential for a time; its *subject* is what stands for it at the
 * *target*: a database user. The *engine* is the one that can make and remove it.
 */

export type LeaseState =
  /** On record; its subject may or may not exist yet. */
  | 'minting'
  | 'active'
  /** Due to end; its subject may still exist. */
  | 'revoking'
  /** Like `revoking`, after so many failures that somebody must look. It is tried again for ever all the same. */
  | 'stuck'
  /** The absence of its subject was verified. */
  | 'revoked';

/** Why a lease ends. */
export type EndCause =
  | 'expired'
  /** Its minting failed or was never finished. */
  | 'mint_failed'
  /** Somebody asked, for this one or by filter. */
  | 'revoked'
  /** Its role, connection or principal goes away. */
  | 'drained'
  /** Found at the target without a row. */
  | 'orphaned';

export interface LeaseRow {
  /** `lse_…`. */
  id: string;
  namespace: string;
  /** Name of the engine: `database`. */
  engine: string;
  /** Resource of the role: `database/roles/readonly`. */
  role: string;
  /** Resource of the target: `database/connections/app`. */
  target: string;
  principal: string;
  /** The API key or token with which it was asked for. */
  credential_id: string | null;
  purpose: string | null;
  state: LeaseState;
  /** Null while nobody has ended it. On a `minting` row: it is to be revoked as soon as the minting has ended. */
  cause: EndCause | null;
  /** Who stands for it at the target: a user name. */
  subject: string;
  /** JSON: what the engine shows of it (host, database, serial number …). */
  facts: string;
  /** JSON: what the engine needs to revoke it, as it was when the lease was made. */
  revocation: string;
  issued_at: number;
  expires_at: number;
  /** Renewal never goes past it. */
  max_expires_at: number;
  renewals: number;
  /** When the sweeper must look at it; null when never again. */
  next_action_at: number | null;
  /** Fencing token of the one that is revoking it; null when nobody is. */
  claim: string | null;
  /** Failed revocations. */
  attempts: number;
  last_error: string | null;
  /** 1 when the last failure was that the target could not be reached. */
  unavailable: number;
  /** JSON: what is left of it at the target; null when nothing is known to be. */
  residue: string | null;
  ended_at: number | null;
  /** `removed`, also while only something that it left is in the way; `already_absent` when there was nothing to remove, `forgotten` when nobody could look. */
  ended_as: string | null;
}

/** Live leases per role, target and principal: exact counters, so that a cap holds under concurrency. */
export interface LeaseCountRow {
  namespace: string;
  /** Resource of a role or target, or `principals/<name>`. */
  scope: string;
  live: number;
}

/** One row for the installation: what every node must know of the clock and of the brake. */
export interface LeaseBrakeRow {
  /** Always 1. */
  id: number;
  /** When a node last swept, by its own clock: what is much older says that nobody swept, or that the clock jumped. */
  heartbeat_at: number;
  /** Null while the brake is released. */
  applied_at: number | null;
  /** Why it was applied. */
  reason: string | null;
  /** Leases that were overdue then. */
  overdue: number | null;
}

export interface LeaseTables {
  leases: LeaseRow;
  lease_counts: LeaseCountRow;
  lease_brake: LeaseBrakeRow;
}
