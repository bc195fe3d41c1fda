import { sign as signWithKey, type KeyObject, verify as verifyWithKey, constants } from 'node:crypto';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { nullValue, oid, sequence } from '#pki/asn1/writer.ts';
import { oids } from './oid.ts';

/** The types of the keys that Chancery makes and signs with. */
export const keyTypes = [
  'ec-p256',
  'ec-p384',
  'ec-p521',
  'ed25519',
  'rsa-2048',
  'rsa-3072',
  'rsa-4096',
  'ml-dsa-44',
  'ml-dsa-65',
  'ml-dsa-87',
] as const;
export type KeyType = (typeof keyTypes)[number];

/** AlgorithmIdentifier of RFC 5280 §4.1.1.2, as it stands in the input. */
export interface AlgorithmIdentifier {
  /** The whole SEQUENCE; two are the same algorithm when these bytes are equal. */
  readonly der: Buffer;
  readonly oid: string;
  /** The parameters as one element; undefined when absent. */
  readonly parameters: Buffer | undefined;
}

export type Hash = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** What a signature algorithm is, whoever made the signature. */
export interface SignatureAlgorithm {
  /** As in the RFCs: `ecdsa-with-SHA256`, `sha256WithRSAEncryption`, `id-ml-dsa-44`. */
  readonly name: string;
  /** `asymmetricKeyType` of the keys that can make it. */
  readonly keys: readonly string[];
  /** Undefined where the algorithm hashes by itself (EdDSA, ML-DSA). */
  readonly hash: Hash | undefined;
  /** Octets of salt; RSASSA-PSS only. */
  readonly saltLength?: number;
  /** Broken, or below today's strength (MD5, SHA-1, DSA): verified only when the caller asks for it by name. */
  readonly weak: boolean;
}

export function readAlgorithmIdentifier(reader: DerReader): AlgorithmIdentifier {
  const start = reader.offset;
  const fields = reader.readSequence(readAlgorithmFields);
  return { der: reader.since(start), oid: fields.oid, parameters: fields.parameters };
}

function readAlgorithmFields(reader: DerReader): { oid: string; parameters: Buffer | undefined } {
  const dotted = reader.readOid();
  return { oid: dotted, parameters: reader.atEnd ? undefined : reader.readAny() };
}

interface KnownAlgorithm extends SignatureAlgorithm {
  /** What RFC 4055, 5758, 8410 and 9881 let the parameters be. */
  readonly parameters: 'absent' | 'null-or-absent' | 'pss';
}

const rsa = ['rsa'] as const;
const dsa = ['dsa'] as const;
const ec = ['ec'] as const;

const known = new Map<string, KnownAlgorithm>([
  [oids.md5WithRsa, pkcs1('md5WithRSAEncryption', 'md5')],
  [oids.sha1WithRsa, pkcs1('sha1WithRSAEncryption', 'sha1')],
  [oids.sha256WithRsa, pkcs1('sha256WithRSAEncryption', 'sha256')],
  [oids.sha384WithRsa, pkcs1('sha384WithRSAEncryption', 'sha384')],
  [oids.sha512WithRsa, pkcs1('sha512WithRSAEncryption', 'sha512')],
  [oids.rsassaPss, { name: 'RSASSA-PSS', keys: ['rsa', 'rsa-pss'], hash: undefined, weak: false, parameters: 'pss' }],
  [oids.dsaWithSha1, { name: 'dsa-with-sha1', keys: dsa, hash: 'sha1', weak: true, parameters: 'absent' }],
  [oids.dsaWithSha256, { name: 'dsa-with-sha256', keys: dsa, hash: 'sha256', weak: true, parameters: 'absent' }],
  [oids.ecdsaWithSha1, ecdsa('ecdsa-with-SHA1', 'sha1')],
  [oids.ecdsaWithSha256, ecdsa('ecdsa-with-SHA256', 'sha256')],
  [oids.ecdsaWithSha384, ecdsa('ecdsa-with-SHA384', 'sha384')],
  [oids.ecdsaWithSha512, ecdsa('ecdsa-with-SHA512', 'sha512')],
  [oids.ed25519, pure('id-Ed25519', 'ed25519')],
  [oids.ed448, pure('id-Ed448', 'ed448')],
  [oids.mlDsa44, pure('id-ml-dsa-44', 'ml-dsa-44')],
  [oids.mlDsa65, pure('id-ml-dsa-65', 'ml-dsa-65')],
  [oids.mlDsa87, pure('id-ml-dsa-87', 'ml-dsa-87')],
]);

function pkcs1(name: string, hash: Hash): KnownAlgorithm {
  return { name, keys: rsa, hash, weak: isWeak(hash), parameters: 'null-or-absent' };
}

function ecdsa(name: string, hash: Hash): KnownAlgorithm {
  return { name, keys: ec, hash, weak: isWeak(hash), parameters: 'absent' };
}

function pure(name: string, key: string): KnownAlgorithm {
  return { name, keys: [key], hash: undefined, weak: false, parameters: 'absent' };
}

function isWeak(hash: Hash): boolean {
  return hash === 'md5' || hash === 'sha1';
}

/**
 * What the identifier says, or undefined when it is none that is known or its parameters are not what its RFC wants
 * (RFC 4055 §3.1 and §5, RFC 5758 §3.2, RFC 8410 §3, RFC 9881 §2). Throws `DerError` on malformed PSS parameters.
 */
