import type { Change } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { type LeaseTerms, RevocationError } from '#lease/contract.ts';
import type { LeaseRow } from '#lease/tables.ts';
import { assertOpen } from './closing.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, connectionResource, roleResource, type StoredRole } from './directory.ts';
import type { Role } from './role-schema.ts';
import {
  type Credential,
  type NewUser,
  type RevocationPlan,
  type Target,
  TargetError,
  type UserName,
} from './target.ts';
import type { Terms } from './terms.ts';
import { defaultUsernameTemplate, makeUsername } from './username.ts';

/** Making a user: first the lease that says that it may exist, then the user. */

/** What the engine keeps in a lease to revoke it by; it holds no secret, and no later change of the role touches it. */
export interface RevocationFacts extends RevocationPlan {
  /** Id of the connection. */
  readonly connection: string;
  readonly host?: string | undefined;
  /** Role of the PKI that issued the certificate by which the user logs in. */
  readonly certificateRole?: string | undefined;
}

export function readRevocation(lease: Pick<LeaseRow, 'revocation'>): RevocationFacts {
  return JSON.parse(lease.revocation) as RevocationFacts;
}

export function revocationOf(connection: Connection, role: Role): RevocationFacts {
  return {
    connection: connection.row.id,
    statements: role.revocation_statements,
    ...(role.reassign_to === undefined ? {} : { reassignTo: role.reassign_to }),
    ...(connection.definition.engine === 'mysql' ? { host: userHost(role) } : {}),
    ...(role.certificate_role === undefined ? {} : { certificateRole: role.certificate_role }),
  };
}

function userHost(role: Role): string {
  return role.host ?? '%';
}

/** The user of a lease, as its server knows it. */
export function userOf(subject: string, connection: Connection, role: Role): UserName {
  return connection.definition.engine === 'mysql' ? { username: subject, host: userHost(role) } : { username: subject };
}

export interface MintPlan {
  readonly lease: LeaseRow;
  readonly connection: Connection;
  readonly role: StoredRole;
  readonly terms: Terms;
}

/**
 * The intent: a lease in state `minting`, counted, and neither role nor connection closed meanwhile. `mintTime` is for what
 * takes longer than making a user (src/lease/contract.ts).
 */
export async function planMint(
  deps: DatabaseDeps,
  grant: Grant,
  role: StoredRole,
  connection: Connection,
  terms: Terms,
  mintTime?: number,
): Promise<{ plan: MintPlan; changes: readonly Change[] }> {
  const { lease, changes } = await deps.leases.begin(grant, {
    ...leaseTerms(deps, grant, role.role, connection, terms),
    mintTime,
    role: roleResource(role.role.name),
    caps: {
      role: role.role.max_leases,
      target: connection.definition.max_leases,
      principal: role.role.max_leases_per_principal,
    },
  });
  return {
    plan: { lease, connection, role, terms },
    changes: [assertOpen([role.row.id, connection.row.id], grant.now), ...changes],
  };
}

export function leaseTerms(
  deps: DatabaseDeps,
  grant: Grant,
  role: Role,
  connection: Connection,
  { ttl, maxTtl }: Terms,
): Omit<LeaseTerms, 'role' | 'caps'> {
  const { definition } = connection;
  const names = { tag: connection.row.tag, role: role.name, principal: grant.principal.name, now: grant.now };
  const limit = deps.kinds[definition.engine].usernameLimit;
  return {
    engine: 'database',
    target: connectionResource(connection.row.name),
    subject: makeUsername(role.username_template ?? defaultUsernameTemplate, names, limit),
    facts: {
      engine: definition.engine,
      host: definition.host,
      port: definition.port,
      database: role.database ?? definition.database ?? null,
      ...(role.certificate_role === undefined ? {} : { certificate_role: role.certificate_role }),
    },
    revocation: revocationOf(connection, role),
    ttl,
    // A certificate ends when it was said to end: there is nothing to renew.
    maxTtl: role.certificate_role === undefined ? maxTtl : ttl,
  };
}

export function newUser(user: UserName, credential: Credential, role: Role, expiresAt: number): NewUser {
  return {
    ...user,
    credential,
    expiresAt,
    memberOf: role.member_of,
    connectionLimit: role.connection_limit,
    actAs: role.act_as,
    statementTimeout: role.statement_timeout,
    idleInTransactionTimeout: role.idle_in_transaction_timeout,
    statements: role.creation_statements,
  };
}

/** Milliseconds that a mint may take; well below the 60 s after which the sweeper takes its lease for abandoned. */
export const mintTimeout = 30_000;

/** Runs what makes a user, for at most `mintTimeout`. Throws TargetError. */
export async function withinMintTime<Result>(work: Promise<Result>): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const seconds = mintTimeout / 1000;
    reject(new TargetError('timeout', `The server did not make the user within ${seconds} s.`, { outcome: 'unknown' }));
  }, mintTimeout);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds in which something of a failed mint may still reach the server. */
export function lateness(error: unknown, { definition }: Connection): number {
  // A probe that got as far as removing its user has made it: nothing of that is under way any more.
  const settled = error instanceof RevocationError || (error instanceof TargetError && error.outcome === 'not_applied');
  return settled ? 0 : definition.statement_timeout * 1000 + 5000;
}

/** Makes the user of a lease. On failure the lease is given up. Throws TargetError. */
export async function mint(
  deps: DatabaseDeps,
  connection: Connection,
  lease: LeaseRow,
  work: (target: Target) => Promise<void>,
): Promise<void> {
  try {
    await withinMintTime(deps.pools.use(connection, work));
  } catch (error) {
    await deps.leases.abandon(lease, lateness(error, connection));
    throw error;
  }
}
