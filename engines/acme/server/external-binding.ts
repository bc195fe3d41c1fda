import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { JsonWebKey } from '#acme/jose/jwk.ts';
import { parseJwk } from '#acme/jose/jwk.ts';
import { type ParsedJws, payloadObject, readJws } from '#acme/jose/jws.ts';
import { macDigestOf, verifyMac } from '#acme/jose/verify.ts';
import type { Directory } from './directories.ts';
import { AcmeError, malformed } from './problem.ts';
import type { ExternalKeyRow } from './tables.ts';

/** External account binding (RFC 8555 §7.3.4): who may register is decided elsewhere, by whoever gave out the key. */

export interface Binding {
  readonly keyId: string;
  /** JSON, to be shown in the account object. */
  readonly shown: string;
}

/** Whether a key is unknown, of another directory, or only not known to the client, is not told apart. */
function refusedBinding(): AcmeError {
  return new AcmeError('unauthorized', 'The key of the external account binding is not good here.');
}

/** For whoever has shown that they have the key: why nobody registers with it (any more). */
export function assertUsable(row: ExternalKeyRow, now: number): void {
  const why = whyUnusable(row, now);
  if (why !== undefined) throw new AcmeError('unauthorized', `The key of the external account binding ${why}.`);
}

function whyUnusable({ revoked_at, expires_at, accounts, max_accounts: most }: ExternalKeyRow, now: number) {
  if (revoked_at !== null) return 'was revoked';
  if (expires_at !== null && expires_at <= now) return 'has expired';
  if (accounts < most) return undefined;
  const used = most === 1 ? 'has registered an account already' : `has registered ${accounts} accounts already`;
  return `${used}, and may register no more: use that account, or ask for a key with a larger max_accounts`;
}

/**
 * Verifies a binding against the account key that signed the outer JWS, and its URL. Throws `malformed` or
 * `unauthorized`; writes nothing, so that guessing costs us nothing.
 */
export async function readBinding(
  { store, sealer }: { readonly store: Store; readonly sealer: Sealer },
  directory: Directory,
  member: unknown,
  outer: { readonly key: JsonWebKey; readonly url: string },
  now: number,
): Promise<Binding> {
  const inner = readJws(member);
  const keyId = assertHeader(inner, outer.url);
  const row = await store.first<ExternalKeyRow>(
    'SELECT * FROM acme_server_external_keys WHERE id = ? AND namespace = ? AND role = ?',
    [keyId, directory.namespace, directory.role],
  );
  if (row === undefined || row.created_at < directory.since) throw refusedBinding();
  const macKey = await sealer.open({ table: 'acme_server_external_keys', row: row.id, column: 'mac_key' }, row.mac_key);
  try {
    verifyMac(inner, macKey);
  } catch {
    throw refusedBinding();
  } finally {
    macKey.fill(0);
  }
  assertUsable(row, now);
  if (parseJwk(payloadObject(inner.payload)).thumbprint !== outer.key.thumbprint)
    throw malformed('The payload of the external account binding is not the key that signs the request.');
  return { keyId, shown: JSON.stringify(member) };
}

/** Checks the protected header of the binding and returns its kid. */
function assertHeader({ header }: ParsedJws, url: string): string {
  macDigestOf(header);
  if (Object.hasOwn(header, 'nonce')) throw malformed('The external account binding has a nonce.');
  if (header['url'] !== url)
    throw malformed('The url of the external account binding is not that of the request around it.');
  const { kid } = header;
  if (typeof kid === 'string' && kid.length <= 128) return kid;
  throw malformed('The external account binding has no kid.');
}
