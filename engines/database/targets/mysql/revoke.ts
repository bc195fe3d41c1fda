import { RevocationError } from '#lease/contract.ts';
import type { Residue, Revocation, RevocationPlan, TargetError, UserName } from '#database/target.ts';
import type { DefinerSearch } from './definers.ts';
import { asTargetError, errorNumber } from './errors.ts';
import { runRevocationScripts } from './mint.ts';
import type { Pool } from './pool.ts';
import type { PreparedTransactions } from './prepared.ts';
import { account, hostOf, literal } from './quote.ts';
import { removeUser, userExists } from './removal.ts';
import { ask, isAccount, type Session } from './session.ts';
import { endSessions, sessionIds } from './sessions.ts';
import { lockUser, stripUser } from './statements.ts';

/** `ER_CANNOT_USER_REFERENCED_AS_DEFINER` (MySQL 8.0.22 and later). */
const isDefiner = 4006;

export interface RevocationTools {
  readonly pool: Pool;
  readonly definers: DefinerSearch;
  readonly prepared: PreparedTransactions;
}

/**
 * Shut out, end sessions, drop, prove it gone. The order matters: DROP USER leaves sessions open, and a session that is
 * ended before nobody can log in any more comes back. Where nothing needs the account any more it is dropped at once,
 * which shuts out as well; else it is locked first. Each step can be run again. Throws RevocationError.
 */
