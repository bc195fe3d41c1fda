import { createHash, randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import { decrypt, encrypt, keyBytes } from './gcm.ts';

/**
 * The root key wraps the data keys and nothing else. It comes from a file or from the environment; a KMS or a PKCS#11
 * token would be one more implementation of this interface, which is why its methods are asynchronous.
 */
export interface RootKey {
  /** Names the key without telling anything of it: first 16 hex digits of SHA-256 over a label and the key. */
  readonly id: string;
  /** The version is authenticated with the key, so that wrapped keys cannot be exchanged for each other. */
  wrap(dataKey: Uint8Array, version: number): Promise<Uint8Array>;
  /** Undefined when this key did not wrap it, or when it was altered. The caller zeroes the result. */
  unwrap(wrapped: Uint8Array, version: number): Promise<Buffer | undefined>;
  /** Zeroes what is in memory. */
  close(): void;
}

const idLabel = 'chancery root key id';
const wrapLabel = 'chancery data key';
const wrapFormat = Buffer.of(1);
/** Exactly 32 bytes in base64. */
const keyText = /^[A-Za-z0-9+/]{43}=$/;
/** Bytes; the key has 44 characters, and whoever wrote it by hand may have added white space. */
const maxFileBytes = 128;

/** A root key held in memory. Takes over the buffer: `close` zeroes it. */
export function localRootKey(key: Buffer): RootKey {
  if (key.length !== keyBytes) throw new TypeError(`a root key has ${keyBytes} bytes`);
  const id = createHash('sha256').update(idLabel).update(key).digest('hex').slice(0, 16);
  let closed = false;
  const assertOpen = () => {
    if (closed) throw new AppError('unavailable', 'The root key was closed.');
  };
  return {
    id,
    async wrap(dataKey, version) {
      assertOpen();
      return encrypt(key, wrapData(version), wrapFormat, dataKey);
    },
    async unwrap(wrapped, version) {
      assertOpen();
      return wrapped[0] === wrapFormat[0] ? decrypt(key, wrapData(version), wrapped.subarray(1)) : undefined;
    },
    close() {
      closed = true;
      key.fill(0);
    },
  };
}

function wrapData(version: number): Buffer {
  return Buffer.from(`${wrapLabel}\0${version}`);
}

/** Reads a root key from text: 32 bytes in base64. `source` says in errors where it came from. Throws `wrong_state`. */
export function rootKeyFromText(text: string, source: string): RootKey {
  const trimmed = text.trim();
  if (!keyText.test(trimmed))
    throw new AppError('wrong_state', `${source} does not hold a root key: ${shapeOf(trimmed)}.`, {
      hint: 'A root key is 32 random bytes in base64, 44 characters: openssl rand -base64 32.',
    });
  const key = Buffer.alloc(keyBytes);
  key.write(trimmed, 'base64');
  return localRootKey(key);
}

/** Says what is wrong with a text without showing any of it. */
function shapeOf(text: string): string {
  if (text === '') return 'it is empty';
  return text.length === 44 ? 'it is not base64' : `it has ${text.length} characters, and 44 are needed`;
}

/**
 * Reads the root key from a file. Throws `not_found` when there is none, and `wrong_state` when others than its owner
 * may read or write it, or when it holds something else.
 */
export function rootKeyFromFile(path: string): RootKey {
  const content = readKeyFile(path);
  try {
    return rootKeyFromText(content.toString('latin1'), `The root key file ${path}`);
  } finally {
    content.fill(0);
  }
}

function readKeyFile(path: string): Buffer {
  const file = openForReading(path);
  try {
    const status = fs.fstatSync(file);
    // Windows has no such bits; its access lists are for its administrator
    if (process.platform !== 'win32' && (status.mode & 0o077) !== 0)
      throw new AppError('wrong_state', `The root key file ${path} may be read or changed by others than its owner.`, {
        hint: `Run: chmod 600 ${path}`,
      });
    if (!status.isFile() || status.size > maxFileBytes)
      throw new AppError(
        'wrong_state',
        `${path} is not a root key file: it is no plain file of ${maxFileBytes} bytes at most.`,
      );
    const content = Buffer.alloc(maxFileBytes);
    const length = fs.readSync(file, content);
    return content.subarray(0, length);
  } finally {
    fs.closeSync(file);
  }
}

function openForReading(path: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT')
      throw new AppError('not_found', `The root key file ${path} does not exist.`, { cause: error });
    throw new AppError('wrong_state', `The root key file ${path} cannot be read (${codeOf(error)}).`, { cause: error });
  }
}

