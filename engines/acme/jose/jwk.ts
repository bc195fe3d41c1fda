import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { decodeBase64url } from './base64url.ts';
import { JoseError } from './errors.ts';

/** Signature algorithms that are verified and made (RFC 7518 §3, RFC 8037, RFC 9864). */
export const signatureAlgorithms = ['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'RS256'] as const;

export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

/** The members that make a public key, and no others, in the order of RFC 7638 §3.2. */
export type PublicJwk =
  | { readonly crv: string; readonly kty: 'EC'; readonly x: string; readonly y: string }
  | { readonly crv: 'Ed25519'; readonly kty: 'OKP'; readonly x: string }
  | { readonly e: string; readonly kty: 'RSA'; readonly n: string };

/** A public key that was checked. */
export interface JsonWebKey {
  readonly jwk: PublicJwk;
  readonly key: KeyObject;
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
  /** Those that fit the key. */
  readonly algorithms: readonly SignatureAlgorithm[];
}

const curves: Readonly<Record<string, { readonly octets: number; readonly algorithm: SignatureAlgorithm }>> = {
  'P-256': { octets: 32, algorithm: 'ES256' },
  'P-384': { octets: 48, algorithm: 'ES384' },
  'P-521': { octets: 66, algorithm: 'ES512' },
};

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const leastRsaBits = 2048;
/** Verifying takes time by the square of it. */
const mostRsaBits = 8192;

/**
 * Reads a public key from a JWK (RFC 7517). Other members are ignored (RFC 7517 §4), private ones refused. Throws
 * JoseError with `badPublicKey`.
 */
export function parseJwk(value: unknown): JsonWebKey {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('The JWK is not a JSON object.');
  const members = value as Readonly<Record<string, unknown>>;
  // A key that somebody sent is no secret any more; nobody should go on with it.
  const secret = privateMembers.find((name) => Object.hasOwn(members, name));
  if (secret !== undefined)
    throw bad(`The JWK holds the private member ${secret}: this key is disclosed and must not be used any more.`);
  const jwk = publicMembers(members);
  return { jwk, key: keyObject(jwk), thumbprint: thumbprintOf(jwk), algorithms: algorithmsFor(jwk) };
}

/** RFC 7638: SHA-256 over the required members in lexicographic order, base64url. */
export function thumbprintOf(jwk: PublicJwk): string {
  return createHash('sha256')
    .update(JSON.stringify(canonical(jwk)))
    .digest('base64url');
}

/** The JWK of a key from elsewhere. Throws JoseError for one of another kind or strength. */
export function jwkOf(key: KeyObject): JsonWebKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return parseJwk(publicKey.export({ format: 'jwk' }));
}

function publicMembers(members: Readonly<Record<string, unknown>>): PublicJwk {
  switch (members['kty']) {
    case 'EC':
      return ellipticMembers(members);
    case 'OKP':
      if (members['crv'] !== 'Ed25519') throw bad('The curve of the JWK is not Ed25519, the only one for OKP here.');
      return { crv: 'Ed25519', kty: 'OKP', x: coordinate(members, 'x', 32) };
    case 'RSA':
      return rsaMembers(members);
    default:
      throw bad('The kty of the JWK is none of EC, OKP and RSA.');
  }
}

function ellipticMembers(members: Readonly<Record<string, unknown>>): PublicJwk {
  const { crv } = members;
  const curve = typeof crv === 'string' && Object.hasOwn(curves, crv) ? curves[crv] : undefined;
  if (curve === undefined) throw bad('The curve of the JWK is none of P-256, P-384 and P-521.');
  const { octets } = curve;
  return { crv: crv as string, kty: 'EC', x: coordinate(members, 'x', octets), y: coordinate(members, 'y', octets) };
}

/** RFC 7518 §6.2.1.2: full length, leading zeros included. */
function coordinate(members: Readonly<Record<string, unknown>>, name: string, octets: number): string {
  const { text, value } = member(members, name);
  if (value.length !== octets) throw bad(`The member ${name} of the JWK does not have ${octets} octets.`);
  return text;
}

function rsaMembers(members: Readonly<Record<string, unknown>>): PublicJwk {
  const n = integer(members, 'n');
  const e = integer(members, 'e');
  const bits = n.value.length * 8 - Math.clz32(n.value[0] ?? 0) + 24;
  if (bits < leastRsaBits || bits > mostRsaBits)
    throw bad(`The RSA key has ${bits} bits; ${leastRsaBits} to ${mostRsaBits} are allowed.`);
  const exponent = e.value.length > 4 ? 0 : e.value.readUIntBE(0, e.value.length);
  if (exponent < 65_537 || exponent % 2 === 0)
    throw bad('The RSA key has an exponent that is even, below 65537 or huge.');
  if (((n.value.at(-1) ?? 0) & 1) === 0) throw bad('The modulus of the RSA key is even.');
  return { e: e.text, kty: 'RSA', n: n.text };
}

/** RFC 7518 §2, Base64urlUInt: no leading zero, or a key would have many thumbprints. */
function integer(members: Readonly<Record<string, unknown>>, name: string): { text: string; value: Buffer } {
  const read = member(members, name);
  if (read.value.length === 0 || read.value[0] === 0)
    throw bad(`The member ${name} of the JWK is empty or begins with a zero octet.`);
  return read;
}

function member(members: Readonly<Record<string, unknown>>, name: string): { text: string; value: Buffer } {
  const text = members[name];
  if (typeof text !== 'string' || text.length > 2048) throw bad(`The JWK has no usable member ${name}.`);
  return { text, value: decodeBase64url(text, `The member ${name} of the JWK`, 'badPublicKey') };
}

/** Refuses points that are not on the curve. */
function keyObject(jwk: PublicJwk): KeyObject {
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    throw bad('The JWK is not a point of its curve, or no key at all.');
  }
}

function canonical(jwk: PublicJwk): PublicJwk {
  if (jwk.kty === 'EC') return { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y };
  return jwk.kty === 'OKP' ? { crv: jwk.crv, kty: jwk.kty, x: jwk.x } : { e: jwk.e, kty: jwk.kty, n: jwk.n };
}

function algorithmsFor(jwk: PublicJwk): readonly SignatureAlgorithm[] {
  if (jwk.kty === 'RSA') return ['RS256'];
  if (jwk.kty === 'OKP') return ['EdDSA', 'Ed25519'];
  const curve = curves[jwk.crv];
  return curve === undefined ? [] : [curve.algorithm];
}

function bad(message: string): JoseError {
  return new JoseError('badPublicKey', message);
}
