import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { InMemoryTransport } from '@modelcontextprotocol/server';
import { allOperations } from '#chancery/operations.ts';
import { BackendError, type OfferedOperation, type ToolBackend } from '#mcp/backend.ts';
import { createCaller } from '#mcp/caller.ts';
import { offerOperations } from '#mcp/catalogue.ts';
import { describeFault } from '#mcp/fault.ts';
import { withholdSecrets } from '#mcp/reveal.ts';
import { createServer } from '#mcp/server.ts';
import { createSurfaces } from '#mcp/surface.ts';
import { type ChildServer, type Client as RestClient, spawnChancery } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { sampleFor } from '../attack/samples.ts';
import { furnish, type Ids, type Tenant } from '../attack/world.ts';
import { newClient } from './world.ts';

/**
 * Every tool is called with real data, and everything that a client, its model, or whoever reads a log gets to see is
 * kept. Then the secrets are fetched by the way that is meant for them, and looked for in all of it.
 */

const talkative = {
  CHANCERY_LOG_LEVEL: 'trace',
  CHANCERY_ACCESS_LOG: 'true',
  CHANCERY_MCP_RATE_LIMIT: 'off',
  CHANCERY_MCP_TOOLSETS: 'all',
};

interface Session {
  readonly client: Client;
  /** All bytes that came to the client, and what the process beside it wrote. */
  readonly seen: () => string;
}

async function overHttp(context: TestContext, server: ChildServer, token: string): Promise<Session> {
  const bodies: string[] = [];
  const client = newClient('modern');
  const transport = new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
    fetch: async (url, init) => {
      const reply = await fetch(url, init);
      bodies.push(JSON.stringify([...reply.headers]), await reply.clone().text());
      return reply;
    },
  });
  await client.connect(transport);
  context.after(() => client.close());
  return { client, seen: () => bodies.join('\n') };
}

async function overStdio(context: TestContext, server: ChildServer, token: string): Promise<Session> {
  const seen: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'chancery-mcp-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const client = newClient('modern');
  const transport = new StdioClientTransport({
    command: join(import.meta.dirname, '../../bin/chancery'),
    args: ['mcp'],
    cwd: folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      ...compileCache,
      HOME: folder,
      CHANCERY_URL: server.url,
      CHANCERY_TOKEN: token,
      ...talkative,
    },
    stderr: 'pipe',
  });
  transport.stderr?.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
  await client.connect(transport);
  const { onmessage } = transport;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no event target: this is its one listener
  transport.onmessage = (message) => {
    seen.push(JSON.stringify(message));
    onmessage?.(message);
  };
  context.after(() => client.close());
  return { client, seen: () => seen.join('\n') };
}

interface Delivery {
  readonly method: string;
  readonly fields: string[];
  readonly claim?: string;
  readonly files?: Record<string, string>;
}

interface Called {
  readonly id: string;
  readonly failed: boolean;
  readonly text: string;
  readonly delivery: Delivery | undefined;
}

const order = { read: 0, additive: 1, mutating: 2, destructive: 3 };

/** One call of each; what reads goes first, what destroys last. */
async function callAll({ client }: Session, ids: Ids): Promise<Called[]> {
  const called: Called[] = [];
  for (const operation of [...allOperations].sort((a, b) => order[a.effect] - order[b.effect])) {
    const name = operation.id.replace('.', '_');
    const result = await client.callTool({ name, arguments: inputFor(operation, ids) });
    const text = JSON.stringify(result);
    const { delivery } = (result.structuredContent ?? {}) as { delivery?: Delivery };
    called.push({ id: operation.id, failed: result.isError === true, text, delivery });
  }
  return called;
}

/** What needs a server of somebody else, or an id that only this session has; its errors are looked at as well. */
const inVain = /^(?:acme|claim)\./;

type Listed = (typeof allOperations)[number];

function inputFor(operation: Listed, ids: Ids): Record<string, unknown> {
  try {
    return sampleFor(operation, ids);
  } catch (thrown) {
    if (inVain.test(operation.id)) return {};
    throw thrown;
  }
}

