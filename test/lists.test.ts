import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { foundPki, startChancery } from '#test/chancery.ts';
import { type PostgresServer, startPostgres } from '#test/postgres.ts';

let database: PostgresServer;
before(async () => {
  database = await startPostgres();
});
after(() => database.stop());

for (const [store, settings] of [
  ['SQLite', async () => ({})],
  ['PostgreSQL', async () => ({ CHANCERY_STORAGE: await database.createDatabase() })],
] as const)
  test(`a list by name on ${store} is read page by page, each name once and in order`, async (context) => {
    const server = await startChancery(context, { env: await settings() });
    await foundPki(server);
    const names = ['a', 'a-b', 'a_b', 'ab', 'b', 'web-2'];
    for (const name of names) await server.ok('POST', 'pki/roles', { name, authority: 'issuing' });
    const whole = (await server.ok('GET', 'pki/roles')).roles.map((role: { name: string }) => role.name);
    assert.deepEqual(whole.toSorted(), [...names, 'web'].toSorted());
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await server.ok('GET', `pki/roles?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...page.roles.map((role: { name: string }) => role.name));
      cursor = page.next_cursor as string | null;
    }
    assert.deepEqual(seen, whole);
    assert.equal((await server.call('GET', 'pki/roles?cursor=WzFd')).status, 400);
  });
