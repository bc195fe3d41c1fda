import { type Target, TargetError, type TargetKind, type TargetSettings, type UserName } from '#database/target.ts';
import { adminSetup } from './postgresql/admin-setup.ts';
import { adminDatabase, openConnections } from './postgresql/connection.ts';
import { diagnose } from './postgresql/diagnose.ts';
import { canLogIn, inspectServer, listUsers, logIn } from './postgresql/inspect.ts';
import { createUser, extendUser, setPassword } from './postgresql/mint.ts';
import { runQuery } from './postgresql/query.ts';
import { revokeUser, toRevocationError } from './postgresql/revoke.ts';

/**
 * PostgreSQL 13 to 18, and what speaks like it. Sessions of ours need a server process of their own: no PgBouncer in
 * transaction mode between.
 */
export const postgresql: TargetKind = {
  engine: 'postgresql',
  title: 'PostgreSQL',
  defaultPort: 5432,
  usernameLimit: 63,
  hasExpiry: true,
  open: openTarget,
  adminSetup,
};

function openTarget(settings: TargetSettings): Target {
  const connections = openConnections(settings);
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  const track = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closed) throw new TargetError('unreachable', 'The connections to this server are closed.');
    const promise = work();
    underWay.add(promise);
    try {
      return await promise;
    } finally {
      underWay.delete(promise);
    }
  };
  return {
    inspect: () => track(() => inspectServer(connections)),
    createUser: (user) => track(() => createUser(connections, user)),
    extendUser: (user, expiresAt) => track(() => extendUser(connections, user, expiresAt)),
    revokeUser: (user, plan) => track(() => revokeUser(connections, user, plan)).catch(rethrowAsRevocation),
    setPassword: (user, password) => track(() => setPassword(connections, user, password)),
    canLogIn: (user, proof) => track(() => canLogIn(connections, user, proof)),
    logIn: (user, proof, database) => track(() => logIn(connections, user, proof, database)),
    runQuery: (user, proof, query) => track(() => runQuery(connections, user, proof, query)),
    listUsers: (prefix) => track(() => listUsers(connections, prefix)),
    diagnose: (needs) => track(() => diagnose(connections, needs)),
    connectionUrl: (user, password, database) => connectionUrl(settings, user, password, database),
    async close() {
      if (closed) return;
      closed = true;
      await Promise.allSettled(underWay);
      await connections.close();
    },
  };
}

function rethrowAsRevocation(error: unknown): never {
  throw toRevocationError(error);
}

/** `postgresql://user:password@host:port/database?sslmode=…` (PostgreSQL §34.1.1.2); the CA is not part of it. */
function connectionUrl(
  settings: TargetSettings,
  { username }: UserName,
  password: string | undefined,
  database: string | undefined,
): string {
  const { host, port, tls } = settings;
  const login = [username, ...(password === undefined ? [] : [password])].map(encodeURIComponent).join(':');
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return `postgresql://${login}@${place}/${encodeURIComponent(database ?? adminDatabase(settings))}?sslmode=${tls.mode}`;
}
