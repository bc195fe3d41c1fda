import type { Change, Row } from '#core/change.ts';
import { update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { DatabaseDeps } from './deps.ts';
import { type Connection, connectionResource } from './directory.ts';
import { isRotating, openRotation, promote, releaseRotation, type Rotation, setAtTarget } from './rotation.ts';
import { openPassword } from './secret.ts';
import { nextRotation, retryTime, type StaticRole, staticRoleSchema } from './static-role-schema.ts';
import type { StaticRoleRow } from './tables.ts';
import { TargetError, type UserName } from './target.ts';
import { explainFailure } from './target-failure.ts';

/** Static roles: reading them, and changing the passwords of their users. */

export interface StoredStaticRole {
  readonly row: StaticRoleRow;
  readonly role: StaticRole;
}

/** Throws `not_found`. */
export async function readStaticRole(
  { store }: Pick<DatabaseDeps, 'store'>,
  grant: Grant,
  name: string,
): Promise<StoredStaticRole> {
  const sql = 'SELECT * FROM database_static_roles WHERE namespace = ? AND name = ?';
  const row = await store.first<StaticRoleRow>(sql, [grant.namespace, name]);
  if (row) {
    grant.reach(connectionResource(row.connection));
    return parseStaticRole(row);
  }
  throw new AppError('not_found', `There is no static role ${name}.`, {
    hint: 'database.list_static_roles shows those that exist.',
  });
}

export function parseStaticRole(row: StaticRoleRow): StoredStaticRole {
  return { row, role: staticRoleSchema.parse(JSON.parse(row.definition)) };
}

export function staticUser({ username, host }: StaticRole, { definition }: Connection): UserName {
  return definition.engine === 'mysql' ? { username, host: host ?? '%' } : { username };
}

export interface StaticRotationPlan {
  readonly stored: StoredStaticRole;
  readonly connection: Connection;
  readonly rotation: Rotation;
}

export async function planStaticRotation(
  deps: DatabaseDeps,
  grant: Grant,
  stored: StoredStaticRole,
): Promise<{ plan: StaticRotationPlan; changes: readonly Change[] }> {
  const { row, role } = stored;
  const connection = await deps.directory.requireConnection(grant.namespace, row.connection);
  const { rotation, changes } = await openRotation({
    sealer: deps.sealer,
    table: 'database_static_roles',
    row,
    policy: role.password_policy,
    now: grant.now,
  });
  return { plan: { stored, connection, rotation }, changes };
}

/** Changes the password at the target, and says why no login proves it (null: one does). On failure the row says why, and when it is tried again. */
export async function rotateAtTarget(deps: DatabaseDeps, plan: StaticRotationPlan): Promise<string | null> {
  const { stored, connection, rotation } = plan;
  const user = staticUser(stored.role, connection);
  try {
    return await deps.pools.use(connection, (target) => setAtTarget(target, user, rotation));
  } catch (thrown) {
    const error = explainFailure(thrown, connection.row.name);
    await releaseRotation(deps.store, rotation, thrown, failureOf(stored, error, deps.clock.now()));
    throw error;
  }
}

function failureOf({ row, role }: StoredStaticRole, error: unknown, now: number): Row {
  const attempts = row.attempts + 1;
  return {
    attempts,
    last_error: error instanceof AppError ? error.message : 'An internal error occurred; the log has the details.',
    next_rotation_at: retryTime(role, row.rotated_at ?? row.created_at, attempts, now),
  };
}

/** The rotation has worked. */
export function promoteStatic(
  deps: DatabaseDeps,
  { stored, rotation }: StaticRotationPlan,
  now: number,
  unverified: string | null,
): Change {
  const { role } = stored;
  const also = { attempts: 0, last_error: null, unverified, next_rotation_at: nextRotation(role, now) };
  return promote(deps.sealer, rotation, now, also);
}

/** Leaves the rotation to a later time. */
export function postpone({ row }: StoredStaticRole, until: number): Change {
  const where = { id: row.id, version: row.version, rotation: row.rotation };
  return update('database_static_roles', { next_rotation_at: until }, where, { expect: 1 });
}

/**
 * The newest password that was set. While a rotation is open either may be the one, and a login shows which; where none
 * works it is the one being set, unverified, and `earlier` is the one before. Throws `wrong_state` while there is none.
 */
export async function currentPassword(
  deps: DatabaseDeps,
  connection: Connection,
  { row, role }: StoredStaticRole,
): Promise<CurrentPassword> {
  const place = { table: 'database_static_roles', row: row.id } as const;
  const current = row.password && (await openPassword(deps.sealer, { ...place, column: 'password' }, row.password));
  if (row.next_password === null && current !== null)
    return { password: current, earlier: null, verified: row.unverified === null };
  if (row.next_password !== null) {
    const next = await openPassword(deps.sealer, { ...place, column: 'next_password' }, row.next_password);
    const candidates = current === null ? [next] : [current, next];
    const user = staticUser(role, connection);
    for (const password of candidates)
      if (await works(deps, connection, user, password)) return { password, earlier: null, verified: true };
    // One that is being set for the first time may not have reached the server.
    if (current !== null || !isRotating(row, deps.clock.now()))
      return { password: next, earlier: current, verified: false };
  }
  throw new AppError('wrong_state', `The user of static role ${row.name} has no password of ours yet.`, {
    hint: row.last_error ?? 'Rotate it with database.rotate_static_role.',
  });
}

interface CurrentPassword {
  readonly password: string;
  readonly earlier: string | null;
  readonly verified: boolean;
}

/** A server that cannot be asked proves nothing, and is no reason to withhold a password. */
async function works(deps: DatabaseDeps, connection: Connection, user: UserName, password: string): Promise<boolean> {
  try {
    return await deps.pools.use(connection, (target) => target.canLogIn(user, password));
  } catch (error) {
    if (error instanceof TargetError) return false;
    throw error;
  }
}
