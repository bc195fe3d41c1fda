import { hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

/**
 * `chc_`, the random part of the claim's id (26 characters), `_`, and 256 random bits in 43 characters of base64url. The
 * bits are never stored: by HKDF-SHA-256 (RFC 5869), with the id as salt, come the key for the claim's content and the
 * verifier that the row holds.
 */
const form = /^chc_([0-9a-hjkmnp-tv-z]{26})_([A-Za-z0-9_-]{43})$/;

export const claimHandle = z
  .string()
  .regex(form, 'not a claim handle: chc_, 26 characters, _, 43 characters')
  .describe('The handle that was given in place of the secrets; itself a secret until it was used');

export const claimId = z
  .string()
  .regex(/^clm_[0-9a-hjkmnp-tv-z]{26}$/, 'not the id of a claim')
  .describe('Id of the claim');

export interface HandleParts {
  /** `clm_…` */
  readonly id: string;
  readonly secret: Buffer;
}

/** Undefined for what is no handle. */
export function parseHandle(text: string): HandleParts | undefined {
  const match = form.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { id: `clm_${match[1]}`, secret: Buffer.from(match[2], 'base64url') };
}

/** A new secret for the claim of this id. */
export function newHandle(id: string): HandleParts & { readonly handle: string } {
  const secret = randomBytes(32);
  return { id, secret, handle: `chc_${id.slice('clm_'.length)}_${secret.toString('base64url')}` };
}

/** Key for AES-256-GCM and verifier, 32 bytes each; knowing one says nothing about the other. */
export function deriveKeys({ id, secret }: HandleParts): { readonly key: Buffer; readonly verifier: Buffer } {
  const octets = Buffer.from(hkdfSync('sha256', secret, id, 'chancery claim v1', 64));
  return { key: octets.subarray(0, 32), verifier: octets.subarray(32) };
}

export function verifies(verifier: Uint8Array, stored: Uint8Array): boolean {
  return verifier.length === stored.length && timingSafeEqual(verifier, stored);
}
