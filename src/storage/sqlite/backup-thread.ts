import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/**
 * The thread that copies the store. VACUUM INTO reads one snapshot while the writer goes on, and writes a compact file
 * without a log of its own (https://sqlite.org/lang_vacuum.html).
 */
const { file, target } = workerData as { file: string; target: string };
const database = new DatabaseSync(file, { readOnly: true });
let failure: { errcode: number; message: string } | undefined;
try {
  database.prepare('VACUUM INTO ?').run(target);
} catch (error) {
  // An error loses its result code between threads.
  const { errcode = 0, message = '' } = error as { errcode?: number; message?: string };
  failure = { errcode, message };
} finally {
  database.close();
}
parentPort?.postMessage(failure);
