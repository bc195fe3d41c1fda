import { AppError } from '#core/errors.ts';
import { isOid } from '#pki/asn1/oid.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { isAscii, isPrintable, isTextTag } from '#pki/asn1/text.ts';
import { ia5String, oid, printableString, retag, sequence, setOf, utf8String } from '#pki/asn1/writer.ts';
import { attributeTypes, attributeTypeOf, describeAttributeType } from './name-attributes.ts';

/** Longest encoding of a Name that is read. */
const maxNameBytes = 65_536;

/** What an attribute of a name to be made says. */
export interface NameAttributeInput {
  /** A name of `attributeTypes` (`common_name`, `organization`, …) or a dotted identifier. */
  readonly type: string;
  readonly value: string;
}

/** AttributeTypeAndValue (RFC 5280 §4.1.2.4), as it was read. */
export interface NameAttribute extends NameAttributeInput {
  readonly oid: string;
  /** The text; for a value that is no character string `#` and the hex of its encoding (RFC 4514 §2.4). */
  readonly value: string;
  /** Identifier octet of the value: which string type it is. */
  readonly valueTag: number;
}

/** A distinguished name: relative distinguished names from the outermost inwards, almost always of one attribute each. */
export interface Name {
  /** The exact encoding. */
  readonly der: Buffer;
  readonly rdns: readonly (readonly NameAttribute[])[];
}

/** Reads a Name. An RDN must hold something; a Name may be empty. Throws `DerError`. */
export function readName(reader: DerReader): Name {
  const start = reader.offset;
  const rdns = reader.readSequenceOf(readRdn, 0);
  return { der: reader.since(start), rdns };
}

function readRdn(reader: DerReader): NameAttribute[] {
  return reader.readSetOf(readAttribute);
}

function readAttribute(reader: DerReader): NameAttribute {
  return reader.readSequence(readAttributeFields);
}

function readAttributeFields(reader: DerReader): NameAttribute {
  const dotted = reader.readOid();
  const valueTag = reader.peek();
  const value = isTextTag(valueTag) ? reader.readText(valueTag) : `#${reader.readAny().toString('hex')}`;
  return { type: attributeTypeOf(dotted), oid: dotted, value, valueTag };
}

/** One RDN on its own: nameRelativeToCRLIssuer (RFC 5280 §4.2.1.13). */
export interface RelativeName {
  readonly attributes: readonly NameAttribute[];
  /** As a SET, whatever its tag was where it stood. */
  readonly der: Buffer;
}

export function readRelativeName(reader: DerReader, type: number): RelativeName {
  const start = reader.offset;
  const attributes = reader.readSetOf(readAttribute, 1, type);
  return { attributes, der: retag(tag.set, reader.since(start)) };
}

/** The name that a relative name makes below `base`. */
export function appendRelativeName(base: Name, relative: RelativeName): Name {
  const content = readDer(base.der, maxNameBytes, (reader) => reader.readOctetString(tag.sequence));
  return { der: sequence([content, relative.der]), rdns: [...base.rdns, relative.attributes] };
}

/** As `readName`, of bytes that are one Name. */
export function decodeName(der: Uint8Array): Name {
  return readDer(der, maxNameBytes, readName);
}

/**
 * Encodes a Name: each attribute becomes an RDN, in the given order (outermost first). PrintableString where RFC 5280
 * appendix A.1 demands it (C, serialNumber, dnQualifier), IA5String for e-mail and DC, UTF8String else. Throws
 * `AppError('invalid_request')` for an unknown type, an empty value, one above its upper bound, or control characters.
 */
export function encodeName(attributes: readonly NameAttributeInput[]): Buffer {
  return sequence(attributes.map((attribute) => setOf([encodeAttribute(attribute)])));
}

const control = /\p{Cc}|\p{Cs}|[\u2028\u2029]/u;

function encodeAttribute({ type, value }: NameAttributeInput): Buffer {
  const { oid: dotted, maxLength, form } = describeAttributeType(type) ?? unknownType(type);
  const length = isAscii(value) ? value.length : Array.from(value).length;
  if (length === 0 || length > maxLength)
    refuse(type, `has ${length} characters; 1 to ${maxLength} are allowed (RFC 5280 appendix A.1)`);
  if (control.test(value)) refuse(type, 'holds a control character; none is allowed');
  if (form === 'country' && !/^[A-Za-z]{2}$/.test(value)) refuse(type, 'is not a two-letter code (ISO 3166-1)');
  if (form === 'ia5') {
    if (!isAscii(value)) refuse(type, 'holds a character that is not ASCII; only ASCII is allowed');
    return sequence([oid(dotted), ia5String(value)]);
  }
  if (form === 'utf8') return sequence([oid(dotted), utf8String(value)]);
  if (!isPrintable(value)) refuse(type, "may hold only A-Z, a-z, 0-9, space and '()+,-./:=? (PrintableString)");
  return sequence([oid(dotted), printableString(value)]);
}

function unknownType(type: string): { oid: string; maxLength: number; form: 'utf8' } {
  if (isOid(type)) return { oid: type, maxLength: 32_768, form: 'utf8' };
  throw new AppError('invalid_request', 'The subject has an attribute of an unknown type.', {
    hint: `Use a dotted object identifier or one of ${Object.keys(attributeTypes).join(', ')}.`,
  });
}

