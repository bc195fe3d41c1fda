import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { AppError } from '#core/errors.ts';
import { createOpenStreams, type Opener } from '#mcp/open-streams.ts';
import { until } from '../database/fixture.ts';
import { startFixtures } from './conformance/stack.ts';
import { startServer } from './world.ts';

/** Answers that stay open, and how many of them. */

const version = '2026-07-28';
const meta = {
  'io.modelcontextprotocol/protocolVersion': version,
  'io.modelcontextprotocol/clientInfo': { name: 'flood', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

function send(url: string, method: string, params: object, signal: AbortSignal, token = 'token') {
  return fetch(`${url}/mcp`, {
    method: 'POST',
    signal,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': version,
      'mcp-method': method,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } }),
  });
}

test('a principal that floods with subscriptions is told to wait, and its calls go on', async (context) => {
  // In the product nothing can be subscribed to, so such an answer ends at once: here the fixtures are behind the endpoint.
  const url = await startFixtures(context, 'token');
  const clients = new AbortController();
  context.after(() => clients.abort());
  const listen = ({ signal }: AbortController) =>
    send(url, 'subscriptions/listen', { notifications: { toolsListChanged: true } }, signal);
  const replies = await Promise.all(Array.from({ length: 40 }, () => listen(clients)));
  const refused = replies.filter(({ status }) => status === 429);
  assert.deepEqual([replies.filter(({ status }) => status === 200).length, refused.length], [8, 32]);
  assert.equal(refused[0]?.headers.get('retry-after'), '10');
  const problem = (await refused[0]?.json()) as Record<string, unknown>;
  assert.deepEqual(
    [problem['code'], problem['detail']],
    ['rate_limited', 'suite has 8 open subscriptions, which is the most.'],
  );
  const list = await send(url, 'tools/list', {}, clients.signal);
  assert.equal(list.status, 200);
  await list.text();
  clients.abort();
  const later = new AbortController();
  context.after(() => later.abort());
  await until('what was closed makes room', async () => (await listen(later)).status === 200);
});

test('a subscription to the product, in which nothing changes, ends at once', async (context) => {
  const server = await startServer(context);
  for (let index = 0; index < 20; index++) {
    const filter = { notifications: { toolsListChanged: true, resourceSubscriptions: ['chancery://policies/admin'] } };
    const reply = await send(server.url, 'subscriptions/listen', filter, AbortSignal.timeout(30_000), server.token);
    assert.equal(reply.status, 200);
    const text = await reply.text();
    assert.match(text, /"notifications":\{\}/);
    assert.match(text, /"resultType":"complete"/);
  }
});

const newResponse = () => Object.assign(new EventEmitter(), { destroy() {} }) as unknown as ServerResponse;

test('all principals together have no more than the server holds, and nothing is counted twice', () => {
  const streams = createOpenStreams({
    listeners: { perPrincipal: 2, overall: 3 },
    answers: { perPrincipal: 3, overall: 5 },
  });
  const [a, b, c] = ['a', 'b', 'c'].map((id) => ({ id, name: id })) as [Opener, Opener, Opener];
  const open = (principal: Opener, listens = false): ServerResponse => {
    const response = newResponse();
    streams.open(response, principal, listens);
    return response;
  };
  const limited = (message: RegExp) => (error: unknown) =>
    error instanceof AppError &&
    error.code === 'rate_limited' &&
    error.retryAfter === 10 &&
    message.test(error.message);
  const first = open(a, true);
  open(a, true);
  assert.throws(() => open(a, true), limited(/^a has 2 open subscriptions/));
  open(b, true);
  assert.throws(() => open(c, true), limited(/^This server has 3 open subscriptions/));
  open(a);
  assert.throws(() => open(a), limited(/^a has 3 open requests/));
  open(c);
  assert.throws(() => open(c), limited(/^This server has 5 open requests/));
  first.emit('close');
  first.emit('close');
  open(c, true);
  assert.throws(() => open(c, true), limited(/^This server has 5 open requests/));
});

test('a server that stops cuts subscriptions and takes none', () => {
  const streams = createOpenStreams({
    listeners: { perPrincipal: 2, overall: 3 },
    answers: { perPrincipal: 3, overall: 5 },
  });
  let cut = 0;
  const response = Object.assign(newResponse(), { destroy: () => void cut++ });
  streams.open(response, { id: 'a', name: 'a' }, true);
  streams.close();
  assert.equal(cut, 1);
  assert.throws(() => streams.open(newResponse(), { id: 'a', name: 'a' }, true), { code: 'unavailable' });
  streams.open(newResponse(), { id: 'a', name: 'a' }, false);
});
