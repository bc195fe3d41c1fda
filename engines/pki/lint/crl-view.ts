import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { maxCrlBytes } from '#pki/x509/crl.ts';
import { oids } from '#pki/x509/oid.ts';
import { type AlgorithmView, firstLongTime, readAlgorithmView, type Value } from './certificate-view.ts';
import { type CrlEntries, readEntries } from './crl-entries.ts';
import * as values from './extension-values.ts';
import type { Finding } from './finding.ts';
import { type GeneralNamesView, type NameView, readNameView } from './names-view.ts';

/** What the rules see of a CRL (RFC 5280 §5.1). Byte fields are views of the input. */
export interface CrlView extends CrlEntries {
  /** 1 or 2. */
  readonly version: number;
  /** Inside and outside of what is signed. */
  readonly signature: AlgorithmView;
  readonly outerSignature: AlgorithmView;
  readonly issuer: NameView;
  /** Milliseconds. */
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  /** thisUpdate or nextUpdate is a GeneralizedTime although it lies before 2050. */
  readonly hasEarlyGeneralizedTime: boolean;
  /** revokedCertificates is there. */
  readonly hasList: boolean;
  readonly extensions: readonly { readonly oid: string; readonly critical: boolean }[];
  readonly values: CrlExtensions;
  readonly malformed: readonly Finding[];
}

export interface CrlExtensions {
  authorityKeyIdentifier?: Value<values.AuthorityKeyIdentifierView>;
  issuerAltName?: Value<GeneralNamesView>;
  /** Content octets of the INTEGER. */
  crlNumber?: Value<Buffer>;
  deltaCrlIndicator?: Value<Buffer>;
  issuingDistributionPoint?: Value<IssuingPointView>;
  freshestCrl?: Value<values.DistributionPointsView>;
  authorityInfoAccess?: Value<values.InfoAccessView>;
}

/** IssuingDistributionPoint (RFC 5280 §5.2.5). */
export interface IssuingPointView {
  readonly fullName: GeneralNamesView | undefined;
  readonly hasRelativeName: boolean;
  readonly onlyUserCerts: boolean;
  readonly onlyCaCerts: boolean;
  readonly onlyAttributeCerts: boolean;
  readonly hasSomeReasons: boolean;
  readonly indirect: boolean;
}

/** Reads a CertificateList, DER, strictly. A fault of structure is a finding; malformed values of extensions are told in the view. */
export function readCrlView(der: Uint8Array): CrlView | Finding {
  try {
    return readDer(der, maxCrlBytes, (reader) => reader.readSequence(readList));
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    const message = `the CRL cannot be read as DER: ${thrown.reason}`;
    return { code: 'malformed_crl', severity: 'error', section: 'RFC 5280 §5.1', message };
  }
}

function readList(reader: DerReader): CrlView {
  const signed = reader.readSequence(readSigned);
  const outerSignature = readAlgorithmView(reader);
  reader.readOctetBitString();
  return { ...signed, outerSignature };
}

function readSigned(reader: DerReader): Omit<CrlView, 'outerSignature'> {
  const version = reader.peek() === tag.integer ? reader.readSmallInteger(2) + 1 : 1;
  const signature = readAlgorithmView(reader);
  const issuer = readNameView(reader);
  const first = readTime(reader);
  const isNext = reader.peek() === tag.utcTime || reader.peek() === tag.generalizedTime;
  const next = isNext ? readTime(reader) : undefined;
  const hasList = reader.peek() === tag.sequence;
  const list = hasList ? readEntries(reader.readOctetString(tag.sequence)) : noEntries;
  const found = reader.readOptionalContext(0, readExtensions) ?? { extensions: [], values: {}, malformed: [] };
  const hasEarlyGeneralizedTime = first.isEarly || next?.isEarly === true;
  const times = { thisUpdate: first.at, nextUpdate: next?.at, hasEarlyGeneralizedTime };
  return { version, signature, issuer, ...times, hasList, ...list, ...found };
}

const noEntries: CrlEntries = { entries: [], entryFlaws: 0, lastRevocation: Number.NEGATIVE_INFINITY };

function readTime(reader: DerReader): { readonly at: number; readonly isEarly: boolean } {
  const isLong = reader.peek() === tag.generalizedTime;
  const at = reader.readTime();
  return { at, isEarly: isLong && at < firstLongTime };
}

const readers: ReadonlyMap<string, { key: keyof CrlExtensions; read: (reader: DerReader) => unknown }> = new Map([
  [oids.authorityKeyIdentifier, { key: 'authorityKeyIdentifier', read: values.readAuthorityKeyIdentifier }],
  [oids.issuerAltName, { key: 'issuerAltName', read: values.readAltName }],
  [oids.crlNumber, { key: 'crlNumber', read: readNumber }],
  [oids.deltaCrlIndicator, { key: 'deltaCrlIndicator', read: readNumber }],
  [oids.issuingDistributionPoint, { key: 'issuingDistributionPoint', read: readIssuingPoint }],
  [oids.freshestCrl, { key: 'freshestCrl', read: values.readDistributionPoints }],
  [oids.authorityInfoAccess, { key: 'authorityInfoAccess', read: values.readInfoAccess }],
] as const);

function readNumber(reader: DerReader): Buffer {
  return reader.readInteger();
}

function readIssuingPoint(reader: DerReader): IssuingPointView {
  return reader.readSequence(() => {
    const name = reader.readOptionalContext(0, values.readPointName);
    const onlyUserCerts = readFlag(reader, contextPrimitive(1));
    const onlyCaCerts = readFlag(reader, contextPrimitive(2));
    const hasSomeReasons = reader.peek() === contextPrimitive(3);
    if (hasSomeReasons) reader.readNamedBits(contextPrimitive(3));
    const indirect = readFlag(reader, contextPrimitive(4));
    const onlyAttributeCerts = readFlag(reader, contextPrimitive(5));
    const { fullName, hasRelativeName = false } = name ?? {};
    return { fullName, hasRelativeName, onlyUserCerts, onlyCaCerts, hasSomeReasons, indirect, onlyAttributeCerts };
  });
}

/** BOOLEAN DEFAULT FALSE under an implicit tag. */
function readFlag(reader: DerReader, type: number): boolean {
  if (reader.peek() !== type) return false;
  if (!reader.readBoolean(type)) reader.fail('a BOOLEAN that has its default value is encoded');
  return true;
}

type Found = Pick<CrlView, 'extensions' | 'values' | 'malformed'>;

function readExtensions(reader: DerReader): Found {
  const found = { extensions: [] as { oid: string; critical: boolean }[], values: {}, malformed: [] as Finding[] };
  reader.readSequenceOf(() =>
    reader.readSequence(() => {
      const oid = reader.readOid();
      const critical = reader.readDefaultFalse();
      found.extensions.push({ oid, critical });
      readExtensionValue(oid, critical, reader.readOctetString(), found);
    }),
  );
  return found;
}

function readExtensionValue(
  oid: string,
  critical: boolean,
  content: Buffer,
  found: { values: Record<string, unknown>; malformed: Finding[] },
): void {
  const extension = readers.get(oid);
  let value: unknown;
  try {
    value = readDer(content, content.length, extension?.read ?? skipOne);
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    const message = `the value of the extension ${extension?.key ?? oid} is not what it should be: ${thrown.reason}`;
    found.malformed.push({ code: 'malformed_extension', severity: 'error', section: 'RFC 5280 §5.2', message });
  }
  if (extension !== undefined) found.values[extension.key] ??= { critical, value };
}

function skipOne(reader: DerReader): void {
  reader.skip();
}
