import { randomBytes } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import type { SealedColumn } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { SettingRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import { sealedBytes, toText, unreadable } from './sealed-value.ts';
import type { Place, Sealer } from './sealer.ts';
import { systemEvent } from './system-event.ts';

/** Small facts of the installation that are made once and kept: its id, and keys, which are sealed. */

export interface SettingDeps {
  readonly store: Pick<Store, 'first' | 'commit'>;
  readonly clock: Clock;
}

/** The values of this table that begin with `sealed:` take part in the rotation of data keys. */
export const settingsColumn: SealedColumn = { table: 'settings', key: 'name', column: 'value' };

const installationIdName = 'installation_id';

/** The name of this installation, 16 hex digits; made when the store is new. It is no secret. */
export function installationId(deps: SettingDeps): Promise<string> {
  return ensureSetting(deps, installationIdName, () => randomBytes(8).toString('hex'));
}

/**
 * The secret under a name, opened; made, sealed and recorded when there is none. `make` hands over its buffer, which is
 * zeroed. The caller zeroes the result.
 */
export async function sealedSetting(
  deps: SettingDeps & { readonly sealer: Sealer },
  name: string,
  make: () => Buffer,
): Promise<Buffer> {
  const place: Place = { table: settingsColumn.table, row: name, column: settingsColumn.column };
  const value = await ensureSetting(deps, name, () => {
    const secret = make();
    try {
      return toText(deps.sealer.seal(place, secret));
    } finally {
      secret.fill(0);
    }
  });
  const sealed = sealedBytes(value);
  if (sealed === undefined) throw unreadable(place, 'it is not a sealed value');
  return deps.sealer.open(place, sealed);
}

async function ensureSetting(deps: SettingDeps, name: string, make: () => string): Promise<string> {
  const known = await readSetting(deps.store, name);
  if (known !== undefined) return known;
  const event = systemEvent(deps.clock.now(), 'seal.create_setting', `seal/settings/${name}`);
  try {
    await deps.store.commit([{ kind: 'insert', table: 'settings', row: { name, value: make() } }], [event]);
  } catch (error) {
    // another process was first; then its value is the one
    if (!(error instanceof AppError && (error.code === 'conflict' || error.code === 'already_exists'))) throw error;
  }
  const made = await readSetting(deps.store, name);
  if (made === undefined) throw new Error(`the setting ${name} was made and is not there`);
  return made;
}

async function readSetting(store: Pick<Store, 'first'>, name: string): Promise<string | undefined> {
  const row = await store.first<Pick<SettingRow, 'value'>>('SELECT value FROM settings WHERE name = ?', [name]);
  return row?.value;
}
