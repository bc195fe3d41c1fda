import type { Change } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import type { EndCause, LeaseRow } from './tables.ts';

/**
 * What an engine and the lease manager promise each other.
 *
 * Minting, in an operation with `intend`:
 *  1. `intend` calls `begin` and returns its changes, so that the `minting` row is durable before anything is made.
 *  2. `run` makes the subject at the target, and returns the changes of `activate`.
 *  3. When it fails it calls `abandon` and throws; when its result is not committed, since somebody ended the lease
 *     meanwhile, the outcome's `undone` does. A crash needs nothing: the row comes due by itself.
 * There is no other compensation: what a failed minting may have left is removed by the one path that revokes.
 */
export interface Leases {
  /**
   * A new lease in state `minting`. Its changes count it against the caps. Throws `rate_limited` with
   * `Retry-After` when a cap is reached, naming it.
   */
  begin(grant: Grant, terms: LeaseTerms): Promise<{ readonly lease: LeaseRow; readonly changes: readonly Change[] }>;
  /** Makes it active. When the lease was ended meanwhile, the commit fails with `wrong_state`. */
  activate(lease: LeaseRow, facts?: Facts): readonly Change[];
  /** Gives up a minting: revoked as soon as `after` milliseconds have passed (0 when nothing can arrive late any more). */
  abandon(lease: LeaseRow, after: number, cause?: EndCause): Promise<void>;
  /**
   * Ends one that was never told to anybody: its subject was made, used and removed by who minted it, who has the proof
   * that it is gone. When something else took it over meanwhile, the commit fails with `wrong_state`.
   */
  conclude(lease: LeaseRow, revocation: Revocation): readonly Change[];
  /** Whether somebody has ended a minting that is under way, so that whoever mints may stop. */
  isEnding(lease: LeaseRow): Promise<boolean>;
  /**
   * Ends all live leases of a scope in the background, with cause `drained`. The changes are the caller's to commit;
   * afterwards it calls `wake`.
   */
  drain(namespace: string, scope: LeaseScope): readonly Change[];
  /**
   * Leases for subjects of one target that were found there without a row: in state `revoking`, with cause `orphaned`,
   * due at once. All terms have the same role and target; their caps count for nothing.
   */
  adopt(grant: Grant, terms: readonly LeaseTerms[]): Promise<readonly Change[]>;
  /** How many are not revoked yet. */
  count(namespace: string, scope: LeaseScope): Promise<number>;
  /** Tells the sweeper that something may be due. */
  wake(): void;
  /** Gives the manager the one who can revoke the leases of `engine.name`. */
  attach(engine: LeaseEngine): void;
}

export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** One of them: all leases of a role, a target or a principal. */
export type LeaseScope = { readonly role: string } | { readonly target: string } | { readonly principal: string };

export interface LeaseTerms {
  readonly engine: string;
  readonly role: string;
  readonly target: string;
  readonly subject: string;
  readonly facts: Facts;
  /** What `revoke` of the engine will be given; must hold no secret. */
  readonly revocation: object;
  /** Seconds; already within what role and policy allow. */
  readonly ttl: number;
  /** Seconds from now past which no renewal goes. */
  readonly maxTtl: number;
  /** Milliseconds after which a minting that has not ended is taken for failed; default 60,000. */
  readonly mintTime?: number | undefined;
  readonly caps: {
    /** Most live leases; absent: no bound. */
    readonly role?: number | undefined;
    readonly target?: number | undefined;
    readonly principal?: number | undefined;
  };
}

/** An engine, as the lease manager sees it. */
export interface LeaseEngine {
  readonly name: string;
  /**
   * Takes back what stands for the lease, and proves it gone. Idempotent, safe to run twice at once and after a crash at
   * any point. Throws `RevocationError` for a failure that the row should explain; anything else counts as one as well.
   */
  revoke(lease: LeaseRow): Promise<Revocation>;
  /** How many revocations at the target of a lease should be under way at once; undefined, or absent: as many as usual. */
  atOnce?(lease: LeaseRow): number | undefined;
  /** Lets the subject live until then (milliseconds), at the target. */
  extend(lease: LeaseRow, expiresAt: number): Promise<void>;
  /**
   * Throws `denied` or `refused` when this principal could not mint from the lease's role now (policy, role, its TTLs);
   * else the longest life in seconds, counted from the issue, that the role allows today.
   */
  mayRenew(grant: Grant, lease: LeaseRow, ttl: number): Promise<{ readonly maxTtl: number }>;
  /** Resources of the roles or targets that exist in a namespace, whether they have leases or not. */
  resources(namespace: string, kind: 'role' | 'target'): Promise<readonly string[]>;
  /** The target's own clock in milliseconds, where it has one; to tell a jump of ours from time that passed. */
  targetTime(lease: LeaseRow): Promise<number | undefined>;
}

export interface Revocation {
  readonly ended: 'removed' | 'already_absent';
  /** Sessions that were ended. */
  readonly sessions: number;
}

/** Something that stands in the way at the target. */
export interface Residue {
  /** Where: a database, a schema. */
  readonly place: string;
  /** What: `table public.notes`, `session 4711`, `prepared transaction x`. */
  readonly object: string;
  /** Why it could not go, and what would help, in one sentence. */
  readonly reason: string;
}

export interface RevocationFailure {
  readonly unavailable?: boolean;
  readonly residue?: readonly Residue[];
  readonly removed?: boolean;
  readonly unexpected?: boolean;
  readonly cause?: unknown;
}

export class RevocationError extends Error {
  /** The target could not be reached or answered, so that its other leases need not be tried either. */
  readonly unavailable: boolean;
  readonly residue: readonly Residue[];
  /** This attempt has removed the subject itself; something of it is left, so that another attempt follows. */
  readonly removed: boolean;
  /** Nobody foresaw the cause: it is logged as it is. */
  readonly unexpected: boolean;

  constructor(message: string, options: RevocationFailure = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RevocationError';
    this.unavailable = options.unavailable ?? false;
    this.residue = options.residue ?? [];
    this.removed = options.removed ?? false;
    this.unexpected = options.unexpected ?? false;
  }
}
