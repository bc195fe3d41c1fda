import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { appendDigest } from '#storage/backup-file.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import type { Migration, Store } from '#storage/store.ts';
import {
  appError,
  event,
  insertThing,
  openThings,
  postgresBackend,
  sqliteBackend,
  thingMigration,
  things,
  verifyChain,
} from './support.ts';
import { linker } from './linker.ts';

const folder = mkdtempSync(join(tmpdir(), 'chancery-backup-'));
const backends = [sqliteBackend(), postgresBackend()];
let count = 0;
const newPath = (): string => join(folder, `backup-${++count}.db`);
const migrations = [thingMigration];

before(async () => {
  for (const backend of backends) await backend.start();
});
after(async () => {
  for (const backend of backends) await backend.stop();
  rmSync(folder, { recursive: true });
});

/** A store with rows of every kind of value. */
async function filledStore(url: string): Promise<Store> {
  const store = await openThings(url);
  await Promise.all(
    Array.from({ length: 1234 }, (_, index) =>
      store.commit(
        [
          insertThing(`t${String(index).padStart(4, '0')}`, {
            name: index % 3 === 0 ? null : `ünïcode "${index}" \\ {}`,
            amount: (index - 600) * 1_000_000_000_000,
            data: index % 5 === 0 ? null : Buffer.alloc(index % 700, index),
          }),
        ],
        [event(`aud_${index}`)],
      ),
    ),
  );
  return store;
}

async function content(store: Store) {
  const rows = await things(store);
  return rows.map((row) => ({ ...row, data: row.data && Buffer.from(row.data).toString('hex') }));
}

for (const source of backends) {
  for (const target of backends) {
    test(`a backup of ${source.kind} restored to ${target.kind} has every row, and the chain goes on`, async () => {
      const store = await filledStore(await source.newUrl());
      const path = newPath();
      const told: [number, number][] = [];
      await store.backup(path, (done, total) => told.push([done, total]));
      const last = told.at(-1);
      assert.ok(last && last[0] === last[1]);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      const url = await target.newUrl();
      await restoreBackup({ from: path, url, migrations });
      const restored = await openThings(url);
      assert.equal(restored.kind, target.kind);
      assert.deepEqual(await content(restored), await content(store));
      await restored.commit([insertThing('more')], [event('aud_more')]);
      assert.equal((await verifyChain(restored)).length, 1235);
      await restored.close();
      await store.close();
    });
  }
}

for (const backend of backends) {
  describe(`a backup of the store on ${backend.kind}`, () => {
    test('that is taken while units are written holds whole units and an unbroken chain', async () => {
      const store = await filledStore(await backend.newUrl());
      const writing = new AbortController();
      let next = 0;
      const write = async (): Promise<void> => {
        while (!writing.signal.aborted) {
          const id = `w${next++}`;
          await store.commit([insertThing(id), insertThing(`${id}-twin`)], [event(id)]);
        }
      };
      const writers = Array.from({ length: 8 }, write);
      const path = newPath();
      await store.backup(path);
      const writtenMeanwhile = next;
      await store.commit([insertThing('later')], [event('later')]);
      writing.abort();
      await Promise.all(writers);
      assert.ok(writtenMeanwhile > 0, 'units were written meanwhile');
      const target = `sqlite:${newPath()}`;
      await restoreBackup({ from: path, url: target, migrations });
      const copy = await openThings(target);
      const events = await verifyChain(copy);
      const ids = new Set((await things(copy)).map(({ id }) => id));
      assert.ok(!ids.has('later'));
      const written = events.filter((id) => id.startsWith('w'));
      for (const id of written) assert.ok(ids.has(id) && ids.has(`${id}-twin`));
      assert.equal(ids.size, 1234 + 2 * written.length);
      await copy.close();
      await store.close();
    });

    test('never overwrites a file, and leaves nothing behind when it fails', async () => {
      const store = await filledStore(await backend.newUrl());
      const path = newPath();
      writeFileSync(path, 'precious');
      await assert.rejects(store.backup(path), appError('already_exists'));
      assert.equal(readFileSync(path, 'utf8'), 'precious');
      const nowhere = join(folder, 'no-such-folder', 'backup.db');
      await assert.rejects(store.backup(nowhere), appError('invalid_request', /ENOENT/));
      assert.ok(!existsSync(`${path}.partial`));
      await store.close();
    });

    test('of an older schema is restored by a later version and brought up to date', async () => {
      const store = await filledStore(await backend.newUrl());
      const path = newPath();
      await store.backup(path);
      await store.close();
      const second: Migration = {
        area: 'things',
        number: 2,
        title: 'colours',
        statements: [`ALTER TABLE things ADD COLUMN colour TEXT`, `UPDATE things SET colour = 'grey'`],
      };
      const url = await backend.newUrl();
      await restoreBackup({ from: path, url, migrations: [thingMigration, second] });
      const later = await openThings(url, [second]);
      const rows = await later.all<{ colour: string }>('SELECT DISTINCT colour FROM things', []);
      assert.deepEqual(
        rows.map(({ colour }) => colour),
        ['grey'],
      );
      await later.close();
    });

    test('is refused by a store that is not empty, which stays as it is', async () => {
      const path = newPath();
      const store = await filledStore(await backend.newUrl());
      await store.backup(path);
      await store.close();
      const url = await backend.newUrl();
      const target = await openThings(url);
      await target.commit([insertThing('mine')], [event('mine')]);
      const refusal = appError('wrong_state', backend.kind === 'sqlite' ? /Another process/ : /not empty/);
      await assert.rejects(restoreBackup({ from: path, url, migrations }), refusal);
      await target.close();
      await assert.rejects(restoreBackup({ from: path, url, migrations }), appError('wrong_state', /not empty/));
      const again = await openThings(url);
      assert.deepEqual(await verifyChain(again), ['mine']);
      await again.close();
    });

    test('is restored completely or not at all', async () => {
      const path = newPath();
      const store = await filledStore(await backend.newUrl());
      await store.backup(path);
      await store.close();
      const url = await backend.newUrl();
      const broken: Migration = {
        area: 'things',
        number: 2,
        title: 'broken',
        statements: ['CREATE TABLE things (x TEXT)'],
      };
      await assert.rejects(restoreBackup({ from: path, url, migrations: [thingMigration, broken] }));
      await restoreBackup({ from: path, url, migrations });
      const restored = await openThings(url);
      assert.equal((await verifyChain(restored)).length, 1234);
      await restored.close();
    });
  });
}

