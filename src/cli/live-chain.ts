import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { CliFailure, exitCodes } from './failure.ts';

/** What a TLS server shows: its chain, and the OCSP response that it staples. */
export interface LiveChain {
  /** PEM, the server's own certificate first. */
  readonly certificate: string;
  /** DER in base64. */
  readonly ocspResponses: readonly string[];
  readonly host: string;
}

const address =
  /^(?:https:\/\/)?(?:\[(?<v6>[\da-f:.]+)\]|(?<name>[a-z\d_](?:[a-z\d._-]*[a-z\d_])?)):(?<port>\d{1,5})\/?$/i;

/** `host:port`, with https:// in front or not; undefined for anything else, a path of a file among them. */
export function readAddress(word: string): { readonly host: string; readonly port: number } | undefined {
  const { v6, name, port = '' } = address.exec(word)?.groups ?? {};
  const host = v6 ?? name;
  const number = Number(port);
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number };
}

const timeoutMs = 10_000;

/**
 * Connects and asks for nothing but the certificates. They are not verified here: that is what the server of Chancery is
 * asked to do with them. `serverName` is what the TLS server is asked for; default the host.
 */
export async function fetchChain(host: string, port: number, serverName = host): Promise<LiveChain> {
  const socket = connect({
    host,
    port,
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    rejectUnauthorized: false,
    requestOCSP: true,
  });
  try {
    const stapled = await shaken(socket, `${host}:${port}`);
    const chain = chainOf(socket.getPeerCertificate(true));
    if (chain.length === 0) throw new CliFailure(exitCodes.unavailable, `${host}:${port} shows no certificate`);
    return { certificate: chain.map(toPem).join(''), ocspResponses: stapled, host };
  } finally {
    socket.destroy();
  }
}

function shaken(socket: TLSSocket, where: string): Promise<string[]> {
  const stapled: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (why: string) =>
      reject(
        new CliFailure(exitCodes.unavailable, `${where} cannot be asked for its certificate: ${why}`, {
          hint: 'give the host and port of a server that speaks TLS from the first octet on',
        }),
      );
    socket.setTimeout(timeoutMs, () => fail('no answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'no connection'));
    socket.on('OCSPResponse', (response: Buffer | null) => {
      if (response !== null && response.length > 0) stapled.push(response.toString('base64'));
    });
    socket.on('secureConnect', () => resolve(stapled));
  });
}

/** Node links each certificate to its issuer, and a self-signed one to itself. */
function chainOf(first: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  const seen = new Set<string>();
  for (let at: DetailedPeerCertificate | undefined = first; at?.raw !== undefined; at = at.issuerCertificate) {
    if (seen.has(at.fingerprint256)) break;
    seen.add(at.fingerprint256);
    chain.push(at.raw);
  }
  return chain;
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
