import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import type { Chain } from './world.ts';

/** Real Node TLS servers that present what Chancery issued. */

export interface TlsServer {
  readonly port: number;
  /** What failed handshakes failed of, as the server sees it. */
  complaints(): string;
  close(): Promise<void>;
}

export interface TlsServerOptions {
  readonly certificate: 'leaf' | 'lost';
  /** Whether clients must show a certificate below the root. */
  readonly clients?: boolean;
  /** Whether the handshake carries an OCSP answer of our responder. */
  readonly staples?: boolean;
}

/** Answers every request with `hello `, and the name of the client that proved one. */
export async function startTlsServer(
  chain: Chain,
  { certificate, clients, staples }: TlsServerOptions,
): Promise<TlsServer> {
  const options = {
    key: readFileSync(chain.file(`${certificate}.key`)),
    cert: readFileSync(chain.file(certificate === 'leaf' ? 'chain.pem' : 'lost-chain.pem')),
    ...(clients === true ? { ca: readFileSync(chain.file('root.pem')), requestCert: true } : {}),
  };
  const server = createServer(options, (request, reply) => {
    const client = (request.socket as TLSSocket).getPeerCertificate();
    reply.end(`hello ${client?.subjectaltname ?? 'stranger'}`);
  });
  if (staples === true)
    server.on('OCSPRequest', (leaf, issuer, answer) => staple(chain.urls.ocsp, leaf, issuer, answer));
  const complaints: string[] = [];
  server.on('tlsClientError', (error: Error & { code?: string }) => complaints.push(error.code ?? error.message));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    complaints: () => complaints.join('\n'),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

type Answer = (error: Error | null, response: Buffer | null) => void;

function staple(url: string, leaf: Buffer, issuer: Buffer, answer: Answer): void {
  askOcsp(url, leaf, issuer).then(
    (response) => answer(null, response),
    (error: unknown) => answer(error instanceof Error ? error : new Error(String(error)), null),
  );
}

async function askOcsp(url: string, leaf: Buffer, issuer: Buffer): Promise<Buffer> {
  const { subject, spki } = decodeCertificate(issuer);
  const certId = encodeCertId('sha1', hashIssuer(subject.der, spki), decodeCertificate(leaf).serialNumber);
  const headers = { 'content-type': 'application/ocsp-request' };
  const reply = await fetch(url, { method: 'POST', headers, body: encodeOcspRequest([certId]) });
  return Buffer.from(await reply.arrayBuffer());
}
