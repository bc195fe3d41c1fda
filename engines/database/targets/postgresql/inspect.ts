import {
  type ClientCertificate,
  type ListedUser,
  type ServerFacts,
  TargetError,
  type UserName,
} from '#database/target.ts';
import { adminDatabase, type Connections } from './connection.ts';
import { identifier } from './quote.ts';

const oldestMajor = 13;

/** Logs in and asks the server what it is. Throws TargetError for one on which nothing can be minted. */
export async function inspectServer(connections: Connections): Promise<ServerFacts> {
  return connections.use(async (session) => {
    const [row = {}] = await session.query(
      `SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
        (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted, pg_is_in_recovery() AS standby,
        round(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
    );
    const { major, superuser } = session.server;
    const version = `PostgreSQL ${String(row['version'])}`;
    if (major < oldestMajor)
      throw new TargetError('statement', `The server is ${version}, and PostgreSQL ${oldestMajor} or later is needed.`);
    if (row['standby'] === true) {
      throw new TargetError('unreachable', 'The server is a standby, on which no user can be made.', {
        hint: 'Connect to the primary.',
      });
    }
    const encrypted = row['encrypted'] === true;
    return { version, flavor: 'postgresql', major, encrypted, superuser, now: Number(row['now']) };
  });
}

/** Whether a login by this password or certificate works. Throws TargetError when that cannot be told. */
export async function canLogIn(
  connections: Connections,
  user: UserName,
  proof: string | ClientCertificate,
): Promise<boolean> {
  try {
    await logIn(connections, user, proof, undefined);
    return true;
  } catch (error) {
    if (error instanceof TargetError && error.kind === 'login') return false;
    throw error;
  }
}

export async function logIn(
  connections: Connections,
  user: UserName,
  proof: string | ClientCertificate,
  database: string | undefined,
): Promise<void> {
  identifier(user.username);
  const client = await connections.connectAs(user.username, proof, database ?? adminDatabase(connections.settings));
  await client.end();
}

export async function listUsers(connections: Connections, prefix: string): Promise<readonly ListedUser[]> {
  const rows = await connections.use((session) =>
    session.query(
      `SELECT rolname, coalesce(a.sessions, 0)::int AS sessions,
        CASE WHEN isfinite(rolvaliduntil) THEN round(extract(epoch FROM rolvaliduntil) * 1000)::float8 END AS expires
      FROM pg_roles AS r
      LEFT JOIN (SELECT usesysid, count(*) AS sessions FROM pg_stat_activity GROUP BY 1) AS a ON a.usesysid = r.oid
      WHERE starts_with(rolname::text, $1) ORDER BY rolname`,
      [prefix],
    ),
  );
  return rows.map((row) => ({
    username: String(row['rolname']),
    expiresAt: row['expires'] === null ? undefined : Number(row['expires']),
    sessions: Number(row['sessions']),
  }));
}
