import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { createStatementCache } from '#storage/sqlite/connection.ts';
import type { Query, QueryResult } from '#storage/sqlite/queries.ts';

/** The thread that runs built queries: lists and searches, which may look at a million rows before they find fifty. */
if (parentPort === null) throw new Error('this file runs as a worker thread');
const port = parentPort;
const database = new DatabaseSync(workerData as string, { readOnly: true, timeout: 1000 });
database.exec(
  'PRAGMA query_only = ON; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF',
);
const statements = createStatementCache((text) => database.prepare(text));

port.on('message', (message: Query | 'close') => {
  if (message === 'close') {
    database.close();
    port.close();
    return;
  }
  port.postMessage(run(message));
});

function run({ id, sql, parameters }: Query): QueryResult {
  try {
    return { id, rows: statements.get(sql).all(...parameters) };
  } catch (error) {
    // An error loses its result code between threads.
    const { errcode = 0, message = '' } = error as { errcode?: number; message?: string };
    return { id, failure: { errcode, message } };
  }
}
