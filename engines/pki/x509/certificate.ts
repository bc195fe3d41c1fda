import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { bitString, context, element, sequence, time } from '#pki/asn1/writer.ts';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm.ts';
import { type Extensions, readExtensions } from './extension.ts';
import { type Name, readName } from './name.ts';
import { formatSerial, serialOctets } from './serial.ts';

/** Largest certificate that is read unless the caller says otherwise. */
export const maxCertificateBytes = 65_536;

/**
 * A certificate (RFC 5280 §4.1) that is sound DER and has the structure of one. What RFC 5280 demands of the values
 * (versions, critical flags, empty names, the sign of the serial number) is left to the linter and the validator.
 * Byte fields are views of the input.
 */
export interface Certificate {
  readonly der: Buffer;
  /** The exact bytes that are signed. */
  readonly tbs: Buffer;
  readonly version: 1 | 2 | 3;
  /** Lower-case hex of the magnitude, two digits an octet; `-` before it when negative. */
  readonly serialNumber: string;
  /** The content octets of the serial number's INTEGER. */
  readonly serialOctets: Buffer;
  /** The algorithm as the signed part names it; must equal `signatureAlgorithm` (§4.1.1.2). */
  readonly tbsSignature: AlgorithmIdentifier;
  readonly issuer: Name;
  /** Milliseconds. */
  readonly notBefore: number;
  /** Milliseconds; the certificate is valid through this second (§4.1.2.5). */
  readonly notAfter: number;
  /** A time before 2050 is a GeneralizedTime, against §4.1.2.5. */
  readonly hasEarlyGeneralizedTime: boolean;
  readonly subject: Name;
  /** The whole SubjectPublicKeyInfo; `decodeSpki` reads it. */
  readonly spki: Buffer;
  /** issuerUniqueID or subjectUniqueID is there, which conforming CAs must not do (§4.1.2.8). */
  readonly hasUniqueIdentifiers: boolean;
  /** Empty when there are none; values are decoded by `getExtension`. */
  readonly extensions: Extensions;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
}

/** Reads one certificate, strictly. Throws `DerError`. */
export function decodeCertificate(der: Uint8Array, maxBytes: number = maxCertificateBytes): Certificate {
  return readDer(der, maxBytes, readCertificate);
}

/** Reads a certificate at the cursor; see `decodeCertificate`. */
export function readCertificate(reader: DerReader): Certificate {
  const start = reader.offset;
  const fields = reader.readSequence(() => {
    const tbsStart = reader.offset;
    const tbsFields = reader.readSequence(readTbsFields);
    const tbs = reader.since(tbsStart);
    const signatureAlgorithm = readAlgorithmIdentifier(reader);
    return { ...tbsFields, tbs, signatureAlgorithm, signature: reader.readOctetBitString() };
  });
  return { der: reader.since(start), ...fields };
}

const noExtensions: Extensions = new Map();

function readTbsFields(reader: DerReader): Omit<Certificate, 'der' | 'tbs' | 'signatureAlgorithm' | 'signature'> {
  const version = reader.readOptionalContext(0, readVersion) ?? 1;
  const octets = reader.readInteger();
  return {
    version,
    serialNumber: formatSerial(octets),
    serialOctets: octets,
    tbsSignature: readAlgorithmIdentifier(reader),
    issuer: readName(reader),
    ...reader.readSequence(readValidity),
    subject: readName(reader),
    spki: readSpkiBytes(reader),
    hasUniqueIdentifiers: readUniqueIdentifiers(reader),
    extensions: reader.readOptionalContext(3, readExtensions) ?? noExtensions,
  };
}

function readVersion(reader: DerReader): 2 | 3 {
  const start = reader.offset;
  const version = reader.readSmallInteger(2) + 1;
  if (version === 1) reader.fail('the version that is the default is encoded', start);
  return version as 2 | 3;
}

function readValidity(reader: DerReader): Pick<Certificate, 'notBefore' | 'notAfter' | 'hasEarlyGeneralizedTime'> {
  const early = startsEarlyGeneralizedTime(reader);
  const notBefore = reader.readTime();
  const hasEarlyGeneralizedTime = early || startsEarlyGeneralizedTime(reader);
  return { notBefore, notAfter: reader.readTime(), hasEarlyGeneralizedTime };
}

/** Looks at the first four digits of a GeneralizedTime that has yet to be read; its form is checked afterwards. */
function startsEarlyGeneralizedTime(reader: DerReader): boolean {
  if (reader.peek() !== tag.generalizedTime) return false;
  return Number(reader.bytes.toString('latin1', reader.offset + 2, reader.offset + 6)) < 2050;
}

function readSpkiBytes(reader: DerReader): Buffer {
  if (reader.peek() !== tag.sequence) reader.fail('the SubjectPublicKeyInfo is no SEQUENCE');
  return reader.readAny();
}

function readUniqueIdentifiers(reader: DerReader): boolean {
  let found = false;
  for (const number of [1, 2]) {
    if (reader.peek() !== contextPrimitive(number)) continue;
    reader.readBitString(contextPrimitive(number));
    found = true;
  }
  return found;
}

/** What a certificate to be signed says. */
export interface TbsCertificateFields {
  /** Lower-case hex, positive, at most 20 octets. */
  readonly serialNumber: string;
  /** AlgorithmIdentifier, DER: `signatureAlgorithmOf` the issuer's key type. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name, DER: the subject of the issuer's certificate, byte for byte. */
  readonly issuer: Uint8Array;
  /** Milliseconds; part seconds are cut off. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Name, DER. */
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** Complete Extensions, DER, in their order; at least one. */
  readonly extensions: readonly Uint8Array[];
}

/** TBSCertificate, version 3 (RFC 5280 §4.1.2). Parts are put together, not looked into. Throws `RangeError`. */
export function encodeTbsCertificate(fields: TbsCertificateFields): Buffer {
  if (fields.extensions.length === 0) throw new RangeError('a certificate of version 3 has extensions');
  return sequence([
    version3,
    element(tag.integer, [serialOctets(fields.serialNumber)]),
    fields.signatureAlgorithm,
    fields.issuer,
    sequence([time(fields.notBefore), time(fields.notAfter)]),
    fields.subject,
    fields.spki,
    context(3, [sequence(fields.extensions)]),
  ]);
}

/** [0] EXPLICIT INTEGER 2. */
export const version3: Uint8Array = Uint8Array.of(0xa0, 0x03, 0x02, 0x01, 0x02);

/** The Certificate of a signed TBSCertificate; `signatureAlgorithm` as in the TBS, DER. */
export function assembleCertificate(tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Buffer {
  return sequence([tbs, signatureAlgorithm, bitString(signature)]);
}
