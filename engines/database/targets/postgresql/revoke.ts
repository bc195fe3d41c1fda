import { setTimeout as sleep } from 'node:timers/promises';
import { parseStatement, renderStatement } from '#database/statement.ts';
import { type RevocationPlan, TargetError, type UserName } from '#database/target.ts';
import { type Residue, type Revocation, RevocationError } from '#lease/contract.ts';
import { adminDatabase, type Connections, type Row, type Session } from './connection.ts';
import { sqlState, sqlStates } from './errors.ts';
import { clearDatabases, describeOwned } from './owned.ts';
import { identifier, literal } from './quote.ts';
import { lockUser, unlockUser } from './user-lock.ts';

/**
 * Takes a user back: lock and commit → end its sessions → statements of the role → prepared transactions, REASSIGN and
 * DROP OWNED in every database where it has something → DROP ROLE → prove it gone. A user that owns nothing and is not
 * logged in needs two round trips.
 *
 * Each step is idempotent. A lock on the user keeps two revocations of it apart, and renewals away. Throws RevocationError
 * with what is left, or TargetError.
 */
export async function revokeUser(connections: Connections, user: UserName, plan: RevocationPlan): Promise<Revocation> {
  const { username } = user;
  if (username === connections.settings.username)
    throw new RevocationError('This is the administrator of the connection, which is not revoked.');
  const name = identifier(username);
  const statements = plan.statements.map((text) =>
    renderStatement(parseStatement(text, 'postgresql', 'revocation'), { name: username }),
  );
  const target = { username, name, reassignTo: plan.reassignTo, statements };
  return connections.use((session) => revokeWithin(connections, session, target));
}

export interface Target {
  readonly username: string;
  /** The user name as a quoted identifier. */
  readonly name: string;
  readonly reassignTo: string | undefined;
  readonly statements: readonly string[];
}

async function revokeWithin(connections: Connections, session: Session, target: Target): Promise<Revocation> {
  let dropped = false;
  try {
    const state = await lockOut(session, target);
    if (state === undefined) return { ended: 'already_absent', sessions: 0 };
    dropped = isBare(state) && target.statements.length === 0 && (await dropIfQuiet(session, target, state));
    if (dropped) return { ended: 'removed', sessions: 0 };
    let sessions = await clearUser(connections, session, target, state);
    // A client that logs in again and again may have been let in just before the lock, and be seen only now.
    for (let late = 1; late > 0; sessions += late) {
      dropped = await dropIfQuiet(session, target, state);
      if (dropped) return { ended: 'removed', sessions };
      late = await endSessions(session, state);
    }
    throw notDropped(await describeOwned(connections, session, target));
  } finally {
    if (!dropped) await session.script(unlockUser(target.username)).catch(() => session.discard());
  }
}

function notDropped(residue: readonly Residue[], because = ''): RevocationError {
  return new RevocationError(`The user is locked, but not all that it has could be removed.${because}`, { residue });
}

/** What a user has at the server. */
interface UserState {
  readonly oid: number;
  readonly sessions: number;
  /** Rows of pg_shdepend: what it owns or was granted, in any database. Memberships are none. */
  readonly dependencies: number;
  readonly prepared: number;
}

function isBare(state: UserState): boolean {
  return state.sessions === 0 && state.dependencies === 0 && state.prepared === 0;
}

/**
 * Commits the lock-out before anything else, or clients would log in again while their sessions are ended. It need not
 * be on disk: a crash of the server leaves a lease that is still to be revoked. Undefined when there is no such user.
 */
async function lockOut(session: Session, target: Target): Promise<UserState | undefined> {
  try {
    const results = await session.script(
      `${lockUser(target.username)};
      BEGIN;
      SET LOCAL synchronous_commit = off;
      ALTER ROLE ${target.name} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0 VALID UNTIL 'epoch';
      COMMIT;
      ${stateQuery(target)}`,
      { patience: 3 },
    );
    return toState(results.at(-1)?.rows[0]);
  } catch (error) {
    if (sqlState(error) === sqlStates.undefinedObject) return undefined;
    throw error;
  }
}

/** The functions behind pg_stat_activity and pg_prepared_xacts: planning the views costs more than all the rest. */
function stateQuery(target: Target): string {
  return `SELECT oid,
      (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE usesysid = role.oid)::int AS sessions,
      (SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = role.oid)::int AS dependencies,
      (SELECT count(*) FROM pg_prepared_xact() WHERE ownerid = role.oid)::int AS prepared
    FROM pg_roles AS role WHERE rolname = ${literal(target.username)}`;
}

function toState(row: Row | undefined): UserState | undefined {
  if (row === undefined) return undefined;
  const number = (column: string) => Number(row[column]);
  return {
    oid: number('oid'),
    sessions: number('sessions'),
    dependencies: number('dependencies'),
    prepared: number('prepared'),
  };
}

/**
 * DROP ROLE and the proof, in one message. A login that was let in before the lock and became visible after it makes the
 * division fail, and nothing is dropped: without the role nobody but a superuser could end that session.
 * Gives up the advisory lock with the drop; false, and it is kept, when the user is not as bare as it seemed.
 */