function refuse(type: string, problem: string): never {
  throw new AppError('invalid_request', `The subject attribute ${type} ${problem}.`);
}

/** The values of every attribute of a type (`common_name` or a dotted identifier), outermost first. */
export function attributeValues(name: Name, type: string): string[] {
  return name.rdns.flatMap((rdn) => rdn.filter((each) => each.type === type || each.oid === type).map(valueOf));
}

function valueOf(attribute: NameAttribute): string {
  return attribute.value;
}

/** The text of RFC 4514: innermost first, everything escaped that could be read otherwise or not be seen. */
export function formatName(name: Name): string {
  return name.rdns.map(formatRdn).toReversed().join(',');
}

function formatRdn(rdn: readonly NameAttribute[]): string {
  return rdn.map(formatAttribute).join('+');
}

function formatAttribute({ type, oid: dotted, value, valueTag }: NameAttribute): string {
  const keyword = describeAttributeType(type)?.keyword ?? dotted;
  return `${keyword}=${isTextTag(valueTag) ? escapeValue(value) : value}`;
}

/** Control, format (bidirectional, zero width), private, unpaired and line-separating characters. */
const invisible = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escapeValue(value: string): string {
  return value.replaceAll(special, String.raw`\$&`).replaceAll(invisible, escapeOctets);
}

/** RFC 4514 §2.4: what must be escaped anywhere, at the beginning, at the end. */
const special = /[\\",+;<>]|^[ #]| $/g;

/** The text with everything that cannot be seen, and the backslash, written as in RFC 4514: `\\0a`. */
export function escapeInvisible(text: string): string {
  return text.replaceAll('\\', String.raw`\\`).replaceAll(invisible, escapeOctets);
}

function escapeOctets(character: string): string {
  return Buffer.from(character).toString('hex').replaceAll(/../g, String.raw`\$&`);
}

const keysOf = new WeakMap<Name, readonly string[]>();

/**
 * One string per RDN, equal exactly when the RDNs match by RFC 5280 §7.1: attribute types equal, values equal after
 * string preparation (RFC 4518), whatever string types they are in; attributes of an RDN in any order.
 */
export function rdnKeys(name: Name): readonly string[] {
  const known = keysOf.get(name);
  if (known !== undefined) return known;
  const keys = name.rdns.map((rdn) => rdn.map(attributeKey).sort().join(''));
  keysOf.set(name, keys);
  return keys;
}

const wholeKeysOf = new WeakMap<Name, string>();

/** One string for the whole name, for maps: two names match (RFC 5280 §7.1) exactly when these are equal. */
export function nameKey(name: Name): string {
  const known = wholeKeysOf.get(name);
  if (known !== undefined) return known;
  const whole = rdnKeys(name)
    .map((key) => `${key.length}:${key}`)
    .join('');
  wholeKeysOf.set(name, whole);
  return whole;
}

function attributeKey({ oid: dotted, value, valueTag }: NameAttribute): string {
  const prepared = isTextTag(valueTag) ? `"${prepareText(value)}` : value;
  return `${dotted}=${prepared.length}:${prepared};`;
}

/** What RFC 4518 §2.2 maps to nothing, once what it maps to a space is gone. */
const ignored = /[\p{Cc}\p{Cf}\p{Variation_Selector}\u1806\ufffc]|\u034f/gu;

/** String preparation for caseIgnoreMatch (RFC 4518): map, fold case, normalise (NFKC), make runs of spaces one. */
export function prepareText(text: string): string {
  if (isPrintable(text)) return text.trim().replaceAll(/ {2,}/g, ' ').toLowerCase();
  const mapped = text.replaceAll(/[\t\n\v\f\r\u0085\u2028\u2029]/g, ' ').replaceAll(ignored, '');
  const folded = normalizeText(normalizeText(mapped).toUpperCase().toLowerCase());
  return folded.replaceAll(/\s+/gu, ' ').trim();
}

/** Thirty characters that join the one before them; two of them do so only once they are normalised. */
const manyMarks = /[\p{M}\uff9e\uff9f]{30}/gu;

/**
 * NFKC of the Stream-Safe Text Format (UAX #15 §13): without an end to runs of combining marks their ordering takes time
 * that grows with the square of their number, seconds for one name.
 */
function normalizeText(text: string): string {
  return text.replaceAll(manyMarks, '$&\u034f').normalize('NFKC');
}

/** True when the names match by RFC 5280 §7.1. */
export function sameName(left: Name, right: Name): boolean {
  if (left.der.equals(right.der)) return true;
  return left.rdns.length === right.rdns.length && isWithinName(left, right);
}

/** True when `name` lies in the subtree of `base` (RFC 5280 §4.2.1.10): the RDNs of `base` begin it. */
export function isWithinName(base: Name, name: Name): boolean {
  if (base.rdns.length > name.rdns.length) return false;
  const keys = rdnKeys(name);
  return rdnKeys(base).every((key, index) => key === keys[index]);
}
