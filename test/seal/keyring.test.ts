import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as fc from 'fast-check';
import { AppError } from '#core/errors.ts';
import { type Keyring, openKeyring } from '#seal/keyring.ts';
import { localRootKey, type RootKey } from '#seal/root-key.ts';
import type { Place } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { newRootKey, temporaryStore, testClock } from './support.ts';

const place: Place = { table: 'vaults', row: 'a', column: 'secret' };
const clock = testClock();

async function newKeyring(context: TestContext): Promise<{ store: Store; folder: string; keyring: Keyring }> {
  const { store, folder } = await temporaryStore(context);
  const keyring = await openKeyring({ store, rootKey: newRootKey().rootKey, clock });
  context.after(() => keyring.close());
  return { store, folder, keyring };
}

/** What the error says, after checking that it is the right one and names the place. */
async function reasonOf(opening: Promise<unknown>, at: Place = place): Promise<string> {
  const error = await opening.then(
    () => assert.fail('it opened'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AppError);
  assert.equal(error.code, 'sealed_value_unreadable');
  assert.match(error.message, new RegExp(`${at.table}/${at.row}/${at.column}`));
  return error.details[0]?.message ?? '';
}

test('what is sealed opens at its place, whatever it is', async (context) => {
  const { keyring } = await newKeyring(context);
  const anyPlace = fc.record({ table: fc.string(), row: fc.string({ unit: 'binary' }), column: fc.string() });
  await fc.assert(
    fc.asyncProperty(anyPlace, fc.uint8Array({ maxLength: 5000 }), async (at, plaintext) => {
      const sealed = keyring.seal(at, plaintext);
      assert.equal(sealed.length, 1 + 4 + 12 + plaintext.length + 16);
      assert.deepEqual(sealed.subarray(0, 5), Buffer.of(1, 0, 0, 0, 1));
      assert.deepEqual(await keyring.open(at, sealed), Buffer.from(plaintext));
    }),
  );
});

test('no two sealed values share a nonce or a ciphertext, even of the same text at the same place', async (context) => {
  const { keyring } = await newKeyring(context);
  const sealed = Array.from({ length: 2000 }, () => keyring.seal(place, Buffer.from('same')));
  assert.equal(new Set(sealed.map((value) => Buffer.from(value).toString('hex', 5, 17))).size, 2000);
  assert.equal(new Set(sealed.map((value) => Buffer.from(value).toString('hex', 17))).size, 2000);
});

test('a value with any one bit changed does not open', async (context) => {
  const { keyring } = await newKeyring(context);
  const sealed = keyring.seal(place, Buffer.from('a secret of some length'));
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = Buffer.from(sealed);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.match(await reasonOf(keyring.open(place, altered)), /tag mismatch|unknown key version|unknown format/);
  }
});

test('a value that was cut off anywhere, or grew, does not open and is told as such', async (context) => {
  const { keyring } = await newKeyring(context);
  const sealed = keyring.seal(place, Buffer.from('a secret'));
  for (let length = 0; length < sealed.length; length++) {
    const reason = await reasonOf(keyring.open(place, sealed.subarray(0, length)));
    assert.match(reason, length < 33 ? /truncated/ : /tag mismatch/);
  }
  assert.match(await reasonOf(keyring.open(place, Buffer.concat([sealed, Buffer.of(0)]))), /tag mismatch/);
});

test('a value that was moved to another table, row or column does not open', async (context) => {
  const { keyring } = await newKeyring(context);
  const names = ['a', 'b', 'ab', '', 'a/b'];
  const places = names.flatMap((table) => names.flatMap((row) => names.map((column) => ({ table, row, column }))));
  for (const from of places) {
    const sealed = keyring.seal(from, Buffer.from('secret'));
    for (const to of places) {
      if (to === from) assert.equal(String(await keyring.open(to, sealed)), 'secret');
      else await assert.rejects(keyring.open(to, sealed), /cannot be opened/);
    }
  }
});

