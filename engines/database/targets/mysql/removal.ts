import type { UserName } from '#database/target.ts';
import { errorNumber } from './errors.ts';
import { account, hostOf, literal } from './quote.ts';
import { ask, isAccount, type Session } from './session.ts';
import { dropBundle, dropUser } from './statements.ts';

/** `ER_CANNOT_USER`: the account of CREATE USER is there already, or that of DROP USER is not. */
export const cannotUser = 1396;

/**
 * Drops the account, and on MariaDB the role that bundles its groups, where there is one: a look costs less than a DROP
 * ROLE of nothing. False when there was neither.
 */
export async function removeUser(session: Session, user: UserName): Promise<boolean> {
  const dropped = await drop(session, dropUser(user), account(user));
  if (session.flavor !== 'mariadb' || !(await hasBundle(session, user))) return dropped;
  return (await drop(session, dropBundle(user.username), `the role of ${account(user)}`)) || dropped;
}

async function hasBundle(session: Session, { username }: UserName): Promise<boolean> {
  const sql = `SELECT 1 FROM mysql.user WHERE User = ${literal(username)} AND is_role = 'Y'`;
  return (await ask(session, sql, 'the search for the role of a user')).length > 0;
}

/** False when there was nothing of this name. */
async function drop(session: Session, sql: string, what: string): Promise<boolean> {
  try {
    await ask(session, sql, `"${sql.split(' ', 2).join(' ')}" for ${what}`);
    return true;
  } catch (error) {
    if (errorNumber(error) === cannotUser) return false;
    throw error;
  }
}

export async function userExists(session: Session, user: UserName): Promise<boolean> {
  const sql = `SELECT 1 FROM mysql.user WHERE ${isAccount(user.username, hostOf(user))}`;
  return (await ask(session, sql, 'the search for the user')).length > 0;
}
