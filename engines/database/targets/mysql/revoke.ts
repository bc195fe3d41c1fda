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
 * Lock, end sessions, drop, prove it gone. The order matters: DROP USER leaves sessions open, and a session that is ended
 * before the account is locked comes back. Each step can be run again. Throws RevocationError.
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
  const ended = await pool.use((session) => shutOut(session, tools, user));
  const scriptFailure = plan.statements.length > 0 ? await tryScripts(pool, user, plan.statements) : undefined;
  const [removal, defined] = await Promise.all([
    pool.use((session) => remove(session, user)),
    tools.definers.find(user),
  ]);
  const left = await pool.use(async (session) => [
    ...(await proveGone(session, user, removal.kept)),
    ...(await tools.prepared.residue(session, account(user))),
  ]);
  const residue = [...left, ...defined, ...(scriptFailure ? [scriptFailure] : [])];
  if (residue.length > 0) throw new RevocationError(summary(user, residue), { residue });
  return { ended: removal.removed ? 'removed' : 'already_absent', sessions: ended };
}

function summary(user: UserName, residue: readonly Residue[]): string {
  const [first] = residue;
  const more = residue.length > 1 ? ` and ${residue.length - 1} more` : '';
  return `Something is left of ${account(user)}: ${first?.object} in ${first?.place}${more}.`;
}

/** Locks the account and ends its sessions. Answers how many. Throws RevocationError when some do not end. */
async function shutOut(session: Session, { prepared }: RevocationTools, user: UserName): Promise<number> {
  await ask(session, lockUser(user), `"ALTER USER" for ${account(user)}`);
  const open = await sessionIds(session, user.username);
  await prepared.note(session, account(user), open);
  const result = await endSessions(session, user.username, open);
  if (result.left.length > 0) throw new RevocationError(summary(user, result.left), { residue: result.left });
  return result.ended;
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
  try {
    return { removed: await removeUser(session, user), kept: undefined };
  } catch (error) {
    if (errorNumber(error) !== isDefiner) throw error;
    for (const sql of stripUser(user, await rolesOf(session, user))) {
      await ask(session, sql, `"REVOKE" for ${account(user)}`);
    }
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
 * locked appears only now. It has no rights any more, and is ended.
 */
async function proveGone(session: Session, user: UserName, kept: TargetError | undefined): Promise<Residue[]> {
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
  residue.push(...(await endSessions(session, user.username, open)).left);
  return residue;
}