test('the error for a value that does not open tells neither the value nor a key', async (context) => {
  const { keyring } = await newKeyring(context);
  const secret = randomBytes(16).toString('hex');
  const sealed = Buffer.from(keyring.seal(place, Buffer.from(secret)));
  const error = await keyring.open({ ...place, row: 'b' }, sealed).catch((thrown: unknown) => thrown);
  const text = JSON.stringify(error, Object.getOwnPropertyNames(error));
  assert.ok(
    !text.includes(secret) && !text.includes(sealed.toString('hex')) && !text.includes(sealed.toString('base64')),
  );
});

test('another root key is refused at the start, and the error names the one that is needed', async (context) => {
  const { store } = await temporaryStore(context);
  const right = newRootKey();
  const wrong = newRootKey();
  (await openKeyring({ store, rootKey: right.rootKey, clock })).close();
  await assert.rejects(openKeyring({ store, rootKey: wrong.rootKey, clock }), (error: unknown) => {
    assert.ok(error instanceof AppError && error.code === 'wrong_state');
    assert.match(error.message, new RegExp(`${right.rootKey.id}.*${wrong.rootKey.id}`));
    assert.match(error.hint ?? '', new RegExp(right.rootKey.id));
    return true;
  });
});

test('wrapped keys that were altered or exchanged for each other are refused at the start', async (context) => {
  const { store, keyring } = await newKeyring(context);
  const { rootKey } = newRootKey();
  await store.commit((await keyring.rotation(clock.now())).changes);
  const rows = await store.all<{ version: number; wrapped_key: Uint8Array; root_key_id: string }>(
    'SELECT version, wrapped_key, root_key_id FROM seal_keys ORDER BY version',
    [],
  );
  const tamper = (version: number, wrapped: Uint8Array) =>
    store.commit([
      { kind: 'update', table: 'seal_keys', set: { wrapped_key: wrapped }, where: { version }, expect: 1 },
    ]);
  const sameId = (): RootKey => ({ ...rootKey, id: rows[0]?.root_key_id ?? '' });
  await assert.rejects(openKeyring({ store, rootKey: sameId(), clock }), /seal_keys\/1\/wrapped_key cannot be opened/);
  const [first, second] = rows;
  assert.ok(first && second);
  await tamper(1, second.wrapped_key);
  await tamper(2, first.wrapped_key);
  const again = openKeyring({ store, rootKey: sameId(), clock });
  await assert.rejects(again, /cannot be opened/);
});

test('two processes that start on a new store at once agree on one key', async (context) => {
  const { store } = await temporaryStore(context);
  const { bytes } = newRootKey();
  const open = () => openKeyring({ store, rootKey: localRootKey(Buffer.from(bytes)), clock });
  const keyrings = await Promise.all([open(), open(), open()]);
  context.after(() => keyrings.forEach((keyring) => keyring.close()));
  const rows = await store.all<{ version: number }>('SELECT version FROM seal_keys', []);
  assert.deepEqual(
    rows.map((row) => row.version),
    [1],
  );
  const sealed = keyrings[0]?.seal(place, Buffer.from('x')) ?? Buffer.alloc(0);
  for (const keyring of keyrings) assert.equal(String(await keyring.open(place, sealed)), 'x');
});

test('a version that another process made is loaded when a value needs it, and used when the table changes', async (context) => {
  const { store } = await temporaryStore(context);
  const bytes = randomBytes(32);
  const deaf: Store = { ...store, watch: () => () => undefined };
  const here = await openKeyring({ store, rootKey: localRootKey(Buffer.from(bytes)), clock });
  const there = await openKeyring({ store: deaf, rootKey: localRootKey(Buffer.from(bytes)), clock });
  context.after(() => (here.close(), there.close()));
  await store.commit((await here.rotation(clock.now())).changes);
  while (here.activeVersion !== 2) await new Promise(setImmediate);
  assert.equal(there.activeVersion, 1);
  const old = there.seal(place, Buffer.from('old'));
  assert.equal(String(await there.open(place, here.seal(place, Buffer.from('new')))), 'new');
  assert.equal(there.activeVersion, 2);
  assert.equal(String(await here.open(place, old)), 'old');
});

