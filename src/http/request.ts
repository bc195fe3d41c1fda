import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { Credentials } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';

/** What the headers and the socket say about a request, read in one place. */

const saneId = /^[A-Za-z0-9._-]{1,64}$/;
const processPart = randomBytes(9).toString('hex');
let counter = 0;

/** The caller's X-Request-Id when it is sane, so that traces join; else a new one, unique over all nodes. */
export function requestIdOf(header: string | string[] | undefined): string {
  if (typeof header === 'string' && saneId.test(header)) return header;
  counter += 1;
  return `req_${processPart}${counter.toString(36).padStart(6, '0')}`;
}

/** RFC 6750 §2.1: `Bearer` and a b64token; the bound is far above any token of ours. */
const bearer = /^Bearer +([A-Za-z0-9._~+/-]{1,1024}=*)$/i;

export function credentialsOf(authorization: string | undefined): Credentials {
  if (authorization === undefined) return { kind: 'none' };
  const token = bearer.exec(authorization)?.[1];
  return token === undefined ? { kind: 'none' } : { kind: 'bearer', token };
}

/**
 * The address a request came from, IPv4 in its plain form also on a dual-stack socket. Behind a proxy that passes on
 * whatever it was told, the address may be any text; then it is empty, as for a socket that is already gone.
 */
export function sourceAddressOf(request: { readonly ip: string | undefined }): string {
  const ip = request.ip ?? '';
  const plain = ip.startsWith('::ffff:') ? ip.slice(7) : ip;
  return isIP(plain) === 0 ? '' : plain;
}

const printable = /^[\x21-\x7e]{1,255}$/;

/** A header that is handed on to dispatch. Throws `invalid_request` unless it is 1 to 255 printable ASCII characters. */
export function tokenHeader(name: string, value: string | string[] | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && printable.test(value)) return value;
  throw new AppError('invalid_request', `${name} must be 1 to 255 printable ASCII characters without spaces.`, {
    hint: 'Send the header once, or leave it out.',
  });
}
