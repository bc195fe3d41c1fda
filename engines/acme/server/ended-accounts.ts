import { type Change, remove, update } from '#core/change.ts';
import type { ServerDeps } from './deps.ts';
import { defaultSettings } from './settings.ts';
import type { AccountRow } from './tables.ts';

/** Accounts are forgotten some time after their end, or they would be in the way for ever. */

/** At most so many of a directory in one commit. */
const batch = 500;

type Parts = Pick<ServerDeps, 'store' | 'issuer' | 'directories'>;
type Place = Pick<AccountRow, 'namespace' | 'role'>;

/** Ends the accounts of roles that were deleted, or made anew since: nothing is served to them any more. */
export async function endOrphans({ store, issuer }: Parts, now: number): Promise<Change[]> {
  const places = await store.all<Place>('SELECT DISTINCT namespace, role FROM acme_server_accounts', []);
  const changes: Change[] = [];
  for (const { namespace, role } of places) {
    const since = (await issuer.roleSince(namespace, role)) ?? now;
    const where = { namespace, role, status: 'valid', created_at: { lt: since } };
    const found = await store.first(
      `SELECT 1 AS found FROM acme_server_accounts
       WHERE namespace = ? AND role = ? AND status = 'valid' AND created_at < ? LIMIT 1`,
      [namespace, role, since],
    );
    if (found !== undefined) changes.push(update('acme_server_accounts', { status: 'revoked', ended_at: now }, where));
  }
  return changes;
}

/** Forgets those that ended long enough ago and have nothing left: orders and certificates go first, each at its time. */
export async function forgetEnded(
  { store, directories }: Parts,
  now: number,
): Promise<{ readonly count: number; readonly isMore: boolean; readonly changes: readonly Change[] }> {
  const places = await store.all<Place>(
    'SELECT DISTINCT namespace, role FROM acme_server_accounts WHERE ended_at IS NOT NULL',
    [],
  );
  const ids: string[] = [];
  let isMore = false;
  for (const { namespace, role } of places) {
    const { settings = defaultSettings } = (await directories.of(namespace, role)) ?? {};
    const rows = await store.all<{ id: string }>(
      `SELECT a.id FROM acme_server_accounts a
       WHERE a.namespace = ? AND a.role = ? AND a.ended_at <= ?
         AND NOT EXISTS (SELECT 1 FROM acme_server_orders o WHERE o.account_id = a.id)
         AND NOT EXISTS (SELECT 1 FROM acme_server_certificates c WHERE c.account_id = a.id)
       ORDER BY a.id LIMIT ${batch}`,
      [namespace, role, now - settings.ended_accounts_kept * 1000],
    );
    ids.push(...rows.map(({ id }) => id));
    isMore ||= rows.length === batch;
  }
  return {
    count: ids.length,
    isMore,
    changes: ids.length === 0 ? [] : [remove('acme_server_accounts', { id: ids, ended_at: { not: null } })],
  };
}
