import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { readElement, readElements, tags } from '#acme/asn1/der.ts';
import { canonicalAddress, type Identifier } from '#acme/client/identifiers.ts';
import { plainText } from '#acme/client/wire/problem.ts';
import { at, context, extensionValue, oids } from './der-parts.ts';

/** Certificates that an authority delivered (RFC 8555 §7.4.2): read, and held against what was ordered. */

export interface Delivered {
  /** PEM, the leaf first. */
  readonly pem: string;
  /** The leaf first. */
  readonly certificates: readonly X509Certificate[];
}

/** What is wrong with what was delivered; the message is one sentence. */
export class UnusableCertificate extends Error {
  override readonly name = 'UnusableCertificate';
}

const mostCertificates = 10;

/** Reads a chain, whose every certificate certifies the one before. Throws `UnusableCertificate`. */
export function readChain(body: Buffer): Delivered {
  const blocks = blocksOf(body.toString('latin1'));
  if (blocks.length === 0 || blocks.length > mostCertificates)
    throw new UnusableCertificate(`The authority delivered no PEM chain of 1 to ${mostCertificates} certificates.`);
  const certificates = blocks.map(readCertificate);
  certificates.forEach((issuer, index) => {
    const below = certificates[index - 1];
    if (below !== undefined && !(below.checkIssued(issuer) && below.verify(issuer.publicKey)))
      throw new UnusableCertificate('A certificate of the delivered chain does not certify the one before it.');
  });
  return { pem: certificates.map((each) => each.toString()).join(''), certificates };
}

function blocksOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new UnusableCertificate('The authority delivered a certificate that cannot be read.');
  }
}

/** Whether it is for this key and exactly these names (RFC 8555 §7.4), and has not ended. Throws `UnusableCertificate`. */
export function assertFits(
  { certificates }: Delivered,
  key: KeyObject,
  identifiers: readonly Identifier[],
  now: number,
): void {
  const leaf = leafOf({ certificates });
  if (!spki(leaf.publicKey).equals(spki(createPublicKey(key.export({ type: 'spki', format: 'pem' })))))
    throw new UnusableCertificate('The delivered certificate is for another key than the one of the order.');
  const missing = identifiers.find(({ type, value }) =>
    type === 'ip' ? leaf.checkIP(value) === undefined : !dnsNames(leaf).includes(value),
  );
  if (missing !== undefined)
    throw new UnusableCertificate(`The delivered certificate does not hold ${missing.value}, which was ordered.`);
  const extra = namesOf(leaf).find((name) => !identifiers.some(({ type, value }) => name === `${type}:${value}`));
  if (extra !== undefined)
    throw new UnusableCertificate(`The delivered certificate holds ${plainText(extra)}, which was not ordered.`);
  // It would be renewed at once, again and again.
  if (factsOf(leaf).notAfter <= now) throw new UnusableCertificate('The delivered certificate has ended already.');
}

/** `dns:a.example`, `ip:192.0.2.1`; anything else as OpenSSL writes it. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return subjectAltName.split(', ').map((name) => {
    const [, type, value = ''] = /^(DNS|IP Address):(.*)$/s.exec(name) ?? [];
    if (type === 'DNS') return `dns:${value.toLowerCase()}`;
    return isIP(value) === 0 ? name : `ip:${canonicalAddress(value)}`;
  });
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

function dnsNames(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '')
    .split(', ')
    .flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4).toLowerCase()] : []));
}

export function leafOf({ certificates }: Pick<Delivered, 'certificates'>): X509Certificate {
  const [leaf] = certificates;
  if (leaf === undefined) throw new UnusableCertificate('The delivered chain is empty.');
  return leaf;
}

export interface LeafFacts {
  /** Lower-case hex. */
  readonly serialNumber: string;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export function factsOf(leaf: X509Certificate): LeafFacts {
  return {
    serialNumber: leaf.serialNumber.toLowerCase(),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  };
}

/**
 * RFC 9773 §4.1: the key identifier of the issuer and the serial number as DER holds it, in base64url. Undefined where
 * the certificate names no key identifier.
 */
export function certificateId(leaf: X509Certificate): string | undefined {
  const certificate = readElements(readElement(leaf.raw, tags.sequence));
  const fields = readElements(at(certificate, 0).content);
  // A version stands first in everything that has extensions.
  const serial = at(fields, 1).content;
  const extensions = fields.find(({ tag }) => tag === context.extensions);
  if (extensions === undefined) return undefined;
  const list = readElements(readElement(extensions.content, tags.sequence));
  const value = extensionValue(list, oids.authorityKeyIdentifier);
  if (value === undefined) return undefined;
  const keyIdentifier = readElements(readElement(value, tags.sequence)).find(
    ({ tag }) => tag === context.keyIdentifier,
  );
  if (keyIdentifier === undefined) return undefined;
  return `${keyIdentifier.content.toString('base64url')}.${serial.toString('base64url')}`;
}

/**
 * Whether a chain is the one that somebody prefers: by the common name of an issuer in it, or by the SHA-256 fingerprint
 * (hex) of a certificate in it or of a root that certifies its end: a well-known one, or one of `roots` (PEM).
 */
export function isPreferred({ certificates }: Delivered, preferred: string, roots = ''): boolean {
  const wanted = preferred.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(wanted)) {
    const top = certificates.at(-1);
    return [...certificates, ...(top === undefined ? [] : rootsAbove(top, roots))].some(
      ({ fingerprint256 }) => fingerprint256.replaceAll(':', '').toLowerCase() === wanted,
    );
  }
  return certificates.some(({ issuer }) => /(?:^|\n)CN=(.*)/.exec(issuer)?.[1] === preferred);
}

function rootsAbove(top: X509Certificate, roots: string): X509Certificate[] {
  return [...rootCertificates, ...blocksOf(roots)]
    .map((pem) => new X509Certificate(pem))
    .filter((root) => top.checkIssued(root) && top.verify(root.publicKey));
}
