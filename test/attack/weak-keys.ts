import { checkPrimeSync, createPrivateKey, createPublicKey, generateKeyPairSync, generatePrimeSync } from 'node:crypto';
import { randomBytes } from 'node:crypto';
import type { KeyPair } from './csr.ts';
import { bits, encode, int, leaf, octets, oid, seq } from './der-tree.ts';
import { oids } from './csr.ts';

/** RSA keys that are whole, with a private half that signs, and must still not be certified; and EC keys in odd forms. */

/** A modulus with no key behind it. */
export function rsaSpki(modulus: bigint, exponent: bigint | number = 65_537): Buffer {
  const key = encode(seq(int(modulus), int(exponent)));
  return encode(seq(seq(oid(oids.rsaEncryption), leaf(0x05, '')), bits(key)));
}

/** An odd number of exactly so many bits. */
export function oddNumber(size: number): bigint {
  return BigInt(`0x${randomBytes(size / 8).toString('hex')}`) | 1n | (1n << BigInt(size - 1));
}

export function rsaPair(modulusLength: number, publicExponent = 65_537): KeyPair {
  return generateKeyPairSync('rsa', { modulusLength, publicExponent });
}

/** 751 · q, with 2048 bits. */
export function smallFactorPair(): KeyPair {
  for (;;) {
    const pair = fromPrimes(751n, generatePrimeSync(2038, { bigint: true }));
    if (pair) return pair;
  }
}

/** p and the next prime after it: Fermat's method finds them at once. */
export function closePrimesPair(): KeyPair {
  for (;;) {
    const p = generatePrimeSync(1024, { bigint: true });
    let q = p + 2n;
    while (!checkPrimeSync(q)) q += 2n;
    const pair = fromPrimes(q, p);
    if (pair) return pair;
  }
}

/** Primes k·M + (65537^a mod M), M the product of the first 126 primes: the broken generator of CVE-2017-15361. */
export function rocaPair(): KeyPair {
  const product = firstPrimes(126).reduce((sum, prime) => sum * prime, 1n);
  for (;;) {
    const pair = fromPrimes(rocaPrime(product), rocaPrime(product));
    if (pair) return pair;
  }
}

function rocaPrime(product: bigint): bigint {
  const size = 1024n;
  for (;;) {
    const residue = power(65_537n, BigInt(`0x${randomBytes(16).toString('hex')}`), product);
    const room = (1n << size) / product;
    const k = room - (BigInt(`0x${randomBytes(6).toString('hex')}`) % (room / 4n));
    const candidate = k * product + residue;
    if (candidate < 1n << size && checkPrimeSync(candidate)) return candidate;
  }
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

function firstPrimes(count: number): bigint[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++)
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  return primes.map(BigInt);
}

/** Undefined when the product has not 2048 bits or 65537 has no inverse. */
function fromPrimes(p: bigint, q: bigint): KeyPair | undefined {
  const n = p * q;
  const phi = (p - 1n) * (q - 1n);
  const d = inverse(65_537n, phi);
  const qi = inverse(q, p);
  if (n.toString(2).length !== 2048 || d === undefined || qi === undefined) return undefined;
  const numbers = [0n, n, 65_537n, d, p, q, d % (p - 1n), d % (q - 1n), qi];
  const der = encode(
    seq(int(0), seq(oid(oids.rsaEncryption), leaf(0x05, '')), octets(seq(...numbers.map((number) => int(number))))),
  );
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function inverse(value: bigint, modulus: bigint): bigint | undefined {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (b > 0n) {
    const quotient = a / b;
    [a, b, x, y] = [b, a - quotient * b, y, x - quotient * y];
  }
  return a === 1n ? ((x % modulus) + modulus) % modulus : undefined;
}

/** P-256 with its parameters written out (RFC 5480 §2.1.1 forbids them; CVE-2020-0601 lived on them). */
export function explicitParametersSpki(): Buffer {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' });
  return publicKey.export({ format: 'der', type: 'spki' });
}

/** The P-256 key with its point in compressed form (RFC 5480 §2.2). */
export function compressedPointSpki({ publicKey }: KeyPair): Buffer {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const sign = (Buffer.from(y, 'base64url').at(-1) ?? 0) & 1;
  const point = Buffer.concat([Buffer.of(2 + sign), Buffer.from(x, 'base64url')]);
  return encode(seq(seq(oid(oids.ecPublicKey), oid(oids.p256)), bits(point)));
}

/** A point that is on no P-256. */
export function offCurveSpki({ publicKey }: KeyPair): Buffer {
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const wrong = Buffer.from(y, 'base64url');
  wrong[31] = (wrong[31] ?? 0) ^ 1;
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), wrong]);
  return encode(seq(seq(oid(oids.ecPublicKey), oid(oids.p256)), bits(point)));
}
