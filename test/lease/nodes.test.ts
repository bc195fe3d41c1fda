import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { insert, remove } from '#core/change.ts';
import { postgresBackend, sqliteBackend } from '../storage/support.ts';
import { openShelf } from './files-engine.ts';
import { buildHouse, checkBooks, type House, type HouseOptions, spawnNode, temporaryFolder, until } from './house.ts';

/** Servers in processes of their own, with the real clock, which sweep by themselves and are killed. */

const sqlite = sqliteBackend();
const postgres = postgresBackend();
before(() => Promise.all([sqlite.start(), postgres.start()]));
after(() => Promise.all([sqlite.stop(), postgres.stop()]));

/** A house on the same store and the same files that does not sweep, to look at them. */
async function look(context: TestContext, options: HouseOptions): Promise<House> {
  const house = await buildHouse(options);
  context.after(() => house.close());
  return house;
}

async function ended({ store }: House): Promise<void> {
  const sql = "SELECT id FROM leases WHERE state <> 'revoked' LIMIT 1";
  await until(async () => (await store.first(sql, [])) === undefined, 'every lease is revoked');
}

/** Live leases at three targets, put there as minting leaves them, since making them one by one is not what is tested. */
async function stock({ store, shelf, mint, row }: House, folder: string, count: number): Promise<string[]> {
  const model = await row((await mint({ ttl: 86_400, target: 't0' })).lease_id);
  const rows = Array.from({ length: count - 1 }, (_, index) => ({
    ...model,
    id: `${model.id.slice(0, -6)}${String(index).padStart(6, '0')}`,
    subject: `${model.subject}_${index}`,
    target: `files/targets/t${index % 3}`,
  }));
  for (const target of ['t0', 't1', 't2']) mkdirSync(join(folder, 'files', target), { recursive: true });
  for (const { subject, target } of rows)
    writeFileSync(join(folder, 'files', target.slice('files/targets/'.length), subject), '');
  await store.commit(rows.map((each) => insert('leases', { ...each })));
  const scopes = Map.groupBy(
    [model, ...rows].flatMap((each) => [each.role, each.target, `principals/${each.principal}`]),
    (scope) => scope,
  );
  await store.commit([remove('lease_counts', { namespace: 'root' })]);
  await store.commit(
    [...scopes].map(([scope, { length: live }]) => insert('lease_counts', { namespace: 'root', scope, live })),
  );
  assert.equal(shelf.subjects('t0').length + shelf.subjects('t1').length + shelf.subjects('t2').length, count);
  return [model, ...rows].map(({ id }) => id);
}

/** Waits until nothing was removed for a while. */
async function untilQuiet({ shelf }: House): Promise<void> {
  let seen = { count: -1, at: performance.now() };
  await until(() => {
    const count = shelf.removed().length;
    if (count !== seen.count) seen = { count, at: performance.now() };
    return performance.now() - seen.at > 1500;
  }, 'the nodes are idle');
}

for (const count of [2, 3]) {
  test(`${count} nodes share the work of 600 leases, one is killed in the middle, and each ends once`, async (context) => {
    const options = { folder: temporaryFolder(context), url: await postgres.newUrl(), concurrency: 2 };
    const house = await look(context, options);
    const ids = await stock(house, options.folder, 600);
    for (const target of ['t0', 't1', 't2']) house.shelf.behave(target, { slow: 20 });
    const nodes = await Promise.all(Array.from({ length: count }, () => spawnNode(context, options)));
    await nodes[0]?.ok('POST', 'leases/revoke', { engine: 'files' });
    await until(() => house.shelf.removed().length > 150, 'a part of the work is done');
    await nodes[0]?.kill();
    // The others go on until only what the dead node had claimed is left; that comes due when its claims are old.
    await untilQuiet(house);
    for (const node of nodes.slice(1)) node.process.kill('SIGUSR2');
    await ended(house);
    const removed = house.shelf.removed();
    assert.deepEqual([new Set(removed).size, removed.length], [ids.length, ids.length]);
    for (const target of ['t0', 't1', 't2']) assert.deepEqual(house.shelf.subjects(target), []);
    const ends = await house.store.all<{ resource: string }>(
      `SELECT resource FROM audit_events
       WHERE operation = 'lease.end_lease' AND details LIKE '%"state":"revoked"%'`,
      [],
    );
    assert.deepEqual([new Set(ends.map(({ resource }) => resource)).size, ends.length], [ids.length, ids.length]);
    await checkBooks(house);
  });
}

describe('a server that is killed', { concurrency: 4 }, () => {
  for (const backend of [sqlite, postgres])
    for (const point of ['before_making', 'after_making', 'before_removal', 'after_removal'] as const)
      test(`${point}, on ${backend.kind}, leaves nothing behind once another one has swept`, async (context) => {
        const options = { folder: temporaryFolder(context), url: await backend.newUrl() };
        const node = await spawnNode(context, options);
        const making = point.endsWith('making');
        const first = making ? undefined : await node.ok('POST', 'files', {});
        const setUp = openShelf(join(options.folder, 'files'));
        setUp.behave('shelf', { die: point });
        const request = making ? node.call('POST', 'files', {}) : node.call('POST', `leases/${first.lease_id}/revoke`);
        await assert.rejects(request);
        await node.ended;
        setUp.behave('shelf', {});

        let offset = 0;
        const clock = { now: () => Date.now() + offset };
        const house = await look(context, { ...options, clock });
        const [row] = await house.rows();
        assert.equal(row?.state, making ? 'minting' : 'revoking');
        assert.equal(house.shelf.subjects('shelf').length, ['after_making', 'before_removal'].includes(point) ? 1 : 0);
        await house.service.sweep();
        assert.equal((await house.row(row?.id ?? '')).state, row?.state, 'nothing is touched before its time');
        offset = 60_000;
        await house.service.sweep();
        const { state, cause, ended_as: endedAs } = await house.row(row?.id ?? '');
        assert.deepEqual(
          [state, cause, endedAs],
          [
            'revoked',
            making ? 'mint_failed' : 'revoked',
            ['after_making', 'before_removal'].includes(point) ? 'removed' : 'already_absent',
          ],
        );
        assert.deepEqual(house.shelf.subjects('shelf'), []);
        await checkBooks(house);
      });
});

test('a node that runs ends a lease soon after its time, without being told', async (context) => {
  const options = { folder: temporaryFolder(context), url: await sqlite.newUrl() };
  const node = await spawnNode(context, options);
  const { lease_id: id } = await node.ok('POST', 'files', { ttl: 1 });
  await until(async () => (await node.ok('GET', `leases/${id}`)).state === 'revoked', 'it is revoked');
  const { ended_at: endedAt, expires_at: expiresAt } = await node.ok('GET', `leases/${id}`);
  assert.ok(Date.parse(endedAt) >= Date.parse(expiresAt));
});
