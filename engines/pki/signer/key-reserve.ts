import { generateKeyPair } from '#pki/x509/key.ts';
import type { KeyBytes } from './signer.ts';
import type { SigningThread } from './signing-thread.ts';

/**
 * P-256 keys made ahead, so that nobody waits for one. A key leaves the reserve once; what is left is overwritten when
 * the server closes. They are as secret before their certificate exists as after: they are in memory only.
 */
export interface KeyReserve {
  take(): Promise<KeyBytes>;
  close(): void;
}

const batch = 64;
const low = 64;

export function createKeyReserve(thread: () => SigningThread): KeyReserve {
  const keys: KeyBytes[] = [];
  let filling = false;
  let closed = false;
  const fill = (): void => {
    if (filling || closed) return;
    filling = true;
    void thread()
      .makeKeys(batch)
      .then(
        (made) => (closed ? wipe(made) : keys.push(...made)),
        // The thread died; the next take tries again, and makes its own key meanwhile.
        () => undefined,
      )
      .finally(() => (filling = false));
  };
  return {
    async take() {
      const key = keys.pop();
      if (keys.length < low) fill();
      return key ?? generateKeyPair('ec-p256');
    },
    close() {
      closed = true;
      wipe(keys.splice(0));
    },
  };
}

function wipe(keys: readonly KeyBytes[]): void {
  for (const { pkcs8 } of keys) pkcs8.fill(0);
}
