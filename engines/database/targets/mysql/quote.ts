import { TargetError, type UserName } from '#database/target.ts';

/**
 * Quoting for MySQL and MariaDB. Every session of ours sets this mode before anything else, so that quoting does not depend
 * on the server's: backslashes escape, and `"` marks strings (statement-lexer.ts reads custom scripts by the same rules).
 * The driver's placeholders are not used: values and names go through these three functions.
 */
export const sessionMode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';

export function literal(text: string): string {
  return `'${representable(text).replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

export function identifier(name: string): string {
  return `\`${representable(name).replaceAll('`', '``')}\``;
}

/** `'user'@'host'`. */
export function account(user: UserName): string {
  return `${literal(accountName(user.username))}@${literal(hostOf(user))}`;
}

/** The host part of an account, as the server stores it. */
export function hostOf(user: UserName): string {
  return (user.host ?? '%').toLowerCase();
}

/** An empty name would be the anonymous account, which any name logs in as. */
function accountName(username: string): string {
  if (username === '') throw new TargetError('statement', 'The user name is empty; it needs at least one character.');
  return username;
}

/**
 * The servers keep names in three-byte UTF-8: what is beyond would become `?`, and two names one. NUL ends a name in their
 * tables, and half of a surrogate pair has no bytes at all.
 */
function representable(text: string): string {
  if (!/[\0\ud800-\udfff]/.test(text)) return text;
  throw new TargetError(
    'statement',
    'A name or text holds NUL or a character beyond U+FFFF, which the server cannot keep.',
  );
}

/** A condition that compares bytes: the collations of information_schema take `A` for `a`. */
export function equals(column: string, text: string): string {
  return `CAST(${column} AS BINARY) = CAST(${literal(text)} AS BINARY)`;
}

/** The definer column of routines, views, triggers and events: user and host as they are, unquoted. */
export function definerOf(user: UserName): string {
  return `${user.username}@${hostOf(user)}`;
}

/** A role as administrators write it. MariaDB's roles have no host; on MySQL `name@host` is allowed, `%` being the default. */
export function roleName(flavor: Flavor, role: string): string {
  return flavor === 'mariadb' ? identifier(role) : account(splitRole(role));
}

export function splitRole(role: string): UserName {
  const at = role.lastIndexOf('@');
  return at > 0 ? { username: role.slice(0, at), host: role.slice(at + 1) } : { username: role, host: '%' };
}

export type Flavor = 'mysql' | 'mariadb';
