import { constants, createHmac, timingSafeEqual, verify } from 'node:crypto';
import { JoseError } from './errors.ts';
import { type JsonWebKey, type SignatureAlgorithm, signatureAlgorithms } from './jwk.ts';
import type { JwsHeader, ParsedJws } from './jws.ts';

/** The digest of each algorithm; Ed25519 has its own. */
export const signatureDigests: Readonly<Record<SignatureAlgorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
  EdDSA: null,
  Ed25519: null,
  RS256: 'sha256',
};

/** The algorithm of an outer JWS. Throws `badSignatureAlgorithm` for `none`, MACs and what else is not verified here. */
export function algorithmOf(header: JwsHeader): SignatureAlgorithm {
  const { alg } = header;
  const known = signatureAlgorithms.find((algorithm) => algorithm === alg);
  if (known !== undefined) return known;
  throw new JoseError(
    'badSignatureAlgorithm',
    `The alg of the JWS is none of those that are accepted: ${signatureAlgorithms.join(', ')}.`,
  );
}

/**
 * Verifies the signature. Throws `badSignatureAlgorithm` for an algorithm that is not accepted, `badPublicKey` where it
 * does not fit the key, `malformed` for a wrong signature (RFC 8555 names no type for it).
 */
export function verifyJws(jws: ParsedJws, { key, algorithms }: JsonWebKey): void {
  const algorithm = algorithmOf(jws.header);
  if (!algorithms.includes(algorithm))
    throw new JoseError(
      'badPublicKey',
      `The alg ${algorithm} does not fit the key, which signs ${algorithms.join(' or ')}.`,
    );
  // RFC 7518 §3.4: R and S side by side, not DER.
  const material =
    algorithm === 'RS256' ? { key, padding: constants.RSA_PKCS1_PADDING } : { key, dsaEncoding: 'ieee-p1363' as const };
  if (!verify(signatureDigests[algorithm], jws.signingInput, material, jws.signature)) throw wrongSignature();
}

const macs: Readonly<Record<string, string>> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

/** Verifies the MAC of an external account binding (RFC 8555 §7.3.4). Throws `malformed`. */
export function verifyMac(jws: ParsedJws, macKey: Buffer): void {
  const expected = createHmac(macDigestOf(jws.header), macKey).update(jws.signingInput).digest();
  if (jws.signature.length !== expected.length || !timingSafeEqual(jws.signature, expected)) throw wrongSignature();
}

/** The digest of a MAC algorithm. Throws `malformed` for anything else: RFC 8555 §7.3.4 demands a MAC. */
export function macDigestOf({ alg }: JwsHeader): string {
  const digest = typeof alg === 'string' && Object.hasOwn(macs, alg) ? macs[alg] : undefined;
  if (digest !== undefined) return digest;
  throw new JoseError('malformed', 'The alg of an external account binding is HS256, HS384 or HS512.');
}

function wrongSignature(): JoseError {
  return new JoseError('malformed', 'The signature of the JWS does not fit its key and content.');
}
