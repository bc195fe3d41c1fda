import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { reverseName } from '#acme/dns/name.ts';
import type { Perspective } from '#acme/dns/perspective.ts';
import { alpnCertificateFault } from './alpn-certificate.ts';
import type { ChallengeAttempt, ChallengeResult, Identifier } from './contract.ts';
import { failed, passed } from './outcome.ts';
import { reachableAddresses } from './reach.ts';

/** RFC 8737 §6.2. */
export const acmeTlsProtocol = 'acme-tls/1';

/** The name in SNI: the DNS name, or for an address its reverse name (RFC 8738 §6). */
export function sniOf({ type, value }: Identifier): string {
  return type === 'ip' ? reverseName(value) : value;
}

/** SHA-256 of the key authorization, which the certificate must hold (RFC 8737 §3). */
export function alpnDigest(keyAuthorization: string): Buffer {
  return createHash('sha256').update(keyAuthorization).digest();
}

/** RFC 8737 §3: connects, offers this one protocol, and reads the certificate; nothing is sent over the connection. */
export async function validateTlsAlpn(
  attempt: ChallengeAttempt,
  port: number,
  perspective: Perspective,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<ChallengeResult> {
  const { identifier, allowedAddressRanges } = attempt;
  const addresses = await reachableAddresses(identifier, allowedAddressRanges, perspective, signal);
  if ('ok' in addresses) return addresses;
  const shareMs = Math.ceil(timeoutMs / (addresses.length + 1));
  for (const address of addresses) {
    const share = address === addresses.at(-1) ? signal : AbortSignal.any([signal, AbortSignal.timeout(shareMs)]);
    const socket = await connected({ host: address, port, signal: share });
    if (socket !== undefined) return handshake(socket, attempt, signal);
  }
  return failed('connection', `There is no connection to port ${port} of ${identifier.value}.`);
}

/** Undefined where there is no connection. */
function connected(options: { host: string; port: number; signal: AbortSignal }): Promise<Socket | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
  const { signal, ...target } = options;
  const socket = connectTcp(target);
  const giveUp = () => {
    socket.destroy();
    resolve(undefined);
  };
  socket.on('error', giveUp);
  socket.once('connect', () => resolve(socket));
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  return promise.finally(() => signal.removeEventListener('abort', giveUp));
}

async function handshake(
  socket: Socket,
  { identifier, keyAuthorization }: ChallengeAttempt,
  signal: AbortSignal,
): Promise<ChallengeResult> {
  const tls = connectTls({
    socket,
    servername: sniOf(identifier),
    ALPNProtocols: [acmeTlsProtocol],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: false,
  });
  try {
    const fault = await secured(tls, signal);
    if (fault !== undefined) return failed(fault, handshakeDetail(fault, identifier.value));
    if (tls.alpnProtocol !== acmeTlsProtocol)
      return failed('tls', `The responder at ${identifier.value} does not speak the protocol ${acmeTlsProtocol}.`);
    const certificate = tls.getPeerX509Certificate()?.raw;
    if (certificate === undefined) return failed('tls', `The responder at ${identifier.value} shows no certificate.`);
    const flaw = alpnCertificateFault(certificate, identifier, alpnDigest(keyAuthorization));
    return flaw === undefined ? passed : failed('incorrectResponse', `The certificate of ${identifier.value} ${flaw}.`);
  } finally {
    tls.destroy();
    socket.destroy();
  }
}

function handshakeDetail(fault: 'connection' | 'tls', name: string): string {
  return fault === 'tls'
    ? `The TLS handshake with ${name} failed; a responder for tls-alpn-01 speaks ${acmeTlsProtocol} and TLS 1.2 or later.`
    : `The responder at ${name} did not finish the TLS handshake in time.`;
}

function secured(tls: TLSSocket, signal: AbortSignal): Promise<'connection' | 'tls' | undefined> {
  const { promise, resolve } = Promise.withResolvers<'connection' | 'tls' | undefined>();
  const onAbort = () => resolve('connection');
  tls.once('secureConnect', () => resolve(undefined));
  tls.on('error', () => resolve('tls'));
  tls.once('close', () => resolve('tls'));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}
