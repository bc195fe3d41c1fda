import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { DerSyntaxError, readElement, readElements, tags, writeElement } from '#acme/asn1/der.ts';
import { addressOctets } from '#acme/dns/name.ts';
import type { Identifier } from './contract.ts';

/** The certificates that prove control in tls-alpn-01 (RFC 8737 §3, for addresses RFC 8738 §6). */

/** 1.3.6.1.5.5.7.1.31, id-pe-acmeIdentifier (RFC 8737 §6.1). */
const acmeIdentifierOid = Buffer.from('2b0601050507011f', 'hex');
/** 2.5.29.17, subjectAltName. */
const subjectAltNameOid = Buffer.from('551d11', 'hex');
const commonNameOid = Buffer.from('550403', 'hex');
const ecdsaWithSha256Oid = Buffer.from('2a8648ce3d040302', 'hex');

const maxCertificate = 16_384;

/** The GeneralName that a certificate must have, and be alone with: dNSName [2] or iPAddress [7] (RFC 5280 §4.2.1.6). */
function generalName({ type, value }: Identifier): { tag: number; content: Buffer } {
  if (type === 'ip') return { tag: 0x87, content: addressOctets(value) };
  return { tag: 0x82, content: Buffer.from(value, 'latin1') };
}

interface Extension {
  readonly oid: Buffer;
  readonly isCritical: boolean;
  readonly value: Buffer;
}

/**
 * What is wrong with a certificate (DER) as proof for an identifier, as a part of a sentence; undefined when it proves.
 * `digest` is the SHA-256 of the key authorization.
 */
export function alpnCertificateFault(der: Buffer, identifier: Identifier, digest: Buffer): string | undefined {
  try {
    if (der.length > maxCertificate) return 'is too large';
    const extensions = readExtensions(der);
    return nameFault(extensions, identifier) ?? proofFault(extensions, digest);
  } catch (thrown) {
    if (thrown instanceof DerSyntaxError) return 'cannot be read';
    throw thrown;
  }
}

function readExtensions(der: Buffer): Extension[] {
  const [tbs] = readElements(readElement(der, tags.sequence));
  if (tbs?.tag !== tags.sequence) throw new DerSyntaxError('a certificate has no tbsCertificate');
  const list = readElements(tbs.content).find(({ tag }) => tag === 0xa3);
  return list === undefined ? [] : readElements(readElement(list.content, tags.sequence)).map(readExtension);
}

function readExtension({ tag, content }: { tag: number; content: Buffer }): Extension {
  const [id, second, third, ...rest] = readElements(content);
  const critical = second?.tag === tags.boolean ? second : undefined;
  const value = critical === undefined ? second : third;
  const count = critical === undefined ? 2 : 3;
  const isDer = critical === undefined || critical.content.equals(Buffer.of(0xff));
  const surplus = rest.length + (count === 2 && third !== undefined ? 1 : 0);
  if (tag !== tags.sequence || id?.tag !== tags.oid || value?.tag !== tags.octetString || !isDer || surplus > 0)
    throw new DerSyntaxError('an extension is malformed');
  return { oid: id.content, isCritical: critical !== undefined, value: value.content };
}

function only(extensions: readonly Extension[], oid: Buffer): Extension | undefined {
  const [found, ...others] = extensions.filter((extension) => extension.oid.equals(oid));
  return others.length === 0 ? found : undefined;
}

function nameFault(extensions: readonly Extension[], identifier: Identifier): string | undefined {
  const extension = only(extensions, subjectAltNameOid);
  if (extension === undefined) return 'does not have one subjectAltName extension';
  const [name, ...others] = readElements(readElement(extension.value, tags.sequence));
  const expected = generalName(identifier);
  if (name === undefined || others.length > 0) return 'does not have exactly one subject alternative name';
  const isSame =
    name.tag === expected.tag &&
    (identifier.type === 'ip'
      ? name.content.equals(expected.content)
      : name.content.toString('latin1').toLowerCase() === identifier.value);
  return isSame ? undefined : 'is for another name';
}

function proofFault(extensions: readonly Extension[], digest: Buffer): string | undefined {
  const extension = only(extensions, acmeIdentifierOid);
  if (extension === undefined) return 'does not have one acmeIdentifier extension';
  if (!extension.isCritical) return 'has an acmeIdentifier extension that is not critical';
  if (!readElement(extension.value, tags.octetString).equals(digest)) return 'is for another key authorization';
  return undefined;
}

const clockAllowanceMs = 24 * 60 * 60 * 1000;

/**
 * A self-signed certificate, DER, that proves control of `identifier` (RFC 8737 §3). `keys` are of P-256; `now` is in
 * milliseconds, and the certificate holds for a day on either side.
 */
export function encodeAlpnCertificate(
  identifier: Identifier,
  digest: Buffer,
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  now: number,
): Buffer {
  const algorithm = writeElement(tags.sequence, writeElement(tags.oid, ecdsaWithSha256Oid));
  const text = writeElement(tags.utf8String, Buffer.from('ACME challenge'));
  const attribute = writeElement(tags.sequence, writeElement(tags.oid, commonNameOid), text);
  const name = writeElement(tags.sequence, writeElement(tags.set, attribute));
  const expected = generalName(identifier);
  const names = writeElement(tags.sequence, writeElement(expected.tag, expected.content));
  const extensions = writeElement(
    tags.sequence,
    encodeExtension(subjectAltNameOid, false, names),
    encodeExtension(acmeIdentifierOid, true, writeElement(tags.octetString, digest)),
  );
  const serial = randomBytes(16);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  const tbs = writeElement(
    tags.sequence,
    writeElement(0xa0, writeElement(tags.integer, Buffer.of(2))),
    writeElement(tags.integer, serial),
    algorithm,
    name,
    writeElement(tags.sequence, encodeTime(now - clockAllowanceMs), encodeTime(now + clockAllowanceMs)),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    writeElement(0xa3, extensions),
  );
  const signature = sign('sha256', tbs, keys.privateKey);
  return writeElement(tags.sequence, tbs, algorithm, writeElement(tags.bitString, Buffer.of(0), signature));
}

function encodeExtension(oid: Buffer, isCritical: boolean, value: Buffer): Buffer {
  const critical = isCritical ? [writeElement(tags.boolean, Buffer.of(0xff))] : [];
  return writeElement(tags.sequence, writeElement(tags.oid, oid), ...critical, writeElement(tags.octetString, value));
}

/** UTCTime until 2049 (RFC 5280 §4.1.2.5), GeneralizedTime from then on. */
function encodeTime(milliseconds: number): Buffer {
  const text = `${new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+Z$/g, '')}Z`;
  const isUtc = text < '2050';
  return writeElement(isUtc ? 0x17 : tags.generalizedTime, Buffer.from(isUtc ? text.slice(2) : text));
}
