import { once } from 'node:events';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { z } from 'zod';
import type { AuditEvent } from '#core/audit-event.ts';
import { systemClock } from '#core/clock.ts';
import { createDispatch, type Dispatch } from '#core/dispatch.ts';
import type { PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { makeGrant } from '#core/grant.ts';
import { type BoundOperation, bind, defineOperation } from '#core/operation.ts';
import { pageInput } from '#core/page.ts';
import type { Principal } from '#core/principal.ts';
import type { Probes } from '#http/health.ts';
import { createMetrics } from '#http/metrics.ts';
import { readMetrics } from '#http/metrics-operation.ts';
import { createHttpServer, type HttpServer } from '#http/server.ts';
import { defaultHttpSettings, type HttpSettings } from '#http/settings.ts';
import type { TlsProvider } from '#http/tls.ts';

/** A server with a real dispatch, a few small operations, and principals and audit kept in memory. */
export interface Harness {
  readonly url: string;
  readonly server: HttpServer;
  readonly events: AuditEvent[];
  /** Lines that the server logged. */
  readonly lines: Record<string, unknown>[];
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
}

export interface CallOptions {
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export const goodToken = 'chy_good';

const alice: Principal = {
  id: 'pri_alice',
  name: 'alice',
  namespace: 'root',
  kind: 'human',
  policies: ['all'],
  credentialId: 'key_1',
  narrowings: [],
};

const echoInput = {
  role: z.string().max(63).describe('Name of the role'),
  names: z.array(z.string().max(100)).max(10).default([]).describe('Names'),
  count: z.number().int().max(100).optional().describe('How many'),
  deep: z.boolean().optional().describe('Whether to go deep'),
};
const echoOutput = z.strictObject({
  role: z.string(),
  names: z.array(z.string()),
  count: z.number().optional(),
  deep: z.boolean().optional(),
});
type Echo = z.output<typeof echoOutput>;
const resource = ({ role }: { readonly role: string }): string => `test/roles/${role}`;
const echo = async (_grant: unknown, { role, names, count, deep }: Echo) => ({
  output: { role, names, ...(count === undefined ? {} : { count }), ...(deep === undefined ? {} : { deep }) },
});

/** What a test hands in to see or to hold up the operations. */
export interface Hooks {
  readonly slow?: () => Promise<void>;
}

export const testOperations = [
  defineOperation({
    id: 'test.get_role',
    title: 'Read a role',
    summary: 'Says back what it was given.',
    input: z.strictObject(echoInput),
    output: echoOutput,
    http: { method: 'GET', path: '/test/roles/{role}' },
    resource,
    effect: 'read',
    run: echo,
  }),
  defineOperation({
    id: 'test.list_roles',
    title: 'List roles',
    summary: 'Lists nothing.',
    input: z.strictObject({ ...pageInput }),
    output: z.strictObject({ limit: z.number(), cursor: z.string().nullable() }),
    http: { method: 'GET', path: '/test/roles' },
    resource: () => 'test/roles/*',
    effect: 'read',
    run: async (_grant, { limit, cursor }) => ({ output: { limit, cursor: cursor ?? null } }),
  }),
  defineOperation({
    id: 'test.write_role',
    title: 'Write a role',
    summary: 'Says back what it was given.',
    input: z.strictObject({ ...echoInput, secret: z.string().max(2_000_000).optional().describe('A secret') }),
    output: echoOutput,
    http: { method: 'POST', path: '/test/roles/{role}', status: 201 },
    resource,
    effect: 'additive',
    run: echo,
  }),
  defineOperation({
    id: 'test.sign_role',
    title: 'Sign a role',
    summary: 'Takes a small body.',
    input: z.strictObject({ csr: z.string().optional().describe('A CSR') }),
    output: z.strictObject({ size: z.number() }),
    http: { method: 'POST', path: '/test/sign', bodyLimit: 65_536 },
    resource: () => 'test/sign',
    effect: 'additive',
    run: async (_grant, { csr }) => ({ output: { size: csr?.length ?? 0 } }),
  }),
  defineOperation({
    id: 'test.delete_role',
    title: 'Delete a role',
    summary: 'Answers with nothing.',
    input: z.strictObject({ role: echoInput.role, force: z.boolean().default(false).describe('Also in use') }),
    output: z.strictObject({}),
    http: { method: 'DELETE', path: '/test/roles/{role}', status: 204 },
    resource,
    effect: 'destructive',
    run: async () => ({ output: {} }),
  }),
  defineOperation({
    id: 'test.fail',
    title: 'Fail',
    summary: 'Fails as it is told to.',
    input: z.strictObject({ how: z.enum(['refused', 'throw', 'wait', 'hidden']).describe('How') }),
    output: z.strictObject({}),
    http: { method: 'POST', path: '/test/fail' },
    resource: () => 'test/fail',
    effect: 'mutating',
    run: async (_grant, { how }) => {
      if (how === 'refused')
        throw new AppError('refused', 'The role allows no wildcard.', {
          hint: 'Ask for a plain name.',
          details: [{ at: 'allow_wildcards', message: '*.example.com is a wildcard' }],
          members: { role: 'web' },
        });
      if (how === 'wait') throw new AppError('unavailable', 'The store is busy.', { retryAfter: 1.5 });
      if (how === 'hidden') throw new AppError('not_found', 'There is no such role.');
      throw new TypeError('canary-in-the-message', { cause: new Error('canary-in-the-cause') });
    },
  }),
  defineOperation({
    id: 'test.wait',
    title: 'Wait',
    summary: 'Answers when the test lets it.',
    input: z.strictObject({}),
    output: z.strictObject({ done: z.boolean() }),
    http: { method: 'POST', path: '/test/wait' },
    resource: () => 'test/wait',
    effect: 'read',
    run: async (_grant, _input, hooks: Hooks) => {
      await hooks.slow?.();
      return { output: { done: true } };
    },
  }),
];

export interface HarnessOptions {
  readonly config?: Partial<HttpSettings>;
  readonly publicRoutes?: readonly PublicRoute[];
  readonly probes?: Probes;
  readonly tls?: TlsProvider;
  readonly slow?: () => Promise<void>;
  readonly operations?: readonly BoundOperation[];
}

export async function startServer(context: Pick<TestContext, 'after'>, options: HarnessOptions = {}): Promise<Harness> {
  const events: AuditEvent[] = [];
  const lines: Record<string, unknown>[] = [];
  const metrics = createMetrics('1.2.3');
  const server = createHttpServer({
    config: {
      ...defaultHttpSettings,
      listen: { host: '127.0.0.1', port: 0 },
      drainIdle: 0,
      ...options.config,
    },
    operations: options.operations ?? [
      ...bind(testOperations, { slow: options.slow ?? (async () => undefined) }),
      ...bind([readMetrics], { metrics }),
    ],
    dispatch: memoryDispatch(events, metrics.observe),
    publicRoutes: options.publicRoutes ?? [],
    probes: options.probes ?? {},
    log: pino(
      { level: 'info' },
      { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    ),
    version: '1.2.3',
    metrics,
    ...(options.tls ? { tls: options.tls } : {}),
  });
  const url = await server.listen();
  context.after(() => server.close());
  return { url, server, events, lines, call: (method, path, call) => request(`${url}${path}`, method, call) };
}

function memoryDispatch(events: AuditEvent[], observe: ReturnType<typeof createMetrics>['observe']): Dispatch {
  const kept = new Map<string, unknown>();
  return createDispatch({
    clock: systemClock,
    authenticate: async (credentials) => {
      if (credentials.kind === 'bearer' && credentials.token === goodToken) return alice;
      throw new AppError('unauthenticated', 'A valid token is required.', { hint: 'Send Authorization: Bearer.' });
    },
    authorize: async ({ principal, operation, resource: target, facts, requestId, now }) => {
      if (target.endsWith('/forbidden')) throw new AppError('denied', 'No rule allows this.');
      return {
        grant: makeGrant({
          principal,
          namespace: principal.namespace,
          operation: operation.id,
          resource: target,
          purpose: facts.purpose,
          limits: {},
          requestId,
          sourceAddress: null,
          now,
        }),
        changes: [],
      };
    },
    commit: async (changes, newEvents) => {
      for (const change of changes)
        if (change.kind === 'insert') kept.set(String(change.row['key']), change.row['output']);
      events.push(...newEvents);
    },
    idempotency: {
      find: async (_grant, key) =>
        kept.has(key) ? { output: JSON.parse(String(kept.get(key))) as unknown } : undefined,
      keep: (_grant, key, _input, output) => ({
        kind: 'insert',
        table: 'answers',
        row: { key, output: JSON.stringify(output) },
      }),
    },
    observe,
  });
}

/** One request of fetch, with the good token unless another (or null: none) is given. */
export async function request(url: string, method: string, options: CallOptions = {}): Promise<Answer> {
  const token = options.token === undefined ? goodToken : options.token;
  const body = options.json === undefined ? options.body : JSON.stringify(options.json);
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(options.json === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body }),
    redirect: 'manual',
  });
  const text = await response.text();
  const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
}

/** Sends bytes as they are on a connection of its own; resolves to all that came back when the server has closed it. */
export async function rawExchange(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setEncoding('latin1');
  socket.write(text);
  let received = '';
  socket.on('data', (chunk: string) => {
    received += chunk;
  });
  // A connection that the server cut is closed as well; what came before is the answer.
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return received;
}

/** A promise and the function that settles it, to hold an operation up until the test lets go. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
