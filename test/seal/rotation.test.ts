import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Job } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { type Keyring, openKeyring } from '#seal/keyring.ts';
import { localRootKey } from '#seal/root-key.ts';
import { changeRootKey, countByVersion, listKeys, planDeletion, planRewrap, retiredKeyGrace } from '#seal/rotation.ts';
import { createSeal } from '#seal/seal.ts';
import { readHeader, sealedBytes, toText } from '#seal/sealed-value.ts';
import type { Store } from '#storage/store.ts';
import {
  dispatchOver,
  newRootKey,
  openStore,
  temporaryFolder,
  temporaryStore,
  testClock,
  vaultColumns,
} from './support.ts';

const at = (row: string, column = 'secret', table = 'vaults') => ({ table, row, column });

/** A store with a keyring, and values that say what they are. */
async function filled(context: TestContext, count: number) {
  const { store } = await temporaryStore(context);
  const clock = testClock();
  const keyring = await openKeyring({ store, rootKey: newRootKey().rootKey, clock });
  context.after(() => keyring.close());
  await fill(store, keyring, count);
  return { store, clock, keyring, deps: { store, columns: vaultColumns } };
}

async function fill(store: Store, keyring: Keyring, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const id = `v/${String(index).padStart(5, '0')}`;
    const secret = keyring.seal(at(id), Buffer.from(`secret of ${id}`));
    const pin = index % 3 === 0 ? null : keyring.seal(at(id, 'pin'), Buffer.from(`pin of ${id}`));
    const safe = toText(keyring.seal(at(id, 'secret', 'safes'), Buffer.from(`safe of ${id}`)));
    await store.commit([
      { kind: 'insert', table: 'vaults', row: { id, secret, pin, label: id } },
      { kind: 'insert', table: 'safes', row: { id, secret: safe } },
    ]);
  }
  await store.commit([{ kind: 'insert', table: 'safes', row: { id: 'clear', secret: 'not sealed' } }]);
}

async function rotate(store: Store, keyring: Keyring, now: number): Promise<number> {
  const { changes, version } = await keyring.rotation(now);
  await store.commit(changes);
  while (keyring.activeVersion !== version) await new Promise(setImmediate);
  return version;
}

/** Opens every value and checks that it is what was put there. */
async function assertAllOpen(store: Store, keyring: Keyring, count: number): Promise<void> {
  const vaults = await store.all<{ id: string; secret: Uint8Array; pin: Uint8Array | null }>(
    'SELECT * FROM vaults',
    [],
  );
  assert.equal(vaults.length, count);
  for (const { id, secret, pin } of vaults) {
    assert.equal(String(await keyring.open(at(id), secret)), `secret of ${id}`);
    if (pin) assert.equal(String(await keyring.open(at(id, 'pin'), pin)), `pin of ${id}`);
  }
  for (const { id, secret } of await store.all<{ id: string; secret: string }>('SELECT * FROM safes', [])) {
    const sealed = sealedBytes(secret);
    if (sealed) assert.equal(String(await keyring.open(at(id, 'secret', 'safes'), sealed)), `safe of ${id}`);
    else assert.equal(secret, 'not sealed');
  }
}

/** The job as main.ts runs it, through dispatch. */
function rewrapJob(store: Store, keyring: Keyring, clock: { now(): number }): Job {
  const seal = createSeal({ store, keyring, clock, columns: vaultColumns, dispatch: dispatchOver(store, clock) });
  const [job] = seal.jobs;
  assert.ok(job);
  return job;
}

test('after a rotation the job seals everything again under the new key, and every value still opens', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 450);
  const before = await countByVersion(deps);
  assert.deepEqual([...before], [[1, 450 + 300 + 450]]);
  await rotate(store, keyring, clock.now());
  await rewrapJob(store, keyring, clock).run();
  assert.deepEqual([...(await countByVersion(deps))], [[2, 1200]]);
  await assertAllOpen(store, keyring, 450);
  const events = await store.all<{ operation: string; details: string }>(
    "SELECT operation, details FROM audit_events WHERE operation = 'seal.rewrap_values' ORDER BY seq",
    [],
  );
  const rewrapped = events.map((event) => (JSON.parse(event.details) as { rewrapped: number }).rewrapped);
  assert.equal(
    rewrapped.reduce((sum, count) => sum + count, 0),
    1200,
  );
});

