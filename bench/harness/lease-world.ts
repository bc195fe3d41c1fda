import { Agent, request } from 'node:http';
import type { ChildServer } from '#test/chancery.ts';
import type { TargetWorld } from '#test/target-world.ts';

/** A server of ours with a database to lease users of, and clients that ask for them. */

export type EngineName = 'postgresql' | 'mysql';

/** A database server without logs of statements, for as long as `use` runs. */
export async function withTarget<Result>(
  engine: EngineName,
  use: (world: TargetWorld) => Promise<Result>,
): Promise<Result> {
  const world = await startTarget(engine);
  try {
    return await use(world);
  } finally {
    await world.stop();
  }
}

async function startTarget(engine: EngineName): Promise<TargetWorld> {
  if (engine === 'postgresql') {
    const { postgresWorld } = await import('#test/postgres-target.ts');
    return postgresWorld({ settings: { log_statement: 'none', logging_collector: 'off', max_connections: '200' } });
  }
  const { mariadbWorld } = await import('#test/mariadb-target.ts');
  return mariadbWorld({ settings: { 'general-log': '0', 'slow-query-log': '0', 'skip-log-bin': '1' } });
}

/** The connection `app` through a port, and its role `reader`. */
export async function foundRole(
  server: ChildServer,
  engine: EngineName,
  { settings }: TargetWorld,
  { port = settings.port, name = 'app', connections = 8 }: { port?: number; name?: string; connections?: number } = {},
): Promise<void> {
  const { host, username, password } = settings;
  const database = engine === 'postgresql' ? { database: 'app' } : {};
  const where = { host, port, username, password, max_connections: connections, ...database };
  await server.ok('POST', 'database/connections', { name, engine, ...where });
  await server.ok('POST', 'database/roles', {
    name: `${name}-reader`,
    connection: name,
    member_of: ['app_reader'],
    default_ttl: '1h',
    max_ttl: '4h',
  });
}

export interface Caller {
  // oxlint-disable-next-line typescript/no-explicit-any -- answers of many shapes
  post(path: string, body?: object): Promise<any>;
  close(): void;
}

/** Connections that are kept, by node:http, which costs less than fetch. Throws for every status but success. */
export function callerOf(server: ChildServer, sockets: number): Caller {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets });
  const { hostname, port } = new URL(server.url);
  return {
    post: (path, body = {}) =>
      new Promise((resolve, reject) => {
        const text = JSON.stringify(body);
        const headers = {
          authorization: `Bearer ${server.token}`,
          'content-type': 'application/json',
          'content-length': text.length,
        };
        const asked = request({ agent, hostname, port, method: 'POST', path: `/v1/${path}`, headers }, (response) => {
          let answer = '';
          response.on('data', (chunk: Buffer) => (answer += chunk.toString()));
          response.on('end', () => {
            if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(answer));
            else reject(new Error(`${path}: ${response.statusCode} ${answer}`));
          });
        });
        asked.on('error', reject);
        asked.end(text);
      }),
    close: () => agent.destroy(),
  };
}

/** Does all items, so many at a time; how many a second, and how long each took in ms. */
export async function rateOf<Item>(
  clients: number,
  items: Iterable<Item>,
  work: (item: Item) => Promise<unknown>,
): Promise<{ rate: number; taken: number[] }> {
  const rest = items[Symbol.iterator]();
  const taken: number[] = [];
  const began = performance.now();
  const client = async (): Promise<void> => {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      const started = performance.now();
      await work(next.value);
      taken.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { rate: taken.length / ((performance.now() - began) / 1000), taken };
}

/** Until that many milliseconds have passed. */
export function* during(milliseconds: number): Generator<number> {
  const began = performance.now();
  for (let index = 0; performance.now() - began < milliseconds; index++) yield index;
}

export function percentile(taken: readonly number[], part: number): number {
  const sorted = taken.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}
