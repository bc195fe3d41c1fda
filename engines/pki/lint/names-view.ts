import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { isTextTag } from '#pki/asn1/text.ts';
import { oids } from '#pki/x509/oid.ts';
import { dnsFlaws, emailFlaws, nameFlaw, uriFlaws } from './name-syntax.ts';

/**
 * Names as the rules see them. They are read here once more, with nothing of the codec but the reader of DER elements,
 * so that a fault of the codec does not hide itself.
 */
export interface AttributeView {
  readonly oid: string;
  /** Identifier octet of the value. */
  readonly tag: number;
  /** Empty when the value is no character string. */
  readonly text: string;
  /** Bits of `attributeFlaw`. */
  readonly flaws: number;
}

/** A distinguished name. */
export interface NameView {
  /** The exact encoding. */
  readonly der: Buffer;
  readonly rdns: readonly (readonly AttributeView[])[];
}

export const attributeFlaw = {
  empty: 1 << 0,
  tooLong: 1 << 1,
  /** Another string type than the one that the attribute has. */
  stringType: 1 << 2,
  /** A DirectoryString that is neither PrintableString nor UTF8String. */
  oldStringType: 1 << 3,
  control: 1 << 4,
  country: 1 << 5,
} as const;

interface AttributeForm {
  readonly type: 'directory' | 'printable' | 'ia5' | 'country';
  /** Upper bound in characters. */
  readonly max: number;
}

function directory(max: number): AttributeForm {
  return { type: 'directory', max };
}

const nameBound = 32_768;

/** RFC 5280 appendix A.1 (the length of a countryName is part of its form), with the upper bounds of X.520 for streetAddress, businessCategory and organizationIdentifier. */
const attributeForms: ReadonlyMap<string, AttributeForm> = new Map([
  [oids.countryName, { type: 'country', max: nameBound }],
  [oids.subjectSerialNumber, { type: 'printable', max: 64 }],
  [oids.dnQualifier, { type: 'printable', max: nameBound }],
  [oids.domainComponent, { type: 'ia5', max: 63 }],
  [oids.emailAddress, { type: 'ia5', max: 255 }],
  [oids.commonName, directory(64)],
  [oids.localityName, directory(128)],
  [oids.stateOrProvinceName, directory(128)],
  [oids.streetAddress, directory(128)],
  [oids.organizationName, directory(64)],
  [oids.organizationalUnitName, directory(64)],
  [oids.title, directory(64)],
  [oids.pseudonym, directory(128)],
  [oids.businessCategory, directory(128)],
  [oids.organizationIdentifier, directory(256)],
  [oids.postalCode, directory(16)],
  [oids.name, directory(nameBound)],
  [oids.surname, directory(nameBound)],
  [oids.givenName, directory(nameBound)],
  [oids.initials, directory(nameBound)],
  [oids.generationQualifier, directory(nameBound)],
  [oids.userId, directory(256)],
]);

/** Reads a Name: a SEQUENCE of SETs of attributes, each SET with at least one. */
export function readNameView(reader: DerReader): NameView {
  const start = reader.offset;
  const rdns = reader.readSequenceOf(readRdn, 0);
  return { der: reader.since(start), rdns };
}

function readRdn(reader: DerReader): AttributeView[] {
  return reader.readSetOf(readAttribute);
}

function readAttribute(reader: DerReader): AttributeView {
  return reader.readSequence(readAttributeFields);
}

function readAttributeFields(reader: DerReader): AttributeView {
  const oid = reader.readOid();
  const type = reader.peek();
  if (isTextTag(type)) {
    const text = reader.readText(type);
    return { oid, tag: type, text, flaws: attributeFlaws(oid, type, text) };
  }
  reader.skip();
  return { oid, tag: type, text: '', flaws: attributeForms.has(oid) ? attributeFlaw.stringType : 0 };
}

function attributeFlaws(oid: string, type: number, text: string): number {
  let flaws = text === '' ? attributeFlaw.empty : 0;
  if (hasControl(text)) flaws |= attributeFlaw.control;
  const form = attributeForms.get(oid);
  if (form === undefined) return flaws;
  if (text.length > form.max && characters(text) > form.max) flaws |= attributeFlaw.tooLong;
  return flaws | typeFlaws(form, type, text);
}

