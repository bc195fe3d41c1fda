import { createHash, randomInt } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ed25519PublicKey } from './ed25519.ts';
import type { Flavor } from './quote.ts';

/** The server's name of a kind of login by password that takes a hash in place of the password. */
export type PasswordPlugin = 'mysql_native_password' | 'ed25519' | 'caching_sha2_password';

export const passwordPlugins: readonly PasswordPlugin[] = ['mysql_native_password', 'ed25519', 'caching_sha2_password'];

/**
 * The kind of login that every client of the server has. MariaDB's better `ed25519` is missing in several, among them
 * Node's mysql2 and Java's MySQL connector, so it is there for the asking.
 */
export function defaultPlugin(flavor: Flavor): PasswordPlugin {
  return flavor === 'mariadb' ? 'mysql_native_password' : 'caching_sha2_password';
}

/**
 * What the server stores of a password, computed here, so that neither its logs nor its binary log ever hold the password.
 * The first of them is fast to compute and its hash logs in for whoever has seen one login as well; for a random password
 * of 128 bits and more nobody computes it backwards.
 */
export async function passwordHash(plugin: PasswordPlugin, password: string): Promise<string> {
  if (plugin === 'ed25519') return ed25519PublicKey(password).toString('base64').replace(/=+$/, '');
  if (plugin === 'caching_sha2_password') return cachingSha2Hash(password, randomSalt());
  return `*${sha1(sha1(Buffer.from(password)))
    .toString('hex')
    .toUpperCase()}`;
}

function sha1(bytes: Uint8Array): Buffer {
  return createHash('sha1').update(bytes).digest();
}

/** The alphabet of crypt(3). Any bytes but NUL and `$` would do; these need no quoting. 20 of them are 120 bits. */
const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function randomSalt(): Buffer {
  return Buffer.from(Array.from({ length: 20 }, () => alphabet.charCodeAt(randomInt(64))));
}

/** `$A$005$`, 20 bytes of salt, 43 characters: SHA-256-crypt of 5,000 rounds (`005` thousands). */
export async function cachingSha2Hash(password: string, salt: Buffer): Promise<string> {
  return `$A$005$${salt.toString('latin1')}${await sha256Crypt(Buffer.from(password), salt, 5000)}`;
}

/**
 * SHA-256-crypt (U. Drepper, "Unix crypt using SHA-256 and SHA-512", steps 1 to 22), except that MySQL's salt is 20 bytes
 * long where the original stops at 16. Other work gets its turn every 250 rounds.
 */
async function sha256Crypt(key: Buffer, salt: Buffer, rounds: number): Promise<string> {
  const b = sha256(key, salt, key);
  const a = createHash('sha256').update(key).update(salt).update(stretch(b, key.length));
  for (let bits = key.length; bits > 0; bits >>= 1) a.update(bits & 1 ? b : key);
  let digest = a.digest();
  const p = stretch(repeated(key, key.length), key.length);
  const s = stretch(repeated(salt, 16 + (digest[0] ?? 0)), salt.length);
  for (let round = 0; round < rounds; round++) {
    if (round % 250 === 249) await nextTurn();
    const c = createHash('sha256').update(round & 1 ? p : digest);
    if (round % 3) c.update(s);
    if (round % 7) c.update(p);
    digest = c.update(round & 1 ? digest : p).digest();
  }
  return encode(digest);
}

function sha256(...parts: Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

function repeated(bytes: Buffer, times: number): Buffer {
  const hash = createHash('sha256');
  for (let time = 0; time < times; time++) hash.update(bytes);
  return hash.digest();
}

function stretch(digest: Buffer, length: number): Buffer {
  return Buffer.alloc(length, digest);
}

/** Step 22: groups of three bytes in a fixed order, six bits a character, least significant first. */
function encode(digest: Buffer): string {
  let text = '';
  const group = (bytes: readonly number[], length: number) => {
    let value = 0;
    for (const byte of bytes) value = (value << 8) | byte;
    for (let count = 0; count < length; count++) text += alphabet[(value >> (6 * count)) & 63];
  };
  for (let i = 0; i < 10; i++) {
    const place = [i, i + 10, i + 20];
    const turned = [...place.slice(i % 3 === 0 ? 0 : 3 - (i % 3)), ...place.slice(0, i % 3 === 0 ? 0 : 3 - (i % 3))];
    group(
      turned.map((index) => digest[index] ?? 0),
      4,
    );
  }
  group([digest[31] ?? 0, digest[30] ?? 0], 3);
  return text;
}
