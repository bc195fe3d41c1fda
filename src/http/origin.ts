import { isIP } from 'node:net';
import { AppError } from '#core/errors.ts';
import type { HttpSettings } from './settings.ts';

/** Checks that a request was meant for this server. Throws `denied`. */
export type OriginCheck = (host: string | undefined, origin: string | undefined) => void;

/**
 * Two guards against web pages that reach a server behind the browser's back.
 *
 * `Host`: a server on a loopback address is asked for under a loopback name or under its public URL; another name means
 * that somebody's DNS answers with 127.0.0.1 (DNS rebinding). On other interfaces any name is accepted.
 * `Origin`: browsers send it with requests of pages; only pages of this server itself may call.
 */
export function createOriginCheck(settings: Pick<HttpSettings, 'listen' | 'publicUrl'>): OriginCheck {
  const publicHost = settings.publicUrl === null ? null : new URL(settings.publicUrl).host;
  const restricted = isLoopback(settings.listen.host);
  return (host, origin) => {
    if (restricted && host !== undefined && host !== publicHost && !isLoopback(hostName(host))) throw wrongHost();
    if (origin !== undefined && origin !== settings.publicUrl && !isOwnOrigin(origin, host)) throw wrongOrigin();
  };
}

/** Whether a host name or address is one that only this machine can reach (RFC 6761 §6.3, RFC 1122 §3.2.1.3). */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === 'localhost' || host === '::1' || host.endsWith('.localhost');
}

const hostAndPort = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::\d{1,5})?$/i;

function hostName(host: string): string {
  const match = hostAndPort.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

function wrongHost(): AppError {
  return new AppError('denied', 'The Host header names a host that this server does not answer for.', {
    hint: 'Use 127.0.0.1 or localhost, or set CHANCERY_PUBLIC_URL to the address that clients use.',
  });
}

function wrongOrigin(): AppError {
  return new AppError('denied', 'Pages of other origins may not call this server.', {
    hint: 'Call the API from a program, or set CHANCERY_PUBLIC_URL to the origin under which its own pages are served.',
  });
}
