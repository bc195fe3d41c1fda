import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** Block length v of SHA-256 in octets (RFC 7292 appendix B.2). */
const blockLength = 64;
/** The diversifier of RFC 7292 appendix B.3 for an integrity key. */
const macKey = 3;
/** Hashes between two turns of the event loop: about a millisecond. */
const slice = 1000;

/**
 * The MAC key (32 octets) of a PKCS#12 file: the key derivation of RFC 7292 appendix B.2 with SHA-256, whose output is
 * just as long as the key, so that one round is all. Neither node:crypto nor Web Crypto has this function, and every
 * iteration needs the one before it; so it runs here in slices, and the event loop turns between them.
 */
export async function derivePkcs12MacKey(password: string, salt: Uint8Array, iterations: number): Promise<Buffer> {
  const secret = encodePassword(password);
  const block = Buffer.concat([Buffer.alloc(blockLength, macKey), fillBlocks(salt), fillBlocks(secret)]);
  let digest = hash('sha256', block, 'buffer');
  secret.fill(0);
  block.fill(0);
  for (let done = 1; done < iterations; done++) {
    if (done % slice === 0) await setImmediate();
    digest = hash('sha256', digest, 'buffer');
  }
  return digest;
}

/** RFC 7292 appendix B.1: two octets a character, the higher first, and a terminating null character. */
function encodePassword(password: string): Buffer {
  return Buffer.from(`${password}\0`, 'utf16le').swap16();
}

/** The octets again and again, up to a whole number of blocks. */
function fillBlocks(octets: Uint8Array): Buffer {
  return Buffer.alloc(blockLength * Math.ceil(octets.length / blockLength), octets);
}