test('while nothing is retired the job does nothing, and writes nothing into the log', async (context) => {
  const { store, clock, keyring } = await filled(context, 3);
  const head = await store.first('SELECT seq FROM audit_head', []);
  await rewrapJob(store, keyring, clock).run();
  assert.deepEqual(await store.first('SELECT seq FROM audit_head', []), head);
});

test('every place is visited by pages of any size, also with keys that hold slashes', async (context) => {
  const { keyring, deps } = await filled(context, 7);
  for (const limit of [1, 2, 3, 7, 8, 100]) {
    let cursor: string | null = null;
    let scanned = 0;
    do {
      const page: Awaited<ReturnType<typeof planRewrap>> = await planRewrap(deps, keyring, cursor, limit);
      assert.ok(page.scanned <= limit);
      scanned += page.scanned;
      cursor = page.next;
    } while (cursor !== null);
    assert.equal(scanned, 7 + 4 + 8, `pages of ${limit}`);
  }
});

test('a cursor of a column that is not sealed is refused', async (context) => {
  const { keyring, deps } = await filled(context, 1);
  const cursor = Buffer.from(JSON.stringify('principals/name/x')).toString('base64url');
  await assert.rejects(
    planRewrap(deps, keyring, cursor, 10),
    (error: unknown) => error instanceof AppError && error.code === 'invalid_request',
  );
});

test('a value that somebody changed between reading and writing is left as they wrote it', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 3);
  await rotate(store, keyring, clock.now());
  const plan = await planRewrap(deps, keyring, null, 100);
  assert.equal(plan.rewrapped, 3);
  const id = 'v/00001';
  const changed = keyring.seal(at(id), Buffer.from('written meanwhile'));
  await store.commit([{ kind: 'update', table: 'vaults', set: { secret: changed }, where: { id }, expect: 1 }]);
  await store.commit([{ kind: 'delete', table: 'vaults', where: { id: 'v/00002' }, expect: 1 }]);
  await store.commit(plan.changes);
  const rows = await store.all<{ id: string; secret: Uint8Array }>('SELECT id, secret FROM vaults ORDER BY id', []);
  const opened = await Promise.all(rows.map(async (row) => String(await keyring.open(at(row.id), row.secret))));
  assert.deepEqual(opened, ['secret of v/00000', 'written meanwhile']);
});

test('reads and writes go on while values are sealed again, and none is lost', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 120);
  const latest = new Map<string, string>();
  const stop = new AbortController();
  let reads = 0;
  async function write(writer: number): Promise<void> {
    for (let count = 0; !stop.signal.aborted; count++) {
      const id = `v/${String(randomInt(120)).padStart(5, '0')}`;
      if (randomInt(120) % 4 !== writer || latest.get(id) === 'busy') continue;
      const text = `${writer}.${count}`;
      latest.set(id, 'busy');
      const secret = keyring.seal(at(id), Buffer.from(text));
      await new Promise(setImmediate);
      await store.commit([{ kind: 'update', table: 'vaults', set: { secret }, where: { id }, expect: 1 }]);
      latest.set(id, text);
    }
  }
  async function read(): Promise<void> {
    while (!stop.signal.aborted) {
      const id = `v/${String(randomInt(120)).padStart(5, '0')}`;
      const row = await store.first<{ secret: Uint8Array }>('SELECT secret FROM vaults WHERE id = ?', [id]);
      assert.ok(row);
      assert.match(String(await keyring.open(at(id), row.secret)), /^(secret of v|\d+\.\d+)/);
      reads++;
      await new Promise(setImmediate);
    }
  }
  const busy = [write(0), write(1), write(2), write(3), read(), read()];
  const job = rewrapJob(store, keyring, clock);
  for (let round = 0; round < 5; round++) {
    await rotate(store, keyring, clock.now());
    await job.run();
    clock.advance(1000);
  }
  stop.abort();
  await Promise.all(busy);
  await job.run();
  await job.run();
  assert.deepEqual([...(await countByVersion(deps)).keys()], [6]);
  assert.ok(reads > 0 && latest.size > 0);
  for (const [id, text] of latest) {
    const row = await store.first<{ secret: Uint8Array }>('SELECT secret FROM vaults WHERE id = ?', [id]);
    assert.equal(String(await keyring.open(at(id), row?.secret ?? Buffer.alloc(0))), text);
  }
});