/** The secrets themselves, by the way that is meant for them. */
async function secretsOf(called: readonly Called[], rest: RestClient): Promise<string[]> {
  const secrets: string[] = [];
  for (const { delivery } of called) {
    if (delivery?.claim !== undefined) {
      const { output } = await rest.ok('POST', 'claims/redeem', { handle: delivery.claim });
      for (const field of delivery.fields) secrets.push(...textsIn(output[field]));
    }
    // What stands beside a key, its certificate, is written too and is no secret.
    for (const field of delivery?.fields ?? []) {
      const file = delivery?.files?.[field];
      if (file !== undefined && existsSync(file)) secrets.push(readFileSync(file, 'utf8'));
    }
  }
  return secrets.flatMap(partsOf);
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** A password of a URL and the lines of a key are secrets by themselves. */
function partsOf(secret: string): string[] {
  const password = URL.parse(secret)?.password;
  const lines = secret.split('\n').filter((line) => line.length >= 32 && !line.startsWith('-----'));
  // The chain beside a key is public.
  const keys = /-----BEGIN [A-Z ]*PRIVATE KEY-----([\s\S]*?)-----END/.exec(secret)?.[1];
  if (keys !== undefined) return keys.split('\n').filter((line) => line.length >= 32);
  return [
    ...(password === undefined || password === '' ? [] : [password]),
    ...(lines.length > 1 ? lines : [secret.trim()]),
  ];
}

const always = [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, /\bchy_[0-9A-Za-z]{49}\b/, /administrator-of-least-privilege/];

function assertClean(what: string, text: string, secrets: readonly string[]): void {
  for (const pattern of always) assert.doesNotMatch(text, pattern, what);
  for (const secret of secrets)
    assert.ok(!text.includes(secret), `${what} holds a secret of ${secret.length} characters`);
}

for (const [transport, open] of Object.entries({ HTTP: overHttp, stdio: overStdio })) {
  test(`no secret is in any result, error or log, whatever tool is called over ${transport}`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'chancery-leaks-'));
    const server = await spawnChancery(context, { folder, env: talkative });
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const tag = `leak${transport.toLowerCase()}`;
    const tenant: Tenant = await furnish(server, 'root', tag);
    const session = await open(context, server, String(server.token));
    const called = await callAll(session, tenant.ids);
    const failed = called.filter((call) => call.failed && !inVain.test(call.id)).map(({ id }) => id);
    assert.ok(failed.length <= 15, `${failed.length} of ${called.length} failed: ${failed.join(', ')}`);
    const delivered = called.filter(({ delivery }) => delivery !== undefined);
    for (const id of [
      'auth.create_token',
      'auth.create_key',
      'pki.issue_certificate',
      'database.issue_credentials',
      'database.read_static_credentials',
    ])
      assert.ok(
        delivered.some((call) => call.id === id),
        `${id} delivered nothing: ${called.find((call) => call.id === id)?.text}`,
      );
    const secrets = [...(await secretsOf(called, tenant.admin)), tenant.key, tenant.token, String(server.token)];
    assert.ok(secrets.every((secret) => secret.length >= 16));
    assertClean('what the client saw', session.seen(), secrets);
    for (const { id, text } of called) assertClean(`the result of ${id}`, text, secrets);
    assertClean('the log of the server', server.output(), secrets);
    assert.ok(secrets.length >= (transport === 'HTTP' ? 10 : 8), `${secrets.length} secrets`);
  });
}

const marks = {
  password: 'hunter2-hunter2-hunter2',
  url: 'postgres://app:hunter2-hunter2-hunter2@db.example.com/app',
  token: `chy_${'A'.repeat(49)}`,
  key: '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----',
};

async function withFailingBackend(
  context: TestContext,
  thrown: () => unknown,
): Promise<{ client: Client; log: string[] }> {
  const operations = offerOperations(allOperations);
  const backend: ToolBackend = { operations, call: () => Promise.reject(thrown()) };
  const log: string[] = [];
  const caller = createCaller({
    backend,
    delivery: withholdSecrets,
    readOnly: false,
    mask: true,
    takeTurn: () => 0,
    newRequestId: () => 'req_1',
    log: (id, operation, error) => log.push(`${id} ${operation} ${describeFault(error)}`),
  });
  const surface = createSurfaces(operations, false).of({ toolsets: ['all'], readOnly: false }, operations);
  const server = createServer({ caller, surface, version: '1', reveal: false, parts: [] });
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  await server.connect(ours);
  const client = newClient('legacy');
  await client.connect(theirs);
  context.after(() => client.close());
  return { client, log };
}

const texts = `password=${marks.password} at ${marks.url} with ${marks.token} and ${marks.key}`;

for (const [what, thrown] of Object.entries({
  'an unknown error': () => new Error(`connect failed: ${texts}`),
  'an error with a cause': () => new Error('outer', { cause: new Error(texts) }),
  'no error at all': () => texts,
  'an error that says what was found': () =>
    new BackendError(`The server said ${texts}.`, {
      code: 'refused',
      hint: texts,
      details: [{ at: texts, message: texts }],
      members: { found: texts, nested: [{ texts }] },
    }),
})) {
  test(`the secrets in the text of ${what} reach neither the model nor the log`, async (context) => {
    const { client, log } = await withFailingBackend(context, thrown);
    for (const [name, args] of [
      ['pki_list_roles', {}],
      ['run_operation', { operation: 'pki.list_roles' }],
      ['run_read_operation', { operation: 'pki.list_roles' }],
    ] as const) {
      const result = await client.callTool({ name, arguments: args });
      assert.equal(result.isError, true);
      const seen = JSON.stringify([result, log]);
      for (const secret of [marks.password, marks.token, 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg'])
        assert.ok(!seen.includes(secret), seen);
    }
  });
}

test('an answer with fields that nobody promised is cut to what is promised, and a failed delivery tells what was made', async () => {
  const issue = offerOperations(allOperations).find(({ id }) => id === 'auth.create_key') as OfferedOperation;
  const log: string[] = [];
  const caller = createCaller({
    backend: {
      operations: [issue],
      call: async () => ({
        output: { id: 'key_1', key: marks.token, description: `see ${marks.url}`, more: marks.password },
        replayed: false,
      }),
    },
    delivery: { deliver: () => Promise.reject(new Error(`disk full while writing ${marks.token}`)) },
    readOnly: false,
    mask: true,
    takeTurn: () => 0,
    newRequestId: () => 'req_1',
    log: (_id, _operation, error) => log.push(describeFault(error)),
  });
  const { output, delivery } = await caller.call(issue, {}, { signal: AbortSignal.timeout(5000) });
  assert.deepEqual(output, { id: 'key_1', description: 'see postgres://app:[masked]@db.example.com/app' });
  assert.equal(delivery?.method, 'withheld');
  assert.ok(!JSON.stringify([output, delivery, log]).includes(marks.token));
});
