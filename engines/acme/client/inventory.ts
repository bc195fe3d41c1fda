import { X509Certificate } from 'node:crypto';
import type { OutsideCertificate, OutsideCertificates, OutsideQuery } from '#core/outside-certificates.ts';
import type { Store } from '#storage/store.ts';
import { oneLine } from './certificate-view.ts';
import { parseDefinition } from './order/definition.ts';
import type { AcmeClientTables, CertificateRow } from './tables.ts';

/** What orders brought, for the inventory of the PKI. */
export function createOutsideCertificates(store: Store): OutsideCertificates {
  const rows = (namespace: string) =>
    store.tables<AcmeClientTables>().selectFrom('acme_certificates').selectAll().where('namespace', '=', namespace);
  return {
    async newest(query) {
      let found = rows(query.namespace);
      if (query.below !== undefined) found = found.where('id', '<', query.below);
      if (query.principal !== undefined) found = found.where('principal', '=', query.principal);
      if (query.keySha256 !== undefined) found = found.where('key_sha256', '=', query.keySha256);
      if (query.name !== undefined) found = found.where('id', 'in', idsNamed(store, query, query.name));
      if (query.status === 'revoked') found = found.where('state', '=', 'revoked');
      else if (query.status !== undefined)
        found = found.where('state', '=', 'valid').where('not_after', query.status === 'valid' ? '>=' : '<', query.now);
      if (query.endsBefore !== undefined)
        found = found.where('not_after', '>=', query.now).where('not_after', '<', query.endsBefore);
      return (await found.orderBy('id', 'desc').limit(query.limit).execute()).map(show);
    },
    async ending({ namespace, now, before, after, limit }) {
      let found = rows(namespace).where('state', '=', 'valid');
      found = found.where('not_after', '>=', now).where('not_after', '<', before);
      if (after !== undefined) {
        const [end, id] = after;
        found = found.where((eb) =>
          eb.or([eb('not_after', '>', end), eb.and([eb('not_after', '=', end), eb('id', '>', id)])]),
        );
      }
      return (await found.orderBy('not_after').orderBy('id').limit(limit).execute()).map(show);
    },
  };
}

/** Only names of DNS and addresses are ordered; of other kinds there are none. */
function idsNamed(store: Store, { namespace }: OutsideQuery, name: string) {
  const value = /^(?:dns|ip):(.*)$/.exec(name)?.[1] ?? '';
  return store
    .tables<AcmeClientTables>()
    .selectFrom('acme_certificate_names')
    .select('certificate_id')
    .where('namespace', '=', namespace)
    .where('name', '=', value.toLowerCase());
}

function show(row: CertificateRow): OutsideCertificate {
  return {
    id: row.id,
    serialNumber: row.serial_number,
    account: row.account,
    principal: row.principal,
    purpose: row.purpose,
    subject: oneLine(new X509Certificate(row.chain).subject),
    names: parseDefinition(row).identifiers.map(({ type, value }) => `${type}:${value}`),
    keySha256: row.key_sha256,
    notBefore: row.not_before,
    notAfter: row.not_after,
    issuedAt: row.obtained_at,
    revokedAt: row.revoked_at,
    revocationReason: row.revocation_reason,
    renewalError: row.failing_since === null ? null : row.last_error,
  };
}
