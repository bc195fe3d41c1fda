import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createSecureContext, createServer, type SecureContext, type TLSSocket } from 'node:tls';
import { encodeAlpnCertificate } from './alpn-certificate.ts';
import type { Identifier } from './contract.ts';
import { acmeTlsProtocol } from './tls-alpn-01.ts';

export interface TlsAlpnProof {
  readonly identifier: Identifier;
  /** SHA-256 of the key authorization (`alpnDigest`). */
  readonly digest: Buffer;
}

export interface TlsAlpnResponderOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** What is to be proved for a name in SNI, in lower case (`sniOf`): the name, or the reverse name of an address. */
  readonly lookup: (sni: string) => Promise<TlsAlpnProof | undefined>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface TlsAlpnResponder {
  readonly port: number;
  close(): Promise<void>;
}

const handshakeMs = 10_000;
/** For the client to close as well. */
const goodbyeMs = 2000;
const maxConnections = 256;
const maxSni = 253;

/**
 * Answers tls-alpn-01 for our own orders (RFC 8737 §3), and nothing else: a handshake for a name without a challenge, or
 * without this protocol, fails, and a connection is closed once the handshake is done. Rejects where the address cannot
 * be listened on.
 */
export async function startTlsAlpnResponder(options: TlsAlpnResponderOptions): Promise<TlsAlpnResponder> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer({
    handshakeTimeout: handshakeMs,
    minVersion: 'TLSv1.2',
    ALPNCallback: ({ protocols }) => (protocols.includes(acmeTlsProtocol) ? acmeTlsProtocol : undefined),
    SNICallback: (sni, done) => void answerSni(sni.toLowerCase(), done, options, keys),
  });
  server.maxConnections = maxConnections;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => undefined);
    socket.setTimeout(goodbyeMs, () => socket.destroy());
    socket.end();
  });
  server.on('tlsClientError', (_, socket) => socket.destroy());
  server.listen(options.listen.port, options.listen.host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** `done` with an error ends the handshake with an alert. */
async function answerSni(
  sni: string,
  done: (error: Error | null, context?: SecureContext) => void,
  options: TlsAlpnResponderOptions,
  keys: { publicKey: KeyObject; privateKey: KeyObject },
): Promise<void> {
  const context = await contextFor(sni, options, keys).catch(() => undefined);
  if (context === undefined) done(new Error('there is no challenge for this name'));
  else done(null, context);
}

async function contextFor(
  sni: string,
  { lookup, now }: TlsAlpnResponderOptions,
  keys: { publicKey: KeyObject; privateKey: KeyObject },
): Promise<SecureContext | undefined> {
  const proof = sni.length > maxSni ? undefined : await lookup(sni);
  if (proof === undefined) return undefined;
  const der = encodeAlpnCertificate(proof.identifier, proof.digest, keys, now());
  const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
  return createSecureContext({ cert, key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) });
}
