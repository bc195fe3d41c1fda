import type { UserName } from '#database/target.ts';
import { gather } from './gather.ts';
import { half, type Pool } from './pool.ts';
import { account, hostOf, literal } from './quote.ts';
import { ask, type Row, type Session } from './session.ts';
import { openSessions } from './sessions.ts';

/** What the server still knows of users that were dropped. Looked for for many at once. */
export interface Proofs {
  /** Sessions of the name. */
  sessions(user: UserName): Promise<readonly number[]>;
  all(user: UserName): Promise<Remains>;
}

export interface Remains {
  readonly hasAccount: boolean;
  /** The table in which memberships of it are still listed. */
  readonly memberships: string | undefined;
  readonly sessions: readonly number[];
}

/** Most users in one statement. */
const mostUsers = 100;

export function createProofs(pool: Pool): Proofs {
  const shared = { most: () => mostUsers, width: half(pool) };
  const sessions = gather<string, ReadonlyMap<string, readonly number[]>>({
    ...shared,
    work: (names) => pool.use((session) => openSessions(session, names)),
  });
  const all = gather<UserName, (user: UserName) => Remains>({ ...shared, work: (users) => pool.use(lookFor(users)) });
  return {
    sessions: async ({ username }) => (await sessions(username)).get(username) ?? [],
    all: async (user) => (await all(user))(user),
  };
}

const lookFor = (users: readonly UserName[]) => async (session: Session) => {
  const mapping = mappings[session.flavor];
  const found = async (table: string, host: string, name: string) => {
    const sql = `SELECT ${name} AS name, ${host} AS host FROM ${table} WHERE ${anyOf(users, host, name)}`;
    return new Set((await ask(session, sql, 'the verification')).map(accountIn));
  };
  const accounts = await found('mysql.user', 'Host', 'User');
  const members = await found(mapping.table, mapping.host, mapping.name);
  const sessions = await openSessions(
    session,
    users.map(({ username }) => username),
  );
  return (user: UserName): Remains => ({
    hasAccount: accounts.has(account(user)),
    memberships: members.has(account(user)) ? mapping.table : undefined,
    sessions: sessions.get(user.username) ?? [],
  });
};

const mappings = {
  mariadb: { table: 'mysql.roles_mapping', host: 'Host', name: 'User' },
  mysql: { table: 'mysql.role_edges', host: 'TO_HOST', name: 'TO_USER' },
} as const;

/** In each group of one host: the server finds these by the key of the table. */
function anyOf(users: readonly UserName[], host: string, name: string): string {
  return [...Map.groupBy(users, hostOf)]
    .map(([where, group]) => {
      const names = [...new Set(group.map(({ username }) => username))].map(literal).join(', ');
      return `(${host} = ${literal(where)} AND ${name} IN (${names}))`;
    })
    .join(' OR ');
}

function accountIn(row: Row): string {
  return account({ username: String(row['name']), host: String(row['host']) });
}
