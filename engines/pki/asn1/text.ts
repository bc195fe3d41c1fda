import { isUtf8 } from 'node:buffer';
import { DerError } from './der-error.ts';
import { tag, tagName } from './tag.ts';

/** A-Z a-z 0-9 space ' ( ) + , - . / : = ? (X.680 §41.4) */
const printableOctets = octetSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?");
const numericOctets = octetSet('0123456789 ');

function octetSet(characters: string): Uint8Array {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
}

/** The identifier octets of the string types that `decodeText` reads. */
const textTags: ReadonlySet<number> = new Set([
  tag.utf8String,
  tag.numericString,
  tag.printableString,
  tag.teletexString,
  tag.ia5String,
  tag.visibleString,
  tag.universalString,
  tag.bmpString,
]);

/** True for the identifier octet of a character string type that X.509 uses. */
export function isTextTag(octet: number): boolean {
  return textTags.has(octet);
}

/**
 * The text of a character string, its octets checked against the alphabet of its type. TeletexString is read as
 * ISO 8859-1, as everyone does. Throws `DerError`.
 */
export function decodeText(type: number, bytes: Buffer, start: number, end: number): string {
  switch (type) {
    case tag.utf8String:
      return decodeUtf8(bytes, start, end);
    case tag.printableString:
      return decodeSet(type, printableOctets, bytes, start, end);
    case tag.numericString:
      return decodeSet(type, numericOctets, bytes, start, end);
    case tag.ia5String:
      return decodeRange(type, 0x00, 0x7f, bytes, start, end);
    case tag.visibleString:
      return decodeRange(type, 0x20, 0x7e, bytes, start, end);
    case tag.teletexString:
      return bytes.toString('latin1', start, end);
    case tag.bmpString:
      return decodeBmp(bytes, start, end);
    case tag.universalString:
      return decodeUniversal(bytes, start, end);
    default:
      throw new DerError(`${tagName(type)} is not a character string`, start);
  }
}

function decodeUtf8(bytes: Buffer, start: number, end: number): string {
  for (let index = start; index < end; index++) {
    if ((bytes[index] as number) < 0x80) continue;
    if (!isUtf8(bytes.subarray(start, end))) throw new DerError('a UTF8String is not valid UTF-8', start);
    return bytes.toString('utf8', start, end);
  }
  return bytes.toString('latin1', start, end);
}

function decodeSet(type: number, set: Uint8Array, bytes: Buffer, start: number, end: number): string {
  for (let index = start; index < end; index++) {
    if (set[bytes[index] as number] !== 1)
      throw new DerError(`a character is outside the alphabet of ${tagName(type)}`, index);
  }
  return bytes.toString('latin1', start, end);
}

function decodeRange(type: number, first: number, last: number, bytes: Buffer, start: number, end: number): string {
  for (let index = start; index < end; index++) {
    const octet = bytes[index] as number;
    if (octet < first || octet > last)
      throw new DerError(`a character is outside the alphabet of ${tagName(type)}`, index);
  }
  return bytes.toString('latin1', start, end);
}

/** BMPString is UCS-2: two octets a character, no surrogates. */
function decodeBmp(bytes: Buffer, start: number, end: number): string {
  if ((end - start) % 2 !== 0) throw new DerError('a BMPString has an odd length', start);
  let text = '';
  for (let index = start; index < end; index += 2) {
    const unit = bytes.readUInt16BE(index);
    if (unit >= 0xd800 && unit <= 0xdfff) throw new DerError('a BMPString holds a surrogate', index);
    text += String.fromCharCode(unit);
  }
  return text;
}

function decodeUniversal(bytes: Buffer, start: number, end: number): string {
  if ((end - start) % 4 !== 0) throw new DerError('a UniversalString has a length that is no multiple of 4', start);
  let text = '';
  for (let index = start; index < end; index += 4) {
    const point = bytes.readUInt32BE(index);
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
      throw new DerError('a UniversalString holds something that is no character', index);
    text += String.fromCodePoint(point);
  }
  return text;
}

/** True when every character is in the alphabet of PrintableString. */
export function isPrintable(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (printableOctets[text.charCodeAt(index)] !== 1) return false;
  return true;
}

/** True when every character is ASCII: the alphabet of IA5String. */
export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}
