import type { Change } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { AppError } from '#core/errors.ts';
import { RevocationError } from '#lease/contract.ts';
import type { LeaseRow } from '#lease/tables.ts';
import { assertOpen } from './closing.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, probeResource } from './directory.ts';
import { credentialOf, type Login, makeLogin, proofOf } from './login.ts';
import { leaseTerms, lateness, newUser, userOf, withinMintTime } from './mint.ts';
import type { Role } from './role-schema.ts';
import { type Finding, type Target, TargetError, type UserName } from './target.ts';
import { explainFailure } from './target-failure.ts';

/**
 * What shows, before a role is saved, that its users can be made, can log in, and can be removed without a trace. The
 * user of a probe is on record like any other: it has a lease, and what goes wrong in between is the sweeper's.
 */
export interface ProbePlan {
  readonly lease: LeaseRow;
  readonly connection: Connection;
  readonly role: Role;
}

/** Seconds: longer than a probe takes. */
const probeLife = 120;

export async function planProbe(
  deps: DatabaseDeps,
  grant: Grant,
  role: Role,
  connection: Connection,
): Promise<{ plan: ProbePlan; changes: readonly Change[] }> {
  // What the role says about revocation is what the probe tries, so the sweeper must not rely on it.
  const plain = { ...role, revocation_statements: [], reassign_to: undefined };
  const { lease, changes } = await deps.leases.begin(grant, {
    ...leaseTerms(deps, grant, plain, connection, { ttl: probeLife, maxTtl: probeLife, adjustments: [] }),
    role: probeResource(role.name),
    caps: {},
  });
  return {
    plan: { lease, connection, role },
    changes: [assertOpen([connection.row.id], grant.now), ...changes],
  };
}

/**
 * Throws the AppError that says what the role or the administrator lacks. A user that was just made owns nothing, so
 * what only matters when it does is looked for as well.
 */
export async function runProbe(deps: DatabaseDeps, plan: ProbePlan): Promise<void> {
  await makeAndRemove(deps, plan);
  const findings = await lacking(deps, plan.connection, plan.role);
  if (findings.length === 0) return;
  throw refused(plan.role, `its users could not always be removed: ${findings[0]?.message}`, findings, undefined);
}

async function makeAndRemove(deps: DatabaseDeps, { lease, connection, role }: ProbePlan): Promise<void> {
  const { name } = connection.row;
  const login = await makeLogin(deps, role, lease);
  try {
    await withinMintTime(deps.pools.use(connection, (target) => tryUser(target, lease, connection, role, login)));
  } catch (error) {
    await deps.leases.abandon(lease, lateness(error, connection));
    if (error instanceof TargetError && error.kind !== 'privilege' && error.kind !== 'statement')
      throw explainFailure(error, name);
    if (error instanceof TargetError || error instanceof RevocationError)
      throw await explain(deps, connection, role, error);
    throw error;
  }
  // The user is gone. The sweeper sees that for itself and closes the lease.
  await deps.leases.abandon(lease, 0);
}

async function tryUser(
  target: Target,
  lease: LeaseRow,
  connection: Connection,
  role: Role,
  login: Login,
): Promise<void> {
  const name = userOf(lease.subject, connection, role);
  const proof = proofOf(login);
  await target.createUser(newUser(name, credentialOf(login), role, lease.expires_at));
  const database = role.database ?? connection.definition.database;
  try {
    if (proof !== undefined) await target.logIn(name, proof, database).catch(refusedLogin(login, database));
  } finally {
    await remove(target, name, role);
  }
}

/**
 * The server was there a moment ago: one that does not trust a certificate ends the handshake of TLS. Of kind `login`
 * it would count as a login of the administrator.
 */
function refusedLogin({ kind }: Login, database: string | undefined) {
  return (error: unknown): never => {
    if (!(error instanceof TargetError) || error.kind === 'timeout') throw error;
    if (error.kind === 'unreachable' && kind !== 'certificate') throw error;
    const where = database === undefined ? '' : ` to database ${database}`;
    throw new TargetError('statement', `The user was made, and its login${where} was refused: ${error.message}`, {
      cause: error,
      hint:
        kind === 'password'
          ? 'See why the server refuses it: the name of the database and the right to connect to it, pg_hba.conf, the host of MySQL users, the creation statements.'
          : 'See that the database is there, that the server trusts the authority of the certificate (ssl_ca_file, ssl-ca), and that PostgreSQL asks these users for one: hostssl … cert in pg_hba.conf.',
    });
  };
}

function remove(target: Target, name: UserName, role: Role): Promise<unknown> {
  return target.revokeUser(name, { reassignTo: role.reassign_to, statements: role.revocation_statements });
}

/** What failed, and what the administrator lacks, with the statements that mend it. */
async function explain(
  deps: DatabaseDeps,
  connection: Connection,
  role: Role,
  error: TargetError | RevocationError,
): Promise<AppError> {
  const findings = await lacking(deps, connection, role);
  const what = error instanceof RevocationError ? 'removed' : 'made';
  return refused(role, `its users could not be ${what}: ${error.message}`, findings, error);
}

function refused(
  role: Role,
  why: string,
  findings: readonly Finding[],
  cause: TargetError | RevocationError | undefined,
): AppError {
  const residue = cause instanceof RevocationError ? cause.residue : [];
  const [first] = findings;
  const hint = first
    ? `Have a more powerful administrator run the statements under missing (${first.fix})`
    : (cause instanceof TargetError && cause.hint) || 'database.check_connection looks at the whole connection.';
  return new AppError('refused', `Role ${role.name} is refused, since ${why}`, {
    cause,
    details: [
      ...findings.map(({ message, fix }) => ({ at: fix, message })),
      ...residue.map(({ place, object, reason }) => ({ at: `${place}: ${object}`, message: reason })),
    ],
    hint,
    members: findings.length === 0 ? {} : { missing: findings.map(({ message, fix }) => ({ message, fix })) },
  });
}

async function lacking(deps: DatabaseDeps, connection: Connection, role: Role): Promise<readonly Finding[]> {
  const needs = { memberOf: role.member_of, reassignTo: role.reassign_to, actAs: role.act_as };
  try {
    const findings = await deps.pools.use(connection, (target) => target.diagnose(needs));
    return findings.filter(({ severity }) => severity === 'missing');
  } catch {
    // What failed before says more than that it cannot be explained.
    return [];
  }
}
