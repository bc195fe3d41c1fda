import type { PublicRequest } from '#core/engine.ts';
import { parseJwk, type JsonWebKey } from '#acme/jose/jwk.ts';
import { type ParsedJws, parseJws, payloadObject } from '#acme/jose/jws.ts';
import { algorithmOf, verifyJws } from '#acme/jose/verify.ts';
import type { Store } from '#storage/store.ts';
import type { AccountKeys } from './account-keys.ts';
import type { Directory } from './directories.ts';
import type { Nonces } from './nonces.ts';
import type { Bucket } from './rates.ts';
import { AcmeError, malformed } from './problem.ts';
import { assertOfRole, assertUsable, findAccount } from './records.ts';
import type { AccountRow } from './tables.ts';

/** Requests of clients: flattened JWS that are verified in full before anything is done (RFC 8555 §6.2 to §6.5). */

/** By what the request must show who it is: the key itself, the URL of an account, or either. */
export type Signer = 'jwk' | 'kid' | 'either';

export interface Post {
  readonly directory: Directory;
  /** The key by which it is signed. */
  readonly key: JsonWebKey;
  /** Present when it is signed by `kid`; valid when it was read. */
  readonly account: AccountRow | undefined;
  readonly payload: Buffer;
  /** The URL that was signed, and asked for. */
  readonly url: string;
  readonly sourceAddress: string;
  readonly requestId: string;
  readonly params: Readonly<Record<string, string>>;
}

export interface AccountPost extends Post {
  readonly account: AccountRow;
}

export interface PostParts {
  readonly store: Store;
  readonly nonces: Nonces;
  /** Of each account, for requests that ask for more than to read. */
  readonly bucket: Bucket;
  readonly accountKeys: AccountKeys;
  readonly baseUrl: string;
}

/**
 * Verifies a request. What anybody can send costs no write: the nonce is used up only once the signature is good.
 * Throws JoseError or AcmeError.
 */
export async function readPost(
  parts: PostParts,
  directory: Directory,
  request: PublicRequest,
  signer: Signer,
): Promise<Post> {
  const jws = parseJws(request.body);
  algorithmOf(jws.header);
  const { nonce, url } = jws.header;
  if (typeof url !== 'string') throw malformed('The protected header has no url.');
  const isShown = Object.hasOwn(jws.header, 'jwk');
  assertSigner(signer, isShown, Object.hasOwn(jws.header, 'kid'));
  // RFC 8555 §6.4. The Host header is whatever a client or a proxy says; the public URL is ours.
  if (url !== parts.baseUrl + request.url) throw otherUrl(url, parts.baseUrl + request.url);
  parts.nonces.verify(nonce);
  const account = isShown ? undefined : await accountOf(parts.store, directory, jws);
  const key = account === undefined ? parseJwk(jws.header['jwk']) : parts.accountKeys(account.jwk);
  verifyJws(jws, key);
  await parts.nonces.consume(nonce as string);
  if (account !== undefined) {
    assertUsable(account);
    assertOfRole(account, directory);
  }
  if (account !== undefined && jws.payload.length > 0) parts.bucket.take(account.id);
  const { sourceAddress, requestId, params } = request;
  return { directory, key, account, payload: jws.payload, url, sourceAddress, requestId, params };
}

/** Behind a proxy this is how a wrong public URL shows: so both are told. */
function otherUrl(signed: string, came: string): AcmeError {
  const [left, right] = [signed, came].map((url) => JSON.stringify(url.slice(0, 200)));
  return new AcmeError('unauthorized', `The request is signed for the URL ${left}, and came to ${right}.`);
}

function assertSigner(signer: Signer, jwk: boolean, kid: boolean): void {
  if (jwk && kid) throw malformed('The protected header has both jwk and kid.');
  if (!jwk && !kid) throw malformed('The protected header has neither jwk nor kid.');
  if (signer === 'jwk' && kid) throw malformed('This request is signed with jwk, not with kid.');
  if (signer === 'kid' && jwk)
    throw malformed('This request is signed with kid, the URL of the account, not with jwk.');
}

async function accountOf(store: Store, directory: Directory, jws: ParsedJws): Promise<AccountRow> {
  const { kid } = jws.header;
  if (typeof kid !== 'string') throw malformed('The kid of the protected header is not text.');
  const prefix = directory.url('account/');
  const id = kid.startsWith(prefix) ? kid.slice(prefix.length) : '';
  const row = /^[a-z0-9_]{1,64}$/.test(id) ? await findAccount(store, directory, id) : undefined;
  if (row !== undefined) return row;
  throw new AcmeError('accountDoesNotExist', 'There is no account of this URL in this directory.');
}

/** RFC 8555 §6.3. Throws `malformed` for a payload. */
export function assertPostAsGet({ payload }: Post): void {
  if (payload.length > 0) throw malformed('This resource is read by POST-as-GET: with an empty payload, not {}.');
}

/** The payload as an object. What some libraries write as null is left out. Throws JoseError. */
export function objectIn({ payload }: Post): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(payloadObject(payload)).filter(([, value]) => value !== null));
}
