import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { type DerElement, readElement, readElements, tags, writeElement } from '#acme/asn1/der.ts';
import { canonicalAddress, type Identifier, readIdentifier } from '#acme/client/identifiers.ts';
import { at, context, extensionValue, inside, nullElement, oids } from './der-parts.ts';

/** Certification requests (RFC 2986): made for keys of ours, read when somebody brings one. DER. */

/** A request with an empty subject: the names stand in the extension alone, where RFC 9525 looks for them. */
export function makeRequest(key: KeyObject, identifiers: readonly Identifier[]): Buffer {
  const names = writeElement(tags.sequence, ...identifiers.map(generalName));
  const extension = writeElement(
    tags.sequence,
    writeElement(tags.oid, oids.subjectAlternativeName),
    writeElement(tags.octetString, names),
  );
  const attribute = writeElement(
    tags.sequence,
    writeElement(tags.oid, oids.extensionRequest),
    writeElement(tags.set, writeElement(tags.sequence, extension)),
  );
  const info = writeElement(
    tags.sequence,
    writeElement(tags.integer, Buffer.of(0)),
    writeElement(tags.sequence),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    writeElement(context.attributes, attribute),
  );
  const { digest, algorithm } = signatureOf(key);
  const signature = writeElement(tags.bitString, Buffer.of(0), sign(digest, info, key));
  return writeElement(tags.sequence, info, algorithm, signature);
}

function generalName({ type, value }: Identifier): Buffer {
  return type === 'dns'
    ? writeElement(context.dnsName, Buffer.from(value, 'ascii'))
    : writeElement(context.ipAddress, addressOctets(value));
}

/** 4 or 16 octets in network order (RFC 5280 §4.2.1.6). */
export function addressOctets(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const octetsOf = (part: string | undefined): number[] =>
    (part ?? '')
      .split(':')
      .filter((group) => group !== '')
      .flatMap((group) =>
        isIP(group) === 4
          ? group.split('.').map(Number)
          : [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff],
      );
  const [head, tail] = canonicalAddress(address).split('::');
  const before = octetsOf(head);
  const after = octetsOf(tail);
  return Buffer.from([...before, ...Array<number>(16 - before.length - after.length).fill(0), ...after]);
}

function addressText(octets: Buffer): string {
  if (octets.length === 4) return [...octets].join('.');
  const groups = Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(index * 2).toString(16));
  return canonicalAddress(groups.join(':'));
}

function signatureOf(key: KeyObject): { digest: string; algorithm: Buffer } {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (asymmetricKeyType === 'rsa')
    return {
      digest: 'sha256',
      algorithm: writeElement(tags.sequence, writeElement(tags.oid, oids.sha256WithRsa), nullElement),
    };
  const large = asymmetricKeyDetails?.namedCurve === 'secp384r1';
  return {
    digest: large ? 'sha384' : 'sha256',
    algorithm: writeElement(tags.sequence, writeElement(tags.oid, large ? oids.ecdsaWithSha384 : oids.ecdsaWithSha256)),
  };
}

export interface ReadRequest {
  readonly der: Buffer;
  readonly publicKey: KeyObject;
  readonly identifiers: readonly Identifier[];
}

/** Reads a request: its key, and the names in subject and extension. Throws whatever stops it; the text says nothing. */
export function readRequest(pem: string): ReadRequest {
  const base64 = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem)?.[1];
  if (base64 === undefined) throw new RangeError('no request in PEM');
  const der = Buffer.from(base64, 'base64');
  const [info] = readElements(readElement(der, tags.sequence));
  const parts = readElements((info ?? at([], 0)).content);
  const spki = at(parts, 2);
  const publicKey = createPublicKey({ key: writeElement(spki.tag, spki.content), format: 'der', type: 'spki' });
  return { der, publicKey, identifiers: unique([...commonNames(inside(parts, 1)), ...requestedNames(parts)]) };
}

function unique(texts: readonly string[]): Identifier[] {
  const found = new Map<string, Identifier>();
  for (const text of texts) {
    const identifier = readIdentifier(text);
    if (identifier === undefined) throw new RangeError('a name that cannot be ordered');
    found.set(`${identifier.type}:${identifier.value}`, identifier);
  }
  return [...found.values()];
}

/** A common name is a name that is asked for as well (RFC 8555 §7.4). */
function commonNames(relativeNames: readonly DerElement[]): string[] {
  return relativeNames.flatMap(({ content }) =>
    readElements(content).flatMap((attribute) => {
      const [type, value] = readElements(attribute.content);
      return type?.content.equals(oids.commonName) && value !== undefined ? [value.content.toString('utf8')] : [];
    }),
  );
}

function requestedNames(parts: readonly DerElement[]): string[] {
  const attributes = parts[3] === undefined ? [] : readElements(parts[3].content);
  return attributes.flatMap(({ content }) => {
    const [type, values] = readElements(content);
    if (!type?.content.equals(oids.extensionRequest) || values === undefined) return [];
    const extensions = inside(readElements(values.content), 0);
    const names = extensionValue(extensions, oids.subjectAlternativeName);
    return names === undefined ? [] : readElements(readElement(names, tags.sequence)).map(nameText);
  });
}

function nameText({ tag, content }: DerElement): string {
  if (tag === context.dnsName) return content.toString('latin1');
  if (tag === context.ipAddress && (content.length === 4 || content.length === 16)) return addressText(content);
  throw new RangeError('a name of another kind');
}
