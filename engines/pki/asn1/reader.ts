import { DerError } from './der-error.ts';
import { decodeOid } from './oid.ts';
import { compareSetItems } from './set-order.ts';
import { contextConstructed, tag, tagName } from './tag.ts';
import { decodeText, isTextTag } from './text.ts';
import { decodeTime } from './time.ts';

/** Deepest nesting of constructed elements that is read; X.509 needs about ten. */
export const maxDepth = 32;
/** Most elements that are read in one input: a bound on work that size alone does not give. */
export const maxNodes = 20_000;

/** The octets of a BIT STRING, without the count of unused bits. */
export interface BitString {
  readonly bytes: Buffer;
  /** 0 to 7; the unused bits themselves are zero. */
  readonly unusedBits: number;
}

/**
 * Reads one DER element that fills `input`. `decode` gets a reader that stands before it. Throws `DerError` when the
 * input is larger than `maxBytes`, is not DER (X.690 §8, §10, §11), or has anything after the element.
 */
export function readDer<T>(input: Uint8Array, maxBytes: number, decode: (reader: DerReader) => T): T {
  if (input.length > maxBytes) throw new DerError(`the input is larger than ${maxBytes} bytes`, 0);
  const reader = new DerReader(input);
  const value = decode(reader);
  reader.expectEnd();
  return value;
}

/**
 * A cursor over DER. Every `read…` method checks identifier, length and content of the next element, moves past it and
 * returns its value; byte values are views of the input, not copies. Inside the `decode` function of a constructed
 * element the cursor ends where the element ends, and content that `decode` leaves unread is an error. After a
 * `DerError` the reader is of no further use. `type` arguments are identifier octets, for IMPLICIT tagging.
 */
export class DerReader {
  readonly bytes: Buffer;
  #offset = 0;
  #end: number;
  #depth = 0;
  #nodes = 0;

  constructor(input: Uint8Array) {
    this.bytes = Buffer.isBuffer(input) ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    this.#end = input.length;
  }

  /** Position of the cursor in the input; with `since` it gives the exact bytes of what was read. */
  get offset(): number {
    return this.#offset;
  }

