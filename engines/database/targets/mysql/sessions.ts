import { setTimeout as sleep } from 'node:timers/promises';
import type { Residue } from '#database/target.ts';
import { errorNumber } from './errors.ts';
import { equals, literal } from './quote.ts';
import { ask, type Session } from './session.ts';
import { killSessions } from './statements.ts';

/** How long (ms) sessions may take to end; one that rolls back a large transaction takes longer, and is residue till then. */
const patience = 5000;

/** `ER_NO_SUCH_THREAD`: it ended by itself meanwhile. */
const gone = 1094;

export interface EndedSessions {
  readonly ended: number;
  readonly left: readonly Residue[];
}

/**
 * Ends these and all other sessions of a name and waits until none is left; `before` is told of each round. The account
 * must be locked or gone, or they come back.
 */
export async function endSessions(
  session: Session,
  username: string,
  first: readonly number[],
  before: (ids: readonly number[]) => Promise<void>,
): Promise<EndedSessions> {
  const seen = new Set(first);
  const begun = performance.now();
  let left: readonly number[] = first;
  for (let wait = 2; left.length > 0; wait = Math.min(wait * 2, 100)) {
    await before(left);
    for (const sql of killSessions(session.flavor, username, left)) await kill(session, sql);
    await sleep(wait);
    left = await sessionIds(session, username);
    for (const id of left) seen.add(id);
    if (performance.now() - begun > patience) break;
  }
  return { ended: seen.size - left.length, left: left.map(stubborn) };
}

/** The sessions of several names at once. */
export async function openSessions(
  session: Session,
  usernames: readonly string[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const names = [...new Set(usernames)];
  const binary = names.map((name) => `CAST(${literal(name)} AS BINARY)`).join(', ');
  const sql = `SELECT ID AS id, USER AS name FROM information_schema.PROCESSLIST WHERE CAST(USER AS BINARY) IN (${binary})`;
  const rows = await ask(session, sql, 'the list of sessions');
  const byName = Map.groupBy(rows, ({ name }) => String(name));
  return new Map(names.map((name) => [name, (byName.get(name) ?? []).map(({ id }) => Number(id))]));
}

export async function sessionIds(session: Session, username: string): Promise<number[]> {
  const sql = `SELECT ID AS id FROM information_schema.PROCESSLIST WHERE ${equals('USER', username)}`;
  return (await ask(session, sql, 'the list of sessions')).map((row) => Number(row['id']));
}

async function kill(session: Session, sql: string): Promise<void> {
  try {
    await ask(session, sql, 'the end of a session');
  } catch (error) {
    if (errorNumber(error) !== gone) throw error;
  }
}

function stubborn(id: number): Residue {
  return {
    place: 'server',
    object: `session ${id}`,
    reason: `It was killed and has not ended yet, maybe rolling back; its user cannot log in any more. See SHOW PROCESSLIST.`,
  };
}