export async function revokeUser(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Revocation> {
  try {
    return await revoke(tools, user, plan);
  } catch (error) {
    if (error instanceof RevocationError) throw error;
    const failure = asTargetError(error, `the revocation of ${account(user)}`);
    const unavailable = failure.kind === 'unreachable' || failure.kind === 'timeout' || failure.kind === 'login';
    throw new RevocationError(failure.hint ? `${failure.message} ${failure.hint}` : failure.message, {
      unavailable,
      cause: failure,
    });
  }
}

async function revoke(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Revocation> {
  const { pool } = tools;
  if (user.username === pool.settings.username) {
    throw new RevocationError(`${account(user)} is the administrator of the connection itself.`);
  }
  const early = plan.statements.length === 0 ? await pool.use((session) => drop(session, user)) : undefined;
  const { removal, ended, defined, scriptFailure } =
    early !== undefined && early.kept === undefined
      ? await afterDrop(tools, user, early)
      : await fromLock(tools, user, plan);
  const left = await pool.use(async (session) => [
    ...(await proveGone(session, tools, user, removal.kept)),
    ...(await tools.prepared.residue(session, account(user))),
  ]);
  const residue = [...left, ...defined, ...(scriptFailure ? [scriptFailure] : [])];
  if (residue.length > 0) throw new RevocationError(summary(user, residue), { residue, removed: removal.removed });
  return { ended: removal.removed ? 'removed' : 'already_absent', sessions: ended };
}

interface Progress {
  readonly removal: Removal;
  /** Sessions that were ended. */
  readonly ended: number;
  readonly defined: readonly Residue[];
  readonly scriptFailure?: Residue | undefined;
}

async function afterDrop(tools: RevocationTools, user: UserName, removal: Removal): Promise<Progress> {
  const [ended, defined] = await Promise.all([
    tools.pool.use((session) => endAll(session, tools, user, removal.removed)),
    tools.definers.find(user),
  ]);
  return { removal, ended, defined };
}

async function fromLock(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Progress> {
  const { pool } = tools;
  const ended = await pool.use(async (session) => {
    await ask(session, lockUser(user), `"ALTER USER" for ${account(user)}`);
    return endAll(session, tools, user, false);
  });
  const scriptFailure = plan.statements.length > 0 ? await tryScripts(pool, user, plan.statements) : undefined;
  const [removal, defined] = await Promise.all([
    pool.use((session) => remove(session, user)),
    tools.definers.find(user),
  ]);
  return { removal, ended, defined, scriptFailure };
}

function summary(user: UserName, residue: readonly Residue[]): string {
  const [first] = residue;
  const more = residue.length > 1 ? ` and ${residue.length - 1} more` : '';
  return `Something is left of ${account(user)}: ${first?.object} in ${first?.place}${more}.`;
}

/** Ends the sessions of a user who cannot log in any more. Answers how many. Throws RevocationError when some do not end. */
async function endAll(session: Session, tools: RevocationTools, user: UserName, removed: boolean): Promise<number> {
  const open = await sessionIds(session, user.username);
  const { ended, left } = await endNoted(session, tools, user, open);
  if (left.length > 0) throw new RevocationError(summary(user, left), { residue: left, removed });
  return ended;
}

/** What is prepared at a session is noted before it is ended: afterwards nothing says whose it was. */
function endNoted(session: Session, { prepared }: RevocationTools, user: UserName, open: readonly number[]) {
  return endSessions(session, user.username, open, (ids) => prepared.note(session, account(user), ids));
}

/** Custom statements are for what the preset does not cover; a user that is gone already has nothing left for them. */
async function tryScripts(pool: Pool, user: UserName, statements: readonly string[]): Promise<Residue | undefined> {
  if (!(await pool.use((session) => userExists(session, user)))) return undefined;
  try {
    await runRevocationScripts(pool, user.username, statements);
    return undefined;
  } catch (error) {
    const failure = asTargetError(error, 'a revocation statement');
    if (failure.kind === 'unreachable') throw failure;
    return {
      place: 'server',
      object: 'custom revocation statement',
      reason: `${failure.message} The user itself was removed all the same.`,
    };
  }
}

interface Removal {
  readonly removed: boolean;
  /** Why the server refused to drop it. */
  readonly kept: TargetError | undefined;
}

async function remove(session: Session, user: UserName): Promise<Removal> {
  const removal = await drop(session, user);
  if (removal.kept === undefined) return removal;
  for (const sql of stripUser(user, await rolesOf(session, user))) {
    await ask(session, sql, `"REVOKE" for ${account(user)}`);
  }
  return removal;
}

async function drop(session: Session, user: UserName): Promise<Removal> {
  try {
    return { removed: await removeUser(session, user), kept: undefined };
  } catch (error) {
    if (errorNumber(error) !== isDefiner) throw error;
    return { removed: false, kept: error as TargetError };
  }
}

async function rolesOf(session: Session, user: UserName): Promise<UserName[]> {
  const sql =
    'SELECT FROM_USER AS name, FROM_HOST AS host FROM mysql.role_edges' +
    ` WHERE TO_USER = ${literal(user.username)} AND TO_HOST = ${literal(hostOf(user))}`;
  const rows = await ask(session, sql, 'the list of roles');
  return rows.map((row) => ({ username: String(row['name']), host: String(row['host']) }));
}

/**
 * Looks for the account, for what others know of it, and for sessions: one whose login was under way when the account was
 * locked or dropped appears only now. It has no rights any more, and is ended.
 */
async function proveGone(
  session: Session,
  tools: RevocationTools,
  user: UserName,
  kept: TargetError | undefined,
): Promise<Residue[]> {
  const residue: Residue[] = [];
  const name = literal(user.username);
  const [edges, column] =
    session.flavor === 'mariadb' ? ['mysql.roles_mapping', 'User'] : ['mysql.role_edges', 'TO_USER'];
  const host = session.flavor === 'mariadb' ? `Host = ${literal(hostOf(user))}` : `TO_HOST = ${literal(hostOf(user))}`;
  const sql =
    `SELECT (SELECT COUNT(*) FROM mysql.user WHERE ${isAccount(user.username, hostOf(user))}) AS accounts,` +
    ` (SELECT COUNT(*) FROM ${edges} WHERE ${column} = ${name} AND ${host}) AS memberships`;
  const [row] = await ask(session, sql, 'the verification');
  if (Number(row?.['accounts']) > 0) {
    residue.push({ place: 'server', object: `user ${account(user)}`, reason: kept?.message ?? 'It is there again.' });
  }
  if (Number(row?.['memberships']) > 0) {
    const reason = `The server lists it although the user is gone; see ${edges}.`;
    residue.push({ place: 'server', object: `membership of ${account(user)}`, reason });
  }
  const open = await sessionIds(session, user.username);
  residue.push(...(await endNoted(session, tools, user, open)).left);
  return residue;
}
