import { type Change, insert, update } from '#core/change.ts';
import type { Store } from '#storage/store.ts';
import type { CrlAddressRow } from './tables.ts';

/**
 * Under which base URLs certificates were told that their CRL is to be found. The public address of an installation may
 * change, what stands in certificates does not; so a CRL names itself by every address that any certificate on its shard
 * knows it by (RFC 5280 §5.2.5), and validators take the one that they look for.
 */

/** Newest first; of an installation that moves more often, the oldest are forgotten, lest CRLs grow without bound. */
const maxAddresses = 50;

/** Empty while no certificate names the shard. */
export async function baseUrlsOf(store: Store, issuerId: string, shard: number): Promise<string[]> {
  const rows = await store.all<{ base_url: string }>(
    `SELECT base_url FROM pki_crl_addresses WHERE issuer_id = ? AND shard = ?
     ORDER BY first_used_at DESC, base_url LIMIT ${maxAddresses}`,
    [issuerId, shard],
  );
  return rows.map((row) => row.base_url);
}

export function insertAddress(row: CrlAddressRow): Change {
  return insert('pki_crl_addresses', { ...row });
}

/**
 * Makes a CRL stale, in the same commit as what changes it. Two first changes at once conflict, and so does a first change
 * with a first CRL: one of them reads again.
 */
export async function markStaleCrl(
  store: Store,
  { namespace, ...key }: { readonly namespace: string; readonly issuer_id: string; readonly shard: number },
): Promise<Change> {
  const sql = 'SELECT changes FROM pki_crl_states WHERE issuer_id = ? AND shard = ?';
  if (await store.first(sql, [key.issuer_id, key.shard]))
    return update('pki_crl_states', {}, key, { expect: 1, add: { changes: 1 } });
  return insert('pki_crl_states', {
    ...key,
    namespace,
    changes: 1,
    published: 0,
    scheduled_at: 0,
    rebuild_at: 0,
  });
}
