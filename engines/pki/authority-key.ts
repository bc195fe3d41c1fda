import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { PkiDeps } from './deps.ts';
import { decodeSpki, spkiSha256 } from '#pki/x509/spki.ts';
import { checkPublicKey } from '#pki/x509/weak-key.ts';

/**
 * Every way by which a key from outside becomes that of an authority asks here. Throws `refused` for a key that is weak in
 * any way, an odd RSA exponent included, and for one that was reported as compromised.
 */
export async function assertSoundKey({ directory }: PkiDeps, grant: Grant, spki: Buffer): Promise<void> {
  const { faults } = checkPublicKey(decodeSpki(spki));
  if (faults[0])
    throw new AppError('refused', faults[0].message, {
      hint: 'Make a new key: P-256, P-384, P-521, Ed25519, RSA of 2048 to 4096 bits, or ML-DSA.',
      details: faults.map(({ code, message }) => ({ at: code, message })),
    });
  const blocked = await directory.blockedKeys(grant.namespace);
  if (blocked.has(spkiSha256(spki)))
    throw new AppError('refused', 'The key was reported as compromised and is blocked.', { hint: 'Make a new key.' });
}
