import { type ClientCertificate, TargetError, type UserName } from '#database/target.ts';
import { asTargetError, errorNumber } from './errors.ts';
import { currentUser } from './inspect.ts';
import { defaultPlugin, passwordHash, passwordPlugins } from './password-hash.ts';
import type { Pool } from './pool.ts';
import { account, hostOf, splitRole } from './quote.ts';
import { ask, isAccount, openSession } from './session.ts';
import { setPassword as passwordStatement } from './statements.ts';

/** Gives a user another password of the kind that it has. Its sessions stay. */
export async function setPassword(pool: Pool, { username, host }: UserName, password: string): Promise<void> {
  await pool.use(async (session) => {
    // The administrator may be any of several accounts of its name: it is the one that was let in.
    const itself = host === undefined && username === pool.settings.username;
    const user = itself ? splitRole(await currentUser(session)) : { username, host };
    const where = isAccount(user.username, hostOf(user));
    const [row] = await ask(session, `SELECT plugin FROM mysql.user WHERE ${where}`, 'the search for the user');
    if (!row) throw new TargetError('statement', `There is no user ${account(user)}.`);
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
  await (await openSession(settings)).end();
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
