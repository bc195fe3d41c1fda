import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync } from 'node:fs';
import { appendFile, link, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '#core/errors.ts';
import { storageFull } from '#storage/store-errors.ts';

/**
 * The form of a backup: a SQLite file, then its SHA-256, so that a single changed bit is found when it is restored
 * (SQLite itself finds only what breaks its structure). SQLite reads as many pages as the header says and does not mind
 * what follows them.
 */
const digestLine = /^\nchancery-backup sha256 ([0-9a-f]{64})\n$/;
const digestLength = 89;

/** Writes the digest of a file behind it. */
export async function appendDigest(path: string): Promise<void> {
  await appendFile(path, `\nchancery-backup sha256 ${await digestOf(path, Infinity)}\n`);
}

/** Whether a file ends with the digest of what stands before. */
export async function hasDigest(path: string): Promise<boolean> {
  const end = (await stat(path)).size - digestLength;
  if (end <= 0) return false;
  const tail: Buffer[] = [];
  for await (const chunk of createReadStream(path, { start: end })) tail.push(chunk as Buffer);
  const digest = digestLine.exec(Buffer.concat(tail).toString('latin1'))?.[1];
  return digest !== undefined && digest === (await digestOf(path, end));
}

async function digestOf(path: string, length: number): Promise<string> {
  const digest = createHash('sha256');
  const stream = createReadStream(path, { end: length - 1, highWaterMark: 1_048_576 });
  for await (const chunk of stream) digest.update(chunk as Buffer);
  return digest.digest('hex');
}

/**
 * Makes a file that appears under its name only when it is whole and on the disk. `write` gets the path of an empty
 * file of mode 0600 to fill. Throws `already_exists` when there is something at `path` (nothing is ever overwritten),
 * `invalid_request` when no file can be made there, `storage_full`.
 */
export async function makeWholeFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) throw taken();
  const partial = `${path}.partial`;
  try {
    // What an interrupted attempt left behind.
    await rm(partial, { force: true });
    await (await open(partial, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)).close();
    await write(partial);
    await appendDigest(partial);
    await syncPath(partial);
    // Unlike rename, link does not replace what appeared there meanwhile.
    await link(partial, path);
    await rm(partial);
    await syncPath(dirname(path));
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw toFileError(error);
  }
}

function taken(cause?: unknown): AppError {
  return new AppError('already_exists', 'There is a file at the path of the backup already.', {
    hint: 'Choose another path, or remove the file first.',
    cause,
  });
}

function toFileError(error: unknown): unknown {
  const { code, syscall } = error as { code?: string; syscall?: string };
  if (syscall === undefined) return error;
  if (code === 'EEXIST') return taken(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return storageFull(error);
  return new AppError('invalid_request', `No file can be written at the path of the backup: ${code}.`, {
    hint: 'Give a path in a folder that exists and that the server may write to.',
    cause: error,
  });
}

/** Waits until a file, or the names in a folder, are on the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
