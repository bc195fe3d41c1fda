import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { type LeaseEngine, type Revocation, RevocationError } from '#lease/contract.ts';
import type { LeaseRow } from '#lease/tables.ts';
import type { DatabaseDeps, Recheck } from './deps.ts';
import type { Store } from '#storage/store.ts';
import { type Connection, connectionResource, roleResource } from './directory.ts';
import { revokeCertificates } from './login.ts';
import { readRevocation } from './mint.ts';
import type { Target, TargetKind, UserName } from './target.ts';
import { assertActive } from './life.ts';
import { explained, toRevocationError } from './target-failure.ts';
import { decideTerms, refusalError } from './terms.ts';

type Parts = Pick<DatabaseDeps, 'store' | 'kinds' | 'directory' | 'pools' | 'issuer' | 'clock'>;

/** The engine, as the lease manager sees it. */
export function createLeaseEngine(parts: Parts, recheck: Recheck): LeaseEngine {
  const { pools } = parts;
  // Its failure is the answer to a request, and not kept in a row.
  const extend: LeaseEngine['extend'] = async (lease, expiresAt) => {
    const connection = await requireConnection(parts, lease);
    const work = (target: Target) => target.extendUser(leasedUser(lease), expiresAt);
    await explained(connection.row.name, () => pools.use(connection, work));
  };
  return {
    name: 'database',
    revoke: (lease) => revokeLeased(parts, lease),
    atOnce: ({ facts }) => kindOf(parts.kinds, facts)?.revocationsAtOnce,
    extend,
    mayRenew: (grant, lease, ttl) => mayRenew(parts, recheck, grant, lease, ttl),
    resources: (namespace, kind) => resourcesOf(parts.store, namespace, kind),
    targetTime: (lease) => withTarget(parts, lease, async (target) => (await target.inspect()).now),
  };
}

/** Undefined for a damaged row, which fails where it is used. */
function kindOf(kinds: DatabaseDeps['kinds'], facts: string): TargetKind | undefined {
  try {
    const { engine } = JSON.parse(facts) as { engine?: string };
    return Object.values(kinds).find((kind) => kind.engine === engine);
  } catch {
    return undefined;
  }
}

/** Removes the user of a lease, and what it logs in with. Throws RevocationError. */
export async function revokeLeased(parts: Parts, lease: LeaseRow): Promise<Revocation> {
  const { connection: _connection, host: _host, certificateRole, ...plan } = readRevocation(lease);
  const user = withTarget(parts, lease, (target) => target.revokeUser(leasedUser(lease), plan));
  if (certificateRole === undefined) return user;
  // Also when the user is still there: then it is all that keeps its owner out.
  const fate = await user.then(
    ({ ended }) => ({ removed: ended === 'removed', residue: [] }),
    (error: unknown) => (error instanceof RevocationError ? error : { removed: false, residue: [] }),
  );
  await revokeCertificates(parts, lease, certificateRole).catch((error: unknown) => {
    throw certificateLeft(error, lease, fate);
  });
  return user;
}

/** The user may be gone by now, and the next attempt would find none: so it is told here who removed it. */
function certificateLeft(
  error: unknown,
  { subject }: LeaseRow,
  { removed, residue }: Pick<RevocationError, 'removed' | 'residue'>,
): RevocationError {
  const reason = error instanceof AppError ? error.message : 'An internal error occurred; the log has the details.';
  return new RevocationError(`The certificate of the user could not be revoked: ${reason}`, {
    removed,
    residue: [...residue, { place: 'pki', object: `certificate of ${subject}`, reason }],
    unexpected: !(error instanceof AppError),
    cause: error,
  });
}

async function withTarget<Result>(parts: Parts, lease: LeaseRow, work: (target: Target) => Promise<Result>) {
  const connection = await requireConnection(parts, lease);
  try {
    return await parts.pools.use(connection, work);
  } catch (error) {
    throw toRevocationError(error);
  }
}

/** At most so many: they are for telling a name that was mistyped. */
const mostNames = 1000;

async function resourcesOf(store: Store, namespace: string, kind: 'role' | 'target'): Promise<readonly string[]> {
  const [table, resource] =
    kind === 'role' ? ['database_roles', roleResource] : ['database_connections', connectionResource];
  const sql = `SELECT name FROM ${table} WHERE namespace = ? ORDER BY name LIMIT ${mostNames}`;
  return (await store.all<{ name: string }>(sql, [namespace])).map(({ name }) => resource(name));
}

function certificateEnds(): AppError {
  return new AppError('refused', 'The lease ends with the certificate by which its user logs in.', {
    hint: 'Ask for new credentials before these end.',
  });
}

function leasedUser(lease: LeaseRow): UserName {
  const { host } = readRevocation(lease);
  return host === undefined ? { username: lease.subject } : { username: lease.subject, host };
}

/** A connection with live leases cannot be deleted, so this fails only when somebody changed the store by hand. */
async function requireConnection({ directory }: Pick<Parts, 'directory'>, lease: LeaseRow): Promise<Connection> {
  const connection = await directory.connectionById(readRevocation(lease).connection);
  if (connection !== undefined && connection.row.namespace === lease.namespace) return connection;
  throw new RevocationError(`The connection of ${lease.target} does not exist any more.`);
}

async function mayRenew(
  { directory }: Parts,
  recheck: Recheck,
  grant: Grant,
  lease: LeaseRow,
  ttl: number,
): Promise<{ maxTtl: number }> {
  if (readRevocation(lease).certificateRole !== undefined) throw certificateEnds();
  const limits = await recheck(grant, {
    operation: 'database.issue_credentials',
    resource: lease.role,
    ttl,
    approvedBefore: true,
  });
  const stored = await directory.role(lease.namespace, lease.role.slice('database/roles/'.length));
  if (stored === undefined || !lease.role.startsWith('database/roles/'))
    throw new AppError('refused', 'The role of this lease does not exist any more.', {
      hint: 'Use the credentials until they end, and ask for another role then.',
    });
  assertActive(`role ${stored.role.name}`, stored.row);
  assertActive(`connection of role ${stored.role.name}`, (await requireConnection({ directory }, lease)).row);
  // How long is capped and not refused; only when no life at all is left there is nothing to renew.
  const ruling = decideTerms(stored.role, 1, limits, grant.now);
  if (!ruling.allowed) throw refusalError(stored.role, { ...ruling, nearestTtl: undefined });
  const untilEnd = limits.notAfter === undefined ? Infinity : Math.floor((limits.notAfter - lease.issued_at) / 1000);
  return { maxTtl: Math.min(stored.role.max_ttl, limits.maxTtl ?? Infinity, untilEnd) };
}
