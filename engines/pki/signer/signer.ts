import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { CertifiedIssuer } from '#pki/issuer.ts';
import { signingKeyOf } from '#pki/issuance.ts';
import type { Prepared } from '#pki/signing.ts';
import type { KeyType } from '#pki/x509/algorithm.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import { createKeyReserve } from './key-reserve.ts';
import { createThread, type SigningThread } from './signing-thread.ts';

/**
 * Signing and key making beside the event loop. Signature, verification and key generation are two thirds of the work
 * of a certificate; threads do them while the main thread serves the next requests. There is always one at least, so
 * that a slow key (RSA-4096: 3 ms a signature) never holds up anybody else's request.
 */
export interface Signer {
  /** Proves, lints, signs, verifies; see signing.ts. Rejects as `signPrepared` throws, or `unavailable` when a thread died. */
  sign(issuer: CertifiedIssuer, prepared: Prepared): Promise<Buffer>;
  makeKey(keyType: KeyType): Promise<KeyBytes>;
  close(): Promise<void>;
}

/** A new key. `pkcs8` is secret: hand it out and `fill(0)` it. */
export interface KeyBytes {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** PKCS#8, DER. */
  readonly pkcs8: Buffer;
}

export function createSigner(threadCount = Math.max(1, availableParallelism() - 1)): Signer {
  const threads = Array.from({ length: threadCount }, () => createThread());
  const reserve = createKeyReserve(() => leastBusy(threads));
  return {
    async sign(issuer, prepared) {
      const key = await signingKeyOf(issuer);
      return leastBusy(threads).sign(keyIdOf(issuer), key, prepared);
    },
    makeKey: (keyType) => (keyType === 'ec-p256' ? reserve.take() : generateKeyPair(keyType)),
    async close() {
      reserve.close();
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

const keyIds = new WeakMap<CertifiedIssuer, string>();

/** A thread keeps a key with its chain; an issuer that was certified anew has another one. */
function keyIdOf(issuer: CertifiedIssuer): string {
  let id = keyIds.get(issuer);
  if (id === undefined) {
    const chain = hash('sha256', Buffer.concat(issuer.chain.map(({ der }) => der)), 'hex');
    keyIds.set(issuer, (id = `${issuer.row.id} ${chain}`));
  }
  return id;
}

function leastBusy(threads: readonly SigningThread[]): SigningThread {
  return threads.reduce((least, thread) => (thread.pending < least.pending ? thread : least));
}
