import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, spawnChancery, startChancery } from '#test/chancery.ts';
import { foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

test('kill -9 while a statement runs leaves a lease that the next server ends, and no user', async (context) => {
  const world = await startTarget(context);
  const server = await spawnChancery(context);
  await foundDatabase(server, world);
  const lost = server
    .call('POST', 'database/roles/readonly/query', { sql: 'SELECT pg_sleep(59)', timeout: '60s' })
    .catch(() => undefined);
  const running = "SELECT usename FROM pg_stat_activity WHERE query LIKE '%pg_sleep(59)' AND usename LIKE 'chy\\_%'";
  await until('it runs', async () => (await world.root(running)).length === 1);
  await server.kill();
  await lost;
  assert.equal((await leasedUsers(world)).length, 1);
  // Soon after, the lease is still taken for one that is being worked on.
  const early = await startChancery(context, { folder: server.folder });
  assert.deepEqual(await states(early), ['minting']);
  await early.stop();
  const clock = { now: () => Date.now() + 151_000 };
  const later = await startChancery(context, { folder: server.folder, clock });
  await until('the user is gone', async () => (await leasedUsers(world)).length === 0);
  await until('its lease has ended', async () => (await states(later)).join() === 'revoked');
  assert.deepEqual(await world.root(running), []);
  const { leases } = await later.ok('GET', 'leases?role=database/roles/readonly');
  assert.deepEqual([leases[0].cause, leases[0].ended_as], ['mint_failed', 'removed']);
});

async function states(client: Client): Promise<string[]> {
  const { leases } = await client.ok('GET', 'leases?role=database/roles/readonly');
  return leases.map(({ state }: { state: string }) => state);
}
