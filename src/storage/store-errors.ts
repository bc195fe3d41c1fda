import type { Delete, Insert, Update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';

/** The errors that both databases share. None of them holds a value of a row. */

export function storageFull(cause: unknown): AppError {
  return new AppError('storage_full', 'The store has no space left.', {
    hint: 'Free space where the store lies. A running server then goes on by itself; one that could not start is started again.',
    retryAfter: 30,
    cause,
  });
}

export function unavailable(message: string, cause?: unknown): AppError {
  return new AppError('unavailable', message, {
    hint: 'Try again; if it lasts, look at the server log and at the store itself.',
    retryAfter: 5,
    cause,
  });
}

/** The error of an insert whose key is taken. */
export function takenError(insert: Pick<Insert, 'taken' | 'table'>): AppError {
  return insert.taken?.() ?? changedMeanwhile();
}

/** The error of an update or delete that did not touch the rows it expected. */
export function unexpectedError(change: Update | Delete): AppError {
  return change.otherwise?.() ?? changedMeanwhile();
}

function changedMeanwhile(): AppError {
  return new AppError('conflict', 'Somebody else changed this at the same moment.', { hint: 'Try again.' });
}
