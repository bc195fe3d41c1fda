import { setImmediate } from 'node:timers/promises';
import type { Change, Value } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import type { SealedColumn } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { decodeCursor, encodeCursor } from '#core/page.ts';
import type { SealKeyRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import { type Keyring, unwrapRow } from './keyring.ts';
import type { RootKey } from './root-key.ts';
import { readHeader, sealedBytes, toText } from './sealed-value.ts';
import type { Place } from './sealer.ts';
import { systemEvent } from './system-event.ts';

/**
 * Rotation of data keys. A new version becomes active at once; then every value that an older one sealed is opened and
 * sealed again, page by page, each guarded by its old bytes: a value that somebody changed meanwhile is left alone, since
 * whoever changed it sealed it under the new version, or the next pass finds it. The work left is what the rows themselves
 * say, so it goes on after a crash where it was, and two processes that do it at once only waste effort.
 *
 * For this the key column of a sealed column must be unique, and `Place.row` must be its text.
 */

export interface RotationDeps {
  readonly store: Pick<Store, 'all'>;
  readonly columns: readonly SealedColumn[];
}

/**
 * Milliseconds that a retired key is kept after its successor was made, even when nothing in the store needs it: a
 * process may have sealed a value under it that is not committed yet, or not have heard of the successor.
 */
export const retiredKeyGrace = 24 * 3_600_000;

/** One value as it stands in the store. */
interface StoredValue {
  readonly column: SealedColumn;
  readonly key: string;
  readonly value: Value;
  readonly sealed: Uint8Array;
}

interface ValuePage {
  readonly values: StoredValue[];
  /** Rows that were read, also those that hold nothing sealed. */
  readonly scanned: number;
  /** Null after the last page of the last column. */
  readonly next: string | null;
}

/** The cursor names the column and the last key, so that it holds when columns come and go with a new release. */
const separator = '/';

async function readPage(deps: RotationDeps, cursor: string | null, limit: number): Promise<ValuePage> {
  const { index, key } = readCursor(deps.columns, cursor);
  const column = deps.columns[index];
  if (column === undefined) return { values: [], scanned: 0, next: null };
  const rows = await deps.store.all<{ key: string; value: Value }>(pageQuery(column, key !== undefined), [
    ...(key === undefined ? [] : [key]),
    limit,
  ]);
  const values = rows.flatMap((row) => {
    const sealed = sealedBytes(row.value);
    return sealed ? [{ column, key: row.key, value: row.value, sealed }] : [];
  });
  const last = rows.at(-1);
  const more = rows.length === limit && last !== undefined;
  return {
    values,
    scanned: rows.length,
    next: more ? writeCursor(column, last.key) : startOf(deps.columns[index + 1]),
  };
}

function pageQuery({ table, key, column }: SealedColumn, after: boolean): string {
  const where = after ? `"${key}" > ? AND` : '';
  return `SELECT "${key}" AS key, "${column}" AS value FROM "${table}" WHERE ${where} "${column}" IS NOT NULL ORDER BY "${key}" LIMIT ?`;
}

function writeCursor({ table, column }: SealedColumn, key: string | undefined): string {
  return encodeCursor([table, column, ...(key === undefined ? [] : [key])].join(separator));
}

function startOf(column: SealedColumn | undefined): string | null {
  return column ? writeCursor(column, undefined) : null;
}

function readCursor(columns: readonly SealedColumn[], cursor: string | null): { index: number; key?: string } {
  if (cursor === null) return { index: 0 };
  const [table, column, ...key] = decodeCursor(cursor, 'string').split(separator);
  const index = columns.findIndex((entry) => entry.table === table && entry.column === column);
  if (index < 0)
    throw new AppError('invalid_request', 'The cursor is of a column that holds no sealed values.', {
      hint: 'Leave cursor out to start with the first column.',
    });
  return key.length === 0 ? { index } : { index, key: key.join(separator) };
}

export interface RewrapPage {
  readonly changes: Change[];
  readonly scanned: number;
  /** Values sealed again under the active version. */
  readonly rewrapped: number;
  /** Places whose value does not open, `table/row/column`. They are left as they are. */
  readonly unreadable: string[];
  readonly next: string | null;
}

/** Reads one page of sealed values and makes the changes that bring them under the active version. Writes nothing. */
export async function planRewrap(
  deps: RotationDeps,
  keyring: Keyring,
  cursor: string | null,
  limit: number,
): Promise<RewrapPage> {
  const page = await readPage(deps, cursor, limit);
  const changes: Change[] = [];
  const unreadable: string[] = [];
  for (const stored of page.values) {
    const header = readHeader(stored.sealed);
    if ('version' in header && header.version === keyring.activeVersion) continue;
    try {
      changes.push(await rewrapValue(keyring, stored));
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'sealed_value_unreadable')) throw error;
      unreadable.push([stored.column.table, stored.key, stored.column.column].join('/'));
    }
  }
  return { changes, scanned: page.scanned, rewrapped: changes.length, unreadable, next: page.next };
}

