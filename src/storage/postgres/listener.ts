import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect } from '#storage/postgres/connection.ts';
import type { StoreLog } from '#storage/store.ts';
import type { Watchers } from '#storage/watchers.ts';

/** Hears what other nodes changed. */
export interface Listener {
  /** What a transaction says with `pg_notify`. */
  readonly notice: (tables: Iterable<string>) => { channel: string; payload: string };
  readonly close: () => Promise<void>;
}

const channel = 'chancery_changes';
/** PostgreSQL takes less than 8000 bytes. */
const maxPayload = 7000;
/** Milliseconds. A connection that died without a word is found within `heartbeat` and the time limit of an answer. */
const heartbeat = 5000;
const answerWithin = 2000;
const firstPause = 100;
const longestPause = 5000;

/**
 * One connection that listens, for as long as the store is open. Messages that are sent while there is none are lost, so
 * everybody who watches is told when it ends, and again when there is another.
 */
export async function createListener(
  url: string,
  nodeId: string,
  watchers: Pick<Watchers, 'changed' | 'changedUnknown'>,
  log: StoreLog,
): Promise<Listener> {
  const closing = new AbortController();
  let client = await listen(url, nodeId, watchers, log);
  const keepListening = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await untilEnd(client, closing.signal);
      await client.end().catch(() => undefined);
      if (closing.signal.aborted) return;
      watchers.changedUnknown();
      const again = await reconnect(() => listen(url, nodeId, watchers, log), closing.signal, log);
      if (again === undefined) return;
      client = again;
      watchers.changedUnknown();
    }
    await client.end().catch(() => undefined);
  };
  const done = keepListening();
  return {
    notice: (tables) => ({ channel, payload: toPayload(nodeId, tables) }),
    async close() {
      closing.abort();
      await done;
    },
  };
}

/** The node that changed something, and the tables; `*` when they are too many to name. */
function toPayload(nodeId: string, tables: Iterable<string>): string {
  const payload = [nodeId, ...tables].join(' ');
  return payload.length <= maxPayload ? payload : `${nodeId} *`;
}

async function listen(
  url: string,
  nodeId: string,
  watchers: Pick<Watchers, 'changed' | 'changedUnknown'>,
  log: StoreLog,
): Promise<Client> {
  const client = await connect(url, 'read', log, { query_timeout: answerWithin });
  client.on('notification', ({ payload = '' }) => {
    const [sender, ...tables] = payload.split(' ');
    if (sender === nodeId) return;
    if (tables.includes('*')) watchers.changedUnknown();
    else watchers.changed(tables);
  });
  await client.query(`LISTEN ${channel}`);
  return client;
}

/** Resolves when the connection has ended, does not answer any more, or is not wanted any more. */
async function untilEnd(client: Client, closing: AbortSignal): Promise<void> {
  const ended = new AbortController();
  client.once('end', () => ended.abort());
  const either = AbortSignal.any([ended.signal, closing]);
  try {
    for (;;) {
      await sleep(heartbeat, undefined, { signal: either, ref: false });
      await client.query('SELECT 1');
    }
  } catch {
    // the connection is of no use any more, whatever it says
  }
}

async function reconnect(
  attempt: () => Promise<Client>,
  closing: AbortSignal,
  log: StoreLog,
): Promise<Client | undefined> {
  for (let pause = firstPause; ; pause = Math.min(2 * pause, longestPause)) {
    try {
      // Half of it by chance, so that nodes do not all come back at once.
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: closing, ref: false });
    } catch {
      return undefined;
    }
    try {
      return await attempt();
    } catch (error) {
      log.warn({ err: error }, 'cannot listen to what other nodes change; will try again');
    }
  }
}
