import { constants, createHmac, type KeyObject, sign } from 'node:crypto';
import { encodeBase64url } from './base64url.ts';
import { JoseError } from './errors.ts';
import { type JsonWebKey, jwkOf, type PublicJwk, type SignatureAlgorithm } from './jwk.ts';
import type { FlattenedJws } from './jws.ts';
import { signatureDigests } from './verify.ts';

/** A private key with what is said about it in public. */
export interface SigningKey extends JsonWebKey {
  readonly privateKey: KeyObject;
  /** The one that is written; for Ed25519 the older name, which more servers know. */
  readonly algorithm: SignatureAlgorithm;
}

/** Throws JoseError with `badPublicKey` for a key that ACME servers would refuse. */
export function signingKeyOf(privateKey: KeyObject): SigningKey {
  const known = jwkOf(privateKey);
  const [algorithm] = known.algorithms;
  if (algorithm === undefined) throw new JoseError('badPublicKey', 'No algorithm signs with this key.');
  return { ...known, privateKey, algorithm };
}

export interface OuterHeader {
  readonly url: string;
  /** RFC 8555 §6.5; absent in the inner JWS of a key change. */
  readonly nonce?: string;
  /** The account URL; absent: the key itself is shown as `jwk`. */
  readonly kid?: string;
}

/** Signs a request. A payload of `''` makes a POST-as-GET (RFC 8555 §6.3). */
export function signJws(key: SigningKey, { url, nonce, kid }: OuterHeader, payload: object | ''): FlattenedJws {
  const header = {
    alg: key.algorithm,
    ...(kid === undefined ? { jwk: key.jwk } : { kid }),
    ...(nonce === undefined ? {} : { nonce }),
    url,
  };
  const parts = { protected: encodeBase64url(JSON.stringify(header)), payload: encodePayload(payload) };
  const input = Buffer.from(`${parts.protected}.${parts.payload}`, 'ascii');
  const { privateKey, algorithm } = key;
  const material =
    algorithm === 'RS256'
      ? { key: privateKey, padding: constants.RSA_PKCS1_PADDING }
      : { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
  return { ...parts, signature: encodeBase64url(sign(signatureDigests[algorithm], input, material)) };
}

export interface ExternalAccountKey {
  readonly keyId: string;
  readonly macKey: Uint8Array;
}

/** The inner JWS of an external account binding (RFC 8555 §7.3.4): the account key, authenticated with HS256. */
export function signExternalAccountBinding(
  { keyId, macKey }: ExternalAccountKey,
  newAccountUrl: string,
  accountKey: PublicJwk,
): FlattenedJws {
  const header = { alg: 'HS256', kid: keyId, url: newAccountUrl };
  const parts = { protected: encodeBase64url(JSON.stringify(header)), payload: encodePayload(accountKey) };
  const mac = createHmac('sha256', macKey).update(`${parts.protected}.${parts.payload}`).digest();
  return { ...parts, signature: encodeBase64url(mac) };
}

function encodePayload(payload: object | ''): string {
  return payload === '' ? '' : encodeBase64url(JSON.stringify(payload));
}
