import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { loadConfig } from '#chancery/config.ts';
import { type Chancery, start } from '#chancery/main.ts';
import type { Clock } from '#core/clock.ts';
import { keyTypes } from '#engines/pki/x509/algorithm.ts';
import { compileCache } from '#test/compile-cache.ts';
import { freePort } from './free-port.ts';

/** A real server on a free port in a temporary folder, in this process or in one of its own. */

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of many shapes; a wrong guess fails the test
  readonly body: any;
}

export interface Client {
  readonly url: string;
  /** The administrator's, unless `as` made this client. */
  readonly token: string | undefined;
  /** Calls `/v1/<path>` with JSON; never throws for a status. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Reply>;
  /** The body of a call that must succeed. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  ok(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<any>;
  /** The same server with another token; undefined: none. */
  as(token: string | undefined): Client;
}

export interface TestServer extends Client {
  readonly folder: string;
  stop(): Promise<void>;
}

export interface InProcess extends TestServer {
  readonly chancery: Chancery;
}

export interface ServerOptions {
  /** Settings beside folder and address. */
  readonly env?: Readonly<Record<string, string>>;
  /** A folder that a server had before; default a new one, removed at the end. */
  readonly folder?: string;
  readonly clock?: Clock;
}

export function createClient(url: string, token: string | undefined): Client {
  const call: Client['call'] = async (method, path, body, headers = {}) => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const all = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...headers,
    };
    const reply = await send(new URL(`${url}/v1/${path}`), method, all, text);
    return {
      status: reply.status,
      get headers() {
        return new Headers(reply.headers);
      },
      body: reply.text === '' ? undefined : JSON.parse(reply.text),
    };
  };
  return {
    url,
    token,
    call,
    async ok(method, path, body, headers) {
      const reply = await call(method, path, body, headers);
      if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
      return reply.body;
    },
    as: (other) => createClient(url, other),
  };
}

interface RawReply {
  readonly status: number;
  readonly headers: [string, string][];
  readonly text: string;
}

const agent = new Agent({ keepAlive: true });

/** As `fetch` would, for a third of its processor time: some tests send tens of thousands. */
function send(
  url: URL,
  method: string,
  headers: Readonly<Record<string, string | number>>,
  body: string | undefined,
): Promise<RawReply> {
  if (url.protocol !== 'http:') throw new Error(`the client of the tests speaks HTTP only, not ${url.protocol}`);
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const pairs = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
        resolve({ status: answer.statusCode ?? 0, headers: pairs, text });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

function temporaryFolder(context: TestContext | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-'));
  context?.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function settings(folder: string, env: ServerOptions['env']): Promise<Record<string, string>> {
  const address = `127.0.0.1:${await freePort()}`;
  return {
    CHANCERY_DATA: folder,
    CHANCERY_LISTEN: address,
    CHANCERY_PUBLIC_URL: `http://${address}`,
    CHANCERY_LOG_LEVEL: 'warn',
    ...env,
  };
}

function adminToken(folder: string): string {
  return readFileSync(join(folder, 'admin.token'), 'utf8').trim();
}

/** In this process. Stopped when the test ends. */
export async function startChancery(context: TestContext | undefined, options: ServerOptions = {}): Promise<InProcess> {
  const folder = options.folder ?? temporaryFolder(context);
  const config = loadConfig(await settings(folder, options.env), folder);
  const log = pino({ level: config.log.level }, process.stderr);
  const chancery = await start(config, { log, ...(options.clock ? { clock: options.clock } : {}) });
  context?.after(() => chancery.close());
  return { ...createClient(chancery.url, adminToken(folder)), folder, chancery, stop: () => chancery.close() };
}

export interface ChildServer extends TestServer {
  readonly process: ChildProcess;
  /** `kill -9`, and waits until it is gone. */
  kill(): Promise<void>;
  /** What it wrote so far, both streams. */
  output(): string;
}

/** In a process of its own, to be killed, traced or starved. Killed when the test ends. */
export async function spawnChancery(
  context: TestContext | undefined,
  options: Omit<ServerOptions, 'clock'> & {
    /** What runs Node: `strace -f`. */
    readonly command?: readonly string[];
    /** The module that is the server; default this repository's. */
    readonly main?: string;
  } = {},
): Promise<ChildServer> {
  const folder = options.folder ?? temporaryFolder(context);
  const env = await settings(folder, options.env);
  const main = options.main ?? join(import.meta.dirname, '../../src/main.ts');
  const [command = process.execPath, ...before] = options.command ?? [];
  const words = options.command ? [...before, process.execPath] : [];
  const child = spawn(command, [...words, '--disable-warning=ExperimentalWarning', main], {
    env: { PATH: process.env['PATH'], ...compileCache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit');
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  context?.after(() => end('SIGKILL'));
  const url = env['CHANCERY_TLS'] === 'self' ? `https://${env['CHANCERY_LISTEN']}` : `http://${env['CHANCERY_LISTEN']}`;
  await untilListening(child, () => output);
  return {
    ...createClient(url, adminToken(folder)),
    folder,
    process: child,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    output: () => output,
  };
}

async function untilListening(child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!output().includes(' listens on ')) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the server ended at start:\n${output()}`);
    if (Date.now() > deadline) throw new Error(`the server did not start in 30 s:\n${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A root, an intermediate and a role `web` for example.com: what most tests of issuance begin with. */
export async function foundPki(client: Client, keyType = 'ec-p256', role: object = {}): Promise<void> {
  await client.ok('POST', 'pki/authorities', {
    name: 'root',
    kind: 'root',
    common_name: 'Test Root',
    key_type: keyType,
  });
  await client.ok('POST', 'pki/authorities', {
    name: 'issuing',
    kind: 'intermediate',
    parent: 'root',
    common_name: 'Test Issuing',
    key_type: keyType,
    max_path_length: 0,
  });
  await client.ok('POST', 'pki/roles', {
    name: 'web',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    key_types: [...keyTypes],
    ...role,
  });
}
