import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { makeWholeFile } from '#storage/backup-file.ts';
import { startThread } from '#storage/sqlite/checkpointer.ts';
import { toStoreError } from '#storage/sqlite/errors.ts';
import type { Store } from '#storage/store.ts';

/** How often progress is told, in milliseconds. */
const progressEvery = 250;

/** Writes a consistent copy in a thread of its own; the event loop and the writer go on. */
export async function backupSqlite(
  database: DatabaseSync,
  file: string,
  ...[target, progress]: Parameters<Store['backup']>
): Promise<void> {
  const total = storeSize(database);
  await makeWholeFile(target, async (partial) => {
    const timer = setInterval(() => progress?.(Math.min(statSync(partial).size, total), total), progressEvery);
    try {
      await copyInThread(file, partial);
    } finally {
      clearInterval(timer);
    }
  });
  progress?.(total, total);
}

async function copyInThread(file: string, target: string): Promise<void> {
  const [failure] = (await once(startThread('backup-thread', { file, target }), 'message')) as [
    { errcode: number; message: string } | undefined,
  ];
  if (failure === undefined) return;
  throw toStoreError(Object.assign(new Error(failure.message), { errcode: failure.errcode }), target);
}

/** Bytes, with the free pages that a copy leaves out. */
function storeSize(database: DatabaseSync): number {
  const pages = database.prepare('PRAGMA page_count').get()?.['page_count'];
  const size = database.prepare('PRAGMA page_size').get()?.['page_size'];
  return Number(pages) * Number(size);
}
