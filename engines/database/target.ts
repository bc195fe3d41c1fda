import type { Residue, Revocation } from '#lease/contract.ts';
import type { QueryResult, ReadQuery } from './query.ts';

/**
 * What every kind of database gives to the engine. One file per kind in `targets/`; the contract suite
 * (test/contract/target.test.ts) runs on a real server of each.
 *
 * All names and texts that reach SQL go through the quoting of the driver or of `targets/`, never through a template.
 * A password reaches the server only as a verifier or hash that was computed here, where the server can take one.
 */
export interface TargetKind {
  readonly engine: EngineName;
  readonly title: string;
  readonly defaultPort: number;
  /** Longest user name in bytes. */
  readonly usernameLimit: number;
  /** Whether the server itself ends a password login at a time (`VALID UNTIL`). */
  readonly hasExpiry: boolean;
  /** Revocations that should be under way at once where many are due; undefined: as many as the lease manager has by default. */
  readonly revocationsAtOnce?: number;
  /** Opens a pool; connects to nothing yet. */
  open(settings: TargetSettings): Target;
  /** The script of least privilege that makes the administrator of a connection. */
  adminSetup(options: AdminSetupOptions): string;
}

/** MariaDB is `mysql` as well; the server says which it is. */
export type EngineName = 'postgresql' | 'mysql';

export interface TargetSettings {
  readonly host: string;
  readonly port: number;
  /** The database that the administrator connects to; `postgres` by default on PostgreSQL, none on MySQL. */
  readonly database: string | undefined;
  readonly username: string;
  readonly password: string;
  readonly tls: TargetTls;
  /** Most connections at a time, from 2 on; the others wait their turn. */
  readonly maxConnections: number;
  /** Milliseconds; waiting for a free connection counts as well. */
  readonly connectTimeout: number;
  /** Milliseconds that any one statement may take, told to the server too, so that nothing arrives late. */
  readonly statementTimeout: number;
  /** How our sessions name themselves at the server: `chancery/<connection>`. */
  readonly applicationName: string;
}

export type TargetTls =
  | { readonly mode: 'disable' }
  /** Encrypted, and the certificate verified against `ca` (PEM) or the system's roots, for the host's name. */
  | { readonly mode: 'verify-full'; readonly ca?: string | undefined; readonly serverName?: string | undefined }
  /** Encrypted, certificate verified against `ca`, name not. */
  | { readonly mode: 'verify-ca'; readonly ca: string }
  /** Encrypted and not verified: an eavesdropper is kept out, an impostor is not. */
  | { readonly mode: 'require' };

export interface Target {
  /** Connects and logs in. Throws TargetError with what is wrong and what would help. */
  inspect(): Promise<ServerFacts>;
  /** Makes a user. All or nothing, as far as the server can. Throws TargetError. */
  createUser(user: NewUser): Promise<void>;
  /** Lets a user live until then (milliseconds); a no-op where the server has no expiry. */
  extendUser(user: UserName, expiresAt: number): Promise<void>;
  /**
   * Lock, end sessions, reassign and drop what it owns in every database, drop, verify. Idempotent. Throws
   * `RevocationError` (src/lease/contract.ts) with the residue when something is left.
   */
  revokeUser(user: UserName, plan: RevocationPlan): Promise<Revocation>;
  /** Gives an existing user another password; its sessions stay. */
  setPassword(user: UserName, password: string): Promise<void>;
  /** Whether a login by this password or certificate works, on a connection of its own, not the pool's. */
  canLogIn(user: UserName, proof: string | ClientCertificate): Promise<boolean>;
  /**
   * Logs in to a database (undefined: to the one that a client is given when it names none) on a connection of its own.
   * Throws TargetError with what the server says when it refuses.
   */
  logIn(user: UserName, proof: string | ClientCertificate, database: string | undefined): Promise<void>;
  /**
   * Runs one statement as this user, on a connection of its own that is closed afterwards, in a transaction that the server
   * keeps from writing and that is never committed. Throws TargetError, of kind `statement` for what the server refuses.
   */
  runQuery(user: UserName, proof: string | ClientCertificate, query: ReadQuery): Promise<QueryResult>;
  /** Users whose name begins with this prefix. */
  listUsers(prefix: string): Promise<readonly ListedUser[]>;
  /** What the administrator lacks for these groups, with the exact statement that would give it. */
  diagnose(needs: Needs): Promise<readonly Finding[]>;
  /** The address with which a user of this target connects, with the password escaped. */
  connectionUrl(user: UserName, password: string | undefined, database: string | undefined): string;
  /** Ends the connections; waits for statements under way. */
  close(): Promise<void>;
}

