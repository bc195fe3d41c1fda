import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import { Pool, type QueryConfig, type QueryResult } from 'pg';
import { clientConfig, setUpSession } from '#storage/postgres/connection.ts';
import { toStoreError } from '#storage/postgres/errors.ts';
import { createStatementNames } from '#storage/postgres/sql.ts';
import type { Parameter, Store, StoreLog } from '#storage/store.ts';

/** Connections for reading. */
const maxConnections = 10;

/** Reads, on connections whose sessions the server keeps from writing. */
export interface Reader extends Pick<Store, 'tables' | 'first' | 'all'> {
  readonly close: () => Promise<void>;
}

export function createReader(url: string, log: StoreLog): Reader {
  const pool = new Pool({
    ...clientConfig(url),
    max: maxConnections,
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits for it (pg-pool ≥ 3.11); its types do not say so yet
    onConnect: (client) => setUpSession(client, 'read'),
  });
  const complain = (error: Error): void => log.warn({ err: error }, 'a connection to the database of the store ended');
  pool.on('error', complain);
  // Without a listener, a connection that breaks while it is lent out would end the process.
  pool.on('connect', (client) => void client.on('error', complain));
  const names = createStatementNames();
  const run = async (query: QueryConfig): Promise<QueryResult> => {
    try {
      return await pool.query(query);
    } catch (error) {
      throw toStoreError(error);
    }
  };
  const all = async <Row>(sql: string, parameters: readonly Parameter[]): Promise<Row[]> =>
    (await run({ ...names(sql), values: [...parameters] })).rows as Row[];
  const kysely = createKysely((text, values) => run({ text, values: [...values] }));
  return {
    tables: <Tables>() => kysely as Kysely<Tables>,
    all,
    first: async <Row>(sql: string, parameters: readonly Parameter[]) => (await all<Row>(sql, parameters))[0],
    close: () => pool.end(),
  };
}

/** Kysely over single statements. Transactions are not for readers, and what would begin one is refused. */
function createKysely(run: (text: string, values: readonly unknown[]) => Promise<QueryResult>): Kysely<unknown> {
  const client = {
    query: (text: string, values: readonly unknown[]) => {
      if (/^\s*(?:begin|start)\b/i.test(text)) throw new TypeError('writes go through Store.commit');
      return run(text, values);
    },
    release: () => undefined,
  } as unknown as PostgresPoolClient;
  const pool: PostgresPool = { options: {}, connect: () => Promise.resolve(client), end: () => Promise.resolve() };
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}
