import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { bitString, context, integer, sequence, time } from '#pki/asn1/writer.ts';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm.ts';
import { unknownCritical } from './critical-extensions.ts';
import { type CrlEntry, encodeCrlEntry, type RevokedCertificate, readCrlEntries } from './crl-entry.ts';
import { type CrlIndex, indexCrlEntries } from './crl-index.ts';
import {
  encodeExtension,
  encodeRawExtension,
  type Extensions,
  type ExtensionValue,
  extensionValue,
  readExtensions,
} from './extension.ts';
import {
  encodeIssuingDistributionPoint,
  type IssuingDistributionPoint,
  type IssuingDistributionPointInput,
  readIssuingDistributionPoint,
} from './issuing-distribution-point.ts';
import { type Name, readName } from './name.ts';
import { oids } from './oid.ts';

/** What a CRL to be signed says. Times are milliseconds; part seconds are cut off. */
export interface TbsCertListFields {
  /** AlgorithmIdentifier, DER: `signatureAlgorithmOf` the issuer's key type. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name, DER: the subject of the issuer's certificate, byte for byte. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Grows with every CRL of the same scope; full and delta CRLs share the sequence (RFC 5280 §5.2.3). */
  readonly crlNumber: number | bigint;
  /** The issuer's subjectKeyIdentifier. */
  readonly authorityKeyIdentifier: Uint8Array;
  readonly issuingDistributionPoint?: IssuingDistributionPointInput | undefined;
  /** The number of the full CRL that this delta CRL builds on; absent: a full CRL. */
  readonly deltaBase?: number | bigint | undefined;
  /** URLs of the delta CRL; not on a delta CRL itself. */
  readonly freshestCrl?: readonly string[] | undefined;
  /** Entries, or what `encodeCrlEntry` made of one or, joined, of several. */
  readonly entries: readonly (CrlEntry | Uint8Array)[];
}

const version2 = integer(1);

/**
 * TBSCertList, version 2 (RFC 5280 §5.1.2), one copy of every part. Pre-encoded entries are put in unread: 20,000 of
 * them take about a millisecond. Throws `RangeError` for what RFC 5280 §5.2 forbids.
 */
export function encodeTbsCertList(fields: TbsCertListFields): Buffer {
  const { signatureAlgorithm, issuer, thisUpdate, nextUpdate, entries } = fields;
  if (!(nextUpdate > thisUpdate)) throw new RangeError('nextUpdate must be later than thisUpdate');
  const isDelta = fields.deltaBase !== undefined;
  const revoked = entries.map((entry) => (entry instanceof Uint8Array ? entry : encodeEntryOf(entry, isDelta)));
  return sequence([
    version2,
    signatureAlgorithm,
    issuer,
    time(thisUpdate),
    time(nextUpdate),
    revoked.length > 0 ? sequence(revoked) : undefined,
    context(0, [sequence(encodeCrlExtensions(fields))]),
  ]);
}

function encodeEntryOf(entry: CrlEntry, isDelta: boolean): Buffer {
  if (entry.reason === 'remove_from_crl' && !isDelta)
    throw new RangeError('remove_from_crl has its place on delta CRLs only (RFC 5280 §5.3.1)');
  return encodeCrlEntry(entry);
}

function encodeCrlExtensions(fields: TbsCertListFields): (Buffer | undefined)[] {
  const { crlNumber, deltaBase, issuingDistributionPoint, freshestCrl } = fields;
  if (deltaBase !== undefined && freshestCrl !== undefined)
    throw new RangeError('a delta CRL points to no other delta CRL (RFC 5280 §5.2.6)');
  return [
    encodeExtension('authority_key_identifier', { keyIdentifier: fields.authorityKeyIdentifier }),
    encodeRawExtension(oids.crlNumber, false, encodeCrlNumber(crlNumber)),
    deltaBase === undefined ? undefined : encodeRawExtension(oids.deltaCrlIndicator, true, encodeCrlNumber(deltaBase)),
    issuingDistributionPoint &&
      encodeRawExtension(oids.issuingDistributionPoint, true, encodeIssuingDistributionPoint(issuingDistributionPoint)),
    freshestCrl &&
      encodeExtension('freshest_crl', [{ fullName: freshestCrl.map((value) => ({ kind: 'uri' as const, value })) }]),
  ];
}

/** Octets that a CRL number may take (RFC 5280 §5.2.3). */
const maxNumberOctets = 20;

function encodeCrlNumber(value: number | bigint): Buffer {
  const encoded = integer(value);
  if (value < 0 || encoded.length > maxNumberOctets + 2)
    throw new RangeError('a CRL number is not negative and takes at most 20 octets');
  return encoded;
}

