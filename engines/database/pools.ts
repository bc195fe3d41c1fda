import { setTimeout as sleep } from 'node:timers/promises';
import { RevocationError } from '#lease/contract.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { type ConnectionDefinition, tlsOf } from './connection-schema.ts';
import { type Connection, findConnectionById } from './directory.ts';
import { openPassword } from './secret.ts';
import { type EngineName, type Target, TargetError, type TargetKind } from './target.ts';

/**
 * One pool of connections per target, kept across requests. It belongs to one version of the connection and to one
 * password; when either changes another one takes its place, and the old one closes when nobody uses it any more.
 */
export interface Pools {
  /**
   * Gives the target of a connection. When its login is refused, the password may just have been changed (by another
   * node, or by a rotation that a crash cut short): the row is read again, and the work is tried again by what it says
   * now, as long as that is something else. A refused login means that nothing was done.
   */
  use<Result>(connection: Connection, work: (target: Target) => Promise<Result>): Promise<Result>;
  /** A target of its own, for a connection that is not stored yet, closed afterwards. */
  try<Result>(
    name: string,
    definition: ConnectionDefinition,
    password: string,
    work: (target: Target) => Promise<Result>,
  ): Promise<Result>;
  close(): Promise<void>;
}

export interface PoolParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly kinds: Readonly<Record<EngineName, TargetKind>>;
}

interface Pool {
  readonly version: number;
  readonly target: Promise<Target>;
  users: number;
  retired: boolean;
}

/** The password may change again and again while a connection is made by the last one. */
const mostTries = 10;
/** Milliseconds before the second try, and so much more before each other. */
const pause = 10;

export function createPools(parts: PoolParts): Pools {
  const pools = new Map<string, Pool>();
  const closing = new Set<Promise<void>>();

  const closeUnused = (pool: Pool): void => {
    if (!pool.retired || pool.users > 0) return;
    // What could not be opened needs no closing.
    const closed = pool.target.then((target) => target.close()).catch(() => undefined);
    closing.add(closed);
    void closed.finally(() => closing.delete(closed));
  };
  const retire = (id: string, pool: Pool): void => {
    if (pools.get(id) === pool) pools.delete(id);
    if (pool.retired) return;
    pool.retired = true;
    closeUnused(pool);
  };
  const poolOf = (connection: Connection): Pool => {
    const { id, version } = connection.row;
    const known = pools.get(id);
    if (known !== undefined && known.version >= version) return known;
    if (known !== undefined) retire(id, known);
    const pool: Pool = { version, target: openTarget(parts, connection), users: 0, retired: false };
    pools.set(id, pool);
    // Whoever uses it hears of the failure; the next one tries again.
    pool.target.catch(() => retire(id, pool));
    return pool;
  };
  const useOnce = async <Result>(connection: Connection, work: (target: Target) => Promise<Result>) => {
    const pool = poolOf(connection);
    pool.users += 1;
    try {
      return await work(await pool.target);
    } catch (error) {
      if (isRefusedLogin(error)) retire(connection.row.id, pool);
      throw error;
    } finally {
      pool.users -= 1;
      closeUnused(pool);
    }
  };

  const unwatch = parts.store.watch(['database_connections'], () => {
    void retireStale(parts.store, pools, retire).catch(() => undefined);
  });
  return {
    async use(connection, work) {
      let known = connection;
      for (let attempt = 1; ; attempt++) {
        try {
          return await useOnce(known, work);
        } catch (error) {
          if (!isRefusedLogin(error) || attempt === mostTries) throw error;
          await sleep(pause * attempt);
          const now = await findConnectionById(parts.store, connection.row.id);
          if (now === undefined || (now.row.version === known.row.version && now.row.next_password === null))
            throw error;
          known = now;
        }
      }
    },
    async try(name, definition, password, work) {
      const target = parts.kinds[definition.engine].open(settingsOf(name, definition, password));
      try {
        return await work(target);
      } finally {
        await target.close();
      }
    },
    async close() {
      unwatch();
      for (const [id, pool] of pools) retire(id, pool);
      await Promise.all(closing);
    },
  };
}

/** Pools of connections that were deleted or changed, which perhaps nobody asks for again. */
async function retireStale(
  store: Store,
  pools: ReadonlyMap<string, Pool>,
  retire: (id: string, pool: Pool) => void,
): Promise<void> {
  for (const [id, pool] of pools) {
    const row = await store.first<{ version: number }>('SELECT version FROM database_connections WHERE id = ?', [id]);
    if (row === undefined || row.version > pool.version) retire(id, pool);
  }
}

/** Revocations tell of it as the cause of their own error. */
function isRefusedLogin(error: unknown): boolean {
  const failure = error instanceof RevocationError ? error.cause : error;
  return failure instanceof TargetError && failure.kind === 'login';
}

/** While a rotation is open either password may be the one; then a login shows which. */
async function openTarget({ sealer, kinds }: PoolParts, { row, definition }: Connection): Promise<Target> {
  const kind = kinds[definition.engine];
  const place = { table: 'database_connections', row: row.id } as const;
  if (row.password === null) throw new Error(`connection ${row.id} has no password`);
  const current = await openPassword(sealer, { ...place, column: 'password' }, row.password);
  const target = kind.open(settingsOf(row.name, definition, current));
  if (row.next_password === null) return target;
  const user = { username: definition.username };
  if (await target.canLogIn(user, current)) return target;
  const next = await openPassword(sealer, { ...place, column: 'next_password' }, row.next_password);
  if (!(await target.canLogIn(user, next))) return target;
  await target.close();
  return kind.open(settingsOf(row.name, definition, next));
}

function settingsOf(name: string, definition: ConnectionDefinition, password: string) {
  const { host, port, database, username } = definition;
  return {
    host,
    port,
    database,
    username,
    password,
    tls: tlsOf(definition),
    maxConnections: definition.max_connections,
    connectTimeout: definition.connect_timeout * 1000,
    statementTimeout: definition.statement_timeout * 1000,
    applicationName: `chancery/${name}`,
  };
}
