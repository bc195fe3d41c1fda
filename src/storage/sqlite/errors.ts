import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { AppError } from '#core/errors.ts';
import { storageFull, unavailable } from '#storage/store-errors.ts';

/** Result codes of SQLite (https://sqlite.org/rescode.html): primary in the low byte, extended as a whole. */
const code = {
  busy: 5,
  noMemory: 7,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  tooBig: 18,
  notADatabase: 26,
  constraintPrimaryKey: 1555,
  constraintUnique: 2067,
  constraintRowId: 2579,
} as const;

/** The extended result code of an error of node:sqlite; 0 for any other. */
function resultCode(error: unknown): number {
  const number = error instanceof Error && 'errcode' in error ? error.errcode : 0;
  return typeof number === 'number' ? number : 0;
}

export function isTaken(error: unknown): boolean {
  const number = resultCode(error);
  return number === code.constraintUnique || number === code.constraintPrimaryKey || number === code.constraintRowId;
}

export function isFull(error: unknown): boolean {
  return (resultCode(error) & 0xff) === code.full;
}

export function isBusy(error: unknown): boolean {
  return (resultCode(error) & 0xff) === code.busy;
}

/** What the caller hears: `storage_full`, `unavailable`, or the error itself when it is a mistake of ours. */
export function toStoreError(error: unknown, file: string): unknown {
  if (error instanceof AppError) return error;
  switch (resultCode(error) & 0xff) {
    case code.full:
      return storageFull(error);
    case code.io:
      // Some file systems report a full disk only at fsync or when a file is grown, and SQLite then says "I/O error".
      return hasNoSpace(file) ? storageFull(error) : unavailable('The disk of the store reports an error.', error);
    case code.corrupt:
    case code.notADatabase:
      return unavailable('The store is damaged.', error);
    case code.busy:
    case code.noMemory:
    case code.readOnly:
    case code.cannotOpen:
      return unavailable('The store cannot be written or read at the moment.', error);
    case code.tooBig:
      return new AppError('too_large', 'A value is larger than the store can hold.', { cause: error });
    default:
      return error;
  }
}

function hasNoSpace(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize < 1_048_576;
  } catch {
    return false;
  }
}
