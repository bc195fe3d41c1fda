import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '#test/chancery.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';

/** A PostgreSQL with an administrator of least privilege, for the tests of one file. */
export async function startTarget(context: TestContext, major?: number): Promise<PostgresWorld> {
  const world = await postgresWorld(major === undefined ? {} : { major });
  context.after(() => world.stop());
  return world;
}

/** The connection as a request gives it. */
export function connectionTo({ settings }: Pick<PostgresWorld, 'settings'>, name = 'app'): Record<string, unknown> {
  const { host, port, database, username, password } = settings;
  return { name, engine: 'postgresql', host, port, database, username, password };
}

/** A connection `app`, and a role `readonly` whose users may read. */
export async function foundDatabase(client: Client, world: PostgresWorld, role: object = {}): Promise<void> {
  await client.ok('POST', 'database/connections', connectionTo(world));
  await client.ok('POST', 'database/roles', {
    name: 'readonly',
    connection: 'app',
    member_of: ['app_reader'],
    default_ttl: '1h',
    max_ttl: '4h',
    ...role,
  });
}

/** Waits for what the sweeper does by itself; fails after a minute. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within a minute: ${what}`);
    await sleep(20);
  }
}

/** Users of ours at the server. */
export async function leasedUsers(world: PostgresWorld): Promise<string[]> {
  const rows = await world.root("SELECT rolname FROM pg_roles WHERE rolname LIKE 'chy\\_%' ORDER BY rolname");
  return rows.map((row) => String(row['rolname']));
}
