import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppError } from '#core/errors.ts';
import { openKeyring } from '#seal/keyring.ts';
import {
  createRootKeyFile,
  expectedRootKeyId,
  localRootKey,
  openRootKey,
  rootKeyFromFile,
  rootKeyFromText,
} from '#seal/root-key.ts';
import { newRootKey, temporaryFolder, temporaryStore, testClock } from './support.ts';

const fails = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AppError);
  assert.equal(error.code, code);
  assert.match(`${error.message} ${error.hint ?? ''}`, text);
  return true;
};

test('a new root key file holds 32 bytes in base64, is for its owner only, and is the only file left', (context) => {
  const folder = temporaryFolder(context);
  const path = join(folder, 'root.key');
  createRootKeyFile(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const text = readFileSync(path, 'utf8');
  assert.match(text, /^[A-Za-z0-9+/]{43}=\n$/);
  assert.equal(Buffer.from(text, 'base64').length, 32);
  assert.deepEqual(readdirSync(folder), ['root.key']);
  assert.equal(rootKeyFromFile(path).id, rootKeyFromText(text, 'the text').id);
});

test('a root key file is never replaced, and what an interrupted start left beside it does no harm', (context) => {
  const folder = temporaryFolder(context);
  const path = join(folder, 'root.key');
  writeFileSync(`${path}.${process.pid}.draft`, 'half');
  createRootKeyFile(path);
  const before = readFileSync(path);
  assert.throws(() => createRootKeyFile(path), fails('already_exists', /exists already/));
  assert.deepEqual(readFileSync(path), before);
  assert.deepEqual(readdirSync(folder), ['root.key']);
});

test('a root key file that others may read or write is refused, with the command that mends it', (context) => {
  const path = join(temporaryFolder(context), 'root.key');
  createRootKeyFile(path);
  for (const mode of [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o777]) {
    chmodSync(path, mode);
    assert.throws(() => rootKeyFromFile(path), fails('wrong_state', new RegExp(`chmod 600 ${path}`)));
  }
  for (const mode of [0o600, 0o400]) {
    chmodSync(path, mode);
    assert.match(rootKeyFromFile(path).id, /^[0-9a-f]{16}$/);
  }
});

test('the mode of the file counts, not that of a link to it', (context) => {
  const folder = temporaryFolder(context);
  const path = join(folder, 'root.key');
  createRootKeyFile(path);
  symlinkSync(path, join(folder, 'link'));
  assert.equal(rootKeyFromFile(join(folder, 'link')).id, rootKeyFromFile(path).id);
  chmodSync(path, 0o644);
  assert.throws(() => rootKeyFromFile(join(folder, 'link')), fails('wrong_state', /chmod/));
});

test('a root key of another length or form is refused without showing any of it', (context) => {
  const path = join(temporaryFolder(context), 'root.key');
  const wrong = ['', '\n', 'hunter2', randomBytes(31).toString('base64'), randomBytes(33).toString('base64')];
  wrong.push(randomBytes(16).toString('base64'), randomBytes(32).toString('hex'), `${'!'.repeat(43)}=`);
  wrong.push(`${randomBytes(32).toString('base64')}\n${randomBytes(32).toString('base64')}`, 'A'.repeat(44));
  for (const text of wrong) {
    writeFileSync(path, text, { mode: 0o600 });
    for (const read of [() => rootKeyFromFile(path), () => rootKeyFromText(text, 'CHANCERY_ROOT_KEY')])
      assert.throws(read, (error: unknown) => {
        assert.ok(error instanceof AppError && error.code === 'wrong_state');
        assert.ok(text.trim() === '' || !`${error.message} ${error.hint}`.includes(text.trim()));
        return true;
      });
  }
  writeFileSync(path, randomBytes(4096).toString('base64'), { mode: 0o600 });
  assert.throws(() => rootKeyFromFile(path), fails('wrong_state', /plain file/));
});

test('a folder or a missing file is told as such', (context) => {
  const folder = temporaryFolder(context);
  mkdirSync(join(folder, 'root.key'), { mode: 0o700 });
  assert.throws(() => rootKeyFromFile(join(folder, 'root.key')), fails('wrong_state', /plain file|cannot be read/));
  assert.throws(() => rootKeyFromFile(join(folder, 'none')), fails('not_found', /does not exist/));
});

test('a root key opens what it wrapped for the same version, and nothing that was altered', async () => {
  const { rootKey } = newRootKey();
  const dataKey = randomBytes(32);
  const wrapped = await rootKey.wrap(dataKey, 3);
  assert.deepEqual(await rootKey.unwrap(wrapped, 3), dataKey);
  assert.notDeepEqual(await rootKey.wrap(dataKey, 3), wrapped);
  assert.equal(await rootKey.unwrap(wrapped, 2), undefined);
  assert.equal(await newRootKey().rootKey.unwrap(wrapped, 3), undefined);
  for (let index = 0; index < wrapped.length; index++) {
    const altered = Buffer.from(wrapped);
    altered[index] = (altered[index] ?? 0) ^ 0x80;
    assert.equal(await rootKey.unwrap(altered, 3), undefined, `byte ${index}`);
    assert.equal(await rootKey.unwrap(wrapped.subarray(0, index), 3), undefined, `length ${index}`);
  }
});

test('closing a root key zeroes it, and then it wraps and unwraps nothing', async () => {
  const bytes = Buffer.alloc(32, 0xa5);
  const rootKey = localRootKey(bytes);
  const wrapped = await rootKey.wrap(randomBytes(32), 1);
  rootKey.close();
  assert.deepEqual(bytes, Buffer.alloc(32));
  await assert.rejects(rootKey.wrap(randomBytes(32), 1), fails('unavailable', /closed/));
  await assert.rejects(rootKey.unwrap(wrapped, 1), fails('unavailable', /closed/));
});

test('the first start makes the root key file, later ones read it, and the environment goes before it', async (context) => {
  const { store, folder } = await temporaryStore(context);
  const file = join(folder, 'root.key');
  const first = await openRootKey({ store, file });
  const second = await openRootKey({ store, file });
  assert.deepEqual([first.made, second.made], [true, false]);
  assert.equal(first.rootKey.id, second.rootKey.id);
  const text = randomBytes(32).toString('base64');
  const third = await openRootKey({ store, file, text });
  assert.equal(third.rootKey.id, rootKeyFromText(text, 'the text').id);
  assert.equal(third.made, false);
});

test('a missing root key file is not made anew while the store needs the old one', async (context) => {
  const { store, folder } = await temporaryStore(context);
  const { rootKey } = newRootKey();
  assert.equal(await expectedRootKeyId(store), undefined);
  const keyring = await openKeyring({ store, rootKey, clock: testClock() });
  keyring.close();
  const file = join(folder, 'root.key');
  await assert.rejects(openRootKey({ store, file }), fails('wrong_state', new RegExp(rootKey.id)));
  assert.equal(existsSync(file), false);
  assert.equal(await expectedRootKeyId(store), rootKey.id);
});
