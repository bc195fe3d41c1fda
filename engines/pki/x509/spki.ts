import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { type KeyType, readAlgorithmIdentifier } from './algorithm.ts';
import { oids } from './oid.ts';

/** Largest SubjectPublicKeyInfo that is read: RSA-16384 has 2,086 octets, ML-DSA-87 2,614. */
const maxSpkiBytes = 8192;
/** Largest modulus that is handed to OpenSSL: what lies above is refused before any arithmetic. */
const maxImportedModulusBits = 8192;

export type PublicKeyAlgorithm =
  | 'rsa'
  | 'rsa-pss'
  | 'dsa'
  | 'ec'
  | 'ed25519'
  | 'ed448'
  | 'ml-dsa-44'
  | 'ml-dsa-65'
  | 'ml-dsa-87'
  | 'unknown';

export interface RsaPublicKey {
  /** Big-endian, without leading zeros. */
  readonly modulus: Buffer;
  readonly exponent: Buffer;
}

/** What a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) says; nothing has been computed with the key yet. */
export interface PublicKeyInfo {
  /** The whole SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  /** The key type of ours; undefined for every other key (RSA of another size, another curve, …). */
  readonly keyType: KeyType | undefined;
  readonly algorithm: PublicKeyAlgorithm;
  /** Dotted identifier of the algorithm. */
  readonly algorithmOid: string;
  /** RSA, DSA: bits of the modulus. EC: bits of the field. Others: bits of the encoded key. 0 when unknown. */
  readonly bits: number;
  /** EC only: `P-256`, `P-384`, `P-521`, or the dotted identifier of another curve. */
  readonly curve: string | undefined;
  /** RSA only. */
  readonly rsa: RsaPublicKey | undefined;
  /** The content of subjectPublicKey: what key identifiers hash. */
  readonly keyBits: Buffer;
}

type KeyFacts = Pick<PublicKeyInfo, 'keyType' | 'algorithm' | 'bits' | 'curve' | 'rsa'>;

/**
 * Reads a SubjectPublicKeyInfo without using the key. Throws `DerError` for EC keys with explicit parameters or a
 * compressed point (RFC 5480 §2.1.1, §2.2), for parameters that the RFC of the algorithm forbids, for sizes that the
 * algorithm has not. Whether the key is acceptable, `checkPublicKey` says.
 */
export function decodeSpki(der: Uint8Array): PublicKeyInfo {
  return readDer(der, maxSpkiBytes, readSpki);
}

/** Reads a SubjectPublicKeyInfo at the cursor; see `decodeSpki`. */
export function readSpki(reader: DerReader): PublicKeyInfo {
  const start = reader.offset;
  const fields = reader.readSequence(() => {
    const { oid: algorithmOid, parameters } = readAlgorithmIdentifier(reader);
    const keyBits = reader.readOctetBitString();
    return { algorithmOid, keyBits, ...describeKey(reader, algorithmOid, parameters, keyBits) };
  });
  return { spki: reader.since(start), ...fields };
}

/** Keys that are a fixed number of octets, with absent parameters (RFC 8410 §3, RFC 9881 §2 and §4). */
const fixedSize = new Map<string, { algorithm: PublicKeyAlgorithm; octets: number; keyType: KeyType | undefined }>([
  [oids.ed25519, { algorithm: 'ed25519', octets: 32, keyType: 'ed25519' }],
  [oids.ed448, { algorithm: 'ed448', octets: 57, keyType: undefined }],
  [oids.mlDsa44, { algorithm: 'ml-dsa-44', octets: 1312, keyType: 'ml-dsa-44' }],
  [oids.mlDsa65, { algorithm: 'ml-dsa-65', octets: 1952, keyType: 'ml-dsa-65' }],
  [oids.mlDsa87, { algorithm: 'ml-dsa-87', octets: 2592, keyType: 'ml-dsa-87' }],
]);

const curves = new Map<string, { curve: string; keyType: KeyType; bits: number; octets: number }>([
  [oids.p256, { curve: 'P-256', keyType: 'ec-p256', bits: 256, octets: 65 }],
  [oids.p384, { curve: 'P-384', keyType: 'ec-p384', bits: 384, octets: 97 }],
  [oids.p521, { curve: 'P-521', keyType: 'ec-p521', bits: 521, octets: 133 }],
]);

const rsaKeyTypes = new Map<number, KeyType>([
  [2048, 'rsa-2048'],
  [3072, 'rsa-3072'],
  [4096, 'rsa-4096'],
]);

