import type { ListedUser, ServerFacts } from '#database/target.ts';
import { literal } from './quote.ts';
import { ask, type Session } from './session.ts';

export async function inspect(session: Session): Promise<ServerFacts> {
  const [row] = await ask(session, 'SELECT UNIX_TIMESTAMP(NOW(6)) AS now', 'the clock');
  const [cipher] = await ask(session, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", 'the state of TLS');
  const number = /\d+(?:\.\d+)*/.exec(session.version)?.[0] ?? session.version;
  return {
    version: `${session.flavor === 'mariadb' ? 'MariaDB' : 'MySQL'} ${number}`,
    flavor: session.flavor,
    major: Number.parseInt(number, 10),
    encrypted: (cipher?.['Value'] ?? '') !== '',
    superuser: (await globalPrivileges(session)).has('SUPER'),
    now: Math.round(Number(row?.['now']) * 1000),
  };
}

/** What the administrator may do everywhere, not counting what comes by roles. */
export async function globalPrivileges(session: Session): Promise<ReadonlySet<string>> {
  const grantee = literal(granteeOf(await currentUser(session)));
  const sql = `SELECT PRIVILEGE_TYPE AS privilege FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ${grantee}`;
  return new Set((await ask(session, sql, 'the list of privileges')).map((row) => String(row['privilege'])));
}

/** `user@host`: the account as which the administrator was let in. */
export async function currentUser(session: Session): Promise<string> {
  const [row] = await ask(session, 'SELECT CURRENT_USER() AS me', 'the name of the administrator');
  return String(row?.['me']);
}

/** As information_schema writes it: each part between apostrophes, without escapes. */
export function granteeOf(user: string): string {
  const at = user.lastIndexOf('@');
  return `'${user.slice(0, at)}'@'${user.slice(at + 1)}'`;
}

/**
 * The users whose name begins with the prefix, and how many sessions each has. MariaDB keeps roles in the same table, with
 * an empty host: one that bundles the groups of a user is listed when there is no such user, since nothing else finds it.
 */
export async function listUsers(session: Session, prefix: string): Promise<ListedUser[]> {
  const like = literal(`${prefix.replaceAll(/[\\%_]/g, '\\$&')}%`);
  const isRole = session.flavor === 'mariadb' ? 'is_role' : "'N'";
  const accounts = await ask(
    session,
    `SELECT User AS username, Host AS host, ${isRole} AS role FROM mysql.user WHERE User LIKE ${like} ORDER BY User, Host`,
    'the list of users',
  );
  const people = new Set(accounts.filter((row) => row['role'] !== 'Y').map((row) => row['username']));
  const users = accounts.filter((row) => row['role'] !== 'Y' || !people.has(row['username']));
  const open = await ask(
    session,
    `SELECT USER AS username, COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE USER LIKE ${like} GROUP BY USER`,
    'the list of sessions',
  );
  const sessions = new Map(open.map((row) => [String(row['username']), Number(row['count'])]));
  return users.map((row) => {
    const username = String(row['username']);
    return { username, host: String(row['host']), expiresAt: undefined, sessions: sessions.get(username) ?? 0 };
  });
}