async function dropIfQuiet(session: Session, target: Target, state: UserState): Promise<boolean> {
  try {
    const results = await session.script(
      `BEGIN;
      SELECT 1 / (count(*) = 0)::int FROM pg_stat_get_activity(NULL) WHERE usesysid = ${state.oid};
      DROP ROLE IF EXISTS ${target.name};
      COMMIT;
      SELECT (SELECT count(*) FROM pg_roles WHERE rolname = ${literal(target.username)} OR oid = ${state.oid})::int AS roles,
        (SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ${state.oid})::int AS dependencies,
        array(SELECT pid FROM pg_stat_get_activity(NULL) WHERE usesysid = ${state.oid}) AS pids;
      ${unlockUser(target.username)}`,
      { patience: 3 },
    );
    requireGone(results.at(-2)?.rows[0] ?? {});
    return true;
  } catch (error) {
    const code = sqlState(error);
    if (code === sqlStates.divisionByZero || code === sqlStates.dependentObjects) return false;
    throw error;
  }
}

function requireGone(row: Row): void {
  if (row['roles'] !== 0 || row['dependencies'] !== 0)
    throw new RevocationError('The user was dropped and is still there.');
  const pids = row['pids'] as number[];
  if (pids.length === 0) return;
  throw new RevocationError('The user is gone, but sessions that it had opened are still there.', {
    removed: true,
    residue: pids.map((pid) => ({
      place: 'server',
      object: `session ${pid}`,
      reason: `It was logging in while the user was locked; a superuser can end it: SELECT pg_terminate_backend(${pid})`,
    })),
  });
}

/** Everything between the lock and the drop. Gives the number of sessions ended. */
async function clearUser(
  connections: Connections,
  session: Session,
  target: Target,
  state: UserState,
): Promise<number> {
  const powerless = await becomeMember(session, target);
  const ended = await endSessions(session, state);
  await runStatements(connections, target);
  const residue = await clearDatabases(connections, session, target);
  if (residue.length > 0) throw notDropped(residue, powerless === undefined ? '' : ` ${powerless.message}`);
  return ended;
}

/**
 * Membership in the user gives the administrator the right to end its sessions and to drop what it owns. It is taken
 * only now, and goes with the role: members of ten thousand leased users would be slow in everything.
 * From PostgreSQL 16 on, who made a role may grant it to itself, and must say INHERIT and SET (createrole_self_grant).
 */
async function becomeMember(session: Session, target: Target): Promise<TargetError | undefined> {
  if (session.server.superuser) return undefined;
  const options = session.server.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : '';
  try {
    await session.script(`GRANT ${target.name} TO CURRENT_USER${options}`);
    return undefined;
  } catch (error) {
    // Something else may do: pg_signal_backend for sessions. What fails for it is reported where it fails.
    if (error instanceof TargetError && error.kind === 'privilege') return error;
    throw error;
  }
}

/** Milliseconds that sessions are waited for, and between looks. */
const patience = { total: 10_000, first: 2, longest: 200 };

/** Ends sessions until none is left; some need a moment to roll back. Gives the number of those ended. */
async function endSessions(session: Session, state: UserState): Promise<number> {
  const ended = new Set<number>();
  const terminate = `SELECT pid, datname, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = ${state.oid}`;
  let waited = 0;
  for (let pause = patience.first; ; pause = Math.min(pause * 2, patience.longest)) {
    const open = await session.query(terminate).catch(async (error: unknown) => {
      if (!(error instanceof TargetError) || error.kind !== 'privilege') throw error;
      throw sessionsLeft(await listSessions(session, state), 'The administrator may not end it; it may after', error);
    });
    for (const row of open) ended.add(Number(row['pid']));
    if (open.length === 0) return ended.size;
    if (waited >= patience.total) throw sessionsLeft(open, 'It was told to end and has not yet', undefined);
    await sleep(pause);
    waited += pause;
  }
}

function listSessions(session: Session, state: UserState): Promise<Row[]> {
  return session.query(`SELECT pid, datname FROM pg_stat_activity WHERE usesysid = ${state.oid}`);
}

function sessionsLeft(rows: readonly Row[], reason: string, error: TargetError | undefined): RevocationError {
  const residue = rows.map((row): Residue => {
    const advice = error === undefined ? '' : ': GRANT pg_signal_backend TO the administrator';
    return {
      place: typeof row['datname'] === 'string' ? row['datname'] : 'server',
      object: `session ${String(row['pid'])}`,
      reason: `${reason}${advice}.`,
    };
  });
  return new RevocationError('The user is locked, but its sessions could not be ended.', { residue });
}

/** On a connection of their own, so that nothing that they set stays, and our lock does. */
async function runStatements(connections: Connections, target: Target): Promise<void> {
  if (target.statements.length === 0) return;
  await connections.useDatabase(adminDatabase(connections.settings), async (visit) => {
    for (const script of target.statements) {
      await visit.script(script);
      if (visit.inTransaction()) await visit.script('COMMIT');
    }
  });
}

/** Everything that a revocation throws: whether the server is to blame, and what to do. */
export function toRevocationError(error: unknown): RevocationError {
  if (error instanceof RevocationError) return error;
  if (!(error instanceof TargetError)) return new RevocationError('The revocation failed.', { cause: error });
  // A limit of time that the server itself tells of concerns one statement: the server is there.
  const isSilent = error.kind === 'timeout' && sqlState(error) === undefined;
  const unavailable = isSilent || error.kind === 'unreachable' || error.kind === 'login' || error.outcome === 'unknown';
  const hint = error.hint === undefined ? '' : ` ${error.hint}`;
  return new RevocationError(`${error.message}${hint}`, { unavailable, cause: error });
}
