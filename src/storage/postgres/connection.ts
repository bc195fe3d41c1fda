import { Client, type ClientConfig, TypeOverrides, types } from 'pg';
import { AppError } from '#core/errors.ts';
import type { SchemaConnection } from '#storage/migrate.ts';
import { toDollars } from '#storage/postgres/sql.ts';
import type { StoreLog } from '#storage/store.ts';

/** Milliseconds. */
const timeouts = {
  connect: 5000,
  /** What one statement of ours may take at the server. */
  statement: 10_000,
  /** Longer than `idleInTransaction`, so that a stopped node loses its lock before others give up waiting for it. */
  lock: 8000,
  /** A transaction of ours is never idle for longer than a turn of the event loop. */
  idleInTransaction: 5000,
  /** The server answers nothing at all: a broken network. */
  answer: 15_000,
};

/** Values as the store has them (change.ts): numbers for bigint and for sums of them, 0 and 1 for booleans. */
const ownTypes = new TypeOverrides();
ownTypes.setTypeParser(types.builtins.INT8, Number);
ownTypes.setTypeParser(types.builtins.NUMERIC, Number);
ownTypes.setTypeParser(types.builtins.BOOL, (text) => (text === 't' ? 1 : 0));

export function clientConfig(url: string): ClientConfig {
  return {
    connectionString: url,
    application_name: 'chancery',
    types: ownTypes,
    connectionTimeoutMillis: timeouts.connect,
    query_timeout: timeouts.answer,
    keepAlive: true,
  };
}

/** `write`: everything; `read`: the server refuses writes; `long`: migrations and copies, without time limits. */
export type SessionKind = 'write' | 'read' | 'long';

/** Gives a fresh connection the settings that every one of ours has. */
export async function setUpSession(client: Pick<Client, 'query'>, kind: SessionKind): Promise<void> {
  const limited = kind === 'long' ? 0 : 1;
  await client.query(`
    SET statement_timeout = ${limited * timeouts.statement};
    SET lock_timeout = ${limited * timeouts.lock};
    SET idle_in_transaction_session_timeout = ${limited * timeouts.idleInTransaction};
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = ${kind === 'read' ? 'on' : 'off'};
    SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')`);
}

/** Opens one connection. Its errors outside of queries are logged; whoever queries next hears of them. */
export async function connect(
  url: string,
  kind: SessionKind,
  log: StoreLog,
  extra: ClientConfig = {},
): Promise<Client> {
  const client = new Client({ ...clientConfig(url), ...(kind === 'long' && { query_timeout: 0 }), ...extra });
  client.on('error', (error) => log.warn({ err: error }, 'a connection to the database of the store ended'));
  try {
    await client.connect();
    await setUpSession(client, kind);
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/** The connection as migrations want it. */
export function schemaConnection(client: Pick<Client, 'query'>): SchemaConnection {
  return {
    dialect: 'postgres',
    execute: async (sql) => void (await client.query(sql)),
    query: async (sql, parameters) =>
      (await client.query<Record<string, unknown>>(toDollars(sql), [...parameters])).rows,
  };
}

/** Tables of the schema that we are in, with their columns and types, in the order of their names. */
export type TableTypes = ReadonlyMap<string, ReadonlyMap<string, string>>;

export async function readTableTypes(client: Pick<Client, 'query'>): Promise<TableTypes> {
  const { rows } = await client.query<{ table: string; column: string; type: string }>(
    `SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
       AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY c.relname COLLATE "C", a.attnum`,
  );
  const tables = new Map<string, Map<string, string>>();
  for (const { table, column, type } of rows) {
    const columns = tables.get(table);
    if (columns) columns.set(column, type);
    else tables.set(table, new Map([[column, type]]));
  }
  return tables;
}

/** Throws `wrong_state` when the server lacks what the store relies on. */
export async function checkServer(client: Pick<Client, 'query'>, log: StoreLog): Promise<void> {
  const { rows } = await client.query<{ version: string; encoding: string; fsync: string }>(
    `SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync`,
  );
  const { version = '', encoding = '', fsync = '' } = rows[0] ?? {};
  if (Number(version) < 130_000) {
    throw new AppError(
      'wrong_state',
      `The store needs PostgreSQL 13 or later and found ${Math.floor(Number(version) / 10_000)}.`,
    );
  }
  if (encoding !== 'UTF8') {
    throw new AppError('wrong_state', `The database of the store must have the encoding UTF8 and has ${encoding}.`, {
      hint: "Create it with: CREATE DATABASE chancery ENCODING 'UTF8' TEMPLATE template0",
    });
  }
  if (fsync !== 'on') log.warn({}, 'PostgreSQL runs with fsync=off: a power cut can lose everything');
}
