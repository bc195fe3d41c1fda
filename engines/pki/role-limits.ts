import { type Change, insert, update } from '#core/change.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { Store } from '#storage/store.ts';
import type { Role } from './role-schema.ts';
import type { Refusal } from './ruling.ts';
import type { RoleCountRow } from './tables.ts';

/** Brakes on a role: how many certificates in an hour, and how many that are valid at once. A loop in a client stops here. */

type Limited = Pick<Role, 'name' | 'max_per_hour' | 'max_valid'>;

export interface Exceeded {
  readonly refusal: Refusal;
  /** Seconds until it is worth trying again. */
  readonly retryAfter: number;
}

interface Usage {
  readonly row: RoleCountRow | undefined;
  readonly exceeded: readonly Exceeded[];
  /** So near to max_valid that two at once must not both count on the same place. */
  readonly isNear: boolean;
}

const hour = 3_600_000;
/** More than are ever under way at once. */
const near = 100;
const nothing: Usage = { row: undefined, exceeded: [], isNear: false };

/** What a role's limits say now; empty when one more certificate may be issued. */
export async function exceededLimits(store: Store, grant: Grant, role: Limited): Promise<readonly Exceeded[]> {
  return (await usageOf(store, grant, role)).exceeded;
}

/**
 * The changes that count one more certificate, none for a role without limits. They conflict when somebody else took the
 * last place. Throws `rate_limited` when there is none.
 */
export async function takePlace(store: Store, grant: Grant, role: Limited): Promise<readonly Change[]> {
  if (role.max_per_hour === undefined && role.max_valid === undefined) return [];
  const usage = await usageOf(store, grant, role);
  if (usage.exceeded.length > 0) throw limited(usage.exceeded);
  return [countOne(usage, grant, role)];
}

async function usageOf(store: Store, grant: Grant, role: Limited): Promise<Usage> {
  const { max_per_hour: perHour, max_valid: most } = role;
  if (perHour === undefined && most === undefined) return nothing;
  // The count is read before the certificates: whoever comes in between changes it.
  const row = await store.first<RoleCountRow>('SELECT * FROM pki_role_counts WHERE namespace = ? AND role = ?', [
    grant.namespace,
    role.name,
  ]);
  const valid = most === undefined ? 0 : await countValid(store, grant, role.name, most);
  const exceeded: Exceeded[] = [];
  if (perHour !== undefined && row?.hour === hourOf(row, grant.now) && row.issued >= perHour)
    exceeded.push(tooMany('max_per_hour', role, row.issued, perHour, (row.hour + 1) * hour - grant.now));
  if (most !== undefined && valid >= most)
    exceeded.push(tooMany('max_valid', role, valid, most, (await firstEnd(store, grant, role.name)) - grant.now));
  return { row, exceeded, isNear: most !== undefined && valid + near >= most };
}

/** Hours of the clock, UTC. A clock that is set back opens no hour a second time. */
function hourOf(row: RoleCountRow | undefined, now: number): number {
  return Math.max(row?.hour ?? 0, Math.floor(now / hour));
}

const ofRole = `FROM pki_certificates WHERE namespace = ? AND role = ? AND status <> 'revoked' AND not_after > ?`;

async function countValid(store: Store, grant: Grant, role: string, most: number): Promise<number> {
  const sql = `SELECT COUNT(*) AS count FROM (SELECT 1 AS one ${ofRole} LIMIT ${most}) AS valid`;
  return (await store.first<{ count: number }>(sql, [grant.namespace, role, grant.now]))?.count ?? 0;
}

async function firstEnd(store: Store, grant: Grant, role: string): Promise<number> {
  const sql = `SELECT MIN(not_after) AS first ${ofRole}`;
  const row = await store.first<{ first: number | null }>(sql, [grant.namespace, role, grant.now]);
  return row?.first ?? grant.now;
}

function countOne({ row, isNear }: Usage, grant: Grant, role: Limited): Change {
  const key = { namespace: grant.namespace, role: role.name };
  const now = hourOf(row, grant.now);
  if (row === undefined) return insert('pki_role_counts', { ...key, hour: now, issued: 1, total: 1 });
  const guard = isNear ? { total: row.total } : {};
  if (row.hour !== now) {
    const where = { ...key, hour: row.hour, ...guard };
    return update('pki_role_counts', { hour: now, issued: 1 }, where, { expect: 1, add: { total: 1 } });
  }
  const place = role.max_per_hour === undefined ? {} : { issued: { lt: role.max_per_hour } };
  const where = { ...key, hour: now, ...place, ...guard };
  return update('pki_role_counts', {}, where, { expect: 1, add: { issued: 1, total: 1 } });
}

function tooMany(
  rule: 'max_per_hour' | 'max_valid',
  { name }: Limited,
  found: number,
  most: number,
  wait: number,
): Exceeded {
  const [what, allowed] =
    rule === 'max_per_hour'
      ? [`Role ${name} has issued ${found} certificates in this hour`, `${most} in an hour`]
      : [`Role ${name} has ${found} certificates that are neither expired nor revoked`, `${most} at once`];
  const message = `${what}; ${rule} allows ${allowed}.`;
  return {
    refusal: { rule, at: '/role', found: String(found), allowed: `at most ${allowed}`, message },
    retryAfter: Math.max(1, Math.ceil(wait / 1000)),
  };
}

/** What to do about it, one sentence. */
export function limitAdvice(exceeded: readonly Exceeded[]): string {
  const wait = Math.max(...exceeded.map(({ retryAfter }) => retryAfter));
  const isFull = exceeded.some(({ refusal }) => refusal.rule === 'max_valid');
  return isFull
    ? `Try again in ${formatDuration(wait)}, when the first of them ends, or revoke what is not needed.`
    : `Try again in ${formatDuration(wait)}.`;
}

function limited(exceeded: readonly Exceeded[]): AppError {
  const refusals = exceeded.map(({ refusal }) => refusal);
  return new AppError('rate_limited', refusals[0]?.message ?? 'The role issues no more for now.', {
    hint: limitAdvice(exceeded),
    details: refusals.map(({ at, message }) => ({ at, message })),
    members: { refusals },
    retryAfter: Math.max(...exceeded.map(({ retryAfter }) => retryAfter)),
  });
}
