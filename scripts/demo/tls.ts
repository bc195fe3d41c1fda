import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { callbackify } from 'node:util';
import type { Status } from './checkers.ts';
import { expect } from './screen.ts';

/** A real server and real clients, with the TLS of Node (OpenSSL). */

export interface TlsServer {
  readonly port: number;
  close(): void;
}

export interface Credentials {
  /** Of the certificate, PEM. */
  readonly key: string;
  /** Certificate and intermediate, PEM. */
  readonly certificates: string;
  /** Fetches the OCSP answer that is stapled for clients who ask (RFC 6066 §8), DER. */
  readonly staple: () => Promise<Buffer>;
}

export async function serve({ key, certificates, staple }: Credentials): Promise<TlsServer> {
  const server = createServer({ key, cert: certificates }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.end('sealed and delivered\n');
  });
  const answer = callbackify(staple);
  server.on('OCSPRequest', (_certificate, _issuer, done) => answer(done));
  // A client that refuses the certificate breaks the handshake off: that is what some of the steps are about.
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

export interface Trust {
  /** PEM of the only roots; undefined: those that Node brings along. */
  readonly roots?: string;
  /** CRLs of every authority of the path, the root included, PEM: OpenSSL then refuses what is on one, or on none. */
  readonly crls?: readonly string[];
  /** Reads the stapled OCSP answer. With it a client refuses a certificate of which none came, or that is not good. */
  readonly readStaple?: (answer: Buffer) => Promise<Status>;
}

export type Handshake =
  | { readonly accepted: true; readonly protocol: string; readonly words: string }
  | { readonly accepted: false; readonly code: string };

/** Connects as a client of `name` that trusts just what it is told. */
export async function handshake(port: number, name: string, { roots, crls, readStaple }: Trust): Promise<Handshake> {
  const trust = { ...(roots === undefined ? {} : { ca: roots }), ...(crls === undefined ? {} : { crl: [...crls] }) };
  const requestOCSP = readStaple !== undefined;
  const socket = connect({ host: '127.0.0.1', port, servername: name, requestOCSP, timeout: 10_000, ...trust });
  const staple = stapled(socket);
  try {
    socket.on('timeout', () => socket.destroy(new Error('no answer within 10 s')));
    await once(socket, 'secureConnect');
    expect(socket.authorized, 'The client went on without trust in the certificate.');
    const status = await readStaple?.(await staple);
    if (status === 'revoked') return { accepted: false, code: 'revoked, by the OCSP answer stapled to it' };
    const protocol = socket.getProtocol() ?? 'TLS';
    const words = (await socket.setEncoding('utf8').toArray()).join('').trim();
    return { accepted: true, protocol, words };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { accepted: false, code };
  } finally {
    socket.destroy();
  }
}

/** The answer comes before the handshake ends, so nobody waits for it longer than for that. */
function stapled(socket: TLSSocket): Promise<Buffer> {
  return new Promise((resolve) =>
    socket.once('OCSPResponse', (answer: Buffer | null) => resolve(answer ?? Buffer.alloc(0))),
  );
}
