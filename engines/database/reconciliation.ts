import type { Grant } from '#core/grant.ts';
import type { LeaseRow, LeaseTables } from '#lease/tables.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, connectionResource } from './directory.ts';
import type { ListedUser, Target } from './target.ts';
import { usernamePrefix } from './username.ts';

/** Users at a target that no live lease stands for, and active leases whose users are not there. */
export interface Comparison {
  readonly users: number;
  readonly orphans: readonly ListedUser[];
  readonly missing: readonly LeaseRow[];
}

/**
 * Looks twice at the target, before and after the rows, so that nothing that is minted or revoked meanwhile is found:
 * a user that was there before has a row that was made before it, and the user of a row that was active before the
 * second look was made before it.
 */
export async function compare(
  deps: DatabaseDeps,
  grant: Grant,
  connection: Connection,
  target: Target,
): Promise<Comparison> {
  const prefix = usernamePrefix(connection.row.tag);
  const before = await target.listUsers(prefix);
  const leases = await unendedLeases(deps, grant, connection);
  const after = await target.listUsers(prefix);
  const known = new Set(leases.map(({ subject }) => subject));
  const present = new Set(after.map(nameOf));
  const still = new Set((await unendedLeases(deps, grant, connection)).filter(isActive).map(({ id }) => id));
  return {
    users: after.length,
    orphans: before.filter((user) => !known.has(user.username) && present.has(nameOf(user))),
    missing: leases.filter((lease) => isActive(lease) && !present.has(lease.subject) && still.has(lease.id)),
  };
}

function nameOf({ username }: ListedUser): string {
  return username;
}

function isActive({ state }: LeaseRow): boolean {
  return state === 'active';
}

function unendedLeases({ store }: DatabaseDeps, grant: Grant, { row }: Connection): Promise<LeaseRow[]> {
  return store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .selectAll()
    .where('namespace', '=', grant.namespace)
    .where('target', '=', connectionResource(row.name))
    .where('state', '!=', 'revoked')
    .execute();
}
