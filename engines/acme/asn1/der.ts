/**
 * As much of DER (X.690 §10) as the certificates of tls-alpn-01 need: what these hold is compared with what is expected,
 * octet for octet, so that reading knows no types.
 */

/** Not DER, or not what was expected. Holds nothing of the input. */
export class DerSyntaxError extends Error {
  override readonly name = 'DerSyntaxError';
}

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export interface DerElement {
  /** The identifier octet. Tags above 30 are refused: X.509 has none. */
  readonly tag: number;
  readonly content: Buffer;
}

const maxElements = 1000;

/** The elements that follow each other in `bytes`, and fill it. Throws `DerSyntaxError`. */
export function readElements(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  let position = 0;
  while (position < bytes.length) {
    const tag = bytes[position] ?? 0;
    const { length, start } = readLength(bytes, position + 1);
    if ((tag & 0x1f) === 0x1f || start + length > bytes.length || elements.length === maxElements)
      throw new DerSyntaxError('an element is cut off, or is none of X.509');
    elements.push({ tag, content: bytes.subarray(start, start + length) });
    position = start + length;
  }
  return elements;
}

function readLength(bytes: Buffer, position: number): { length: number; start: number } {
  const first = bytes[position];
  if (first === undefined) throw new DerSyntaxError('an element has no length');
  if (first < 0x80) return { length: first, start: position + 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 4 || position + count >= bytes.length) throw new DerSyntaxError('a length is not DER');
  const length = bytes.readUIntBE(position + 1, count);
  if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw new DerSyntaxError('a length is not the shortest');
  return { length, start: position + 1 + count };
}

/** The one element that fills `bytes`, which must have this tag; its content. */
export function readElement(bytes: Buffer, tag: number): Buffer {
  const [element, ...rest] = readElements(bytes);
  if (element?.tag !== tag || rest.length > 0) throw new DerSyntaxError('another element was expected');
  return element.content;
}

/** One element with the given parts as its content. */
export function writeElement(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content]);
}
