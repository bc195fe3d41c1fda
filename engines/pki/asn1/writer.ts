import { encodeOid } from './oid.ts';
import { compareSetItems } from './set-order.ts';
import { contextConstructed, contextPrimitive, tag } from './tag.ts';
import { isAscii, isPrintable } from './text.ts';
import { writeTime } from './time.ts';

/**
 * Writing DER. Every function returns one complete element in a buffer of its own; constructed ones add up the lengths
 * of their parts and copy each once. Parts that are `undefined` are left out, so that OPTIONAL needs no `if`.
 * Values that their type cannot hold throw `RangeError`: they are faults of the calling code.
 */
export type Parts = readonly (Uint8Array | undefined)[];

/** Octets of identifier and length before `length` octets of content. */
export function headerLength(length: number): number {
  if (length < 0x80) return 2;
  if (length < 0x100) return 3;
  if (length < 0x1_0000) return 4;
  return length < 0x100_0000 ? 5 : 6;
}

/** Writes identifier and minimal length at `offset`; returns the offset of the content. */
export function writeHeader(target: Uint8Array, offset: number, type: number, length: number): number {
  target[offset] = type;
  const size = headerLength(length);
  if (size === 2) {
    target[offset + 1] = length;
    return offset + 2;
  }
  target[offset + 1] = 0x80 | (size - 2);
  for (let at = offset + size - 1, rest = length; at > offset + 1; at--, rest = Math.floor(rest / 256)) {
    target[at] = rest & 0xff;
  }
  return offset + size;
}

/** An element with any identifier octet, its content joined from parts. */
export function element(type: number, parts: Parts): Buffer {
  let length = 0;
  for (const part of parts) if (part !== undefined) length += part.length;
  const target = Buffer.allocUnsafe(headerLength(length) + length);
  let at = writeHeader(target, 0, type, length);
  for (const part of parts) {
    if (part === undefined) continue;
    target.set(part, at);
    at += part.length;
  }
  return target;
}

export function sequence(parts: Parts): Buffer {
  return element(tag.sequence, parts);
}

/** SET OF, sorted (X.690 §11.6). */
export function setOf(items: readonly Uint8Array[]): Buffer {
  return element(tag.set, items.toSorted(compareSetItems));
}

/** [number] EXPLICIT around complete elements, or [number] IMPLICIT over a SEQUENCE with these parts. */
export function context(number: number, parts: Parts): Buffer {
  return element(contextConstructed(number), parts);
}

/** [number] IMPLICIT over a primitive type: its content octets under another identifier. */
export function contextOctets(number: number, content: Uint8Array): Buffer {
  return element(contextPrimitive(number), [content]);
}

/** The same element under another identifier octet: IMPLICIT tagging of what is encoded already. */
export function retag(type: number, encoded: Uint8Array): Buffer {
  const copy = Buffer.from(encoded);
  copy[0] = type;
  return copy;
}

export function boolean(value: boolean): Buffer {
  return Buffer.from([tag.boolean, 1, value ? 0xff : 0x00]);
}

/** BOOLEAN DEFAULT FALSE: nothing for false (X.690 §11.5). */
export function defaultFalse(value: boolean | undefined): Buffer | undefined {
  return value === true ? boolean(true) : undefined;
}

/** INTEGER of a whole number, negative ones too. */
export function integer(value: number | bigint, type: number = tag.integer): Buffer {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new RangeError('not a whole number');
  let rest = BigInt(value);
  const octets: number[] = [];
  do {
    octets.unshift(Number(rest & 0xffn));
    rest >>= 8n;
  } while (!((rest === 0n && (octets[0] as number) < 0x80) || (rest === -1n && (octets[0] as number) >= 0x80)));
  return element(type, [Uint8Array.from(octets)]);
}

/** INTEGER of a big-endian magnitude: leading zeros removed, a sign octet added where needed. */
export function unsignedInteger(magnitude: Uint8Array, type: number = tag.integer): Buffer {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
  if (magnitude.length === 0) return Buffer.from([type, 1, 0]);
  const sign = (magnitude[start] as number) >= 0x80 ? Uint8Array.of(0) : undefined;
  return element(type, [sign, start === 0 ? magnitude : magnitude.subarray(start)]);
}

export function enumerated(value: number): Buffer {
  return integer(value, tag.enumerated);
}

export function nullValue(): Buffer {
  return Buffer.from([tag.null, 0]);
}

/** OBJECT IDENTIFIER of a dotted identifier. */
export function oid(dotted: string, type: number = tag.oid): Buffer {
  return element(type, [encodeOid(dotted)]);
}

/** OCTET STRING of bytes, or around complete elements. */
export function octetString(...parts: Parts): Buffer {
  return element(tag.octetString, parts);
}

/** BIT STRING of whole octets. */
export function bitString(bytes: Uint8Array, type: number = tag.bitString): Buffer {
  return element(type, [Uint8Array.of(0), bytes]);
}

/** BIT STRING with named bits: bit n of the ASN.1 type is `1 << n`; no trailing zero bits (X.690 §11.2.2). */
export function namedBits(bits: number, type: number = tag.bitString): Buffer {
  if (bits < 0) throw new RangeError('at most 31 named bits');
  const count = 32 - Math.clz32(bits);
  const octets = new Uint8Array(1 + Math.ceil(count / 8));
  octets[0] = (8 - (count % 8)) % 8;
  for (let bit = 0; bit < count; bit++) {
    if ((bits & (1 << bit)) !== 0) octets[1 + (bit >> 3)] = (octets[1 + (bit >> 3)] as number) | (0x80 >> (bit & 7));
  }
  return element(type, [octets]);
}

export function utf8String(text: string, type: number = tag.utf8String): Buffer {
  if (!text.isWellFormed()) throw new RangeError('the text has an unpaired surrogate');
  return element(type, [Buffer.from(text, 'utf8')]);
}

export function printableString(text: string, type: number = tag.printableString): Buffer {
  if (!isPrintable(text)) throw new RangeError('the text holds a character that PrintableString has not');
  return element(type, [Buffer.from(text, 'latin1')]);
}

export function ia5String(text: string, type: number = tag.ia5String): Buffer {
  if (!isAscii(text)) throw new RangeError('the text holds a character that is not ASCII');
  return element(type, [Buffer.from(text, 'latin1')]);
}

/** UTCTime from 1950 to 2049, GeneralizedTime otherwise (RFC 5280 §4.1.2.5); part seconds are cut off. */
export function time(milliseconds: number): Buffer {
  const target = Buffer.allocUnsafe(17);
  return target.subarray(0, writeTime(target, 0, milliseconds));
}

/** GeneralizedTime whatever the year: CRL and OCSP fields. */
export function generalizedTime(milliseconds: number): Buffer {
  const target = Buffer.allocUnsafe(17);
  return target.subarray(0, writeTime(target, 0, milliseconds, true));
}
