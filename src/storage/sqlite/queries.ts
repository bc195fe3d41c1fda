import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { startThread } from '#storage/sqlite/checkpointer.ts';
import { toStoreError } from '#storage/sqlite/errors.ts';
import { unavailable } from '#storage/store-errors.ts';
import type { Parameter } from '#storage/store.ts';

/**
 * Built queries run in a thread of their own, so that a search through a million rows holds up nobody. Each sees every
 * commit that was acknowledged before it was sent.
 */
export interface Queries {
  readonly kysely: Kysely<unknown>;
  readonly close: () => Promise<void>;
}

export interface Query {
  readonly id: number;
  readonly sql: string;
  readonly parameters: readonly Parameter[];
}

export type QueryResult =
  | { readonly id: number; readonly rows: readonly unknown[] }
  | { readonly id: number; readonly failure: { readonly errcode: number; readonly message: string } };

interface Waiting {
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: unknown) => void;
}

/** The thread starts with the first query, and again with the next one when it died. */
export function createQueries(file: string): Queries {
  const waiting = new Map<number, Waiting>();
  let thread: Worker | undefined;
  let nextId = 0;

  const settle = (result: QueryResult): void => {
    const query = waiting.get(result.id);
    waiting.delete(result.id);
    if (waiting.size === 0) thread?.unref();
    if ('rows' in result) query?.resolve(result.rows.map(asPlainRow));
    else
      query?.reject(
        toStoreError(Object.assign(new Error(result.failure.message), { errcode: result.failure.errcode }), file),
      );
  };
  const start = (): Worker => {
    const started = startThread('query-thread', file);
    const end = (cause: unknown): void => {
      if (thread === started) thread = undefined;
      for (const query of waiting.values()) query.reject(unavailable('The reading thread of the store ended.', cause));
      waiting.clear();
    };
    return started.on('message', settle).on('error', end).on('exit', end);
  };
  const ask = (sql: string, parameters: readonly Parameter[]): Promise<readonly unknown[]> => {
    thread ??= start();
    thread.ref();
    const id = nextId++;
    thread.postMessage({ id, sql, parameters } satisfies Query);
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  };
  return {
    kysely: createKysely(ask),
    async close() {
      if (thread === undefined) return;
      const exited = once(thread, 'exit');
      thread.ref();
      thread.postMessage('close');
      await exited;
    },
  };
}

/** Bytes arrive as plain arrays of octets; the driver of PostgreSQL gives Buffers, and so does this one. */
function asPlainRow(row: unknown): unknown {
  const columns = row as Record<string, unknown>;
  for (const column in columns) {
    const value = columns[column];
    if (value instanceof Uint8Array) columns[column] = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  return columns;
}

function createKysely(
  ask: (sql: string, parameters: readonly Parameter[]) => Promise<readonly unknown[]>,
): Kysely<unknown> {
  const connection: DatabaseConnection = {
    executeQuery: async ({ sql, parameters }: CompiledQuery) => ({
      rows: (await ask(sql, parameters as readonly Parameter[])) as never[],
    }),
    streamQuery: () => {
      throw new TypeError('queries of the store are not streamed');
    },
  };
  const driver: Driver = {
    init: async () => undefined,
    acquireConnection: async () => connection,
    releaseConnection: async () => undefined,
    beginTransaction: refuseTransaction,
    commitTransaction: refuseTransaction,
    rollbackTransaction: refuseTransaction,
    destroy: async () => undefined,
  };
  return new Kysely<unknown>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => driver,
      createIntrospector: (database) => new SqliteIntrospector(database),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
}

async function refuseTransaction(): Promise<never> {
  throw new TypeError('writes go through Store.commit');
}