/** A copy in which somebody changed something, and made the digest right again. */
async function changedCopy(from: string, to: string, sql: string): Promise<void> {
  copyFileSync(from, to);
  truncateSync(to, statSync(to).size - (statSync(to).size % 4096));
  const changed = new DatabaseSync(to);
  changed.exec(sql);
  changed.close();
  await appendDigest(to);
}

describe('a file that is no sound backup is refused before anything is made', () => {
  let sound = '';
  before(async () => {
    const store = await filledStore(`sqlite:${newPath()}`);
    sound = newPath();
    await store.backup(sound);
    await store.close();
  });

  const refused = async (from: string, code: 'not_found' | 'invalid_request' | 'wrong_state', message: RegExp) => {
    const target = newPath();
    await assert.rejects(restoreBackup({ from, url: `sqlite:${target}`, migrations }), appError(code, message));
    assert.ok(!existsSync(target));
  };

  test('a missing file', () => refused(join(folder, 'missing.db'), 'not_found', /no backup/));

  test('another kind of file', async () => {
    const path = newPath();
    writeFileSync(path, 'this is not a backup\n'.repeat(100));
    await refused(path, 'invalid_request', /damaged/);
  });

  test('a database of something else', async () => {
    const path = newPath();
    const other = new DatabaseSync(path);
    other.exec('CREATE TABLE songs (title TEXT)');
    other.close();
    await refused(path, 'invalid_request', /no backup of Chancery/);
    await appendDigest(path);
    await refused(path, 'invalid_request', /no schema/);
  });

  test('a file that was cut short', async () => {
    const path = newPath();
    copyFileSync(sound, path);
    truncateSync(path, Math.floor(statSync(sound).size / 2));
    await refused(path, 'invalid_request', /damaged/);
  });

  test('a file with a single changed bit, wherever it is', async () => {
    const size = statSync(sound).size;
    for (const share of [0.001, 0.2, 0.5, 0.8, 0.9999]) {
      const path = newPath();
      const bytes = readFileSync(sound);
      const at = Math.floor(size * share);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      writeFileSync(path, bytes);
      await refused(path, 'invalid_request', /damaged/);
    }
  });

  test('a file whose last events were removed', async () => {
    const path = newPath();
    await changedCopy(sound, path, 'DELETE FROM audit_events WHERE seq > 1200');
    await refused(path, 'invalid_request', /audit log/);
  });

  test('a schema that this version does not know', async () => {
    const path = newPath();
    await changedCopy(sound, path, `INSERT INTO schema_migrations VALUES ('things', 2, 'from the future', 0)`);
    await refused(path, 'wrong_state', /things 2/);
  });
});

test('a store can be opened straight from its restored file by a process that knows the same engines', async () => {
  const store = await filledStore(`sqlite:${newPath()}`);
  const path = newPath();
  await store.backup(path);
  await store.close();
  const target = newPath();
  await restoreBackup({ from: path, url: `sqlite:${target}`, migrations });
  assert.equal(statSync(target).mode & 0o777, 0o600);
  const restored = await openStore({ url: `sqlite:${target}`, linker, migrations });
  assert.equal((await verifyChain(restored)).length, 1234);
  await restored.close();
});
