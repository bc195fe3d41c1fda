import type { KeyObject } from 'node:crypto';
import { DerError } from '#pki/asn1/der-error.ts';
import { oidName } from './oid.ts';
import { importPublicKey, type PublicKeyInfo, type RsaPublicKey } from './spki.ts';

/** Smallest and largest RSA modulus in bits (Baseline Requirements §6.1.5; above 4096 only cost grows). */
const minModulusBits = 2048;
const maxModulusBits = 4096;
/** OpenSSL's own bound for large moduli; a longer one only makes verification dear. */
const maxExponentOctets = 8;

export type KeyFaultCode =
  | 'unknown_algorithm'
  | 'invalid_key'
  | 'curve_not_allowed'
  | 'rsa_size'
  | 'rsa_modulus_even'
  | 'rsa_exponent'
  | 'rsa_exponent_invalid'
  | 'rsa_small_factor'
  | 'rsa_roca'
  | 'rsa_close_primes'
  | 'ed25519_small_order';

/** One reason why a public key from outside should not be certified. */
export interface KeyFault {
  readonly code: KeyFaultCode;
  /** One sentence: what was found and what is allowed. */
  readonly message: string;
}

/** The verdict on a key from outside. */
export interface CheckedKey {
  /** Everything that is wrong with it; empty when it is sound. */
  readonly faults: readonly KeyFault[];
  /** The key for use; undefined when it is none, or must not be computed with. */
  readonly publicKey: KeyObject | undefined;
}

/**
 * Checks a public key from outside. Sizes come first, and arithmetic only with keys that pass them, so that the work is
 * bounded (under a millisecond). `rsa_exponent` stands for a valid exponent other than 65537, which callers may let
 * pass; no other fault should be. Never throws.
 */
export function checkPublicKey(info: PublicKeyInfo): CheckedKey {
  const faults = inspectPublicKey(info);
  if (faults.some(isGrave)) return { faults, publicKey: undefined };
  try {
    return { faults, publicKey: importPublicKey(info) };
  } catch (thrown) {
    const reason = thrown instanceof DerError ? thrown.reason : 'the public key cannot be used';
    return { faults: fault('invalid_key', `The key is refused: ${reason}.`), publicKey: undefined };
  }
}

/** True for everything that no caller may let pass. */
export function isGrave({ code }: KeyFault): boolean {
  return code !== 'rsa_exponent';
}

/** The faults that show without importing the key; whether an EC point is on its curve, only the import says. */
export function inspectPublicKey(info: PublicKeyInfo): readonly KeyFault[] {
  if (info.rsa !== undefined) return inspectRsa(info, info.rsa);
  if (info.algorithm === 'ec' && info.keyType === undefined)
    return fault('curve_not_allowed', `The curve ${info.curve} is not allowed; use P-256, P-384 or P-521.`);
  if (info.keyType === undefined)
    return fault('unknown_algorithm', `Keys of the algorithm ${oidName(info.algorithmOid)} are not certified.`);
  if (info.algorithm === 'ed25519' && isSmallOrder(info.keyBits))
    return fault('ed25519_small_order', 'The Ed25519 key is a point of small order, under which anyone can sign.');
  return [];
}

function fault(code: KeyFaultCode, message: string): KeyFault[] {
  return [{ code, message }];
}

