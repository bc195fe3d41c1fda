import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, WrongOutcome } from './screen.ts';

/** Chancery as anyone starts it, in a process of its own, and calls to its REST API. */

/** The answer of the server; a problem document (RFC 9457) when it refuses. */
export interface Reply {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- answers of many shapes; a wrong guess ends the demo
  readonly body: any;
}

export interface Server {
  readonly url: string;
  /** `POST` when there is a body, else `GET`; never throws for a status. */
  call(path: string, body?: object): Promise<Reply>;
  /** The body of a call that must succeed. */
  ok(path: string, body?: object): Promise<Reply['body']>;
  /** SIGTERM, and SIGKILL when it is not gone after 10 s; resolves to the exit code. Twice is once. */
  stop(): Promise<number | null>;
  /** At once, without waiting: for the very end of this process. */
  kill(): void;
}

const main = join(import.meta.dirname, '../../src/main.ts');

/** `folder`: where it keeps everything. `began` is told of the server before it is ready, so that it can be stopped. */
export async function startServer(folder: string, began: (server: Server) => void): Promise<Server> {
  const address = `127.0.0.1:${await freePort()}`;
  const url = `http://${address}`;
  mkdirSync(folder, { mode: 0o700 });
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      CHANCERY_DATA: folder,
      CHANCERY_LISTEN: address,
      CHANCERY_PUBLIC_URL: url,
      CHANCERY_LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  let token = '';
  const call = async (path: string, body?: object) => request(`${url}/v1/${path}`, token, body);
  const server: Server = {
    url,
    call,
    async ok(path, body) {
      const reply = await call(path, body);
      expect(reply.status < 300, `The server refused ${path}: ${reply.status} ${reply.body.detail ?? ''}`);
      return reply.body;
    },
    stop: () => stop(child),
    kill: () => child.kill('SIGKILL'),
  };
  began(server);
  await untilListening(child, () => output);
  token = readFileSync(join(folder, 'admin.token'), 'utf8').trim();
  return server;
}

async function request(url: string, token: string, body: object | undefined): Promise<Reply> {
  const reply = await fetch(url, {
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: reply.status, body: await reply.json() };
}

async function untilListening(child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!output().includes(' listens on ')) {
    if (hasEnded(child)) throw new WrongOutcome(`The server ended at its start:\n${output().trim()}`);
    if (Date.now() > deadline) throw new WrongOutcome(`The server was not ready after 30 s:\n${output().trim()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (hasEnded(child)) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exited;
  clearTimeout(patience);
  return child.exitCode;
}

/** A TCP port of the loopback interface that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  expect(typeof address === 'object' && address !== null, 'This machine gave no free port.');
  return address.port;
}
