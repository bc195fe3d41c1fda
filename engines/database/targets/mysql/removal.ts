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
  const dropped = await dropUserAlone(session, user);
  if (session.flavor !== 'mariadb' || !(await findAccounts(session, [user])).bundles.has(user.username)) return dropped;
  return (await drop(session, dropBundle([user]), `the role of ${account(user)}`)) || dropped;
}

/** False when there was none. */
export function dropUserAlone(session: Session, user: UserName): Promise<boolean> {
  return drop(session, dropUser([user]), account(user));
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

/**
 * MariaDB: drops users, or roles of their names, that were there a moment ago. Where one of them is gone meanwhile the
 * server says so and has dropped the others, so then each is dropped by itself.
 */
export async function dropGroup(session: Session, kind: 'USER' | 'ROLE', users: readonly UserName[]): Promise<void> {
  const statement = kind === 'USER' ? dropUser : dropBundle;
  const [first] = users;
  const what = (user: UserName | undefined) => (user === undefined ? 'nobody' : account(user));
  const more = users.length > 1 ? ` and ${users.length - 1} more` : '';
  if (await drop(session, statement(users), `${what(first)}${more}`)) return;
  if (users.length > 1) for (const user of users) await drop(session, statement([user]), what(user));
}

export interface FoundAccounts {
  /** As `account` writes them. */
  readonly people: Set<string>;
  /** Names of roles that are called as a user. */
  readonly bundles: Set<string>;
}

/** MariaDB: which of the users are there. Asked by host and name, the key of the table: by name alone it is read whole. */
export async function findAccounts(session: Session, users: readonly UserName[]): Promise<FoundAccounts> {
  const hosts = [...new Set(['', ...users.map(hostOf)])].map(literal).join(', ');
  const names = [...new Set(users.map(({ username }) => username))].map(literal).join(', ');
  const sql = `SELECT User AS name, Host AS host, is_role AS role FROM mysql.user WHERE Host IN (${hosts}) AND User IN (${names})`;
  const rows = await ask(session, sql, 'the search for users');
  const named = rows.map((row) => ({ username: String(row['name']), host: String(row['host']), role: row['role'] }));
  return {
    people: new Set(named.filter(({ role }) => role !== 'Y').map(account)),
    bundles: new Set(named.filter(({ role }) => role === 'Y').map(({ username }) => username)),
  };
}

export async function userExists(session: Session, user: UserName): Promise<boolean> {
  const sql = `SELECT 1 FROM mysql.user WHERE ${isAccount(user.username, hostOf(user))}`;
  return (await ask(session, sql, 'the search for the user')).length > 0;
}