function inspectRsa(info: PublicKeyInfo, rsa: RsaPublicKey): readonly KeyFault[] {
  if (info.algorithm === 'rsa-pss')
    return fault('unknown_algorithm', 'RSA keys bound to PSS are not certified; use an rsaEncryption key.');
  if (info.bits < minModulusBits || info.bits > maxModulusBits || info.bits % 8 !== 0)
    return fault(
      'rsa_size',
      `The RSA modulus has ${info.bits} bits; ${minModulusBits} to ${maxModulusBits} in whole octets are allowed.`,
    );
  if (!isOddAboveOne(rsa.exponent) || rsa.exponent.length > maxExponentOctets)
    return fault('rsa_exponent_invalid', 'The RSA public exponent is even, 1, or above 64 bits; use 65537.');
  const modulus = BigInt(`0x${rsa.modulus.toString('hex')}`);
  if (modulus % 2n === 0n) return fault('rsa_modulus_even', 'The RSA modulus is even.');
  const factor = smallFactor(modulus);
  if (factor !== undefined) return fault('rsa_small_factor', `The RSA modulus has the small prime factor ${factor}.`);
  if (hasRocaFingerprint(modulus))
    return fault('rsa_roca', 'The RSA modulus was made by a generator that is broken (ROCA, CVE-2017-15361).');
  if (hasClosePrimes(modulus))
    return fault('rsa_close_primes', 'The RSA modulus has prime factors so close that Fermat finds them.');
  return isF4(rsa.exponent) ? [] : fault('rsa_exponent', 'The RSA public exponent is not 65537.');
}

function isOddAboveOne(exponent: Uint8Array): boolean {
  const last = exponent.at(-1) ?? 0;
  return last % 2 === 1 && (exponent.length > 1 || last > 1);
}

function isF4(exponent: Uint8Array): boolean {
  return exponent.length === 3 && exponent[0] === 1 && exponent[1] === 0 && exponent[2] === 1;
}

const smallPrimes = primesBelow(1000);

function primesBelow(limit: number): number[] {
  const primes: number[] = [];
  for (let candidate = 3; candidate < limit; candidate += 2)
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  return primes;
}

/** An odd prime below 1000 that divides the modulus. */
function smallFactor(modulus: bigint): number | undefined {
  return smallPrimes.find((prime) => modulus % BigInt(prime) === 0n);
}

/**
 * Residues that a ROCA modulus can have: its primes are k·M + (65537^a mod M), with M a product of the first primes, so
 * that modulo each small prime it lies in the group that 65537 generates (Nemec et al., CCS 2017, §3.3). Primes whose
 * whole group is generated tell nothing and are left out.
 */
const rocaResidues = primesBelow(168).flatMap((prime) => {
  const group = new Set<number>();
  for (let power = 1; !group.has(power); power = (power * (65_537 % prime)) % prime) group.add(power);
  return group.size === prime - 1 ? [] : [{ prime: BigInt(prime), group }];
});

function hasRocaFingerprint(modulus: bigint): boolean {
  return rocaResidues.every(({ prime, group }) => group.has(Number(modulus % prime)));
}

const fermatRounds = 100;

/** Fermat's factorization, 100 rounds as Boulder does: finds p and q that differ in their lower halves only. */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  let remainder = a * a - modulus;
  for (let round = 0; round < fermatRounds; round++) {
    if (isSquare(remainder)) return true;
    remainder += 2n * a + 1n;
    a += 1n;
  }
  return false;
}

/** Floor of the square root, by Newton's method from above. */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(16).length * 4 + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** Squares modulo 64, 63 and 65: other residues show most non-squares without a square root. */
const squareFilters = [64, 63, 65].map((modulus) => ({
  modulus: BigInt(modulus),
  squares: new Set(Array.from({ length: modulus }, (_, root) => (root * root) % modulus)),
}));

function isSquare(value: bigint): boolean {
  for (const { modulus, squares } of squareFilters) if (!squares.has(Number(value % modulus))) return false;
  const root = squareRoot(value);
  return root * root === value;
}

/** y coordinates of the points of order 1, 2, 4 and 8, and their non-canonical encodings; the sign bit is ignored. */
const smallOrderPoints = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Buffer.from(hex, 'hex'));

function isSmallOrder(key: Buffer): boolean {
  const last = (key[31] ?? 0) & 0x7f;
  return smallOrderPoints.some((point) => last === point[31] && point.compare(key, 0, 31, 0, 31) === 0);
}
