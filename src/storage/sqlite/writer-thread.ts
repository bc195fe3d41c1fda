import { parentPort, workerData } from 'node:worker_threads';
import { loadLinker } from '#storage/linker.ts';
import { openFile } from '#storage/sqlite/connection.ts';
import { createWriter } from '#storage/sqlite/writer.ts';
import type { FromWriter, ToWriter, WriterSettings } from '#storage/sqlite/writer-messages.ts';

/**
 * The thread that writes. It owns the only connection that changes the file, and waits for the disk so that the event
 * loop need not: a commit is 0.2 to 1 ms of fsync.
 */
if (parentPort === null) throw new Error('this file runs as a worker thread');
const port = parentPort;
const { file, linker, maxPages } = workerData as WriterSettings;
const database = openFile(file);
// Measured: each commit walks the whole page cache. With 16 MiB a batch of 32 certificates takes an eighth less than with
// 64 MiB, and on 1,000,000 stored certificates no more: what is not in it, the system still has in its own.
database.exec('PRAGMA cache_size = -16384');
if (maxPages !== undefined) database.exec(`PRAGMA max_page_count = ${Math.trunc(maxPages)}`);
const post = (message: FromWriter): void => {
  port.postMessage(message);
};
const log = {
  error: ({ err }: { readonly err?: unknown }, message: string): void =>
    post({ type: 'log', detail: err instanceof Error ? err.message : '', message }),
};
const write = createWriter({ database, file, linker: await loadLinker(linker), log });

port.on('message', (message: ToWriter) => {
  if (message.type === 'close') {
    database.close();
    port.close();
    return;
  }
  const outcomes = write(message.units);
  post({ type: 'wrote', outcomes: outcomes.every((outcome) => outcome === null) ? [] : outcomes });
});
post({ type: 'ready' });
