import { randomUUID } from 'node:crypto';
import { AppError } from '#core/errors.ts';
import { allMigrations } from '#storage/migrate.ts';
import { openPostgresStore } from '#storage/postgres/open.ts';
import { openSqliteStore } from '#storage/sqlite/open.ts';
import type { LinkerModule, Migration, Store, StoreLog } from '#storage/store.ts';

export interface StoreOptions {
  /** `sqlite:<file>` or `postgres://…`. */
  readonly url: string;
  readonly linker: LinkerModule;
  /** The engines' migrations; core's own are always applied, given or not. */
  readonly migrations: readonly Migration[];
  /** Names this process among several on one PostgreSQL; random when absent. */
  readonly nodeId?: string | undefined;
  readonly log?: StoreLog | undefined;
}

/**
 * Opens the store and brings its schema up to date. Throws `wrong_state` when the schema is newer than this version or
 * another process uses the file, `unavailable` when the database cannot be reached, `invalid_request` for another URL.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { linker, nodeId = randomUUID(), log = silent } = options;
  const migrations = allMigrations(options.migrations);
  const place = parseStoreUrl(options.url);
  return place.kind === 'sqlite'
    ? openSqliteStore({ file: place.file, linker, migrations, log })
    : openPostgresStore({ url: place.url, linker, migrations, nodeId, log });
}

export type StorePlace =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string };

/** Reads `sqlite:<file>` or `postgres://…`. The error never repeats the URL, which may hold a password. */
export function parseStoreUrl(url: string): StorePlace {
  const file = /^sqlite:(.+)$/.exec(url)?.[1];
  if (file !== undefined && file !== ':memory:') return { kind: 'sqlite', file };
  if (/^postgres(?:ql)?:\/\//.test(url)) return { kind: 'postgres', url };
  throw new AppError('invalid_request', 'The storage must be sqlite:<file> or postgres://<user>@<host>/<database>.', {
    hint: 'Set CHANCERY_STORAGE accordingly, for example to sqlite:.chancery/chancery.db',
  });
}

const silent: StoreLog = { info: () => undefined, warn: () => undefined, error: () => undefined };
