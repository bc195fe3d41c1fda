import type { Store } from '#storage/store.ts';
import type { Authority } from '#pki/directory.ts';
import type { CertifiedIssuer } from '#pki/issuer.ts';

/** A shard for which CRLs are published. */
export interface PublishedShard {
  readonly issuer: CertifiedIssuer;
  readonly shard: number;
}

/** Issuers of an authority that still answer for what they signed: nothing that an expired one signed is valid. */
export function liveIssuers(authority: Authority, now: number): CertifiedIssuer[] {
  return authority.issuers.filter(
    (issuer): issuer is CertifiedIssuer => issuer.certificate !== undefined && issuer.certificate.notAfter > now,
  );
}

/** Every shard of the live issuers, in order. Shard 0 is there before the first certificate names it. */
export async function listShards(store: Store, authority: Authority, now: number): Promise<PublishedShard[]> {
  const shards: PublishedShard[] = [];
  for (const issuer of liveIssuers(authority, now)) {
    const rows = await store.all<{ shard: number }>(
      'SELECT shard FROM pki_crl_shards WHERE issuer_id = ? ORDER BY shard',
      [issuer.row.id],
    );
    const numbers = rows.length === 0 ? [0] : rows.map((row) => row.shard);
    shards.push(...numbers.map((shard) => ({ issuer, shard })));
  }
  return shards;
}

/** Whether certificates may name this shard. */
export async function shardExists(store: Store, issuerId: string, shard: number): Promise<boolean> {
  if (shard === 0) return true;
  const sql = 'SELECT shard FROM pki_crl_shards WHERE issuer_id = ? AND shard = ?';
  return (await store.first(sql, [issuerId, shard])) !== undefined;
}

/** Authorities, of all namespaces, with a CRL that is not what it should be. Reads a row a shard and no CRL. */
export function authoritiesWithDueCrls(
  store: Store,
  now: number,
): Promise<{ readonly namespace: string; readonly name: string }[]> {
  return store.all(
    `SELECT DISTINCT a.namespace AS namespace, a.name AS name
     FROM pki_issuers i
     JOIN pki_authorities a ON a.id = i.authority_id
     LEFT JOIN pki_crl_shards s ON s.issuer_id = i.id
     LEFT JOIN pki_crl_states c ON c.issuer_id = i.id AND c.shard = COALESCE(s.shard, 0)
     LEFT JOIN pki_crls f ON f.issuer_id = c.issuer_id AND f.shard = c.shard AND f.kind = 'full'
     WHERE i.serial_number IS NOT NULL AND i.not_after > ?
       AND (c.issuer_id IS NULL OR c.changes <> c.published OR c.rebuild_at <= ? OR c.scheduled_at > ? OR f.this_update > ?)`,
    [now, now, now, now],
  );
}
