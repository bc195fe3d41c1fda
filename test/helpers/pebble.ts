import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { freePort } from './free-port.ts';

/** Pebble, the ACME server for tests of Let's Encrypt, with its DNS server (Debian package `pebble`), on free ports. */

export interface PebbleOptions {
  /** Where it looks for http-01 and tls-alpn-01. */
  readonly httpPort?: number;
  readonly tlsPort?: number;
  /** External account keys by identifier, base64url; given: an account needs one. */
  readonly externalKeys?: Readonly<Record<string, string>>;
  /** Seconds that certificates live; default 90 days. */
  readonly validity?: number;
  /** Percent of valid authorizations that are used again; default 50. */
  readonly reuse?: number;
  /** Percent of good nonces that are refused; default 15. */
  readonly badNonces?: number;
  readonly alternateRoots?: number;
  /** `host:port` of another DNS server to ask. */
  readonly dnsServer?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Pebble {
  /** URL of the directory. */
  readonly directory: string;
  /** PEM: by which its TLS certificate is trusted. */
  readonly roots: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** `host:port` of the DNS server that it asks, over UDP and TCP. */
  readonly dns: string;
  /** Sets a TXT record beside those that are there, or takes all of a name away. */
  setTxt(host: string, value: string): Promise<void>;
  clearTxt(host: string): Promise<void>;
  /** Status of a certificate at Pebble: `Valid` or `Revoked`. */
  statusOf(serialNumber: string): Promise<string>;
  /** PEM of the root that it issues from at present. */
  issuingRoot(index?: number): Promise<string>;
  /** PEM: certificate and key by which it serves TLS, for somebody who stands between. */
  readonly tls: { readonly cert: string; readonly key: string };
  output(): string;
  /** It forgets everything: accounts, orders, certificates, and issues from another root. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Without `context`, whoever calls stops it. */
export async function startPebble(context: TestContext | undefined, options: PebbleOptions = {}): Promise<Pebble> {
  const folder = mkdtempSync(join(tmpdir(), 'pebble-'));
  makeTlsKey(folder);
  const port = await freePort();
  const management = await freePort();
  const dnsPort = await freePort();
  const dnsManagement = await freePort();
  const httpPort = options.httpPort ?? (await freePort());
  const tlsPort = options.tlsPort ?? (await freePort());
  writeFileSync(
    join(folder, 'pebble.json'),
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: join(folder, 'tls.pem'),
        privateKey: join(folder, 'tls.key'),
        httpPort,
        tlsPort,
        ocspResponderURL: '',
        externalAccountBindingRequired: options.externalKeys !== undefined,
        ...(options.externalKeys === undefined ? {} : { externalAccountMACKeys: options.externalKeys }),
        certificateValidityPeriod: options.validity ?? 90 * 86_400,
      },
    }),
  );
  const dns = start('pebble-challtestsrv', [
    `-dns01=127.0.0.1:${dnsPort}`,
    '-http01=',
    '-https01=',
    '-tlsalpn01=',
    `-management=127.0.0.1:${dnsManagement}`,
    '-defaultIPv4=127.0.0.1',
    '-defaultIPv6=',
  ]);
  const startServer = () =>
    start(
      'pebble',
      ['-strict', '-config', join(folder, 'pebble.json'), '-dnsserver', options.dnsServer ?? `127.0.0.1:${dnsPort}`],
      {
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_WFE_NONCEREJECT: String(options.badNonces ?? 15),
        PEBBLE_AUTHZREUSE: String(options.reuse ?? 50),
        PEBBLE_ALTERNATE_ROOTS: String(options.alternateRoots ?? 0),
        ...options.env,
      },
    );
  let server = startServer();
  const stop = async (): Promise<void> => {
    await Promise.all([server.stop(), dns.stop()]);
    rmSync(folder, { recursive: true, force: true });
  };
  context?.after(stop);
  const roots = readFileSync(join(folder, 'ca.pem'), 'utf8');
  const directory = `https://127.0.0.1:${port}/dir`;
  const manage = async (path: string, body: object): Promise<void> => {
    const reply = await fetch(`http://127.0.0.1:${dnsManagement}/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    if (!reply.ok) throw new Error(`pebble-challtestsrv: ${path}: ${reply.status}`);
  };
  const pebble: Pebble = {
    directory,
    roots,
    httpPort,
    tlsPort,
    dns: `127.0.0.1:${dnsPort}`,
    setTxt: (host, value) => manage('set-txt', { host: `${host}.`, value }),
    clearTxt: (host) => manage('clear-txt', { host: `${host}.` }),
    async statusOf(serialNumber) {
      const text = await read(`https://127.0.0.1:${management}/cert-status-by-serial/${serialNumber}`, roots);
      return (JSON.parse(text) as { Status: string }).Status;
    },
    issuingRoot: (index = 0) => read(`https://127.0.0.1:${management}/roots/${index}`, roots),
    tls: { cert: readFileSync(join(folder, 'tls.pem'), 'utf8'), key: readFileSync(join(folder, 'tls.key'), 'utf8') },
    output: () => server.output() + dns.output(),
    async restart() {
      await server.stop();
      server = startServer();
      await untilAnswering(directory, roots, server);
    },
    stop,
  };
  try {
    await untilAnswering(directory, roots, server);
    return pebble;
  } catch (error) {
    await stop();
    throw error;
  }
}

function makeTlsKey(folder: string): void {
  const openssl = (words: string) => execFileSync('openssl', words.split(' '), { cwd: folder, stdio: 'ignore' });
  const key = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2';
  const authority = '-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign';
  openssl(`${key} -subj /CN=test-tls-root ${authority} -keyout ca.key -out ca.pem`);
  const names = '-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext extendedKeyUsage=serverAuth';
  const leaf = `-addext basicConstraints=critical,CA:FALSE ${names} -CA ca.pem -CAkey ca.key`;
  openssl(`${key} -subj /CN=localhost ${leaf} -keyout tls.key -out tls.pem`);
}

interface Running {
  readonly child: ChildProcess;
  output(): string;
  stop(): Promise<void>;
}

function start(command: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(command, words, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-200_000)));
  const exited = once(child, 'exit');
  exited.catch(() => undefined);
  return {
    child,
    output: () => output,
    async stop() {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function read(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { ca, agent: false }, (reply) => {
      let text = '';
      reply.on('data', (chunk: Buffer) => (text += chunk.toString()));
      reply.on('end', () =>
        reply.statusCode === 200 ? resolve(text) : reject(new Error(`${url}: ${reply.statusCode}`)),
      );
    }).on('error', reject);
  });
}

async function untilAnswering(directory: string, ca: string, running: Running): Promise<void> {
  const { child } = running;
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`pebble ended at start:\n${running.output()}`);
    try {
      await read(directory, ca);
      return;
    } catch (error) {
      if (Date.now() > deadline)
        throw new Error(`pebble did not start in 20 s:\n${running.output()}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