export interface ServerFacts {
  /** As the server says it: `PostgreSQL 15.14`, `MariaDB 10.11.19`. */
  readonly version: string;
  readonly flavor: 'postgresql' | 'mysql' | 'mariadb';
  readonly major: number;
  readonly encrypted: boolean;
  readonly superuser: boolean;
  /** The server's clock in milliseconds. */
  readonly now: number;
}

/** `host` is part of a user's identity on MySQL (`'u'@'host'`), and absent on PostgreSQL. */
export interface UserName {
  readonly username: string;
  readonly host?: string | undefined;
}

export interface NewUser extends UserName {
  readonly credential: Credential;
  readonly expiresAt: number;
  /** Group roles that the user becomes a member of. */
  readonly memberOf: readonly string[];
  /** Most sessions at a time; absent: no bound. */
  readonly connectionLimit?: number | undefined;
  /** PostgreSQL: the role in whose name its sessions act, so that what they make belongs to that role. */
  readonly actAs?: string | undefined;
  /** PostgreSQL: seconds; `statement_timeout` and `idle_in_transaction_session_timeout` of the user. */
  readonly statementTimeout?: number | undefined;
  readonly idleInTransactionTimeout?: number | undefined;
  /** Statements instead of the preset, with placeholders (statement.ts). Empty: the preset. */
  readonly statements: readonly string[];
}

export type Credential =
  | { readonly kind: 'password'; readonly password: string }
  /** Logs in by a client certificate with this subject (RFC 4514) from this issuer; the CN is the user name. */
  | { readonly kind: 'certificate'; readonly subject: string; readonly issuer?: string | undefined };

/** What a client shows in the handshake of TLS. */
export interface ClientCertificate {
  /** PEM: the certificate, and those above it. */
  readonly certificate: string;
  /** PKCS#8, PEM. */
  readonly key: string;
}

/** A snapshot in the lease, so that an edited role cannot make older leases irrevocable. */
export interface RevocationPlan {
  /** PostgreSQL: who gets what the user owns; absent: it is dropped. */
  readonly reassignTo?: string | undefined;
  /** Statements that run after sessions are ended and before the drop of the preset, which follows and verifies in any case. */
  readonly statements: readonly string[];
}

export interface ListedUser extends UserName {
  readonly expiresAt: number | undefined;
  readonly sessions: number;
}

export interface Needs {
  readonly memberOf: readonly string[];
  readonly reassignTo?: string | undefined;
  readonly actAs?: string | undefined;
}

export interface Finding {
  /** `missing`: minting or revoking will fail. `advice`: it would be better. */
  readonly severity: 'missing' | 'advice';
  /** What is lacking and what fails for it, in one sentence. */
  readonly message: string;
  /** The statement that mends it, to be run by a more powerful administrator. */
  readonly fix: string;
}

export interface AdminSetupOptions {
  readonly username: string;
  readonly memberOf: readonly string[];
  readonly reassignTo?: string | undefined;
  readonly actAs?: string | undefined;
  /** MySQL: the host part of the administrator. */
  readonly host?: string | undefined;
  readonly flavor?: ServerFacts['flavor'] | undefined;
}

/** A failure at the target. The message is one sentence without a secret, and may be shown to the caller. */
export class TargetError extends Error {
  readonly kind: TargetFailure;
  /** Whether the statement may still take effect, or have taken it. */
  readonly outcome: 'not_applied' | 'unknown';
  readonly hint: string | undefined;

  constructor(
    kind: TargetFailure,
    message: string,
    options: { readonly outcome?: 'not_applied' | 'unknown'; readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TargetError';
    this.kind = kind;
    this.outcome = options.outcome ?? 'not_applied';
    this.hint = options.hint;
  }
}

export type TargetFailure =
  /** No connection, or it broke. */
  | 'unreachable'
  /** The server did not answer in time. */
  | 'timeout'
  /** The administrator's login, or its certificate, was refused. */
  | 'login'
  /** The administrator may not do this. */
  | 'privilege'
  /** The server refused the statement. */
  | 'statement'
  /** A user of this name is there already. */
  | 'exists';

export type { Residue, Revocation };
