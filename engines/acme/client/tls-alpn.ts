import { isIP } from 'node:net';
import type { Clock } from '#core/clock.ts';
import { alpnDigest } from '#acme/challenge/tls-alpn-01.ts';
import { startTlsAlpnResponder, type TlsAlpnProof, type TlsAlpnResponder } from '#acme/challenge/tls-alpn-responder.ts';
import type { Store } from '#storage/store.ts';
import { canonicalAddress } from './identifiers.ts';
import type { ChallengeRow } from './tables.ts';

/** Answers of tls-alpn-01 from the store, so that any node gives them, whichever works on the order. */
export function startResponder(
  listen: { readonly host: string; readonly port: number },
  { store, clock }: { readonly store: Store; readonly clock: Clock },
): Promise<TlsAlpnResponder> {
  return startTlsAlpnResponder({ listen, now: () => clock.now(), lookup: (sni) => findProof(store, sni) });
}

async function findProof(store: Store, sni: string): Promise<TlsAlpnProof | undefined> {
  const address = addressOf(sni);
  const row = await store.first<Pick<ChallengeRow, 'identifier' | 'key_authorization'>>(
    `SELECT identifier, key_authorization FROM acme_client_challenges
     WHERE type = 'tls-alpn-01' AND identifier = ? ORDER BY created_at DESC LIMIT 1`,
    [address ?? sni],
  );
  if (row === undefined) return undefined;
  const type = address === undefined ? 'dns' : 'ip';
  return { identifier: { type, value: row.identifier }, digest: alpnDigest(row.key_authorization) };
}

/** RFC 8738 §6: an address is named by its reverse name in SNI. */
function addressOf(sni: string): string | undefined {
  const [, reversed = '', family] = /^(.+)\.(in-addr|ip6)\.arpa$/.exec(sni) ?? [];
  const labels = reversed.split('.').toReversed();
  const text = family === 'ip6' ? (labels.join('').match(/.{4}/g) ?? []).join(':') : labels.join('.');
  return isIP(text) === 0 ? undefined : canonicalAddress(text);
}
