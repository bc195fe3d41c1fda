import { JoseError, type JoseFault } from './errors.ts';

const alphabet = /^[A-Za-z0-9_-]*$/;

/**
 * base64url as JOSE and ACME want it (RFC 7515 §2, RFC 8555 §6.1): no padding, no other character, no stray bits at the
 * end, so that there is one text for each value. `what` names the place in the error.
 */
export function decodeBase64url(text: string, what: string, fault: JoseFault = 'malformed'): Buffer {
  if (!alphabet.test(text))
    throw new JoseError(fault, `${what} is not base64url without padding (RFC 8555 section 6.1).`);
  const octets = Buffer.from(text, 'base64url');
  if (octets.toString('base64url') !== text)
    throw new JoseError(fault, `${what} is not base64url: its last character is not as an encoder writes it.`);
  return octets;
}

export function encodeBase64url(octets: Uint8Array | string): string {
  return (typeof octets === 'string' ? Buffer.from(octets, 'utf8') : Buffer.from(octets)).toString('base64url');
}
