import { DerError } from '#pki/asn1/der-error.ts';
import { DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { oids } from '#pki/x509/oid.ts';
import * as values from './extension-values.ts';
import type { Finding } from './finding.ts';
import { type NameView, readNameView } from './names-view.ts';

/** What the rules see of a certificate. Byte fields are views of the input. */
export interface CertificateView {
  /** 1 to 3. */
  readonly version: number;
  /** Content octets of the INTEGER. */
  readonly serial: Buffer;
  readonly signature: AlgorithmView;
  readonly issuer: NameView;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** A time before 2050 is a GeneralizedTime. */
  readonly hasEarlyGeneralizedTime: boolean;
  readonly subject: NameView;
  readonly key: PublicKeyView;
  readonly hasUniqueIdentifiers: boolean;
  /** In their order. */
  readonly extensions: readonly ExtensionView[];
  /** Those that are understood. */
  readonly values: ExtensionValues;
  /** Extensions whose values are not what their types demand. */
  readonly malformed: readonly Finding[];
}

export interface AlgorithmView {
  readonly oid: string;
  /** As one element; undefined when absent. */
  readonly parameters: Buffer | undefined;
}

export interface PublicKeyView {
  readonly algorithm: AlgorithmView;
  /** Content of the BIT STRING. */
  readonly bits: Buffer;
  readonly unusedBits: number;
  /** EC keys on a named curve: its dotted identifier. */
  readonly curve: string | undefined;
  /** RSA keys: the content octets of both INTEGERs. */
  readonly rsa: { readonly modulus: Buffer; readonly exponent: Buffer } | undefined;
}

export interface ExtensionView {
  readonly oid: string;
  readonly critical: boolean;
}

/** An extension that is there; its value is undefined when it is malformed, which is a finding by itself. */
export interface Value<T> {
  readonly critical: boolean;
  readonly value: T | undefined;
}

interface KnownExtension {
  readonly key: string;
  /** In findings: `the subjectAltName`. */
  readonly label: string;
  readonly section: string;
  readonly read: (reader: DerReader) => unknown;
}

function known<T>(label: string, section: string, read: (reader: DerReader) => T) {
  return { label, section, read };
}

/** The extensions that rules look into. */
const readers = {
  authorityKeyIdentifier: known('authorityKeyIdentifier', 'RFC 5280 §4.2.1.1', values.readAuthorityKeyIdentifier),
  subjectKeyIdentifier: known('subjectKeyIdentifier', 'RFC 5280 §4.2.1.2', values.readSubjectKeyIdentifier),
  keyUsage: known('keyUsage', 'RFC 5280 §4.2.1.3', values.readKeyUsage),
  certificatePolicies: known('certificatePolicies', 'RFC 5280 §4.2.1.4', values.readPolicies),
  policyMappings: known('policyMappings', 'RFC 5280 §4.2.1.5', values.readPolicyMappings),
  subjectAltName: known('subjectAltName', 'RFC 5280 §4.2.1.6', values.readAltName),
  issuerAltName: known('issuerAltName', 'RFC 5280 §4.2.1.7', values.readAltName),
  subjectDirectoryAttributes: known('subjectDirectoryAttributes', 'RFC 5280 §4.2.1.8', values.readDirectoryAttributes),
  basicConstraints: known('basicConstraints', 'RFC 5280 §4.2.1.9', values.readBasicConstraints),
  nameConstraints: known('nameConstraints', 'RFC 5280 §4.2.1.10', values.readNameConstraints),
  policyConstraints: known('policyConstraints', 'RFC 5280 §4.2.1.11', values.readPolicyConstraints),
  extendedKeyUsage: known('extendedKeyUsage', 'RFC 5280 §4.2.1.12', values.readExtendedKeyUsage),
  crlDistributionPoints: known('cRLDistributionPoints', 'RFC 5280 §4.2.1.13', values.readDistributionPoints),
  inhibitAnyPolicy: known('inhibitAnyPolicy', 'RFC 5280 §4.2.1.14', values.readInhibitAnyPolicy),
  freshestCrl: known('freshestCRL', 'RFC 5280 §4.2.1.15', values.readDistributionPoints),
  authorityInfoAccess: known('authorityInfoAccess', 'RFC 5280 §4.2.2.1', values.readInfoAccess),
  subjectInfoAccess: known('subjectInfoAccess', 'RFC 5280 §4.2.2.2', values.readInfoAccess),
  ocspNoCheck: known('ocsp-nocheck', 'RFC 6960 §4.2.2.2.1', values.readNull),
  noRevAvail: known('noRevAvail', 'RFC 9608 §2', values.readNull),
  tlsFeature: known('TLS feature', 'RFC 7633 §4', values.readTlsFeature),
  acmeIdentifier: known('acmeIdentifier', 'RFC 8737 §3', values.readOctets),
  sctList: known('SCT list', 'RFC 6962 §3.3', values.readOctets),
  ctPoison: known('CT poison', 'RFC 6962 §3.1', values.readNull),
} as const;

export type ExtensionKey = keyof typeof readers;

/** The understood extensions that are there. */
export type ExtensionValues = {
  readonly [Key in ExtensionKey]: Value<ReturnType<(typeof readers)[Key]['read']>> | undefined;
};

const absent = Object.fromEntries(Object.keys(readers).map((key) => [key, undefined])) as ExtensionValues;

const byOid: ReadonlyMap<string, KnownExtension> = new Map(
  Object.entries(readers).map(([key, reader]) => [oids[key as ExtensionKey], { key, ...reader }]),
);

/** The name and the section of an understood extension, for rules over all of them. */
export function describeExtension(key: ExtensionKey): { readonly label: string; readonly section: string } {
  return readers[key];
}

export function isUnderstood(oid: string): boolean {
  return byOid.has(oid);
}

/** Largest TBSCertificate that is read. */
const maxBytes = 65_536;

const sections = {
  certificate: '§4.1',
  version: '§4.1.2.1',
  serial_number: '§4.1.2.2',
  signature: '§4.1.2.3',
  issuer: '§4.1.2.4',
  validity: '§4.1.2.5',
  subject: '§4.1.2.6',
  public_key: '§4.1.2.7',
  unique_identifiers: '§4.1.2.8',
  extensions: '§4.1.2.9',
} as const;

type Field = keyof typeof sections;

/**
 * Reads a TBSCertificate, DER, strictly. When its structure cannot be read, the finding says in which field; malformed
 * values of extensions are told in the view.
 */
export function readCertificateView(tbs: Uint8Array): CertificateView | Finding {
  const place: { field: Field } = { field: 'certificate' };
  try {
    return readDer(tbs, maxBytes, (reader) => reader.readSequence(() => readFields(reader, place)));
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    return {
      code: `malformed_${place.field}`,
      severity: 'error',
      section: `RFC 5280 ${sections[place.field]}`,
      message: `the ${place.field.replaceAll('_', ' ')} cannot be read as DER: ${thrown.reason}`,
    };
  }
}

function readFields(reader: DerReader, place: { field: Field }): CertificateView {
  place.field = 'version';
  const version = reader.readOptionalContext(0, readVersion) ?? 1;
  place.field = 'serial_number';
  const serial = reader.readInteger();
  place.field = 'signature';
  const signature = readAlgorithmView(reader);
  place.field = 'issuer';
  const issuer = readNameView(reader);
  place.field = 'validity';
  const validity = reader.readSequence(readValidity);
  place.field = 'subject';
  const subject = readNameView(reader);
  place.field = 'public_key';
  const key = readPublicKeyView(reader);
  place.field = 'unique_identifiers';
  const hasUniqueIdentifiers = readUniqueIdentifiers(reader);
  place.field = 'extensions';
  const found = reader.readOptionalContext(3, readExtensions) ?? { extensions: [], values: absent, malformed: [] };
  place.field = 'certificate';
  return { version, serial, signature, issuer, ...validity, subject, key, hasUniqueIdentifiers, ...found };
}

/** Version ::= INTEGER { v1(0), v2(1), v3(2) }, DEFAULT v1 and therefore absent for v1. */
function readVersion(reader: DerReader): number {
  const number = reader.readSmallInteger(2);
  if (number === 0) reader.fail('the version has its default value and is encoded');
  return number + 1;
}

/** AlgorithmIdentifier (RFC 5280 §4.1.1.2). */
export function readAlgorithmView(reader: DerReader): AlgorithmView {
  return reader.readSequence(readAlgorithmFields);
}

function readAlgorithmFields(reader: DerReader): AlgorithmView {
  const oid = reader.readOid();
  return { oid, parameters: reader.atEnd ? undefined : reader.readAny() };
}

function readValidity(reader: DerReader): Pick<CertificateView, 'notBefore' | 'notAfter' | 'hasEarlyGeneralizedTime'> {
  const longBefore = reader.peek() === tag.generalizedTime;
  const notBefore = reader.readTime();
  const longAfter = reader.peek() === tag.generalizedTime;
  const notAfter = reader.readTime();
  const hasEarlyGeneralizedTime = (longBefore && notBefore < firstLongTime) || (longAfter && notAfter < firstLongTime);
  return { notBefore, notAfter, hasEarlyGeneralizedTime };
}

/** 2050-01-01T00:00:00Z: from here on GeneralizedTime, before it UTCTime (RFC 5280 §4.1.2.5). */
export const firstLongTime = Date.UTC(2050, 0, 1);

function readPublicKeyView(reader: DerReader): PublicKeyView {
  return reader.readSequence(readPublicKeyFields);
}

function readPublicKeyFields(reader: DerReader): PublicKeyView {
  const algorithm = readAlgorithmView(reader);
  const { bytes, unusedBits } = reader.readBitString();
  const { oid, parameters } = algorithm;
  const isRsa = oid === oids.rsaEncryption || oid === oids.rsassaPss;
  const isNamed = oid === oids.ecPublicKey && parameters?.[0] === tag.oid;
  return {
    algorithm,
    bits: bytes,
    unusedBits,
    curve: isNamed ? readDer(parameters, parameters.length, readOid) : undefined,
    rsa: isRsa ? readDer(bytes, bytes.length, readRsa) : undefined,
  };
}

function readOid(reader: DerReader): string {
  return reader.readOid();
}

/** RSAPublicKey (RFC 3279 §2.3.1). */
function readRsa(reader: DerReader): { modulus: Buffer; exponent: Buffer } {
  return reader.readSequence(() => ({ modulus: reader.readInteger(), exponent: reader.readInteger() }));
}

const uniqueIdentifierTags = [contextPrimitive(1), contextPrimitive(2)] as const;

function readUniqueIdentifiers(reader: DerReader): boolean {
  let found = false;
  for (const type of uniqueIdentifierTags) {
    if (reader.peek() !== type) continue;
    reader.readBitString(type);
    found = true;
  }
  return found;
}

type Found = Pick<CertificateView, 'extensions' | 'values' | 'malformed'>;

/** Extensions (RFC 5280 §4.1.2.9): at least one. Of one that stands twice the first value counts; a rule tells of it. */
function readExtensions(reader: DerReader): Found {
  const found = { extensions: [] as ExtensionView[], values: { ...absent }, malformed: [] as Finding[] };
  reader.readSequenceOf(() => reader.readSequence(() => readExtension(reader, found)));
  return found;
}

function readExtension(
  reader: DerReader,
  found: { extensions: ExtensionView[]; values: ExtensionValues; malformed: Finding[] },
): void {
  const oid = reader.readOid();
  const critical = reader.readDefaultFalse();
  const content = reader.readOctetString();
  found.extensions.push({ oid, critical });
  const extension = byOid.get(oid);
  const value = readValue(oid, extension, content, found.malformed);
  if (extension === undefined) return;
  const slots = found.values as Record<string, Value<unknown> | undefined>;
  slots[extension.key] ??= { critical, value };
}

/** RFC 5280 §4.2: the value of every extension, known or not, is DER. */
function readValue(oid: string, extension: KnownExtension | undefined, content: Buffer, malformed: Finding[]): unknown {
  try {
    const reader = new DerReader(content);
    const value = extension === undefined ? reader.skip() : extension.read(reader);
    reader.expectEnd();
    return value;
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    malformed.push({
      code: 'malformed_extension',
      severity: 'error',
      section: extension?.section ?? 'RFC 5280 §4.2',
      message: `the value of the extension ${extension?.label ?? oid} is not what it should be: ${thrown.reason}`,
    });
    return undefined;
  }
}
