import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { AppError } from '#core/errors.ts';
import { isFutureTransaction, isRefusal } from '#storage/postgres/errors.ts';
import type { ChainHead } from '#storage/store.ts';

/** What asking for the outcome needs. */
interface Connections {
  readonly connection: () => Promise<Client>;
  readonly discard: (client: Client) => void;
}

/** The connection broke during COMMIT, and the server could not be asked what became of the transaction. */
export class OutcomeUnknown extends AppError {
  constructor(cause: unknown) {
    super('unavailable', 'The database of the store went away during a commit; it may have been stored or not.', {
      hint: 'Look whether it is there before you ask again; a repeat with the same Idempotency-Key is safe.',
      retryAfter: 10,
      cause,
    });
  }
}

/** Milliseconds: between questions, and until no more are asked; enough for a restart with recovery. */
const pause = 250;
const patience = 30_000;

/** What tells a transaction of ours from every other. */
export interface TransactionMark {
  /** Its number (xid8). */
  readonly number: string;
  /** Where it left the audit chain; undefined when it wrote no event. */
  readonly head: ChainHead | undefined;
}

/**
 * Commits. When the connection breaks before the answer, asks the server on a new one what became of the transaction
 * (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-XACT-STATUS), so that success and failure
 * are never guessed. Throws when nothing was stored, or `OutcomeUnknown`.
 */
export async function commitOrResolve(connections: Connections, client: Client, mark: TransactionMark): Promise<void> {
  try {
    const { command } = await client.query('COMMIT');
    // COMMIT of a transaction that failed answers ROLLBACK, and not with an error.
    if (command !== 'COMMIT') throw new TypeError('a transaction that had failed was to be committed');
  } catch (error) {
    if (isRefusal(error) || error instanceof TypeError) throw error;
    connections.discard(client);
    await resolveOutcome(connections, mark, error);
  }
}

async function resolveOutcome(connections: Connections, mark: TransactionMark, lost: unknown): Promise<void> {
  const deadline = performance.now() + patience;
  while (performance.now() < deadline) {
    const committed = await askOutcome(connections, mark);
    if (committed === true) return;
    if (committed === false) throw lost;
    await sleep(pause);
  }
  throw new OutcomeUnknown(lost);
}

/** Whether the transaction was committed; undefined while the server does not answer or does not know yet. */
async function askOutcome({ connection, discard }: Connections, mark: TransactionMark): Promise<boolean | undefined> {
  let client: Client | undefined;
  try {
    client = await connection();
    const { rows } = await client.query<{ status: string | null }>('SELECT pg_xact_status($1::xid8) AS status', [
      mark.number,
    ]);
    const status = rows[0]?.status;
    if (status === 'aborted') return false;
    return status === 'committed' ? await isInChain(client, mark.head) : undefined;
  } catch (error) {
    if (isFutureTransaction(error)) return false;
    if (client) discard(client);
    return undefined;
  }
}

/**
 * Whether the last event of a transaction is in the log. A number alone does not prove it: after a crash, numbers that
 * never reached the disk are given again, to others.
 */
async function isInChain(client: Client, head: ChainHead | undefined): Promise<boolean> {
  if (head === undefined) return true;
  const { rows } = await client.query<{ hash: Buffer }>('SELECT hash FROM audit_events WHERE seq = $1', [head.seq]);
  return rows[0]?.hash.equals(head.hash) ?? false;
}