function describeKey(reader: DerReader, dotted: string, parameters: Buffer | undefined, key: Buffer): KeyFacts {
  switch (dotted) {
    case oids.ecPublicKey:
      return describeEc(reader, parameters, key);
    case oids.rsaEncryption:
      if (parameters?.length !== 2 || parameters[0] !== tag.null)
        reader.fail('the parameters of an RSA key are not NULL');
      return describeRsa('rsa', key);
    case oids.rsassaPss:
      return describeRsa('rsa-pss', key);
    case oids.dsa:
      return { ...unknownKey, algorithm: 'dsa', bits: parameters === undefined ? 0 : dsaBits(parameters) };
    default:
      return describeFixed(reader, dotted, parameters, key);
  }
}

const unknownKey: KeyFacts = { keyType: undefined, algorithm: 'unknown', bits: 0, curve: undefined, rsa: undefined };

function describeFixed(reader: DerReader, dotted: string, parameters: Buffer | undefined, key: Buffer): KeyFacts {
  const fixed = fixedSize.get(dotted);
  if (fixed === undefined) return unknownKey;
  const { algorithm, octets, keyType } = fixed;
  if (parameters !== undefined) reader.fail(`the algorithm of an ${algorithm} key has parameters`);
  if (key.length !== octets) reader.fail(`an ${algorithm} key has ${key.length} octets, not ${octets}`);
  return { ...unknownKey, keyType, algorithm, bits: octets * 8 };
}

function describeEc(reader: DerReader, parameters: Buffer | undefined, point: Buffer): KeyFacts {
  if (parameters?.[0] !== tag.oid) reader.fail('the parameters of an EC key are not the name of a curve');
  const dotted = readDer(parameters, parameters.length, (inner) => inner.readOid());
  const known = curves.get(dotted);
  if (known === undefined) return { ...unknownKey, algorithm: 'ec', curve: dotted };
  if (point[0] !== 0x04) reader.fail('the point of an EC key is not in uncompressed form');
  if (point.length !== known.octets) reader.fail(`the point of an EC key has the wrong length for ${known.curve}`);
  return { ...unknownKey, keyType: known.keyType, algorithm: 'ec', bits: known.bits, curve: known.curve };
}

function describeRsa(algorithm: 'rsa' | 'rsa-pss', key: Buffer): KeyFacts {
  const rsa = readDer(key, maxSpkiBytes, (reader) =>
    reader.readSequence(() => ({ modulus: reader.readUnsignedInteger(), exponent: reader.readUnsignedInteger() })),
  );
  const bits = bitLength(rsa.modulus);
  return { ...unknownKey, keyType: algorithm === 'rsa' ? rsaKeyTypes.get(bits) : undefined, algorithm, bits, rsa };
}

/** Bits of p of Dss-Parms (RFC 3279 §2.3.2). */
function dsaBits(parameters: Buffer): number {
  return readDer(parameters, maxSpkiBytes, (reader) =>
    reader.readSequence(() => {
      const [p] = [reader.readUnsignedInteger(), reader.readUnsignedInteger(), reader.readUnsignedInteger()];
      return bitLength(p);
    }),
  );
}

function bitLength(magnitude: Uint8Array): number {
  return magnitude.length * 8 - (Math.clz32(magnitude[0] ?? 0) - 24);
}

/**
 * The key for use. Throws `DerError` when it cannot be one (an EC point that is not on its curve, an algorithm that is
 * not known) or is too dear to compute with (RSA above 8192 bits, exponents above 64).
 */
export function importPublicKey(info: PublicKeyInfo): KeyObject {
  if (info.algorithm === 'unknown') throw new DerError('the algorithm of the public key is not known', 0);
  if (info.bits === 0) throw new DerError('the public key is on a curve, or has parameters, that are not known', 0);
  if (info.bits > maxImportedModulusBits && (info.rsa !== undefined || info.algorithm === 'dsa'))
    throw new DerError(
      `a modulus of ${info.bits} bits is above the ${maxImportedModulusBits} that are computed with`,
      0,
    );
  if ((info.rsa?.exponent.length ?? 0) > 8) throw new DerError('the RSA public exponent is above 64 bits', 0);
  try {
    return createPublicKey({ key: info.spki, format: 'der', type: 'spki' });
  } catch {
    throw new DerError('the public key is not a valid key of its algorithm', 0);
  }
}

/** SHA-256 of the SubjectPublicKeyInfo, hex: the name of a key in inventory and blocklist. */
export function spkiSha256(spki: Uint8Array): string {
  return hash('sha256', spki, 'hex');
}

/**
 * The key identifier of RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of subjectPublicKey. RFC 5280's own
 * method 1 differs only in hashing with SHA-1, which hosts with strict crypto policies refuse; identifiers are compared
 * as bytes by everyone, so nothing depends on how they were made.
 */
export function keyIdentifierOf(info: Pick<PublicKeyInfo, 'keyBits'>): Buffer {
  return hash('sha256', info.keyBits, 'buffer').subarray(0, 20);
}
