import { DatabaseError } from 'pg';
import { AppError } from '#core/errors.ts';
import { storageFull, unavailable } from '#storage/store-errors.ts';

/** SQLSTATE codes (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const taken = '23505';
const diskFull = '53100';
const nulInText = ['22021', '22P05'];
const tooLarge = '54000';
/** Serialization failure and deadlock: nothing is wrong, somebody else was faster. */
const lostRace = ['40001', '40P01'];
/**
 * The server, not the statement, is the trouble: connection (08), authorization (28), no database (3D), resources (53),
 * operator intervention and timeouts (57, 55P03, 25P03), a standby after failover (25006), system (58, XX).
 */
const unreachable = /^(?:08|28|3D|53|57|58|XX|55P03|25P03|25006)/;

function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

export function isTaken(error: unknown): boolean {
  return sqlState(error) === taken;
}

/** A time limit of ours ran out at the server: trying at once again would only wait as long again. */
export function isTimeout(error: unknown): boolean {
  return ['57014', '55P03'].includes(sqlState(error) ?? '');
}

export function isLostRace(error: unknown): boolean {
  return lostRace.includes(sqlState(error) ?? '');
}

/** Whether the server could not be reached or could not serve. */
export function isUnreachable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return unreachable.test(state) && state !== diskFull;
  return error instanceof Error && (socketError.test(error.message) || ('code' in error && 'syscall' in error));
}

/** What the driver says when a connection ends, cannot be made, or does not answer. */
const socketError = /^(?:Connection terminated|Client (?:has encountered|was closed)|Query read timeout|timeout )/;

/** What pg_xact_status says of a number that no transaction has had yet. */
export function isFutureTransaction(error: unknown): boolean {
  return sqlState(error) === '22023';
}

/** Whether the server told of an error and the connection lives on: the statement has no effect, for certain. */
export function isRefusal(error: unknown): boolean {
  return error instanceof DatabaseError && error.severity === 'ERROR';
}

/** What the caller hears; the error itself when it is a mistake of ours. The server's detail may hold values and is for the log. */
export function toStoreError(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const state = sqlState(error) ?? '';
  if (state === diskFull) return storageFull(error);
  if (isUnreachable(error)) return unavailable('The database of the store cannot be reached at the moment.', error);
  if (isLostRace(error)) {
    return new AppError('conflict', 'Somebody else changed this at the same moment.', {
      hint: 'Try again.',
      cause: error,
    });
  }
  if (nulInText.includes(state)) {
    return new AppError('invalid_request', 'A text holds a NUL character, which cannot be stored.', {
      hint: 'Leave it out.',
      cause: error,
    });
  }
  if (state.startsWith(tooLarge.slice(0, 2))) {
    return new AppError('too_large', 'A value is larger than the store can hold.', {
      hint: 'Send less at once.',
      cause: error,
    });
  }
  return error;
}