test('a rotation that is killed again and again goes on where it was, and every value opens at the end', async (context) => {
  const file = join(temporaryFolder(context), 'chancery.db');
  const key = randomBytes(32);
  const clock = testClock();
  const open = async (): Promise<{ store: Store; keyring: Keyring }> => {
    const store = await openStore(file);
    return { store, keyring: await openKeyring({ store, rootKey: localRootKey(Buffer.from(key)), clock }) };
  };
  const first = await open();
  await fill(first.store, first.keyring, 400);
  await rotate(first.store, first.keyring, clock.now());
  first.keyring.close();
  await first.store.close();

  const worker = fileURLToPath(new URL('rewrap-worker.ts', import.meta.url));
  const left: number[] = [];
  for (let kill = 0; kill < 6; kill++) {
    const pages = 3 + kill * 2;
    const parameters = [worker, file, key.toString('base64'), String(pages + 5)];
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...parameters], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let seen = 0;
    for await (const chunk of child.stdout) {
      seen += String(chunk).split('\n').length - 1;
      if (seen >= pages) break;
    }
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const { store, keyring } = await open();
    const counts = await countByVersion({ store, columns: vaultColumns });
    left.push(counts.get(1) ?? 0);
    await assertAllOpen(store, keyring, 400);
    keyring.close();
    await store.close();
  }
  assert.ok((left[0] ?? 0) > 0, 'the first kill came in the middle');
  assert.deepEqual(
    left,
    [...left].sort((a, b) => b - a),
  );

  const last = await open();
  context.after(() => last.store.close());
  context.after(() => last.keyring.close());
  await rewrapJob(last.store, last.keyring, clock).run();
  assert.deepEqual([...(await countByVersion({ store: last.store, columns: vaultColumns })).keys()], [2]);
  await assertAllOpen(last.store, last.keyring, 400);
});

test('a value that does not open is named and left, the others are sealed again, and its key is kept', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 5);
  const row = await store.first<{ secret: Uint8Array }>("SELECT secret FROM vaults WHERE id = 'v/00002'", []);
  const damaged = Buffer.from(row?.secret ?? []);
  damaged[20] = (damaged[20] ?? 0) ^ 1;
  const where = { id: 'v/00002' };
  await store.commit([{ kind: 'update', table: 'vaults', set: { secret: damaged }, where, expect: 1 }]);
  const cut = { secret: Buffer.of(1, 0, 0) };
  await store.commit([{ kind: 'update', table: 'vaults', set: cut, where: { id: 'v/00003' }, expect: 1 }]);
  await rotate(store, keyring, clock.now());
  const plan = await planRewrap(deps, keyring, null, 100);
  assert.deepEqual(plan.unreadable, ['vaults/v/00002/secret', 'vaults/v/00003/secret']);
  assert.equal(plan.rewrapped, 3);
  const job = rewrapJob(store, keyring, clock);
  await job.run();
  clock.advance(10 * retiredKeyGrace);
  await job.run();
  assert.deepEqual(
    (await listKeys(store)).map((key) => key.version),
    [1, 2],
  );
  assert.deepEqual((await planDeletion(deps, clock.now())).kept, [
    { version: 1, reason: '1 values are still sealed under it' },
  ]);
});

test('a retired key is deleted when nothing needs it, and not before a day has passed', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 4);
  const versions = async () => (await listKeys(store)).map((key) => key.version);
  const job = rewrapJob(store, keyring, clock);
  await rotate(store, keyring, clock.now());
  const late = keyring.seal(at('v/00000'), Buffer.from('late'));
  await job.run();
  await job.run();
  assert.deepEqual(await versions(), [1, 2]);
  clock.advance(retiredKeyGrace - 1);
  await job.run();
  assert.deepEqual(await versions(), [1, 2]);
  assert.match((await planDeletion(deps, clock.now())).kept[0]?.reason ?? '', /less than 24 hours/);
  clock.advance(3_600_000);
  await job.run();
  assert.deepEqual(await versions(), [2]);
  await assertAllOpen(store, keyring, 4);
  assert.equal(String(await keyring.open(at('v/00000'), late)), 'late');
});

