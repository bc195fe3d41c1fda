import { createPrivateKey, createPublicKey, hash } from 'node:crypto';

/** What may be told of a secret: enough to know it again, nothing that helps to use or guess it. */

/** The URL with `***` for its password; undefined for what is no URL. */
export function redactedUrl(value: unknown): string | undefined {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  if (url === null) return undefined;
  if (url.password !== '') url.password = '***';
  return url.href;
}

/**
 * `sha256:` and the hex digest of the public key (SubjectPublicKeyInfo, DER) of a private key in PEM: that of its
 * certificate is the same. Undefined for everything else; a digest of a password could be tried against guesses.
 */
export function keyFingerprint(value: unknown): string | undefined {
  if (typeof value !== 'string' || !value.includes('PRIVATE KEY-----')) return undefined;
  try {
    const spki = createPublicKey(createPrivateKey(value)).export({ type: 'spki', format: 'der' });
    return `sha256:${hash('sha256', spki)}`;
  } catch {
    // A key of a kind that this runtime does not know has no fingerprint here.
    return undefined;
  }
}
