import { randomOctets } from './random.ts';
import { z } from 'zod';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A new identifier: prefix, `_`, and 26 characters of Crockford base32: 48 bits of time in milliseconds, then 80
 * random bits (the layout of ULID), so that identifiers sort by creation.
 */
export function newId(prefix: string, now: number): string {
  let time = now;
  let head = '';
  for (let index = 0; index < 10; index++) {
    head = alphabet[time % 32] + head;
    time = Math.floor(time / 32);
  }
  let tail = '';
  for (const byte of randomOctets(16)) tail += alphabet[byte & 31];
  return `${prefix}_${head}${tail}`;
}

/**
 * The names people give to things: what may stand in a resource path and a URL without escaping. Lower case only, so
 * that there is one spelling of each and nothing needs folding.
 */
export const name = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$/,
    'use 1 to 63 of a-z, 0-9, - and _, beginning and ending with a letter or digit',
  );