/** The CertificateList of a signed TBSCertList; `signatureAlgorithm` as in the TBS, DER. */
export function assembleCrl(tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Buffer {
  return sequence([tbs, signatureAlgorithm, bitString(signature)]);
}

/** Largest CRL that is read unless the caller says otherwise: some 200,000 entries. */
export const maxCrlBytes = 8 * 1024 * 1024;

/** CertificateList (RFC 5280 §5.1), its entries read when they are asked for. Byte fields are views of the input. */
export interface CertificateList {
  readonly der: Buffer;
  /** The exact bytes that are signed. */
  readonly tbs: Buffer;
  readonly version: 1 | 2;
  /** The same inside and outside of what is signed (RFC 5280 §5.1.1.2); otherwise the CRL is not read. */
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
  readonly issuer: Name;
  readonly thisUpdate: number;
  /** RFC 5280 §5.1.2.5 demands it; undefined when it is absent nevertheless. */
  readonly nextUpdate: number | undefined;
  readonly crlNumber: bigint | undefined;
  /** The number of the base when this is a delta CRL. */
  readonly deltaBase: bigint | undefined;
  readonly issuingDistributionPoint: IssuingDistributionPoint | undefined;
  readonly authorityKeyIdentifier: ExtensionValue<'authority_key_identifier'> | undefined;
  readonly issuerAltName: ExtensionValue<'issuer_alt_name'> | undefined;
  readonly authorityInfoAccess: ExtensionValue<'authority_info_access'> | undefined;
  readonly freshestCrl: ExtensionValue<'freshest_crl'> | undefined;
  /** All of them, undecoded. */
  readonly extensions: Extensions;
  /** Critical extensions that are not understood: the CRL must not be used for "not revoked" (RFC 5280 §5.2). */
  readonly unknownCritical: readonly string[];
  /** The entries in their order, read as they are asked for. Throws `DerError` on coming to a malformed one. */
  entries(): Iterable<RevokedCertificate>;
  /** All entries by serial number: reads them on the first call. Throws `DerError` when any is malformed. */
  index(): CrlIndex;
}

type Parsed = Omit<CertificateList, 'der' | 'tbs' | 'signatureAlgorithm' | 'signature' | 'entries' | 'index'>;

interface ParsedTbs {
  readonly fields: Parsed;
  readonly signature: AlgorithmIdentifier;
  readonly revoked: Buffer;
}

/** Reads a CRL, strictly; its entries are read by `entries` and `index`. Throws `DerError`. */
export function decodeCrl(der: Uint8Array, maxBytes: number = maxCrlBytes): CertificateList {
  return readDer(der, maxBytes, (reader) => {
    const start = reader.offset;
    const { fields, revoked, tbs, signatureAlgorithm, signature } = reader.readSequence(readCertificateList);
    let index: CrlIndex | undefined;
    return {
      der: reader.since(start),
      tbs,
      signatureAlgorithm,
      signature,
      ...fields,
      entries: () => readCrlEntries(revoked).map(({ entry }) => entry),
      index: () => (index ??= indexCrlEntries(revoked)),
    };
  });
}

function readCertificateList(reader: DerReader) {
  const start = reader.offset;
  const { fields, revoked, signature: inner } = reader.readSequence(readTbsCertList);
  const tbs = reader.since(start);
  const outerStart = reader.offset;
  const signatureAlgorithm = readAlgorithmIdentifier(reader);
  if (!signatureAlgorithm.der.equals(inner.der))
    reader.fail('the signature algorithm is not the one that is signed', outerStart);
  return { fields, revoked, tbs, signatureAlgorithm, signature: reader.readOctetBitString() };
}

const noEntries = Buffer.alloc(0);
const noExtensions: Extensions = new Map();

function readTbsCertList(reader: DerReader): ParsedTbs {
  const version = reader.peek() === tag.integer ? readVersion2(reader) : 1;
  const signature = readAlgorithmIdentifier(reader);
  const issuer = readName(reader);
  const thisUpdate = reader.readTime();
  const nextUpdate =
    reader.peek() === tag.utcTime || reader.peek() === tag.generalizedTime ? reader.readTime() : undefined;
  // An empty list should be absent (RFC 5280 §5.1.2.6), but says the same.
  const revoked = reader.peek() === tag.sequence ? reader.readOctetString(tag.sequence) : noEntries;
  if (version === 1 && !reader.atEnd) reader.fail('a CRL of version 1 has extensions');
  const extensions = reader.readOptionalContext(0, readExtensions) ?? noExtensions;
  const fields = { version, issuer, thisUpdate, nextUpdate, ...decodeCrlExtensions(extensions) } as const;
  return { fields, signature, revoked };
}

function readVersion2(reader: DerReader): 2 {
  const start = reader.offset;
  if (reader.readSmallInteger(1) !== 1) reader.fail('the version of a CRL is neither absent nor 2', start);
  return 2;
}

type ParsedExtensions = Omit<Parsed, 'version' | 'issuer' | 'thisUpdate' | 'nextUpdate'>;

const understood: ReadonlySet<string> = new Set([
  oids.authorityKeyIdentifier,
  oids.issuerAltName,
  oids.crlNumber,
  oids.deltaCrlIndicator,
  oids.issuingDistributionPoint,
  oids.freshestCrl,
  oids.authorityInfoAccess,
]);

function decodeCrlExtensions(extensions: Extensions): ParsedExtensions {
  return {
    crlNumber: readExtensionOf(extensions, oids.crlNumber, readCrlNumber),
    deltaBase: readExtensionOf(extensions, oids.deltaCrlIndicator, readCrlNumber),
    issuingDistributionPoint: readExtensionOf(extensions, oids.issuingDistributionPoint, readIssuingDistributionPoint),
    authorityKeyIdentifier: extensionValue(extensions, 'authority_key_identifier'),
    issuerAltName: extensionValue(extensions, 'issuer_alt_name'),
    authorityInfoAccess: extensionValue(extensions, 'authority_info_access'),
    freshestCrl: extensionValue(extensions, 'freshest_crl'),
    extensions,
    unknownCritical: unknownCritical(extensions, understood),
  };
}

function readExtensionOf<T>(extensions: Extensions, oid: string, decode: (reader: DerReader) => T): T | undefined {
  const extension = extensions.get(oid);
  return extension && readDer(extension.value, extension.value.length, decode);
}

function readCrlNumber(reader: DerReader): bigint {
  const start = reader.offset;
  const magnitude = reader.readUnsignedInteger();
  if (magnitude.length > maxNumberOctets) reader.fail('a CRL number takes more than 20 octets', start);
  return BigInt(`0x${magnitude.toString('hex')}`);
}
