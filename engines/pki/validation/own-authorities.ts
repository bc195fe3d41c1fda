import type { Store } from '#storage/store.ts';
import type { Directory } from '#pki/directory.ts';
import { revocationStatus } from '#pki/revocation/status.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { nameKey, sameName } from '#pki/x509/name.ts';
import { spkiSha256 } from '#pki/x509/spki.ts';
import { limits } from './budget.ts';
import { isRevokedAt } from './revocation-time.ts';
import type { RevocationSource, RevocationVerdict } from './revocation.ts';
import { parseCertificate } from './parsed-certificate.ts';

/** What the authorities of a namespace contribute to a validation: roots to trust, links of chains, revocation. */

export interface OwnCertificates {
  /** Certificates of our roots, DER. */
  readonly roots: readonly Buffer[];
  /** Certificates of our intermediates, what stands above them, and cross-certificates: DER, not trusted as such. */
  readonly links: readonly Buffer[];
}

/**
 * The certificates of ours that can stand above `given` (DER), found by following the names of issuers upwards: a
 * namespace may have more authorities than one validation should look at.
 */
export async function ownCertificates(
  directory: Directory,
  namespace: string,
  given: readonly Uint8Array[],
): Promise<OwnCertificates> {
  const { roots, links } = await allCertificates(directory, namespace);
  const bySubject = Map.groupBy([...roots, ...links], (certificate) => nameKey(certificate.subject));
  const wanted = new Set(given.flatMap(issuerKeyOf));
  // A Set is walked in the order of insertion, names added meanwhile included.
  for (const name of wanted)
    for (const certificate of bySubject.get(name) ?? []) wanted.add(nameKey(certificate.issuer));
  const reached = (list: readonly Certificate[], most: number) =>
    list.filter(({ subject }) => wanted.has(nameKey(subject))).slice(-most);
  return {
    roots: reached(roots, limits.anchors).map(({ der }) => der),
    links: reached(links, limits.intermediates / 2).map(({ der }) => der),
  };
}

function issuerKeyOf(der: Uint8Array): string[] {
  const parsed = parseCertificate(der);
  return 'reason' in parsed ? [] : [parsed.issuerKey];
}

async function allCertificates(directory: Directory, namespace: string) {
  const roots: Certificate[] = [];
  const links: Certificate[] = [];
  for (const authority of await directory.authorities(namespace))
    for (const { certificate, chain, crossCertificates } of authority.issuers) {
      if (certificate === undefined) continue;
      if (authority.row.kind === 'root' && sameName(certificate.subject, certificate.issuer)) roots.push(certificate);
      else links.push(certificate, ...chain.slice(1));
      links.push(...crossCertificates.flatMap(decode));
    }
  return { roots: distinct(roots), links: distinct(links) };
}

function decode(der: Buffer): Certificate[] {
  const parsed = parseCertificate(der);
  return 'reason' in parsed ? [] : [parsed.certificate];
}

function distinct(certificates: readonly Certificate[]): Certificate[] {
  return [...new Map(certificates.map((certificate) => [certificate.der.toString('latin1'), certificate])).values()];
}

/** Answers from the store for certificates of our issuers, as of `at` (milliseconds). */
export function ownRevocation(store: Store, namespace: string, at: number): RevocationSource {
  return async (certificate, issuer) => {
    const status = await revocationStatus(store, namespace, spkiSha256(issuer.spki), certificate.serialNumber);
    if (status === undefined) return undefined;
    if (status.kind === 'good') return { status: 'good' };
    if (status.kind === 'unknown') return { status: 'unknown', problem: 'our authority has no record of issuing it' };
    return verdictAt(status.reason, status.revokedAt, at);
  };
}

function verdictAt(reason: string, revokedAt: number, at: number): RevocationVerdict {
  if (!isRevokedAt({ reason, revokedAt }, at)) return { status: 'good' };
  return { status: reason === 'certificate_hold' ? 'held' : 'revoked', reason, at: revokedAt };
}