async function rewrapValue(keyring: Keyring, { column, key, value, sealed }: StoredValue): Promise<Change> {
  const place: Place = { table: column.table, row: key, column: column.column };
  const plaintext = await keyring.open(place, sealed);
  try {
    const again = keyring.seal(place, plaintext);
    const set = { [column.column]: typeof value === 'string' ? toText(again) : again };
    return { kind: 'update', table: column.table, set, where: { [column.key]: key, [column.column]: value } };
  } finally {
    plaintext.fill(0);
  }
}

const countPage = 500;

/** How many values each key version sealed; −1 counts values whose header cannot be read. */
export async function countByVersion(deps: RotationDeps): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  let cursor: string | null = null;
  do {
    const page: ValuePage = await readPage(deps, cursor, countPage);
    for (const { sealed } of page.values) {
      const header = readHeader(sealed);
      const version = 'version' in header ? header.version : -1;
      counts.set(version, (counts.get(version) ?? 0) + 1);
    }
    cursor = page.next;
    await setImmediate();
  } while (cursor !== null);
  return counts;
}

export interface KeyDeletion {
  readonly changes: Change[];
  readonly deleted: number[];
  /** Retired versions that stay, and why. */
  readonly kept: { version: number; reason: string }[];
}

/** Makes the changes that delete the retired keys that nothing needs any more. */
export async function planDeletion(deps: RotationDeps, now: number): Promise<KeyDeletion> {
  const keys = await listKeys(deps.store);
  const retired = keys.filter((key) => key.state === 'retired');
  const counts = retired.length === 0 ? new Map<number, number>() : await countByVersion(deps);
  const kept = retired.flatMap(({ version }) => {
    const reason = reasonToKeep(keys, version, counts.get(version) ?? 0, now);
    return reason === undefined ? [] : [{ version, reason }];
  });
  const deleted = retired
    .map(({ version }) => version)
    .filter((version) => !kept.some((key) => key.version === version));
  const changes = deleted.map((version): Change => {
    return { kind: 'delete', table: 'seal_keys', where: { version, state: 'retired' }, expect: 1 };
  });
  return { changes, deleted, kept };
}

function reasonToKeep(keys: readonly KeyFacts[], version: number, values: number, now: number): string | undefined {
  if (values > 0) return `${values} values are still sealed under it`;
  const successor = keys.find((key) => key.version > version);
  if (successor === undefined) return 'it has no successor';
  return now - successor.created_at < retiredKeyGrace ? 'it was retired less than 24 hours ago' : undefined;
}

export type KeyFacts = Pick<SealKeyRow, 'version' | 'state' | 'created_at' | 'root_key_id'>;

/** All key versions, oldest first, without the keys. */
export function listKeys(store: Pick<Store, 'all'>): Promise<KeyFacts[]> {
  return store.all<KeyFacts>('SELECT version, state, created_at, root_key_id FROM seal_keys ORDER BY version', []);
}

/**
 * Puts all data keys under another root key, in one commit. Offline: stop every process that uses the store first, and
 * start them with the new root key. Sealed values stay as they are. Returns the versions; none when it was done already.
 * Throws `wrong_state` when `from` does not wrap the keys.
 */
export async function changeRootKey(options: {
  readonly store: Pick<Store, 'all' | 'commit'>;
  readonly from: RootKey;
  readonly to: RootKey;
  readonly clock: Clock;
}): Promise<number[]> {
  const { store, from, to, clock } = options;
  const rows = await store.all<SealKeyRow>(
    'SELECT version, wrapped_key, root_key_id, state, created_at FROM seal_keys ORDER BY version',
    [],
  );
  const due = rows.filter((row) => row.root_key_id !== to.id);
  if (due.length === 0) return [];
  const changes: Change[] = [];
  for (const row of due) changes.push(await wrapUnder(row, from, to));
  const versions = due.map((row) => row.version);
  const details = { from: from.id, to: to.id, versions: versions.join(',') };
  await store.commit(changes, [systemEvent(clock.now(), 'seal.change_root_key', 'seal/keys', details)]);
  return versions;
}

/** The old wrapping is given up only when the new one was seen to open. */
async function wrapUnder(row: SealKeyRow, from: RootKey, to: RootKey): Promise<Change> {
  const key = await unwrapRow(from, row);
  try {
    const wrapped = await to.wrap(key, row.version);
    const opened = await to.unwrap(wrapped, row.version);
    const sound = opened?.equals(key) === true;
    opened?.fill(0);
    if (!sound) throw new AppError('internal', `Root key ${to.id} does not open what it wrapped; nothing was changed.`);
    return {
      kind: 'update',
      table: 'seal_keys',
      set: { wrapped_key: wrapped, root_key_id: to.id },
      where: { version: row.version, wrapped_key: row.wrapped_key },
      expect: 1,
    };
  } finally {
    key.fill(0);
  }
}
