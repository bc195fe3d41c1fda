import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/**
 * The thread that moves what is committed from the write-ahead log into the file, each time it is told to. It has a
 * connection of its own; a passive checkpoint waits for nobody and holds nobody up (https://sqlite.org/wal.html).
 */
const database = new DatabaseSync(workerData as string, { timeout: 1000 });
database.exec('PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0');
const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');

parentPort?.on('message', (message: 'checkpoint' | 'close') => {
  if (message === 'close') {
    database.close();
    parentPort?.close();
    return;
  }
  checkpoint.get();
  parentPort?.postMessage('done');
});
