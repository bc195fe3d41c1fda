import { RevocationError } from '#lease/contract.ts';
import { toRevocationError } from '#database/target-failure.ts';
import type { Residue, Revocation, RevocationPlan, UserName } from '#database/target.ts';
import { createDefinerSearch, type DefinerSearch } from './definers.ts';
import { createDrops, type Drops, type Removal } from './drops.ts';
import { asTargetError } from './errors.ts';
import { limited } from './gather.ts';
import { runRevocationScripts } from './mint.ts';
import { half, type Pool } from './pool.ts';
import { createPreparedTransactions, type PreparedTransactions } from './prepared.ts';
import { createProofs, type Proofs } from './proof.ts';
import { account, hostOf, literal } from './quote.ts';
import { userExists } from './removal.ts';
import { ask, type Session } from './session.ts';
import { endSessions, sessionIds } from './sessions.ts';
import { lockUser, stripUser } from './statements.ts';

export interface RevocationTools {
  readonly pool: Pool;
  readonly drops: Drops;
  readonly proofs: Proofs;
  readonly definers: DefinerSearch;
  readonly prepared: PreparedTransactions;
  /** Takes a session for one revocation alone; few at a time, so that minting finds sessions. */
  readonly alone: Pool['use'];
}

export function createRevocationTools(pool: Pool): RevocationTools {
  const few = limited(half(pool));
  return {
    pool,
    drops: createDrops(pool),
    proofs: createProofs(pool),
    definers: createDefinerSearch(pool),
    prepared: createPreparedTransactions(),
    alone: (work) => few(() => pool.use(work)),
  };
}

/**
 * Shut out, end sessions, drop, prove it gone. The order matters: DROP USER leaves sessions open, and a session that is
 * ended before nobody can log in any more comes back. Where nothing needs the account any more it is dropped at once,
 * which shuts out as well; else it is locked first. Each step can be run again. What revocations that come together ask
 * alike, they ask together. Throws RevocationError.
 */
export async function revokeUser(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Revocation> {
  try {
    return await revoke(tools, user, plan);
  } catch (error) {
    if (error instanceof RevocationError) throw error;
    throw toRevocationError(asTargetError(error, `the revocation of ${account(user)}`));
  }
}

async function revoke(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Revocation> {
  const { pool } = tools;
  if (user.username === pool.settings.username) {
    throw new RevocationError(`${account(user)} is the administrator of the connection itself.`);
  }
  const early = plan.statements.length === 0 ? await tools.drops.drop(user) : undefined;
  const { removal, ended, defined, scriptFailure } =
    early !== undefined && early.kept === undefined
      ? await afterDrop(tools, user, early)
      : await fromLock(tools, user, plan);
  const left = await whatIsLeft(tools, user, removal);
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
  const [open, defined] = await Promise.all([tools.proofs.sessions(user), tools.definers.find(user)]);
  const ended = open.length === 0 ? 0 : await tools.alone((session) => endAll(session, tools, user, removal.removed));
  return { removal, ended, defined };
}

async function fromLock(tools: RevocationTools, user: UserName, plan: RevocationPlan): Promise<Progress> {
  const ended = await tools.alone(async (session) => {
    await ask(session, lockUser(user), `"ALTER USER" for ${account(user)}`);
    return endAll(session, tools, user, false);
  });
  const scriptFailure = plan.statements.length > 0 ? await tryScripts(tools, user, plan.statements) : undefined;
  const [removal, defined] = await Promise.all([remove(tools, user), tools.definers.find(user)]);
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
async function tryScripts(
  { pool, alone }: RevocationTools,
  user: UserName,
  statements: readonly string[],
): Promise<Residue | undefined> {
  if (!(await alone((session) => userExists(session, user)))) return undefined;
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

async function remove({ drops, alone }: RevocationTools, user: UserName): Promise<Removal> {
  const removal = await drops.drop(user);
  if (removal.kept === undefined) return removal;
  await alone(async (session) => {
    for (const sql of stripUser(user, await rolesOf(session, user))) {
      await ask(session, sql, `"REVOKE" for ${account(user)}`);
    }
  });
  return removal;
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
async function whatIsLeft(tools: RevocationTools, user: UserName, { kept }: Removal): Promise<Residue[]> {
  const { hasAccount, memberships, sessions } = await tools.proofs.all(user);
  const residue: Residue[] = [];
  if (hasAccount) {
    residue.push({ place: 'server', object: `user ${account(user)}`, reason: kept?.message ?? 'It is there again.' });
  }
  if (memberships !== undefined) {
    const reason = `The server lists it although the user is gone; see ${memberships}.`;
    residue.push({ place: 'server', object: `membership of ${account(user)}`, reason });
  }
  if (sessions.length === 0 && !tools.prepared.knows(account(user))) return residue;
  return tools.alone(async (session) => [
    ...residue,
    ...(await endNoted(session, tools, user, sessions)).left,
    ...(await tools.prepared.residue(session, account(user))),
  ]);
}
