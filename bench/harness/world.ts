import { join } from 'node:path';
import type { PostgresServer } from '#test/postgres.ts';
import { type ChildServer, foundPki, spawnChancery } from '#test/chancery.ts';
import { cpuPerRequest, type CpuShares, readCpu } from './cpu.ts';
import { load, type LoadRequest, type LoadResult } from './load.ts';
import { withFolder } from './machine.ts';

/** A server of its own in a temporary folder, with authorities and a role, for as long as `use` runs. */
export interface WorldOptions {
  /** Default: SQLite. */
  readonly storage?: string;
  /** A folder that was filled before; it is not removed. */
  readonly folder?: string;
  /** Further settings of the server. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function withServer<Result>(
  options: WorldOptions,
  use: (server: ChildServer) => Promise<Result>,
): Promise<Result> {
  if (options.folder !== undefined) return runServer(options.folder, options, use);
  return withFolder(async (folder) =>
    runServer(join(folder, 'data'), options, async (server) => {
      await foundPki(server);
      return use(server);
    }),
  );
}

async function runServer<Result>(
  folder: string,
  { storage, env = {} }: WorldOptions,
  use: (server: ChildServer) => Promise<Result>,
): Promise<Result> {
  const profile = process.env['BENCH_CPU_PROFILE'];
  const server = await spawnChancery(undefined, {
    folder,
    env: {
      ...(storage === undefined ? {} : { CHANCERY_STORAGE: storage }),
      ...(profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` }),
      ...env,
    },
  });
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

/** An empty database on a PostgreSQL that lives as long as the benchmark. */
export async function withPostgres<Result>(use: (postgres: PostgresServer) => Promise<Result>): Promise<Result> {
  const { startPostgres } = await import('#test/postgres.ts');
  const postgres = await startPostgres();
  try {
    return await use(postgres);
  } finally {
    await postgres.stop();
  }
}

export interface Measured extends LoadResult {
  /** Microseconds of the server per request. */
  readonly cpu: CpuShares;
}

/** Load on one server, with what each request costs it. */
export async function measure(
  server: ChildServer,
  requests: readonly LoadRequest[],
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<Measured> {
  const pid = server.process.pid as number;
  const before = readCpu(pid);
  const result = await load({ origin: server.url, connections, seconds, requests });
  return { ...result, cpu: cpuPerRequest(pid, before, readCpu(pid), result.requests) };
}

/** A request to an operation, as the administrator. */
export function apiRequest(server: ChildServer, method: 'GET' | 'POST', path: string, body?: object): LoadRequest {
  return {
    method,
    path: `/v1/${path}`,
    headers: {
      authorization: `Bearer ${server.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}
