import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * The text of API keys and tokens: `chy_`, 256 random bits in 43 characters of base62, and the CRC-32 of what stands
 * before in 6 more. The checksum lets scanners of leaked secrets tell a real one from a look-alike, and refuses mistyped
 * ones without a look into the store. It guards nothing: the 256 bits do.
 */
const prefix = 'chy_';
const bodyLength = 43;
const checksumLength = 6;
const form = /^chy_[0-9A-Za-z]{49}$/;
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

export function newSecret(): string {
  const body = prefix + base62(BigInt(`0x${randomBytes(32).toString('hex')}`), bodyLength);
  return body + checksum(body);
}

/** Whether a text has the form of our secrets. Bounds what is hashed. */
export function isSecretForm(text: string): boolean {
  return form.test(text);
}

/** Whether the checksum of a text of that form is right. What fails need not be looked up. */
export function hasChecksum(text: string): boolean {
  return checksum(text.slice(0, -checksumLength)) === text.slice(-checksumLength);
}

/**
 * SHA-256, 32 bytes. Fast on purpose: a slow hash protects secrets that can be guessed, and 256 random bits cannot.
 */
export function hashSecret(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

function checksum(body: string): string {
  return base62(BigInt(crc32(body)), checksumLength);
}

function base62(value: bigint, length: number): string {
  let rest = value;
  let text = '';
  for (let index = 0; index < length; index++) {
    text = `${alphabet[Number(rest % 62n)]}${text}`;
    rest /= 62n;
  }
  return text;
}
