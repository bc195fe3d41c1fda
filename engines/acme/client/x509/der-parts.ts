import { readElements, type DerElement, writeElement } from '#acme/asn1/der.ts';

/** Context-specific tags of X.509 and PKCS #10 (RFC 5280 §4.1, §4.2.1.6; RFC 2986 §4.1). */
export const context = {
  attributes: 0xa0,
  keyIdentifier: 0x80,
  extensions: 0xa3,
  dnsName: 0x82,
  ipAddress: 0x87,
} as const;

/** Object identifiers, as the content of their elements. */
export const oids = {
  extensionRequest: Buffer.from('2a864886f70d01090e', 'hex'),
  subjectAlternativeName: Buffer.from('551d11', 'hex'),
  authorityKeyIdentifier: Buffer.from('551d23', 'hex'),
  commonName: Buffer.from('550403', 'hex'),
  ecdsaWithSha256: Buffer.from('2a8648ce3d040302', 'hex'),
  ecdsaWithSha384: Buffer.from('2a8648ce3d040303', 'hex'),
  sha256WithRsa: Buffer.from('2a864886f70d01010b', 'hex'),
} as const;

export const nullElement = writeElement(0x05);

/** The elements inside the one at `index`. Throws `DerSyntaxError`, or RangeError where there is none. */
export function inside(elements: readonly DerElement[], index: number): DerElement[] {
  return readElements(at(elements, index).content);
}

export function at(elements: readonly DerElement[], index: number): DerElement {
  const element = elements[index];
  if (element === undefined) throw new RangeError('an element is missing');
  return element;
}

/** The value of an extension among those of one list: what its OCTET STRING holds. */
export function extensionValue(extensions: readonly DerElement[], oid: Buffer): Buffer | undefined {
  for (const { content } of extensions) {
    const parts = readElements(content);
    if (parts[0]?.content.equals(oid)) return parts.at(-1)?.content;
  }
  return undefined;
}