/**
 * Makes a root key file: 32 random bytes in base64, mode 0600. It appears whole or not at all, also when the power goes,
 * and never replaces a file. Throws `already_exists`.
 */
export function createRootKeyFile(path: string): void {
  const key = randomFillSync(Buffer.alloc(keyBytes));
  const draft = `${path}.${process.pid}.draft`;
  try {
    fs.rmSync(draft, { force: true });
    writeDurably(draft, `${key.toString('base64')}\n`);
    putInPlace(draft, path);
    syncFolder(dirname(path));
  } finally {
    key.fill(0);
    fs.rmSync(draft, { force: true });
  }
}

/**
 * Removes drafts that a kill left behind: they hold a key, and one whose link was made already is the root key under a
 * second name, which would stay beside the data when the file itself is moved elsewhere.
 */
function removeDrafts(path: string): void {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  try {
    for (const file of fs.readdirSync(folder))
      if (file.startsWith(prefix) && /^\d+\.draft$/.test(file.slice(prefix.length)))
        fs.rmSync(join(folder, file), { force: true });
  } catch {
    // A folder that this process may not list or change is one where it never made a draft.
  }
}

function writeDurably(path: string, text: string): void {
  const file = fs.openSync(path, 'wx', 0o600);
  try {
    fs.writeSync(file, text);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

/** A hard link never replaces. Some file systems have none; there an exclusive copy is the next best. */
function putInPlace(draft: string, path: string): void {
  try {
    try {
      fs.linkSync(draft, path);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') throw error;
      fs.copyFileSync(draft, path, fs.constants.COPYFILE_EXCL);
    }
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    throw new AppError('already_exists', `The root key file ${path} exists already.`, { cause: error });
  }
}

function syncFolder(path: string): void {
  if (process.platform === 'win32') return; // folders cannot be opened there
  const folder = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

export interface RootKeySource {
  readonly store: Pick<Store, 'first'>;
  readonly file: string;
  /** The key itself (CHANCERY_ROOT_KEY); goes before the file. */
  readonly text?: string | undefined;
}

/**
 * The root key of this installation. A missing file is made only while the store has no data key: with a new root key
 * nothing that is sealed already could ever be opened. `made` says whether the file is new.
 */
export async function openRootKey(source: RootKeySource): Promise<{ rootKey: RootKey; made: boolean }> {
  if (source.text !== undefined) return { rootKey: rootKeyFromText(source.text, 'CHANCERY_ROOT_KEY'), made: false };
  const made = !fs.existsSync(source.file);
  if (made) await makeFirstRootKey(source);
  const rootKey = rootKeyFromFile(source.file);
  removeDrafts(source.file);
  return { rootKey, made };
}

async function makeFirstRootKey(source: RootKeySource): Promise<void> {
  const expected = await expectedRootKeyId(source.store);
  if (expected !== undefined)
    throw new AppError(
      'wrong_state',
      `The root key file ${source.file} does not exist, and the store needs root key ${expected}.`,
      {
        hint: `Put the file with root key ${expected} back, or name it in CHANCERY_ROOT_KEY_FILE.`,
      },
    );
  createRootKeyFile(source.file);
}

/** The id of the root key that wraps the newest data key; undefined for a store that has none. */
export async function expectedRootKeyId(store: Pick<Store, 'first'>): Promise<string | undefined> {
  const row = await store.first<{ root_key_id: string }>(
    'SELECT root_key_id FROM seal_keys ORDER BY version DESC LIMIT 1',
    [],
  );
  return row?.root_key_id;
}
