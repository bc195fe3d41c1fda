import { type Change, type Row, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { randomOctets } from '#core/random.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { generatePassword, type PasswordPolicy } from './password.ts';
import { openPassword, type SecretPlace, sealPassword } from './secret.ts';
import type { RotatedSecret } from './tables.ts';
import { type Target, TargetError, type UserName } from './target.ts';

/**
 * Changing a password in two phases:
 *
 *  1. `openRotation`: the next password is durable, sealed, before the target hears of it (commit of the intent);
 *  2. `changeAtTarget`: it is set, and a login by it is tried;
 *  3. `promote`: it takes the place of the old one (commit of the result).
 *
 * A crash after 1 or 2 leaves both passwords on record, one of which the target knows. The next rotation then sets the
 * same next password again instead of making another: two of them, of which either might still arrive at the target,
 * would be one too many to keep. A fresh one is made only when the target said that it did not take the last.
 */
export interface Rotation {
  readonly table: SecretPlace['table'];
  readonly id: string;
  readonly password: string;
  /** Fencing: what another one took over does not end here. */
  readonly token: string;
  /** Made for this rotation: the target cannot know it from an earlier one. */
  readonly fresh: boolean;
}

/** Milliseconds after which a rotation that was not seen to end may be taken over; a living one takes at most 30 s. */
export const rotationDeadline = 60_000;

interface RotatedRow extends RotatedSecret {
  readonly id: string;
  readonly version: number;
}

interface RotationParts {
  readonly sealer: Sealer;
  readonly table: SecretPlace['table'];
  readonly row: RotatedRow;
  readonly policy: PasswordPolicy | undefined;
  readonly now: number;
}

/** Whether somebody is changing the password now. */
export function isRotating({ rotation, rotation_started_at: startedAt }: RotatedSecret, now: number): boolean {
  return rotation !== null && now - (startedAt ?? 0) < rotationDeadline;
}

export function underWay(): AppError {
  return new AppError('wrong_state', 'A rotation of this password is under way.', {
    hint: 'Wait for it; one that a crash cut short is taken over after a minute.',
    retryAfter: 5,
  });
}

/** Throws `wrong_state` while another one is under way. */
export async function openRotation(parts: RotationParts): Promise<{ rotation: Rotation; changes: readonly Change[] }> {
  const { sealer, table, row, policy, now } = parts;
  const { rotation: earlier, next_password: pending } = row;
  if (isRotating(row, now)) throw underWay();
  const place = { table, row: row.id, column: 'next_password' } as const;
  const password = pending === null ? generatePassword(policy) : await openPassword(sealer, place, pending);
  const token = randomOctets(16).toString('hex');
  const set: Row = {
    rotation: token,
    rotation_started_at: now,
    ...(pending === null ? { next_password: sealPassword(sealer, place, password) } : {}),
  };
  const where = { id: row.id, version: row.version, rotation: earlier };
  return {
    rotation: { table, id: row.id, password, token, fresh: pending === null },
    changes: [update(table, set, where, { expect: 1 })],
  };
}

/** Sets the password and logs in by it. Throws TargetError; after the first step its outcome is always `unknown`. */
export async function changeAtTarget(target: Target, user: UserName, rotation: Rotation): Promise<void> {
  await target.setPassword(user, rotation.password);
  if (await canLogIn(target, user, rotation.password)) return;
  throw new TargetError('statement', 'The new password was set, and a login by it is refused.', {
    outcome: 'unknown',
    hint: 'Both passwords are kept; see why the server refuses the login (pg_hba.conf, a proxy), and rotate again.',
  });
}

/**
 * Sets the password of a user that need not be able to log in from here (another host, pg_hba.conf). The server has taken
 * it, so it counts: the answer says why no login proves it; null: one does. Throws TargetError when it was not set.
 */
export async function setAtTarget(target: Target, user: UserName, rotation: Rotation): Promise<string | null> {
  await target.setPassword(user, rotation.password);
  try {
    await target.logIn(user, rotation.password, undefined);
    return null;
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    // A server that has no place for a session has found the password right all the same.
    if (await target.canLogIn(user, rotation.password).catch(() => false)) return null;
    return `The server took the new password, and a login by it from here fails: ${error.message}`;
  }
}

/** The password is set already, so a failure here must not withdraw it. */
async function canLogIn(target: Target, user: UserName, password: string): Promise<boolean> {
  try {
    return await target.canLogIn(user, password);
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    throw new TargetError('unreachable', error.message, { outcome: 'unknown', cause: error });
  }
}

/** The rotation has worked, whatever else of the row was changed meanwhile. */
export function promote(sealer: Sealer, rotation: Rotation, now: number, also: Row = {}): Change {
  const place = { table: rotation.table, row: rotation.id, column: 'password' } as const;
  const set = {
    password: sealPassword(sealer, place, rotation.password),
    next_password: null,
    rotation: null,
    rotation_started_at: null,
    rotated_at: now,
    updated_at: now,
    ...also,
  };
  const where = { id: rotation.id, rotation: rotation.token };
  return update(rotation.table, set, where, { add: { version: 1 }, expect: 1 });
}

/**
 * The rotation has failed. The next password is withdrawn when the target cannot know it; else it stays. This is the one
 * write beside dispatch, which has nothing to commit for a run that failed; were it lost, the deadline would do the same.
 */
export async function releaseRotation(store: Store, rotation: Rotation, error: unknown, also: Row = {}): Promise<void> {
  const untouched = error instanceof TargetError && error.outcome === 'not_applied';
  // When it was begun stays: the job leaves the next try some time.
  const set = {
    rotation: null,
    ...(untouched && rotation.fresh ? { next_password: null, rotation_started_at: null } : {}),
    ...also,
  };
  await store.commit([update(rotation.table, set, { id: rotation.id, rotation: rotation.token })]);
}
