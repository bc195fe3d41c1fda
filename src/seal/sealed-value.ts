import { AppError } from '#core/errors.ts';
import { nonceBytes, tagBytes } from './gcm.ts';
import type { Place } from './sealer.ts';

/**
 * The form of a sealed value:
 *
 *     format, 1 byte (1) ‖ key version, 4 bytes, big-endian ‖ nonce, 12 bytes ‖ ciphertext ‖ tag, 16 bytes
 *
 * Additional data: the first five bytes, then table, row and column, each after its length in 4 bytes. A value that is
 * moved to another row or column, or given another version, does not open.
 */
const format = 1;
export const headerBytes = 5;
const minBytes = headerBytes + nonceBytes + tagBytes;

/** A value in a text column: this, then base64. */
const textPrefix = 'sealed:';

export function sealedHeader(version: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header[0] = format;
  header.writeUInt32BE(version, 1);
  return header;
}

export function additionalData(header: Uint8Array, place: Place): Buffer {
  const parts = [place.table, place.row, place.column].flatMap((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([header, ...parts]);
}

/** Why a value cannot be a sealed one, or the version of the key that sealed it. */
export function readHeader(sealed: Uint8Array): { version: number } | { fault: string } {
  if (sealed.length < minBytes)
    return { fault: `truncated: ${sealed.length} bytes, and at least ${minBytes} are needed` };
  if (sealed[0] !== format) return { fault: `unknown format ${sealed[0]}` };
  return { version: new DataView(sealed.buffer, sealed.byteOffset).getUint32(1) };
}

/** The error for a sealed value that does not open. It names the place and the reason, never the value. */
export function unreadable(place: Place, reason: string): AppError {
  const { table, row, column } = place;
  return new AppError('sealed_value_unreadable', `The sealed value at ${table}/${row}/${column} cannot be opened.`, {
    hint: 'Restore this row from a backup that was made with the same root key, or make its secret anew.',
    details: [{ at: `${table}/${row}/${column}`, message: reason }],
  });
}

/** A sealed value for a text column. */
export function toText(sealed: Uint8Array): string {
  return textPrefix + Buffer.from(sealed).toString('base64');
}

/** The sealed bytes in what a column holds; undefined for text that is not sealed. */
export function sealedBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== 'string' || !value.startsWith(textPrefix)) return undefined;
  return Buffer.from(value.slice(textPrefix.length), 'base64');
}
