import { createHash } from 'node:crypto';

/**
 * Ed25519 (RFC 8032 §5.1) with a secret of any length, as MariaDB's plugin uses it: the password takes the place of the
 * 32-byte seed (https://mariadb.com/kb/en/authentication-plugin-ed25519/). Node's own Ed25519 takes 32 bytes only.
 * Not constant-time: it runs where the password is in memory anyway, and each password is used here once or twice.
 */

const p = 2n ** 255n - 19n;
const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const d = mod(-121665n * power(121666n, p - 2n));

/** Extended coordinates: x = X/Z, y = Y/Z, x·y = T/Z (RFC 8032 §5.1.4). */
type Point = readonly [x: bigint, y: bigint, z: bigint, t: bigint];

const identity: Point = [0n, 1n, 1n, 0n];
const base = basePoint();
/** `powers[i]` = 2^i · base, so that a multiplication is additions alone. */
let powers: Point[] | undefined;

/** The public key of a password: 32 bytes. */
export function ed25519PublicKey(password: string): Buffer {
  return encode(timesBase(scalarOf(hash(Buffer.from(password)))));
}

/** The signature of a message by a password: 64 bytes. */
export function signEd25519(password: string, message: Uint8Array): Buffer {
  const secret = hash(Buffer.from(password));
  const scalar = scalarOf(secret);
  const publicKey = encode(timesBase(scalar));
  const r = number(hash(secret.subarray(32), message)) % order;
  const point = encode(timesBase(r));
  const k = number(hash(point, publicKey, message)) % order;
  return Buffer.concat([point, bytes((r + k * scalar) % order)]);
}

function hash(...parts: Uint8Array[]): Buffer {
  const digest = createHash('sha512');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

/** RFC 8032 §5.1.5: the lowest three bits cleared, the highest cleared, the second highest set. */
function scalarOf(secret: Buffer): bigint {
  const half = Buffer.from(secret.subarray(0, 32));
  half[0] = (half[0] ?? 0) & 248;
  half[31] = ((half[31] ?? 0) & 127) | 64;
  return number(half);
}

function timesBase(scalar: bigint): Point {
  powers ??= doublings();
  let sum = identity;
  for (let bit = 0; bit < 256; bit++) {
    const addend = powers[bit];
    if (addend && (scalar >> BigInt(bit)) & 1n) sum = add(sum, addend);
  }
  return sum;
}

function doublings(): Point[] {
  const list = [base];
  for (let bit = 1; bit < 256; bit++) {
    const last = list[bit - 1] ?? base;
    list.push(add(last, last));
  }
  return list;
}

/** RFC 8032 §5.1.4; complete, so that it doubles as well. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * d * t1 * t2);
  const e = mod(2n * z1 * z2);
  return [mod((b - a) * (e - c)), mod((e + c) * (b + a)), mod((e - c) * (e + c)), mod((b - a) * (b + a))];
}

function encode([x, y, z]: Point): Buffer {
  const inverse = power(z, p - 2n);
  return bytes(mod(y * inverse) | ((mod(x * inverse) & 1n) << 255n));
}

function basePoint(): Point {
  const y = mod(4n * power(5n, p - 2n));
  const square = mod((y * y - 1n) * power(d * y * y + 1n, p - 2n));
  let x = power(square, (p + 3n) / 8n);
  if (mod(x * x - square) !== 0n) x = mod(x * power(2n, (p - 1n) / 4n));
  if (x & 1n) x = p - x;
  return [x, y, 1n, mod(x * y)];
}

function mod(value: bigint): bigint {
  const rest = value % p;
  return rest < 0n ? rest + p : rest;
}

function power(value: bigint, exponent: bigint): bigint {
  let result = 1n;
  let square = ((value % p) + p) % p;
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % p;
    square = (square * square) % p;
  }
  return result;
}

/** Little-endian. */
function number(buffer: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(buffer.toReversed()).toString('hex')}`);
}

function bytes(value: bigint): Buffer {
  return Buffer.from(Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toReversed());
}
