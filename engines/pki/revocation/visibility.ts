import { toRfc3339 } from '#core/clock.ts';
import type { Store } from '#storage/store.ts';
import type { Authority } from '#pki/directory.ts';
import type { CertificateRow } from '#pki/tables.ts';
import { maxAge } from './http-cache.ts';
import type { StatusOutput } from './schema.ts';

/** Milliseconds within which a change is on the CRL, even when nobody asks for the CRL before. */
const publicationDelay = 1000;
/** Milliseconds within which other nodes on the same PostgreSQL hear of a change; a node that shares nothing, at once. */
const propagation: Readonly<Record<Store['kind'], number>> = { sqlite: 0, postgres: 1000 };

/** When relying parties see a change that is committed at `now`, and where. */
export function visibility(
  authority: Authority,
  row: Pick<CertificateRow, 'issuer_id' | 'crl_shard'>,
  now: number,
  store: Store['kind'],
): StatusOutput['visible'] {
  const issuer = authority.issuers.find((candidate) => candidate.row.id === row.issuer_id);
  const crlUrl = issuer && row.crl_shard >= 0 ? authority.urls.crl(issuer.row.number, row.crl_shard) : null;
  return {
    ocsp: toRfc3339(now + propagation[store]),
    ocsp_url: authority.urls.ocsp,
    crl: crlUrl === null ? null : toRfc3339(now + publicationDelay + propagation[store]),
    crl_url: crlUrl,
    caches_until: toRfc3339(now + maxAge * 1000),
  };
}