  /** The input bytes between an earlier `offset` and the cursor. */
  since(offset: number): Buffer {
    return this.bytes.subarray(offset, this.#offset);
  }

  /** True when nothing is left inside the present element. */
  get atEnd(): boolean {
    return this.#offset === this.#end;
  }

  /** The identifier octet of the next element, or -1 when nothing is left inside the present one. */
  peek(): number {
    return this.#offset < this.#end ? (this.bytes[this.#offset] as number) : -1;
  }

  /** Throws the `DerError` for a fault that only the caller can see, at the cursor or at `offset`. */
  fail(reason: string, offset = this.#offset): never {
    throw new DerError(reason, offset);
  }

  expectEnd(): void {
    if (this.#offset !== this.#end) this.fail('there is something after the end of an element');
  }

  /** Reads a constructed element: `decode` reads its content, all of it. */
  readConstructed<T>(type: number, decode: (reader: DerReader) => T): T {
    const end = this.#enter(type);
    const outerEnd = this.#end;
    this.#end = end;
    this.#depth += 1;
    if (this.#depth > maxDepth) this.fail(`elements are nested deeper than ${maxDepth}`);
    const value = decode(this);
    this.expectEnd();
    this.#end = outerEnd;
    this.#depth -= 1;
    return value;
  }

  readSequence<T>(decode: (reader: DerReader) => T): T {
    return this.readConstructed(tag.sequence, decode);
  }

  /** Reads [number] EXPLICIT, or [number] IMPLICIT over a SEQUENCE. */
  readContext<T>(number: number, decode: (reader: DerReader) => T): T {
    return this.readConstructed(contextConstructed(number), decode);
  }

  /** As `readContext`, or undefined when the next element is another one. */
  readOptionalContext<T>(number: number, decode: (reader: DerReader) => T): T | undefined {
    return this.peek() === contextConstructed(number) ? this.readContext(number, decode) : undefined;
  }

  /** SEQUENCE OF, with at least `min` items (X.509 lists are mostly SIZE (1..MAX)). */
  readSequenceOf<T>(decode: (reader: DerReader) => T, min = 1, type: number = tag.sequence): T[] {
    return this.readConstructed(type, () => {
      const items: T[] = [];
      while (!this.atEnd) items.push(decode(this));
      if (items.length < min) this.fail(`a ${tagName(type)} that must hold something is empty`);
      return items;
    });
  }

  /** SET OF, its items in the ascending order of their encodings (X.690 §11.6). */
  readSetOf<T>(decode: (reader: DerReader) => T, min = 1, type: number = tag.set): T[] {
    return this.readConstructed(type, () => {
      const items: T[] = [];
      let previous: Buffer | undefined;
      while (!this.atEnd) {
        const start = this.#offset;
        items.push(decode(this));
        if (previous === undefined && this.atEnd) break;
        const item = this.since(start);
        if (previous !== undefined && compareSetItems(previous, item) > 0)
          this.fail('the items of a SET OF are not in ascending order', start);
        previous = item;
      }
      if (items.length < min) this.fail('a SET that must hold something is empty');
      return items;
    });
  }

  readBoolean(type: number = tag.boolean): boolean {
    const end = this.#enter(type);
    const octet = this.bytes[this.#offset];
    if (end - this.#offset !== 1 || (octet !== 0x00 && octet !== 0xff)) this.fail('a BOOLEAN is neither 00 nor FF');
    this.#offset = end;
    return octet === 0xff;
  }

  /** BOOLEAN DEFAULT FALSE: absent means false, and false must be absent (X.690 §11.5). */
  readDefaultFalse(): boolean {
    if (this.peek() !== tag.boolean) return false;
    if (!this.readBoolean()) this.fail('a BOOLEAN that has its default value is encoded');
    return true;
  }

  /** The two's complement content octets, minimal (X.690 §8.3.2). */
  readInteger(type: number = tag.integer): Buffer {
    const end = this.#enter(type);
    const start = this.#offset;
    if (end === start) this.fail('an INTEGER is empty');
    const first = this.bytes[start] as number;
    if (end - start > 1 && (first === 0x00 || first === 0xff)) {
      const signOfSecond = (this.bytes[start + 1] as number) >= 0x80;
      if (signOfSecond === (first === 0xff)) this.fail('an INTEGER has a needless leading octet');
    }
    this.#offset = end;
    return this.bytes.subarray(start, end);
  }

  /** An INTEGER or ENUMERATED from 0 to `max` (at most 2^31 - 1). */
  readSmallInteger(max: number, type: number = tag.integer): number {
    const start = this.#offset;
    const octets = this.readInteger(type);
    if ((octets[0] as number) >= 0x80) this.fail('an INTEGER is negative', start);
    if (octets.length > 5) this.fail(`an INTEGER is larger than ${max}`, start);
    let value = 0;
    for (const octet of octets) value = value * 256 + octet;
    if (value > max) this.fail(`an INTEGER is larger than ${max}`, start);
    return value;
  }

  /** The magnitude of a non-negative INTEGER, without the sign octet. */
  readUnsignedInteger(type: number = tag.integer): Buffer {
    const start = this.#offset;
    const octets = this.readInteger(type);
    if ((octets[0] as number) >= 0x80) this.fail('an INTEGER is negative', start);
    return octets.length > 1 && octets[0] === 0 ? octets.subarray(1) : octets;
  }

  readBitString(type: number = tag.bitString): BitString {
    const end = this.#enter(type);
    const start = this.#offset;
    const unusedBits = this.bytes[start] as number;
    if (end === start) this.fail('a BIT STRING is empty');
    if (unusedBits > 7 || (unusedBits > 0 && end - start === 1)) this.fail('a BIT STRING counts its unused bits wrong');
    if (unusedBits > 0 && ((this.bytes[end - 1] as number) & ((1 << unusedBits) - 1)) !== 0)
      this.fail('the unused bits of a BIT STRING are not zero');
    this.#offset = end;
    return { bytes: this.bytes.subarray(start + 1, end), unusedBits };
  }

  /** A BIT STRING of whole octets: keys, signatures. */
  readOctetBitString(type: number = tag.bitString): Buffer {
    const start = this.#offset;
    const { bytes, unusedBits } = this.readBitString(type);
    if (unusedBits !== 0) this.fail('a BIT STRING that holds octets has unused bits', start);
    return bytes;
  }

  /**
   * A BIT STRING with named bits as a number: bit n of the ASN.1 type is `1 << n`. At most 31 bits, without trailing
   * zero bits (X.690 §11.2.2).
   */
  readNamedBits(type: number = tag.bitString): number {
    const start = this.#offset;
    const { bytes, unusedBits } = this.readBitString(type);
    if (bytes.length * 8 - unusedBits > 31) this.fail('a BIT STRING has more named bits than any known type', start);
    const last = bytes.at(-1);
    if (last !== undefined && (last & (1 << unusedBits)) === 0)
      this.fail('a BIT STRING with named bits ends with zero bits', start);
    let bits = 0;
    for (let bit = 0; bit < bytes.length * 8 - unusedBits; bit++)
      if (((bytes[bit >> 3] as number) & (0x80 >> (bit & 7))) !== 0) bits |= 1 << bit;
    return bits;
  }

  readOctetString(type: number = tag.octetString): Buffer {
    const end = this.#enter(type);
    const content = this.bytes.subarray(this.#offset, end);
    this.#offset = end;
    return content;
  }

  /** Reads an OCTET STRING (or other primitive `type`) that holds DER: `decode` reads it, all of it. */
  readEncapsulated<T>(decode: (reader: DerReader) => T, type: number = tag.octetString): T {
    return this.readConstructed(type, decode);
  }

  readNull(): void {
    if (this.#enter(tag.null) !== this.#offset) this.fail('a NULL is not empty');
  }

  /** Dotted form. */
  readOid(type: number = tag.oid): string {
    const end = this.#enter(type);
    const dotted = decodeOid(this.bytes, this.#offset, end);
    this.#offset = end;
    return dotted;
  }

  /** The text of one string type; the identifier may differ under IMPLICIT tagging: `readText(tag.ia5String, 0x82)`. */
  readText(stringType: number, type: number = stringType): string {
    const end = this.#enter(type);
    const text = decodeText(stringType, this.bytes, this.#offset, end);
    this.#offset = end;
    return text;
  }

  /** UTCTime or GeneralizedTime, in milliseconds (RFC 5280 §4.1.2.5). */
  readTime(): number {
    return this.#readTime(this.peek() === tag.utcTime ? tag.utcTime : tag.generalizedTime);
  }

  /** GeneralizedTime alone, in milliseconds; CRL and OCSP fields. */
  readGeneralizedTime(): number {
    return this.#readTime(tag.generalizedTime);
  }

  #readTime(type: number): number {
    const end = this.#enter(type);
    const milliseconds = decodeTime(type, this.bytes, this.#offset, end);
    this.#offset = end;
    return milliseconds;
  }

  /** Any element whatever, as its exact bytes; everything inside it is checked as far as its types are known. */
  readAny(): Buffer {
    const start = this.#offset;
    this.skip();
    return this.since(start);
  }

  /** Moves past any element, checking everything inside it as far as its types are known. */
  skip(): void {
    const type = this.peek();
    if (type === -1) this.fail('an element ends where another one is expected');
    if (type === tag.set) this.readSetOf(skipOne, 0);
    else if ((type & 0x20) !== 0) this.#skipConstructed(type);
    else this.#skipPrimitive(type);
  }

  #skipConstructed(type: number): void {
    if ((type & 0xc0) === 0 && type !== tag.sequence) this.fail(`${tagName(type)} cannot be constructed in DER`);
    this.readConstructed(type, () => {
      while (!this.atEnd) this.skip();
    });
  }

  #skipPrimitive(type: number): void {
    if ((type & 0xc0) !== 0) this.readOctetString(type);
    else if (type === tag.boolean) this.readBoolean();
    else if (type === tag.integer || type === tag.enumerated) this.readInteger(type);
    else if (type === tag.bitString) this.readBitString();
    else if (type === tag.octetString) this.readOctetString();
    else if (type === tag.null) this.readNull();
    else if (type === tag.oid) this.readOid();
    else if (type === tag.utcTime || type === tag.generalizedTime) this.#readTime(type);
    else if (isTextTag(type)) this.readText(type);
    else this.fail(`${tagName(type)} has no place in X.509`);
  }

  /** Checks identifier and length; the cursor then stands before the content, whose end is returned. */
  #enter(type: number): number {
    const start = this.#offset;
    const found = this.peek();
    if (found !== type) {
      const what = found === -1 ? 'the end' : tagName(found);
      this.fail(`${what} stands where ${tagName(type)} is expected`);
    }
    if ((type & 0x1f) === 0x1f) this.fail('tag numbers above 30 have no place in X.509');
    this.#nodes += 1;
    if (this.#nodes > maxNodes) this.fail(`there are more than ${maxNodes} elements`);
    this.#offset = start + 1;
    const length = this.#readLength();
    const end = this.#offset + length;
    if (end > this.#end) this.fail('an element is longer than what contains it', start);
    return end;
  }

  #readLength(): number {
    if (this.#offset >= this.#end) this.fail('an element has no length');
    const first = this.bytes[this.#offset++] as number;
    if (first < 0x80) return first;
    if (first === 0x80) this.fail('an indefinite length is not DER');
    const count = first & 0x7f;
    if (count > 4 || this.#offset + count > this.#end) this.fail('a length is longer than the input');
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + (this.bytes[this.#offset++] as number);
    if (length < 0x80 || length < 256 ** (count - 1)) this.fail('a length is not minimal');
    return length;
  }
}

function skipOne(reader: DerReader): void {
  reader.skip();
}
