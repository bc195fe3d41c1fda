import { randomFillSync } from 'node:crypto';
import type { Change } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { SealKeyRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import { decrypt, encrypt, keyBytes } from './gcm.ts';
import type { RootKey } from './root-key.ts';
import { additionalData, headerBytes, readHeader, sealedHeader, unreadable } from './sealed-value.ts';
import type { Place, Sealer } from './sealer.ts';
import { systemEvent } from './system-event.ts';

/**
 * The data keys, unwrapped in memory. One version is active and seals; retired ones only open, until nothing needs them.
 * Several processes may share a store: a version made elsewhere is loaded when the table changes, or when a value needs it.
 */
export interface Keyring extends Sealer {
  readonly rootKeyId: string;
  readonly activeVersion: number;
  /** How many values this process sealed under the active version, and whether a new version is due. */
  usage(): KeyUsage;
  /** The changes that make a new version the active one; they fail with `conflict` when another rotation came first. */
  rotation(now: number): Promise<{ version: number; previous: number; changes: Change[] }>;
  /** Zeroes all keys, also the root key. Afterwards nothing opens or seals: `unavailable`. */
  close(): void;
}

export interface KeyUsage {
  readonly version: number;
  /** Milliseconds. */
  readonly createdAt: number;
  readonly sealedHere: number;
  readonly advice: string | null;
}

/**
 * NIST SP 800-38D §8.3 allows 2^32 values under one key with random nonces (a collision is then less likely than 2^-32).
 * Only this process's seals since its start are counted, so the advice comes at a sixteenth of that, which leaves room
 * for restarts and other nodes, and a process stops at the limit itself.
 */
export interface SealLimits {
  readonly advise: number;
  readonly refuse: number;
}
const standardLimits: SealLimits = { advise: 2 ** 28, refuse: 2 ** 32 };
/** Milliseconds after which a new version is advised whatever was sealed. */
const maxKeyAge = 365 * 86_400_000;

export interface KeyringOptions {
  readonly store: Store;
  /** Taken over: closed with the keyring. */
  readonly rootKey: RootKey;
  readonly clock: Clock;
  readonly limits?: SealLimits;
  /** Told when a version made by another process could not be loaded; it is tried again at the next change or use. */
  readonly onFault?: (error: unknown) => void;
}

interface DataKey {
  readonly version: number;
  readonly createdAt: number;
  readonly key: Buffer;
  sealed: number;
}

/**
 * Loads the data keys; makes version 1 in a new store. Throws `wrong_state` when the root key is not the one that wraps
 * them, and names the one that is expected.
 */
export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  const { store, rootKey, clock, limits = standardLimits } = options;
  const keys = new Map<number, DataKey>();
  let active = await loadFirst(options, keys);
  let closed = false;
  let loading: Promise<void> = Promise.resolve();

  async function reload(): Promise<void> {
    if (closed) return;
    const rows = await readKeys(store);
    const current = await loadKeys(rootKey, rows, keys);
    active = current ?? active;
    if (closed) zero(keys);
  }

  /** One after the other, so that an older reading never overtakes a newer one. */
  function refresh(): Promise<void> {
    loading = loading.catch(() => undefined).then(reload);
    return loading;
  }

  const unwatch = store.watch(['seal_keys'], () => {
    refresh().catch((error: unknown) => options.onFault?.(error));
  });

  function assertOpen(): void {
    if (closed) throw new AppError('unavailable', 'The keyring is closed, so nothing can be sealed or opened.');
  }

  return {
    rootKeyId: rootKey.id,
    get activeVersion() {
      return active.version;
    },
    usage: () => usageOf(active, limits, clock.now()),
    seal(place, plaintext) {
      assertOpen();
      if (active.sealed >= limits.refuse) throw exhausted(active.version);
      active.sealed++;
      return sealWith(active, place, plaintext);
    },
    async open(place, sealed) {
      assertOpen();
      const header = readHeader(sealed);
      if ('fault' in header) throw unreadable(place, header.fault);
      if (!keys.has(header.version)) await refresh();
      assertOpen();
      const key = keys.get(header.version);
      if (key === undefined) throw unreadable(place, `unknown key version ${header.version}`);
      return openWith(key, place, sealed);
    },
    rotation: (now) => rotate(store, rootKey, now),
    close() {
      closed = true;
      unwatch();
      zero(keys);
      rootKey.close();
    },
  };
}

function sealWith(key: DataKey, place: Place, plaintext: Uint8Array): Buffer {
  const header = sealedHeader(key.version);
  return encrypt(key.key, additionalData(header, place), header, plaintext);
}

function openWith(key: DataKey, place: Place, sealed: Uint8Array): Buffer {
  const aad = additionalData(sealed.subarray(0, headerBytes), place);
  const plaintext = decrypt(key.key, aad, sealed.subarray(headerBytes));
  if (plaintext === undefined)
    throw unreadable(place, 'tag mismatch: the value was altered, or moved from another place');
  return plaintext;
}

