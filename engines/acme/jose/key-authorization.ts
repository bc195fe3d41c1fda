import { createHash } from 'node:crypto';

/** RFC 8555 §8.1: binds a challenge to an account key. */
export function keyAuthorizationOf(token: string, thumbprint: string): string {
  return `${token}.${thumbprint}`;
}

/** RFC 8555 §8.4: the value of the TXT record, base64url without padding. */
export function dnsDigestOf(keyAuthorization: string): string {
  return createHash('sha256').update(keyAuthorization).digest('base64url');
}
