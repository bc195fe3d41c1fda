import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type InProcess, startChancery } from '#test/chancery.ts';
import { mariadbWorld } from '#test/mariadb-target.ts';
import { postgresWorld } from '#test/postgres-target.ts';
import type { TargetWorld } from '#test/target-world.ts';

/** A real database server at which users are leased, and how to see that the leases and its users are the same. */
export interface LeaseTarget {
  readonly world: TargetWorld;
  readonly engine: 'postgresql' | 'mysql';
  /** Users and roles of our prefix that the server has, sorted. */
  users(): Promise<string[]>;
  /** The address of an empty database for the store, through a port or directly; undefined: use SQLite. */
  readonly storage: ((port?: number) => string) | undefined;
  /** Stops the server as a crash would; starts it again with its data. */
  crash(): Promise<void>;
  restart(): Promise<void>;
}

/** For many users and no log of statements, which costs time. */
const plain = { log_statement: 'none', logging_collector: 'off', max_connections: '200' };
const plainMariadb = { 'general-log': '0', 'slow-query-log': '0', 'skip-log-bin': '1' };

export async function postgresTarget(
  context: TestContext | undefined,
  settings: Readonly<Record<string, string>> = plain,
): Promise<LeaseTarget> {
  const world = await postgresWorld({ settings });
  context?.after(() => world.stop());
  const address = new URL(await world.server.createDatabase());
  return {
    world,
    engine: 'postgresql',
    async users() {
      const rows = await world.root("SELECT rolname AS name FROM pg_roles WHERE rolname LIKE 'chy\\_%'");
      return rows.map(({ name }) => String(name)).sort();
    },
    storage(port) {
      const url = new URL(address);
      if (port !== undefined) url.port = String(port);
      return url.href;
    },
    crash: () => world.server.pause('immediate'),
    restart: () => world.server.start(),
  };
}

export async function mariadbTarget(context: TestContext | undefined): Promise<LeaseTarget> {
  const world = await mariadbWorld({ settings: plainMariadb });
  context?.after(() => world.stop());
  return {
    world,
    engine: 'mysql',
    async users() {
      const rows = await world.root("SELECT User AS name FROM mysql.global_priv WHERE User LIKE 'chy\\_%'");
      return rows.map(({ name }) => String(name)).sort();
    },
    storage: undefined,
    crash: () => world.server.pause('immediate'),
    restart: () => world.server.start(),
  };
}

/** A connection `app`, through a port where one is given, and a role `reader` of it. */
export async function foundLeasing(
  client: Client,
  { world, engine }: LeaseTarget,
  port: number = world.settings.port,
  more: object = {},
): Promise<void> {
  const { host, username, password } = world.settings;
  const database = { host, port, username, password, ...(engine === 'postgresql' ? { database: 'app' } : {}), ...more };
  await client.ok('POST', 'database/connections', { name: 'app', engine, ...database });
  await client.ok('POST', 'database/roles', {
    name: 'reader',
    connection: 'app',
    member_of: ['app_reader'],
    default_ttl: '1h',
    max_ttl: '4h',
    ...(engine === 'postgresql' ? { reassign_to: 'app_owner' } : {}),
  });
}

export interface Leased {
  readonly lease_id: string;
  readonly username: string;
  readonly password: string;
}

/** A lease of the role. */
export function mint(client: Client, body: object = {}): Promise<Leased> {
  return client.ok('POST', 'database/roles/reader/credentials', body);
}

/** Milliseconds after which what a dead server was doing comes due: mintings and claims. */
const overdue = 61_000;

/** The server again, a minute later by its clock, when it has swept. */
export async function sweptLater(
  context: TestContext,
  folder: string,
  storage: string | undefined,
): Promise<InProcess> {
  const server = await startChancery(context, {
    folder,
    env: storage === undefined ? {} : { CHANCERY_STORAGE: storage },
    clock: { now: () => Date.now() + overdue },
  });
  // What has run out and was not looked at yet still counts as active.
  const isDue = ({ expires_at: at }: { expires_at: string }) => Date.parse(at) <= Date.now() + overdue;
  while ((await listLeases(server, 'active')).some(isDue)) await sleep(20);
  await untilSettled(server);
  return server;
}

/** Waits until nothing is being made or ended any more. */
export async function untilSettled(client: Client, patience = 60_000): Promise<void> {
  const deadline = performance.now() + patience;
  for (;;) {
    const status = await client.ok('GET', 'leases/status');
    if (status.minting === 0 && status.revoking === 0 && status.stuck === 0) return;
    if (performance.now() > deadline) {
      const list = await client.ok('GET', `leases?state=${status.stuck > 0 ? 'stuck' : 'revoking'}&limit=1`);
      throw new Error(`leases do not settle: ${JSON.stringify(status)}, ${JSON.stringify(list.leases[0])}`);
    }
    await sleep(20);
  }
}

interface ListedLease {
  readonly id: string;
  readonly subject: string;
  readonly expires_at: string;
}

async function listLeases(client: Client, state: string): Promise<ListedLease[]> {
  const found: ListedLease[] = [];
  let cursor: string | null = null;
  do {
    const after: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await client.ok('GET', `leases?state=${state}&limit=1000${after}`);
    found.push(...page.leases);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return found;
}

/** User names of the leases in one state, by their ids. */
export async function leasesIn(client: Client, state: string): Promise<Map<string, string>> {
  return new Map((await listLeases(client, state)).map(({ id, subject }) => [id, subject]));
}

/** Users of our prefix at the server and active leases are the same, both ways. Resolves to how many they are. */
export async function assertSame(client: Client, target: LeaseTarget): Promise<number> {
  const active = [...(await leasesIn(client, 'active')).values()].sort();
  const users = await target.users();
  const odd = [...new Set(users).symmetricDifference(new Set(active))];
  const leases = odd.map(async (name) => (await client.ok('GET', `leases?subject=${name}`)).leases[0] ?? name);
  assert.deepEqual(await Promise.all(leases), [], 'leases and users are not the same');
  const report = await client.ok('POST', 'database/connections/app/reconcile', {});
  assert.deepEqual([report.orphans, report.missing], [[], []]);
  return active.length;
}

/** What a dead server sent is done when its sessions have ended. */
export async function untilSilent({ world }: LeaseTarget): Promise<void> {
  const deadline = performance.now() + 30_000;
  while ((await world.adminSessions()) > 0) {
    if (performance.now() > deadline) throw new Error('the sessions of a server that is dead do not end');
    await sleep(10);
  }
}
