import { literal } from './quote.ts';

/** The key of the advisory lock on a leased user (PostgreSQL §13.3.5), which the server keeps apart by database. */
function key(username: string): string {
  return `hashtextextended(${literal(`chancery ${username}`)}, 0)`;
}

/**
 * SQL that keeps two changes of one user apart: ALTER ROLE and DROP ROLE at the same time fail with "tuple concurrently
 * updated". For a session, until `unlockUser`.
 */
export function lockUser(username: string): string {
  return `SELECT pg_advisory_lock(${key(username)})`;
}

export function unlockUser(username: string): string {
  return `SELECT pg_advisory_unlock(${key(username)})`;
}

/** Likewise, until the transaction ends. */
export function lockUserHere(username: string): string {
  return `SELECT pg_advisory_xact_lock(${key(username)})`;
}
