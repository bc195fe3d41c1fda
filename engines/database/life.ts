import type { Change } from '#core/change.ts';
import { remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { LeaseScope } from '#lease/contract.ts';
import { assertNoLeases, close } from './closing.ts';
import type { DatabaseDeps } from './deps.ts';
import type { ConnectionRow, RoleRow } from './tables.ts';

/**
 * The end of a role or connection. With live leases it is refused, or it drains: no mints from now on, every lease is
 * ended by the sweeper, and a job deletes the row when the last one is gone.
 */
export interface Ending {
  readonly state: 'deleted' | 'draining';
  readonly liveLeases: number;
  readonly changes: readonly Change[];
}

interface Doomed {
  readonly table: 'database_roles' | 'database_connections';
  readonly row: RoleRow | ConnectionRow;
  /** `role readonly` */
  readonly what: string;
  readonly resource: string;
  readonly scope: LeaseScope;
}

export async function endLife(deps: DatabaseDeps, grant: Grant, doomed: Doomed, drain: boolean): Promise<Ending> {
  const { table, row, resource, scope } = doomed;
  const live = await deps.leases.count(grant.namespace, scope);
  const where = { id: row.id, version: row.version };
  const closing = row.state === 'active' ? [close(row.id, grant.namespace, grant.now)] : [];
  if (live === 0) {
    const guard = assertNoLeases(grant.namespace, resource, () => stillLeased(doomed, 1));
    return { state: 'deleted', liveLeases: 0, changes: [guard, ...closing, remove(table, where, { expect: 1 })] };
  }
  if (!drain) throw stillLeased(doomed, live);
  const set = { state: 'draining', version: row.version + 1, updated_at: grant.now };
  const marking = row.state === 'active' ? [update(table, set, where, { expect: 1 })] : [];
  const changes = [...marking, ...closing, ...deps.leases.drain(grant.namespace, scope)];
  return { state: 'draining', liveLeases: live, changes };
}

function stillLeased({ what }: Doomed, live: number): AppError {
  return new AppError(
    'wrong_state',
    `There ${live === 1 ? 'is a live lease' : `are ${live} live leases`} of ${what}.`,
    {
      hint: 'Wait for their end, revoke them, or delete with drain: true, which ends them first.',
      members: { live_leases: live },
    },
  );
}

/** Throws `wrong_state` for what is about to go. */
export function assertActive(what: string, { state }: Pick<RoleRow, 'state'>): void {
  if (state === 'active') return;
  throw new AppError('wrong_state', `The ${what} is being deleted and takes no changes and no new leases.`, {
    hint: 'It goes as soon as its last lease has ended.',
  });
}
