import { X509Certificate } from 'node:crypto';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Client, foundPki, startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';

/**
 * What somebody sets up who wants unchanged ACME clients to get certificates from Chancery: the server with TLS of its
 * own, a role with a directory, and external account keys. pebble-challtestsrv is its DNS, where every name is at
 * 127.0.0.1; challenges are looked for on free ports.
 */
export interface InteropWorld {
  /** As `server.ok` of other tests, over TLS. */
  readonly server: Pick<Client, 'ok'>;
  readonly url: string;
  readonly token: string;
  readonly directory: string;
  /** PEM file of the root that the server's TLS certificate comes from. */
  readonly rootFile: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** `host:port` of the DNS server. */
  readonly dns: string;
  /** URL at which TXT records are set and cleared. */
  readonly dnsManagement: string;
  /** A folder for the client. */
  readonly folder: string;
  externalKey(fields?: object): Promise<{ key_id: string; hmac_key: string }>;
  setTxt(name: string, value: string): Promise<void>;
  clearTxt(name: string): Promise<void>;
  /** Writes a shell script that can be run. */
  script(name: string, lines: readonly string[]): string;
  /** Runs a client to its end; throws with what it wrote when it fails. */
  run(command: string, words: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
  /** Starts a client that runs until the test ends. */
  serve(command: string, words: readonly string[]): { output(): string };
}

export async function interopWorld(context: TestContext, settings: object = {}): Promise<InteropWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-interop-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const [port, httpPort, tlsPort, dnsPort, managementPort] = await freePorts();
  const dns = `127.0.0.1:${dnsPort}`;
  await startDns(context, dns, managementPort);
  const started = await startChancery(context, {
    env: {
      CHANCERY_LISTEN: `127.0.0.1:${port}`,
      CHANCERY_PUBLIC_URL: `https://localhost:${port}`,
      CHANCERY_TLS: 'self',
      CHANCERY_ACME_HTTP_PORT: String(httpPort),
      CHANCERY_ACME_TLS_PORT: String(tlsPort),
      CHANCERY_ACME_RESOLVERS: dns,
    },
  });
  const rootFile = join(started.folder, 'tls-root.pem');
  const url = `https://localhost:${port}`;
  const token = started.token ?? '';
  const server = tlsClient(url, token, readFileSync(rootFile, 'utf8'));
  await foundPki(server as Client, 'ec-p256', {
    allowed_domains: ['interop.test'],
    allow_bare_domains: true,
    allow_wildcards: true,
    allowed_ip_ranges: ['127.0.0.1/32'],
  });
  await server.ok('PUT', 'acme/directories/web', { allowed_address_ranges: ['127.0.0.0/8'], ...settings });
  const manage = async (path: string, body: object) => {
    const reply = await fetch(`http://127.0.0.1:${managementPort}/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    if (!reply.ok) throw new Error(`pebble-challtestsrv: ${path}: ${reply.status}`);
  };
  return {
    server,
    url,
    token,
    directory: `${url}/acme/web/directory`,
    rootFile,
    httpPort,
    tlsPort,
    dns,
    dnsManagement: `http://127.0.0.1:${managementPort}`,
    folder,
    externalKey: (fields = {}) => server.ok('POST', 'acme/external-account-keys', { role: 'web', ...fields }),
    setTxt: (name, value) => manage('set-txt', { host: `${name}.`, value }),
    clearTxt: (name) => manage('clear-txt', { host: `${name}.` }),
    script(name, lines) {
      const file = join(folder, name);
      writeFileSync(file, ['#!/bin/sh', 'set -e', ...lines, ''].join('\n'));
      chmodSync(file, 0o755);
      return file;
    },
    run: (command, words, env = {}) => runToEnd(context, command, words, { HOME: folder, ...env }),
    serve(command, words) {
      const child = spawn(command, words, {
        env: { PATH: process.env['PATH'], HOME: folder },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      context.after(() => end(child));
      const output = collect(child);
      return { output };
    },
  };
}

async function freePorts(): Promise<[number, number, number, number, number]> {
  return [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()];
}

async function startDns(context: TestContext, dns: string, managementPort: number): Promise<void> {
  const off = ['-http01=', '-https01=', '-tlsalpn01='];
  const words = [
    `-dns01=${dns}`,
    ...off,
    `-management=127.0.0.1:${managementPort}`,
    '-defaultIPv4=127.0.0.1',
    '-defaultIPv6=',
  ];
  const child = spawn('pebble-challtestsrv', words, { stdio: 'ignore' });
  context.after(() => end(child));
  await once(child, 'spawn');
  for (const port of [managementPort, Number(dns.split(':')[1])]) await untilListening(port);
}

async function untilListening(port: number): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    if (Date.now() > deadline) throw new Error(`nothing listens on port ${port} after 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function tlsClient(url: string, token: string, ca: string): Pick<Client, 'ok'> {
  return {
    async ok(method, path, body) {
      const sent = request(`${url}/v1/${path}`, {
        method,
        ca,
        agent: false,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
      });
      sent.end(body === undefined ? undefined : JSON.stringify(body));
      const [reply] = (await once(sent, 'response')) as [IncomingMessage];
      const text = Buffer.concat(await reply.toArray()).toString();
      if ((reply.statusCode ?? 0) >= 300) throw new Error(`${method} ${path}: ${reply.statusCode} ${text}`);
      return text === '' ? undefined : JSON.parse(text);
    },
  };
}

/** What a process wrote so far, the newest of it. */
function collect(child: ChildProcess): () => string {
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000)));
  return () => output;
}

const longestRunMs = 60_000;

async function runToEnd(
  context: TestContext,
  command: string,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const child = spawn(command, words, {
    env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: longestRunMs,
    killSignal: 'SIGKILL',
  });
  context.after(() => end(child));
  const output = collect(child);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} ${words.join(' ')} ended with ${code}:\n${output()}`);
  return output();
}

/** The first certificate of a PEM file. */
export function readCertificate(file: string): X509Certificate {
  return new X509Certificate(readFileSync(file));
}

/** What the inventory of the server says of a certificate. */
export function inventory(world: InteropWorld, certificate: X509Certificate) {
  return world.server.ok('GET', `pki/certificates/${certificate.serialNumber.toLowerCase()}`);
}
