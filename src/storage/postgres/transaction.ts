import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { AppError } from '#core/errors.ts';
import { isRefusal } from '#storage/postgres/errors.ts';

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

/** Milliseconds between questions, and how many are asked: about ten seconds, enough for a restart. */
const pause = 250;
const questions = 40;

/**
 * Commits. When the connection breaks before the answer, asks the server on a new one what became of the transaction
 * (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-XACT-STATUS), so that success and failure
 * are never guessed. Throws when nothing was stored, or `OutcomeUnknown`.
 */
export async function commitOrResolve(connections: Connections, client: Client, transaction: string): Promise<void> {
  try {
    const { command } = await client.query('COMMIT');
    // COMMIT of a transaction that failed answers ROLLBACK, and not with an error.
    if (command !== 'COMMIT') throw new Error('the transaction was rolled back at its commit');
  } catch (error) {
    if (isRefusal(error) || (error as Error).message.startsWith('the transaction was')) throw error;
    connections.discard(client);
    await resolveOutcome(connections, transaction, error);
  }
}

async function resolveOutcome(connections: Connections, transaction: string, lost: unknown): Promise<void> {
  for (let question = 0; question < questions; question++) {
    const status = await askStatus(connections, transaction);
    if (status === 'committed') return;
    if (status === 'aborted') throw lost;
    await sleep(pause);
  }
  throw new OutcomeUnknown(lost);
}

async function askStatus({ connection, discard }: Connections, transaction: string): Promise<string | null> {
  let client: Client | undefined;
  try {
    client = await connection();
    const { rows } = await client.query<{ status: string | null }>('SELECT pg_xact_status($1::xid8) AS status', [
      transaction,
    ]);
    return rows[0]?.status ?? null;
  } catch {
    if (client) discard(client);
    return null;
  }
}