export function describeSignatureAlgorithm(identifier: AlgorithmIdentifier): SignatureAlgorithm | undefined {
  const algorithm = known.get(identifier.oid);
  if (algorithm === undefined) return undefined;
  const { parameters } = identifier;
  if (algorithm.parameters === 'pss') return parameters && describePss(algorithm, parameters);
  if (parameters === undefined) return algorithm;
  const isNull = parameters.length === 2 && parameters[0] === tag.null;
  return algorithm.parameters === 'null-or-absent' && isNull ? algorithm : undefined;
}

const hashes = new Map<string, Hash>([
  [oids.sha1, 'sha1'],
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
]);

/**
 * RSASSA-PSS-params (RFC 4055 §3.1). The mask hash must be the signature hash, as RFC 4055 recommends and every known
 * profile demands; node:crypto verifies nothing else.
 */
function describePss(algorithm: SignatureAlgorithm, parameters: Buffer): SignatureAlgorithm | undefined {
  return readDer(parameters, 256, (reader) =>
    reader.readSequence(() => {
      const hash = reader.readOptionalContext(0, readHash) ?? 'sha1';
      const maskHash = reader.readOptionalContext(1, readMaskHash) ?? 'sha1';
      const saltLength = reader.readOptionalContext(2, () => reader.readSmallInteger(512)) ?? 20;
      const trailer = reader.readOptionalContext(3, () => reader.readSmallInteger(255)) ?? 1;
      if (hash === 'unknown' || hash !== maskHash || trailer !== 1) return undefined;
      return { ...algorithm, name: `RSASSA-PSS-${hash}`, hash, saltLength, weak: isWeak(hash) };
    }),
  );
}

function readHash(reader: DerReader): Hash | 'unknown' {
  const { oid: dotted, parameters } = readAlgorithmIdentifier(reader);
  const plain = parameters === undefined || (parameters.length === 2 && parameters[0] === tag.null);
  return (plain ? hashes.get(dotted) : undefined) ?? 'unknown';
}

function readMaskHash(reader: DerReader): Hash | 'unknown' {
  const { oid: dotted, parameters } = readAlgorithmIdentifier(reader);
  if (dotted !== oids.mgf1 || parameters === undefined) return 'unknown';
  return readDer(parameters, 64, readHash);
}

interface Scheme {
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null;
  readonly identifier: Buffer;
}

/**
 * How keys of each type sign. The hash matches the strength of the key (RFC 5758 §3.2; NIST SP 800-57 part 1, table 2:
 * RSA-3072 stands at 128 bits as SHA-256 does, RSA-4096 above it).
 */
const schemes: Readonly<Record<KeyType, Scheme>> = {
  'ec-p256': { hash: 'sha256', identifier: sequence([oid(oids.ecdsaWithSha256)]) },
  'ec-p384': { hash: 'sha384', identifier: sequence([oid(oids.ecdsaWithSha384)]) },
  'ec-p521': { hash: 'sha512', identifier: sequence([oid(oids.ecdsaWithSha512)]) },
  ed25519: { hash: null, identifier: sequence([oid(oids.ed25519)]) },
  'rsa-2048': { hash: 'sha256', identifier: sequence([oid(oids.sha256WithRsa), nullValue()]) },
  'rsa-3072': { hash: 'sha256', identifier: sequence([oid(oids.sha256WithRsa), nullValue()]) },
  'rsa-4096': { hash: 'sha384', identifier: sequence([oid(oids.sha384WithRsa), nullValue()]) },
  'ml-dsa-44': { hash: null, identifier: sequence([oid(oids.mlDsa44)]) },
  'ml-dsa-65': { hash: null, identifier: sequence([oid(oids.mlDsa65)]) },
  'ml-dsa-87': { hash: null, identifier: sequence([oid(oids.mlDsa87)]) },
};

/** The signature AlgorithmIdentifier, DER, of keys of this type; do not change the returned bytes. */
export function signatureAlgorithmOf(keyType: KeyType): Buffer {
  return schemes[keyType].identifier;
}

/** Signs with a private key of this type, by the algorithm of `signatureAlgorithmOf`. ECDSA signatures are DER. */
export function sign(privateKey: KeyObject, keyType: KeyType, data: Uint8Array): Buffer {
  return signWithKey(schemes[keyType].hash, data, privateKey);
}

export interface VerifyOptions {
  /** Accept MD5, SHA-1 and DSA: for looking at old certificates, never for trusting them. */
  readonly allowWeak?: boolean;
}

/**
 * True when the signature over `data` is valid under the key and the algorithm. False for everything else: unknown or
 * weak algorithms, a key of another kind, malformed signatures. Never throws.
 */
export function verify(
  publicKey: KeyObject,
  algorithm: AlgorithmIdentifier,
  data: Uint8Array,
  signature: Uint8Array,
  options: VerifyOptions = {},
): boolean {
  try {
    const described = describeSignatureAlgorithm(algorithm);
    if (described === undefined || (described.weak && options.allowWeak !== true)) return false;
    if (!described.keys.includes(publicKey.asymmetricKeyType ?? '')) return false;
    const { hash, saltLength } = described;
    if (saltLength === undefined) return verifyWithKey(hash ?? null, data, publicKey, signature);
    const key = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    return verifyWithKey(hash ?? null, data, key, signature);
  } catch {
    return false;
  }
}
