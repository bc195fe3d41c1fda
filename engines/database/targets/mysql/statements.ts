import type { UserName } from '#database/target.ts';
import type { PasswordPlugin } from './password-hash.ts';
import { account, type Flavor, identifier, literal, roleName } from './quote.ts';

/**
 * The texts of the statements, by flavor. MariaDB: https://mariadb.com/kb/en/account-management-sql-commands/. MySQL:
 * https://dev.mysql.com/doc/refman/8.4/en/account-management-statements.html.
 */

/** How a user proves who it is, as the server stores it. */
export type Authentication =
  | { readonly plugin: PasswordPlugin; readonly hash: string }
  /** Subject and issuer as OpenSSL's one line. */
  | { readonly subject: string; readonly issuer: string | undefined };

export interface Account {
  readonly user: UserName;
  readonly authentication: Authentication;
}

/** What accounts of one statement have in common. Those that log in by a certificate go alone: its subject is such a thing. */
export interface AccountTerms {
  readonly accounts: readonly Account[];
  readonly memberOf: readonly string[];
  readonly connectionLimit: number | undefined;
}

/**
 * The statements of a minting, in order. Each commits by itself, so the account is locked until it is complete; whatever is
 * left of a minting that stops halfway cannot log in, and is removed by revocation.
 *
 * A session of a user has the rights of its default roles only. MySQL takes all of them as default; MariaDB takes one, so
 * for several groups a role is made that has them all. It is named as the user and goes with it.
 */
export function mintStatements(flavor: Flavor, terms: AccountTerms): string[] {
  const users = terms.accounts.map(({ user }) => user);
  const groups = [...new Set(terms.memberOf)].map((role) => roleName(flavor, role));
  return [
    createUsers(flavor, terms),
    ...membership(flavor, users, groups),
    `ALTER USER ${users.map(account).join(', ')} ACCOUNT UNLOCK`,
  ];
}

/** No `IF NOT EXISTS`: a name that is taken must fail, not hand out somebody else's account. */
function createUsers(flavor: Flavor, { accounts, connectionLimit }: AccountTerms): string {
  const limit = connectionLimit === undefined ? '' : ` WITH MAX_USER_CONNECTIONS ${Math.trunc(connectionLimit)}`;
  const users = accounts.map(({ user, authentication }) => `${account(user)} ${proof(flavor, authentication)}`);
  return `CREATE USER ${users.join(', ')}${limit} ACCOUNT LOCK`;
}

function proof(flavor: Flavor, authentication: Authentication): string {
  if ('plugin' in authentication) return identified(flavor, authentication.plugin, authentication.hash);
  const { subject, issuer } = authentication;
  const demand = `REQUIRE SUBJECT ${literal(subject)}${issuer === undefined ? '' : ` AND ISSUER ${literal(issuer)}`}`;
  // An empty hash is an empty password, and unlike one it is not tried by MySQL's password policy.
  return flavor === 'mariadb' ? demand : `${identified(flavor, 'caching_sha2_password', '')} ${demand}`;
}

function identified(flavor: Flavor, plugin: PasswordPlugin, hash: string): string {
  if (flavor === 'mariadb') return `IDENTIFIED VIA ${plugin} USING ${literal(hash)}`;
  return `IDENTIFIED WITH ${plugin} AS ${literal(hash)}`;
}

function membership(flavor: Flavor, users: readonly UserName[], groups: readonly string[]): string[] {
  const all = users.map(account).join(', ');
  const [first, ...others] = groups;
  if (first === undefined) return [];
  if (flavor === 'mysql') return [`GRANT ${groups.join(', ')} TO ${all}`, `SET DEFAULT ROLE ALL TO ${all}`];
  if (others.length === 0) return [`GRANT ${first} TO ${all}`, ...users.map((user) => defaultRole(first, user))];
  const bundles = users.map(({ username }) => identifier(username)).join(', ');
  return [
    `CREATE ROLE ${bundles}`,
    ...groups.map((group) => `GRANT ${group} TO ${bundles}`),
    ...users.map((user) => `GRANT ${identifier(user.username)} TO ${account(user)}`),
    ...users.map((user) => defaultRole(identifier(user.username), user)),
  ];
}

/** MariaDB; of one user each time. */
function defaultRole(role: string, user: UserName): string {
  return `SET DEFAULT ROLE ${role} FOR ${account(user)}`;
}

export function setPassword(flavor: Flavor, user: UserName, plugin: PasswordPlugin, hash: string): string {
  return `ALTER USER ${account(user)} ${identified(flavor, plugin, hash)}`;
}

export function lockUser(user: UserName): string {
  return `ALTER USER IF EXISTS ${account(user)} ACCOUNT LOCK`;
}

/** MariaDB ends all sessions of a name at once; MySQL only one by one. */
export function killSessions(flavor: Flavor, username: string, ids: readonly number[]): string[] {
  if (flavor === 'mariadb') return [`KILL HARD CONNECTION USER ${literal(username)}`];
  return ids.map((id) => `KILL CONNECTION ${id}`);
}

/** MariaDB: the roles that hold several groups of a user each. */
export function dropBundle(users: readonly UserName[]): string {
  return `DROP ROLE ${users.map(({ username }) => identifier(username)).join(', ')}`;
}

export function dropUser(users: readonly UserName[]): string {
  return `DROP USER ${users.map(account).join(', ')}`;
}

/** What takes all rights of an account that cannot be dropped yet (MySQL). Roles are not among `ALL PRIVILEGES`. */
export function stripUser(user: UserName, roles: readonly UserName[]): string[] {
  const who = account(user);
  const revokeRoles = roles.length > 0 ? [`REVOKE ${roles.map(account).join(', ')} FROM ${who}`] : [];
  return [...revokeRoles, `REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${who}`];
}
