import { toRfc3339 } from '#core/clock.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { decodeName, formatName } from '#pki/x509/name.ts';
import type { AuthorityOutput } from './authority-schema.ts';
import type { Authority } from './directory.ts';
import type { SigningIssuer } from './issuer.ts';
import type { AuthorityRow, IssuerRow } from './tables.ts';
import type { PkiUrls } from './urls.ts';

/** An authority as it is shown. Its current issuer is the active one, else the newest. */
export function viewAuthority(authority: Authority, adjustments?: readonly string[]): AuthorityOutput {
  const current = authority.active ?? authority.issuers.at(-1);
  if (!current) throw new Error(`authority ${authority.row.id} has no issuer`);
  return {
    ...describe(authority.row, current.row, authority.urls),
    parent: authority.parent,
    certificate: current.chainPem[0] ?? null,
    chain: current.chainPem.slice(1),
    max_path_length: pathLengthOf(current),
    issuers: authority.issuers.map(viewIssuer),
    ...(adjustments && adjustments.length > 0 ? { adjustments: [...adjustments] } : {}),
  };
}

function describe(row: AuthorityRow, current: IssuerRow, urls: PkiUrls) {
  return {
    name: row.name,
    description: row.description,
    kind: row.kind,
    state: row.state,
    subject: formatName(decodeName(current.subject)),
    key_type: current.key_type,
    serial_number: current.serial_number,
    csr: current.request === null ? null : encodePem('CERTIFICATE REQUEST', current.request),
    not_before: timeOrNull(current.not_before),
    not_after: timeOrNull(current.not_after),
    urls: { ca: urls.ca, ocsp: urls.ocsp, crl: urls.crl(current.number, 0) },
  };
}

function viewIssuer(issuer: SigningIssuer): AuthorityOutput['issuers'][number] {
  const { row } = issuer;
  return {
    number: row.number,
    state: row.state,
    key_type: row.key_type,
    subject_key_sha256: row.spki_sha256,
    serial_number: row.serial_number,
    certificate: issuer.chainPem[0] ?? null,
    cross_certificates: issuer.crossCertificates.map((der) => encodePem('CERTIFICATE', der)),
    not_before: timeOrNull(row.not_before),
    not_after: timeOrNull(row.not_after),
  };
}

function pathLengthOf({ certificate }: SigningIssuer): number | null {
  return (certificate && extensionValue(certificate.extensions, 'basic_constraints')?.pathLength) ?? null;
}

function timeOrNull(milliseconds: number | null): string | null {
  return milliseconds === null ? null : toRfc3339(milliseconds);
}
