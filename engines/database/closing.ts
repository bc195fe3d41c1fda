import { type Change, insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';

/** The gate between mints and deletions; see `ClosedRow`. */

/** Goes into the commit of an intent: none of these roles and connections was closed meanwhile. */
export function assertOpen(ids: readonly string[], now: number): Change {
  const otherwise = () =>
    new AppError('wrong_state', 'The role or its connection was just closed for deletion.', {
      hint: 'Ask for another role.',
    });
  return update('database_closed', { closed_at: now }, { id: [...ids] }, { expect: 0, otherwise });
}

export function close(id: string, namespace: string, now: number): Change {
  return insert('database_closed', { id, namespace, closed_at: now });
}

/** Goes into the commit of a deletion: nothing that was leased through this resource is left. */
export function assertNoLeases(namespace: string, scope: string, otherwise: () => AppError): Change {
  return update('lease_counts', {}, { namespace, scope, live: { gt: 0 } }, { expect: 0, add: { live: 0 }, otherwise });
}
