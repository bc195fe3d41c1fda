import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits and a tag of 128 bits. */

export const keyBytes = 32;
export const nonceBytes = 12;
export const tagBytes = 16;

const algorithm = 'aes-256-gcm';

/** `header ‖ nonce ‖ ciphertext ‖ tag`. The header is not encrypted; the caller puts it into `aad` where it matters. */
export function encrypt(key: Uint8Array, aad: Uint8Array, header: Uint8Array, plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(aad);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]);
}

/**
 * Opens `nonce ‖ ciphertext ‖ tag`. Undefined when it is too short or the tag does not fit. The plaintext is in a buffer
 * of its own, not in Node's pool, so that whoever zeroes it leaves no copy.
 */
export function decrypt(key: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  const end = sealed.length - tagBytes;
  if (end < nonceBytes) return undefined;
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const plaintext = decipher.update(sealed.subarray(nonceBytes, end));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0); // GCM decrypts before it knows whether the tag fits
    return undefined;
  }
}
