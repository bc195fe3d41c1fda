import { closeSync, existsSync, openSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppError } from '#core/errors.ts';
import { makeFolder } from '#storage/folder.ts';
import { isBusy } from '#storage/sqlite/errors.ts';

/** Lets go of the lock. */
export type Unlock = () => void;

/**
 * Makes this process the only one that uses the store: a second server on the same file would chain its audit events to
 * a head that it does not know. The lock is the operating system's own on a file beside the store, taken by an open
 * transaction, so it is gone with the process however that ends; the file itself stays and means nothing.
 *
 * The file is never opened but through SQLite: closing any other descriptor of it would drop the lock of the whole
 * process (POSIX, fcntl).
 */
export function lockStore(file: string): Unlock {
  const path = `${file}-lock`;
  createPrivate(path);
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    throw new AppError('wrong_state', 'Another process is using this store.', {
      hint: `Stop the other Chancery on ${file}, or run several on one PostgreSQL (CHANCERY_STORAGE=postgres://…).`,
      cause: error,
    });
  }
  return () => lock.close();
}

/** The one path of a store's file, whatever links lead to it: the lock stands beside it. Makes its folder (mode 0700). */
export function storeFile(path: string): string {
  makeFolder(dirname(resolve(path)));
  return existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(resolve(path))), basename(path));
}

/** Makes an empty file that only its owner may read, unless there is one. */
export function createPrivate(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
}
