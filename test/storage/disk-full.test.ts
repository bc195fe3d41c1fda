import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { allMigrations } from '#storage/migrate.ts';
import { openSqliteStore } from '#storage/sqlite/open.ts';
import type { Store } from '#storage/store.ts';
import { appError, event, insertThing, thingMigration, things, verifyChain } from './support.ts';
import { linker } from './linker.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A store that has room for about a hundred rows of a kilobyte. */
async function smallStore(context: TestContext): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-full-'));
  const migrations = allMigrations([thingMigration]);
  const store = await openSqliteStore({ file: join(folder, 'small.db'), linker, migrations, log, maxPages: 80 });
  context.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });
  return store;
}

async function fill(store: Store): Promise<string[]> {
  const stored: string[] = [];
  for (let index = 0; ; index++) {
    const ids = Array.from({ length: 8 }, (_, each) => `f${String(index * 8 + each).padStart(4, '0')}`);
    const results = await Promise.allSettled(
      ids.map((id) => store.commit([insertThing(id, { data: new Uint8Array(1000) })], [event(id)])),
    );
    stored.push(...ids.filter((_, each) => results[each]?.status === 'fulfilled'));
    for (const result of results) if (result.status === 'rejected') appError('storage_full')(result.reason);
    if (results.every(({ status }) => status === 'rejected')) return stored;
  }
}

test('a full store rejects with storage_full, keeps exactly what it acknowledged, and is still read', async (context) => {
  const store = await smallStore(context);
  const stored = await fill(store);
  assert.ok(stored.length > 20);
  assert.deepEqual(
    (await things(store)).map(({ id }) => id),
    stored,
  );
  assert.deepEqual((await verifyChain(store)).sort(), stored);
});

test('a full store works again when there is room, and the chain goes on', async (context) => {
  const store = await smallStore(context);
  const stored = await fill(store);
  await store.commit([{ kind: 'delete', table: 'things', where: { id: stored.slice(0, 20) }, expect: 20 }]);
  await store.commit([insertThing('room', { data: new Uint8Array(1000) })], [event('room')]);
  assert.deepEqual(await verifyChain(store), [...stored, 'room']);
});

test('a unit that is too large for what is left does not stop a small one beside it', async (context) => {
  const store = await smallStore(context);
  const results = await Promise.allSettled([
    store.commit([insertThing('small1')], [event('small1')]),
    store.commit([insertThing('large', { data: new Uint8Array(1_000_000) })], [event('large')]),
    store.commit([insertThing('small2')], [event('small2')]),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(await verifyChain(store), ['small1', 'small2']);
});