test('closing zeroes every key, and then nothing seals or opens', async (context) => {
  const { store } = await temporaryStore(context);
  const { rootKey } = newRootKey();
  const seen: Buffer[] = [];
  const spying: RootKey = {
    ...rootKey,
    async unwrap(wrapped, version) {
      const key = await rootKey.unwrap(wrapped, version);
      if (key) seen.push(key);
      return key;
    },
  };
  const keyring = await openKeyring({ store, rootKey: spying, clock });
  await store.commit((await keyring.rotation(clock.now())).changes);
  while (keyring.activeVersion !== 2) await new Promise(setImmediate);
  const sealed = keyring.seal(place, Buffer.from('x'));
  assert.equal(seen.length, 2);
  assert.ok(seen.every((key) => key.some((byte) => byte !== 0)));
  keyring.close();
  assert.ok(seen.every((key) => key.every((byte) => byte === 0)));
  assert.throws(() => keyring.seal(place, Buffer.from('x')), /closed/);
  await assert.rejects(keyring.open(place, sealed), /closed/);
});

test('rotation is advised long before the bound on random nonces, and a key stops at the bound', async (context) => {
  const { store } = await temporaryStore(context);
  const moving = testClock();
  const limits = { advise: 3, refuse: 5 };
  const keyring = await openKeyring({ store, rootKey: newRootKey().rootKey, clock: moving, limits });
  context.after(() => keyring.close());
  const seal = () => keyring.seal(place, Buffer.from('x'));
  seal();
  seal();
  assert.equal(keyring.usage().advice, null);
  seal();
  assert.match(keyring.usage().advice ?? '', /rotate/);
  seal();
  seal();
  assert.throws(seal, (error: unknown) => error instanceof AppError && /seal.rotate_key/.test(error.hint ?? ''));
  await store.commit((await keyring.rotation(moving.now())).changes);
  while (keyring.activeVersion !== 2) await new Promise(setImmediate);
  seal();
  assert.deepEqual(keyring.usage(), { version: 2, createdAt: moving.now(), sealedHere: 1, advice: null });
  moving.advance(366 * 86_400_000);
  assert.match(keyring.usage().advice ?? '', /older than a year/);
});

test('of two rotations that were prepared at the same time one is refused with a conflict', async (context) => {
  const { store, keyring } = await newKeyring(context);
  const [a, b] = await Promise.all([keyring.rotation(clock.now()), keyring.rotation(clock.now())]);
  await store.commit(a.changes);
  await assert.rejects(
    store.commit(b.changes),
    (error: unknown) => error instanceof AppError && error.code === 'conflict',
  );
});

test('neither the root key, nor a data key, nor a sealed secret stands in any file of the store', async (context) => {
  const { store, folder } = await temporaryStore(context);
  const { rootKey, bytes } = newRootKey();
  const dataKeys: Buffer[] = [];
  const spying: RootKey = {
    ...rootKey,
    async wrap(key, version) {
      dataKeys.push(Buffer.from(key));
      return rootKey.wrap(key, version);
    },
  };
  const keyring = await openKeyring({ store, rootKey: spying, clock });
  context.after(() => keyring.close());
  const secret = randomBytes(24);
  const needle = Buffer.from('this label is stored in the clear');
  const row = { id: 'a', secret: keyring.seal(place, secret), pin: null, label: needle.toString() };
  await store.commit([{ kind: 'insert', table: 'vaults', row }, ...(await keyring.rotation(clock.now())).changes]);
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
  const found = (bytesSought: Buffer) =>
    [bytesSought, Buffer.from(bytesSought.toString('base64')), Buffer.from(bytesSought.toString('hex'))].some((form) =>
      files.some((file) => file.includes(form)),
    );
  assert.ok(found(needle), 'the search itself works');
  assert.equal(dataKeys.length, 2);
  for (const key of [bytes, ...dataKeys, secret]) assert.ok(!found(key));
});
