import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { AppError } from '#core/errors.ts';
import { parseStoreUrl } from '#storage/open.ts';
import { appError, event, insertThing, openThings, things, verifyChain } from './support.ts';

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-sqlite-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('only the owner may read the files of the store, and its folder is made', async (context) => {
  const folder = join(newFolder(context), 'a', 'b');
  const store = await openThings(`sqlite:${join(folder, 'store.db')}`);
  await store.commit([insertThing('a')]);
  const files = readdirSync(folder);
  assert.deepEqual(files.sort(), ['store.db', 'store.db-lock', 'store.db-shm', 'store.db-wal']);
  for (const file of files) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  await store.close();
});

test('the log stays small under many commits, and nothing of them is lost', async (context) => {
  const folder = newFolder(context);
  const store = await openThings(`sqlite:${join(folder, 'store.db')}`);
  const data = new Uint8Array(2000);
  for (let round = 0; round < 40; round++) {
    const ids = Array.from({ length: 200 }, (_, index) => `r${round}-${index}`);
    await Promise.all(ids.map((id) => store.commit([insertThing(id, { data })], [event(id)])));
  }
  assert.ok(statSync(join(folder, 'store.db-wal')).size < 80_000_000);
  assert.equal((await verifyChain(store)).length, 8000);
  await store.close();
  const again = await openThings(`sqlite:${join(folder, 'store.db')}`);
  assert.equal((await things(again)).length, 8000);
  assert.equal((await verifyChain(again)).length, 8000);
  await again.close();
});

test('a file that is no database is refused and left alone', async (context) => {
  const file = join(newFolder(context), 'store.db');
  writeFileSync(file, 'precious notes, not a database\n'.repeat(500));
  await assert.rejects(openThings(`sqlite:${file}`), appError('unavailable', /damaged/));
  assert.match(String(statSync(file).size), /^15500$/);
});

test('a store says unavailable when its file is gone', async (context) => {
  const folder = newFolder(context);
  const store = await openThings(`sqlite:${join(folder, 'store.db')}`);
  await store.ping();
  rmSync(join(folder, 'store.db'));
  await assert.rejects(store.ping(), appError('unavailable', /gone/));
  await store.close();
});

test('the storage is a SQLite file or a PostgreSQL database, and the error repeats no password', () => {
  assert.deepEqual(parseStoreUrl('sqlite:.chancery/chancery.db'), { kind: 'sqlite', file: '.chancery/chancery.db' });
  for (const url of ['postgres://u@h/d', 'postgresql://u@h/d'])
    assert.deepEqual(parseStoreUrl(url), { kind: 'postgres', url });
  for (const url of ['', 'sqlite:', 'sqlite::memory:', 'mysql://root:hunter2@h/d', '/var/lib/x.db']) {
    assert.throws(
      () => parseStoreUrl(url),
      (error: AppError) => appError('invalid_request')(error) && !`${error.message} ${error.hint}`.includes('hunter2'),
    );
  }
});
