import { type ClientCertificate, TargetError, type UserName } from '#database/target.ts';
import { asTargetError, errorNumber } from './errors.ts';
import { currentUser } from './inspect.ts';
import { defaultPlugin, passwordHash, passwordPlugins } from './password-hash.ts';
import type { Pool } from './pool.ts';
import { account, hostOf, literal, splitRole } from './quote.ts';
import { ask, isAccount, openSession, type Session } from './session.ts';
import { setPassword as passwordStatement } from './statements.ts';

/** Gives a user another password of the kind that it has. Its sessions stay. */
export async function setPassword(pool: Pool, { username, host }: UserName, password: string): Promise<void> {
  await pool.use(async (session) => {
    // The administrator may be any of several accounts of its name: it is the one that was let in.
    const itself = host === undefined && username === pool.settings.username;
    const user = itself ? splitRole(await currentUser(session)) : { username, host };
    const where = isAccount(user.username, hostOf(user));
    const [row] = await ask(session, `SELECT plugin FROM mysql.user WHERE ${where}`, 'the search for the user');
    if (!row) throw await unknownUser(session, user);
    await refuseLocked(session, user);
    const plugin = passwordPlugins.find((each) => each === row['plugin']);
    if (plugin === undefined && row['plugin'] !== '') {
      throw new TargetError(
        'statement',
        `${account(user)} logs in by ${String(row['plugin'])}, which has no password.`,
        {
          hint: `The kinds whose password can be set are ${passwordPlugins.join(', ')}.`,
        },
      );
    }
    const kind = plugin ?? defaultPlugin(session.flavor);
    const hash = await passwordHash(kind, password);
    await ask(session, passwordStatement(session.flavor, user, kind, hash), `"ALTER USER" for ${account(user)}`, [
      hash,
    ]);
  });
}

/** The host is part of the name (`'u'@'10.%'`), so the accounts that do exist are named. */
async function unknownUser(session: Session, user: UserName): Promise<TargetError> {
  const sql = `SELECT Host AS host FROM mysql.user WHERE User = ${literal(user.username)} ORDER BY Host LIMIT 5`;
  const others = (await ask(session, sql, 'the search for the user')).map(({ host }) => ({
    username: user.username,
    host: String(host),
  }));
  const hint = `There is ${others.map(account).join(', ')}: give that host.`;
  return new TargetError('statement', `There is no user ${account(user)}.`, others.length === 0 ? {} : { hint });
}

/**
 * A password by which nobody could log in would be lost work, and the old one with it: so nothing is changed. Needs SELECT
 * on `mysql`, which an administrator of least privilege has not: then the login that follows tells it.
 */
async function refuseLocked(session: Session, user: UserName): Promise<void> {
  const who = account(user);
  const rows = await ask(session, `SHOW CREATE USER ${who}`, 'the search for the user').catch((error: unknown) => {
    if (error instanceof TargetError && error.kind === 'privilege') return [];
    throw error;
  });
  if (!rows.flatMap((row) => Object.values(row)).some((text) => / ACCOUNT LOCK(?: |$)/.test(String(text)))) return;
  throw new TargetError('statement', `The user ${who} is locked, so no login could work: nothing was changed.`, {
    hint: `End that first, as by ALTER USER ${who} ACCOUNT UNLOCK, and try again.`,
  });
}

/** A user whose sessions are all in use is refused only after password or certificate were found right. */
const inUse = [1203, 1226];

export async function logIn(
  pool: Pool,
  user: UserName,
  proof: string | ClientCertificate,
  database: string | undefined,
): Promise<void> {
  const login = typeof proof === 'string' ? { password: proof } : { password: '', clientCertificate: proof };
  const settings = { ...pool.settings, username: user.username, ...login, database };
  const session = await openSession(settings);
  try {
    if (user.host !== undefined) await requireAccount(session, user);
  } finally {
    await session.end();
  }
}

/** Which of the accounts of a name lets one in depends on the address; the most exact host comes first. */
async function requireAccount(session: Session, user: UserName): Promise<void> {
  const found = splitRole(await currentUser(session));
  if (found.username === user.username && found.host?.toLowerCase() === hostOf(user)) return;
  throw new TargetError('login', `The server let it in as ${account({ ...found })}, not as ${account(user)}.`, {
    hint: 'An account with a more exact host, or one without a name, comes before it: drop that, or name its host.',
  });
}

/** Whether password or certificate are right. */
export async function canLogIn(pool: Pool, user: UserName, proof: string | ClientCertificate): Promise<boolean> {
  try {
    await logIn(pool, user, proof, undefined);
    return true;
  } catch (error) {
    const failure = asTargetError(error, 'the login');
    if (inUse.includes(errorNumber(failure) ?? 0)) return true;
    if (failure.kind === 'login') return false;
    throw failure;
  }
}
