import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import type { InProcess } from '#test/chancery.ts';
import { callOk, connectHttp, startServer } from './world.ts';

/** Who gets in over HTTP, and how the others are told what they lack. */

const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};

function post(server: InProcess, message: unknown, headers: Record<string, string> = {}, path = '/mcp') {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
}

interface Metadata {
  readonly resource: string;
  readonly bearer_methods_supported: string[];
  readonly scopes_supported: string[];
}

async function metadataAt(url: string): Promise<Metadata> {
  return (await (await fetch(url)).json()) as Metadata;
}

test('without a token the answer is 401 and names the protected-resource metadata (RFC 9728)', async (context) => {
  const server = await startServer(context);
  const reply = await post(server, initialize, { authorization: '' });
  assert.equal(reply.status, 401);
  const challenge = reply.headers.get('www-authenticate') ?? '';
  assert.match(challenge, /^Bearer realm="chancery", resource_metadata="/);
  const [, where = ''] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const metadata = await metadataAt(where);
  assert.equal(metadata.resource, `${server.url}/mcp`);
  assert.deepEqual(metadata.bearer_methods_supported, ['header']);
  assert.ok(metadata.scopes_supported.includes('auth.whoami'));
  assert.ok(!metadata.scopes_supported.includes('pki.issue_certificate'));
  assert.equal((await metadataAt(`${server.url}/.well-known/oauth-protected-resource`)).resource, `${server.url}/mcp`);
  const forPki = await metadataAt(`${server.url}/.well-known/oauth-protected-resource/mcp/x/pki/readonly`);
  assert.equal(forPki.resource, `${server.url}/mcp/x/pki/readonly`);
});

test('a token that is not valid is told so, and the attempt is in the audit', async (context) => {
  const server = await startServer(context);
  const reply = await post(server, initialize, { authorization: 'Bearer chy_nothing' });
  assert.equal(reply.status, 401);
  assert.match(reply.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
  const { events } = await server.ok('GET', 'audit/events?outcome=denied');
  assert.equal(events.length, 1);
  assert.equal(events[0].code, 'unauthenticated');
  assert.equal(events[0].transport, 'mcp');
});

test('lists and discovery need a token as well', async (context) => {
  const server = await startServer(context);
  for (const method of ['tools/list', 'server/discover', 'resources/list', 'prompts/list', 'ping'])
    assert.equal((await post(server, { jsonrpc: '2.0', id: 1, method }, { authorization: '' })).status, 401, method);
});

test('a Host that is not ours is refused (DNS rebinding)', async (context) => {
  const server = await startServer(context);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const outgoing = request(
      `${server.url}/mcp`,
      {
        method: 'POST',
        headers: { host: 'evil.example', 'content-type': 'application/json', authorization: `Bearer ${server.token}` },
      },
      (reply) => {
        reply.resume();
        resolve(reply.statusCode);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(initialize));
  });
  assert.equal(status, 403);
});

test('pages of other origins may not call, and get no CORS headers', async (context) => {
  const server = await startServer(context);
  const reply = await post(server, initialize, { origin: 'https://evil.example' });
  assert.equal(reply.status, 403);
  assert.equal(reply.headers.get('access-control-allow-origin'), null);
  const asked = await fetch(`${server.url}/mcp`, { method: 'OPTIONS', headers: { origin: 'https://evil.example' } });
  assert.equal(asked.status, 403);
});

test('pages of an allowed origin may call, and read refusals too', async (context) => {
  const origin = 'https://agents.example.com';
  const server = await startServer(context, { CHANCERY_MCP_ALLOWED_ORIGINS: origin });
  const asked = await fetch(`${server.url}/mcp`, { method: 'OPTIONS', headers: { origin } });
  assert.equal(asked.status, 204);
  assert.equal(asked.headers.get('access-control-allow-origin'), origin);
  assert.match(asked.headers.get('access-control-allow-headers') ?? '', /authorization/);
  assert.equal(asked.headers.get('access-control-allow-credentials'), null);
  const reply = await post(server, initialize, { origin });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get('access-control-allow-origin'), origin);
  const refused = await post(server, initialize, { origin, authorization: '' });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get('access-control-allow-origin'), origin);
  assert.equal((await post(server, initialize, { origin: `${origin}.evil.example` })).status, 403);
});