test('a value that was sealed under the old key and stored after the pass is found by a later pass', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 2);
  const straggler = keyring.seal(at('v/00001'), Buffer.from('secret of v/00001'));
  await rotate(store, keyring, clock.now());
  const job = rewrapJob(store, keyring, clock);
  await job.run();
  await job.run();
  const where = { id: 'v/00001' };
  await store.commit([{ kind: 'update', table: 'vaults', set: { secret: straggler }, where, expect: 1 }]);
  assert.equal((await countByVersion(deps)).get(1), 1);
  clock.advance(2 * retiredKeyGrace);
  await job.run();
  await job.run();
  assert.deepEqual([...(await countByVersion(deps)).keys()], [2]);
  await assertAllOpen(store, keyring, 2);
});

test('the minute after a pass that found work looks again, and so does every later hour', async (context) => {
  const { store, clock, keyring, deps } = await filled(context, 2);
  const straggle = () => keyring.seal(at('v/00001'), Buffer.from('secret of v/00001'));
  const put = (secret: Uint8Array) =>
    store.commit([{ kind: 'update', table: 'vaults', set: { secret }, where: { id: 'v/00001' }, expect: 1 }]);
  const [first, second] = [straggle(), straggle()];
  await rotate(store, keyring, clock.now());
  const job = rewrapJob(store, keyring, clock);
  await job.run();
  await put(first);
  clock.advance(60_000);
  await job.run();
  assert.deepEqual([...(await countByVersion(deps)).keys()], [2]);
  await job.run();
  await put(second);
  clock.advance(60_000);
  await job.run();
  assert.equal((await countByVersion(deps)).get(1), 1, 'a clean pass is rested upon');
  clock.advance(3_600_000);
  await job.run();
  assert.deepEqual([...(await countByVersion(deps)).keys()], [2]);
});

test('another root key takes over all data keys in one commit; values stay, and the old root key opens nothing more', async (context) => {
  const { store, clock, keyring } = await filled(context, 3);
  const [from, to] = [newRootKey(), newRootKey()];
  keyring.close();
  const { store: fresh } = await temporaryStore(context);
  const first = await openKeyring({ store: fresh, rootKey: localRootKey(Buffer.from(from.bytes)), clock });
  await fill(fresh, first, 3);
  await rotate(fresh, first, clock.now());
  first.close();
  assert.deepEqual(await changeRootKey({ store: fresh, from: from.rootKey, to: to.rootKey, clock }), [1, 2]);
  assert.deepEqual(await changeRootKey({ store: fresh, from: from.rootKey, to: to.rootKey, clock }), []);
  await assert.rejects(
    openKeyring({ store: fresh, rootKey: localRootKey(Buffer.from(from.bytes)), clock }),
    new RegExp(to.rootKey.id),
  );
  const second = await openKeyring({ store: fresh, rootKey: localRootKey(Buffer.from(to.bytes)), clock });
  context.after(() => second.close());
  await assertAllOpen(fresh, second, 3);
  const event = await fresh.first<{ details: string }>(
    "SELECT details FROM audit_events WHERE operation = 'seal.change_root_key'",
    [],
  );
  assert.deepEqual(JSON.parse(event?.details ?? ''), { from: from.rootKey.id, to: to.rootKey.id, versions: '1,2' });
  await assert.rejects(
    changeRootKey({ store, from: newRootKey().rootKey, to: newRootKey().rootKey, clock }),
    (error: unknown) => error instanceof AppError && error.code === 'wrong_state',
  );
});

test('a new root key that does not open what it wraps changes nothing', async (context) => {
  const { store, clock } = await filled(context, 1);
  const before = await store.all('SELECT * FROM seal_keys', []);
  const { rootKey, bytes } = newRootKey();
  const { store: fresh } = await temporaryStore(context);
  (await openKeyring({ store: fresh, rootKey: localRootKey(Buffer.from(bytes)), clock })).close();
  const kept = await fresh.all('SELECT * FROM seal_keys', []);
  const broken = { ...newRootKey().rootKey, unwrap: async () => Buffer.alloc(32) };
  await assert.rejects(changeRootKey({ store: fresh, from: rootKey, to: broken, clock }), /nothing was changed/);
  assert.deepEqual(await fresh.all('SELECT * FROM seal_keys', []), kept);
  assert.deepEqual(await store.all('SELECT * FROM seal_keys', []), before);
});

test('the header of every value says which key sealed it', async (context) => {
  const { keyring } = await filled(context, 1);
  assert.deepEqual(readHeader(keyring.seal(at('x'), Buffer.alloc(0))), { version: 1 });
});
