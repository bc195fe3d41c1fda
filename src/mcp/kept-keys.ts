import { hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyRequest } from './local-keys.ts';
import { writeNew } from './private-file.ts';

/**
 * Keys whose request waits for an approval. It was given for that request and no other, and whoever approves may take hours:
 * so the key stays in a file of mode 0600 beside the secrets, until it is certified, and longer than an approval is good.
 */
export interface KeptKeys {
  /** Undefined where none is kept, or where it cannot be read. */
  find(name: string): Promise<KeyRequest | undefined>;
  /** The one that is there stays. Never rejects: what is not kept is known while the process lives. */
  keep(name: string, request: KeyRequest): Promise<void>;
  drop(name: string): Promise<void>;
}

/** Milliseconds for which an approval may be waited for (src/policy/approvals.ts). */
const lifetime = 24 * 3_600_000;
const largest = 65_536;
const form = /^pending-[0-9a-f]{64}\.json$/;

/** Names what is asked for, and of which server: the same input in any order of its fields has one name. */
export function nameOfRequest(server: string, input: unknown): string {
  return `pending-${hash('sha256', JSON.stringify([server, sorted(input)]))}.json`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([field, item]) => [field, sorted(item)]);
}

/** `folder` must be the user's own (file-delivery.ts); `written` is told of every file. */
export function createKeptKeys(folder: string, written: (path: string) => void): KeptKeys {
  const quietly = <Value>(work: Promise<Value>): Promise<Value | undefined> => work.catch(() => undefined);
  const write = async (path: string, { privateKey, csr }: KeyRequest): Promise<void> => {
    await removeOld(folder);
    await writeNew(path, JSON.stringify({ private_key: privateKey, csr }));
    written(path);
  };
  return {
    find: (name) => quietly(readKept(join(folder, name))),
    keep: (name, request) => quietly(write(join(folder, name), request)),
    drop: (name) => quietly(unlink(join(folder, name))),
  };
}

async function readKept(path: string): Promise<KeyRequest | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size, mtimeMs } = await file.stat();
    if (size > largest || mtimeMs < Date.now() - lifetime) return undefined;
    const { private_key: privateKey, csr } = JSON.parse(await file.readFile('utf8')) as Record<string, unknown>;
    return typeof privateKey === 'string' && typeof csr === 'string' ? { privateKey, csr } : undefined;
  } finally {
    await file.close();
  }
}

/** Those whose approval is good no more. */
async function removeOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!form.test(name)) continue;
    const path = join(folder, name);
    if ((await readKept(path).catch(() => undefined)) === undefined) await unlink(path);
  }
}