test('every answer carries the headers of the REST API', async (context) => {
  const server = await startServer(context);
  const reply = await post(server, initialize, { 'x-request-id': 'mine-1' });
  assert.equal(reply.headers.get('x-request-id'), 'mine-1');
  assert.equal(reply.headers.get('cache-control'), 'no-store, no-transform');
  assert.equal(reply.headers.get('x-content-type-options'), 'nosniff');
});

test('a token that was narrowed hears by 403 which scope it lacks, and sees only tools that are left to it', async (context) => {
  const server = await startServer(context);
  const { token } = await server.ok('POST', 'tokens', { operations: ['pki.list_*', 'pki.get_*'] });
  const client = await connectHttp(context, server, { token });
  const { tools } = await client.listTools();
  const names = tools.map(({ name }) => name);
  assert.ok(names.includes('pki_list_roles'));
  assert.ok(names.includes('auth_whoami'));
  assert.ok(!names.includes('pki_issue_certificate'));
  assert.ok(!names.includes('lease_list_leases'));
  await callOk(client, 'pki_list_roles');
  const input = { role: 'web', dns_names: ['a.example.com'] };
  for (const params of [
    { name: 'pki_issue_certificate', arguments: input },
    { name: 'run_operation', arguments: { operation: 'pki.issue_certificate', input } },
    { name: 'run_operation', arguments: { operation: 'pki_issue_certificate', input } },
  ]) {
    const reply = await post(
      server,
      { jsonrpc: '2.0', id: 2, method: 'tools/call', params },
      { authorization: `Bearer ${token}`, 'mcp-protocol-version': '2025-11-25' },
    );
    assert.equal(reply.status, 403);
    assert.match(
      reply.headers.get('www-authenticate') ?? '',
      /error="insufficient_scope", scope="pki\.issue_certificate", resource_metadata="http/,
    );
  }
  const { events } = await server.ok('GET', 'audit/events?outcome=denied');
  assert.deepEqual(
    events.map(({ operation, resource, transport }: Record<string, string>) => [operation, resource, transport]),
    Array.from({ length: 3 }, () => ['pki.issue_certificate', 'pki/roles/web', 'mcp']),
  );
});

test('GET and DELETE are answered with 405, as a server without sessions must', async (context) => {
  const server = await startServer(context);
  for (const method of ['GET', 'DELETE', 'PUT']) {
    const reply = await fetch(`${server.url}/mcp`, { method, headers: { authorization: `Bearer ${server.token}` } });
    assert.equal(reply.status, 405);
    assert.match(reply.headers.get('allow') ?? '', /POST/);
  }
});

test('what is no message is refused: batches, bodies that are too large, other types, broken JSON, unknown toolsets', async (context) => {
  const server = await startServer(context);
  assert.equal((await post(server, [initialize, initialize])).status, 400);
  assert.equal((await post(server, { ...initialize, fill: 'x'.repeat(1_100_000) })).status, 413);
  assert.equal((await post(server, 'a=b', { 'content-type': 'application/x-www-form-urlencoded' })).status, 415);
  assert.equal((await post(server, '{"jsonrpc":')).status, 400);
  assert.equal((await post(server, '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}')).status, 400);
  assert.equal((await post(server, `${'['.repeat(5000)}${']'.repeat(5000)}`)).status, 400);
  assert.equal((await post(server, initialize, {}, '/mcp/x/nothing')).status, 404);
  assert.equal((await post(server, initialize, {}, '/mcp/x/pki/write')).status, 404);
});

test('only tokens of the namespace that is served get in', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_NAMESPACE: 'team-a' });
  assert.equal((await post(server, initialize)).status, 403);
  const { key } = await server.ok('POST', 'namespaces', { name: 'team-a' });
  assert.equal((await post(server, initialize, { authorization: `Bearer ${key}` })).status, 200);
  const { events } = await server.ok('GET', 'audit/events?outcome=denied');
  assert.equal(events[0].transport, 'mcp');
});