function usageOf(key: DataKey, limits: SealLimits, now: number): KeyUsage {
  const { version, createdAt, sealed } = key;
  const advice =
    sealed >= limits.advise
      ? `Key version ${version} has sealed ${sealed} values in this process; rotate it long before ${limits.refuse}.`
      : now - createdAt > maxKeyAge
        ? `Key version ${version} is older than a year; rotate it.`
        : null;
  return { version, createdAt, sealedHere: sealed, advice };
}

function exhausted(version: number): AppError {
  return new AppError('unavailable', `Key version ${version} has sealed as many values as one key may.`, {
    hint: 'Run seal.rotate_key, then try again.',
  });
}

function zero(keys: Map<number, DataKey>): void {
  for (const { key } of keys.values()) key.fill(0);
  keys.clear();
}

function readKeys(store: Pick<Store, 'all'>): Promise<SealKeyRow[]> {
  return store.all<SealKeyRow>(
    'SELECT version, wrapped_key, root_key_id, state, created_at FROM seal_keys ORDER BY version',
    [],
  );
}

/** Unwraps the versions that are new, forgets those that are gone. Returns the active one. */
async function loadKeys(
  rootKey: RootKey,
  rows: readonly SealKeyRow[],
  keys: Map<number, DataKey>,
): Promise<DataKey | undefined> {
  for (const row of rows) {
    if (keys.has(row.version)) continue;
    const key = await unwrapRow(rootKey, row);
    keys.set(row.version, { version: row.version, createdAt: row.created_at, key, sealed: 0 });
  }
  for (const [version, { key }] of keys) {
    if (rows.some((row) => row.version === version)) continue;
    key.fill(0);
    keys.delete(version);
  }
  const newest = rows.findLast((row) => row.state === 'active');
  return newest && keys.get(newest.version);
}

/** The data key of a row. Throws `wrong_state` for another root key, `sealed_value_unreadable` for an altered row. */
export async function unwrapRow(rootKey: RootKey, row: SealKeyRow): Promise<Buffer> {
  if (row.root_key_id !== rootKey.id)
    throw new AppError(
      'wrong_state',
      `Data key version ${row.version} is wrapped by root key ${row.root_key_id}, and root key ${rootKey.id} was given.`,
      { hint: `Give the root key ${row.root_key_id} (CHANCERY_ROOT_KEY_FILE or CHANCERY_ROOT_KEY).` },
    );
  const key = await rootKey.unwrap(row.wrapped_key, row.version);
  if (key?.length === keyBytes) return key;
  key?.fill(0);
  throw unreadable(
    { table: 'seal_keys', row: String(row.version), column: 'wrapped_key' },
    'the wrapped key was altered',
  );
}

async function loadFirst(options: KeyringOptions, keys: Map<number, DataKey>): Promise<DataKey> {
  const { store, rootKey } = options;
  let rows = await readKeys(store);
  if (rows.length === 0) {
    await makeFirstKey(options);
    rows = await readKeys(store);
  }
  try {
    const active = await loadKeys(rootKey, rows, keys);
    if (active) return active;
    throw new AppError('wrong_state', 'The store has data keys, and none of them is active.', {
      hint: 'The table seal_keys was altered; restore it from a backup.',
    });
  } catch (error) {
    zero(keys);
    throw error;
  }
}

async function makeFirstKey({ store, rootKey, clock }: KeyringOptions): Promise<void> {
  const now = clock.now();
  const change = await newKey(rootKey, 1, now);
  try {
    await store.commit([change], [systemEvent(now, 'seal.create_key', 'seal/keys', { version: 1 })]);
  } catch (error) {
    // another process was first; its key is as good
    if (!(error instanceof AppError && (error.code === 'conflict' || error.code === 'already_exists'))) throw error;
  }
}

async function newKey(rootKey: RootKey, version: number, now: number): Promise<Change> {
  const key = randomFillSync(Buffer.alloc(keyBytes));
  try {
    const wrapped = await rootKey.wrap(key, version);
    const row = { version, wrapped_key: wrapped, root_key_id: rootKey.id, state: 'active', created_at: now };
    return { kind: 'insert', table: 'seal_keys', row };
  } finally {
    key.fill(0);
  }
}

async function rotate(
  store: Pick<Store, 'all'>,
  rootKey: RootKey,
  now: number,
): Promise<{ version: number; previous: number; changes: Change[] }> {
  const rows = await readKeys(store);
  const previous = rows.findLast((row) => row.state === 'active')?.version ?? 0;
  const version = Math.max(...rows.map((row) => row.version)) + 1;
  const retire: Change = {
    kind: 'update',
    table: 'seal_keys',
    set: { state: 'retired' },
    where: { version: previous, state: 'active' },
    expect: 1,
  };
  return { version, previous, changes: [retire, await newKey(rootKey, version, now)] };
}