function typeFlaws(form: AttributeForm, type: number, text: string): number {
  if (form.type === 'ia5') return type === tag.ia5String ? 0 : attributeFlaw.stringType;
  if (form.type === 'directory') {
    if (type === tag.utf8String || type === tag.printableString) return 0;
    return type === tag.ia5String || type === tag.numericString || type === tag.visibleString
      ? attributeFlaw.stringType
      : attributeFlaw.oldStringType;
  }
  if (type !== tag.printableString) return attributeFlaw.stringType;
  return form.type === 'country' && !/^[A-Za-z]{2}$/.test(text) ? attributeFlaw.country : 0;
}

function hasControl(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}

/** Code points, which is what the upper bounds count. */
function characters(text: string): number {
  return Array.from(text).length;
}

/** Identifier octets of the kinds of GeneralName (RFC 5280 §4.2.1.6). */
export const nameTag = {
  other: contextConstructed(0),
  email: contextPrimitive(1),
  dns: contextPrimitive(2),
  x400: contextConstructed(3),
  directory: contextConstructed(4),
  ediParty: contextConstructed(5),
  uri: contextPrimitive(6),
  ip: contextPrimitive(7),
  registeredId: contextPrimitive(8),
} as const;

export interface GeneralNameView {
  /** One of `nameTag`. */
  readonly tag: number;
  /** Of a dNSName, URI or rfc822Name; else empty. */
  readonly text: string;
  /** Octets of an iPAddress. */
  readonly octets: Buffer | undefined;
  readonly directory: NameView | undefined;
  /** Bits of `nameFlaw`. */
  readonly flaws: number;
}

export interface GeneralNamesView {
  readonly names: readonly GeneralNameView[];
  /** The flaws of all of them. */
  readonly flaws: number;
}

/** Reads GeneralNames: at least one. `type` is the identifier octet of the list. */
export function readGeneralNamesView(reader: DerReader, type: number = tag.sequence): GeneralNamesView {
  const names = reader.readSequenceOf(readGeneralNameView, 1, type);
  let flaws = 0;
  for (const name of names) flaws |= name.flaws;
  return { names, flaws };
}

export function readGeneralNameView(reader: DerReader): GeneralNameView {
  const type = reader.peek();
  switch (type) {
    case nameTag.dns:
      return textName(type, reader.readText(tag.ia5String, type), dnsFlaws);
    case nameTag.uri:
      return textName(type, reader.readText(tag.ia5String, type), uriFlaws);
    case nameTag.email:
      return textName(type, reader.readText(tag.ia5String, type), emailFlaws);
    case nameTag.ip:
      return addressName(reader.readOctetString(type));
    case nameTag.directory:
      return directoryName(reader.readConstructed(type, readNameView));
    default:
      return otherName(reader, type);
  }
}

function textName(type: number, text: string, flawsOf: (text: string) => number): GeneralNameView {
  return { tag: type, text, octets: undefined, directory: undefined, flaws: flawsOf(text) };
}

function addressName(octets: Buffer): GeneralNameView {
  const right = octets.length === 4 || octets.length === 16;
  const flaws = octets.length === 0 ? nameFlaw.empty : nameFlaw.ipLength;
  return { tag: nameTag.ip, text: '', octets, directory: undefined, flaws: right ? 0 : flaws };
}

function directoryName(name: NameView): GeneralNameView {
  const flaws = name.rdns.length === 0 ? nameFlaw.empty : 0;
  return { tag: nameTag.directory, text: '', octets: undefined, directory: name, flaws };
}

function otherName(reader: DerReader, type: number): GeneralNameView {
  if (type === nameTag.registeredId) reader.readOid(type);
  else if (type === nameTag.other) reader.readConstructed(type, readOtherName);
  else if (type === nameTag.x400 || type === nameTag.ediParty) reader.skip();
  else reader.fail('a GeneralName is of no known kind');
  return { tag: type, text: '', octets: undefined, directory: undefined, flaws: 0 };
}

function readOtherName(reader: DerReader): void {
  reader.readOid();
  reader.readContext(0, skipOne);
}

function skipOne(reader: DerReader): void {
  reader.skip();
}
