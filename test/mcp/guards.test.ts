import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Client } from '@modelcontextprotocol/client';
import { foundPki, type InProcess } from '#test/chancery.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/** Each guard, and everything we could think of to get round it, over both transports. */

type Connect = (
  context: TestContext,
  env?: Readonly<Record<string, string>>,
) => Promise<{ client: Client; server: InProcess }>;

const transports: Readonly<Record<string, Connect>> = {
  HTTP: async (context, env = {}) => {
    const server = await startServer(context, env);
    await foundPki(server);
    return { server, client: await connectHttp(context, server) };
  },
  stdio: async (context, env = {}) => {
    const server = await startServer(context);
    await foundPki(server);
    return { server, client: await connectStdio(context, server, { env }) };
  },
};

const names = { role: 'web', dns_names: ['a.example.com'] };

for (const [transport, connect] of Object.entries(transports)) {
  test(`read-only over ${transport} lists and runs only what reads`, async (context) => {
    const { client, server } = await connect(context, { CHANCERY_MCP_READ_ONLY: 'true', CHANCERY_MCP_TOOLSETS: 'all' });
    const { tools } = await client.listTools();
    assert.ok(tools.every(({ annotations }) => annotations?.readOnlyHint === true));
    assert.ok(tools.length > 30);
    assert.ok((await callOk(client, 'pki_plan_certificate', names)).allowed);
    await assert.rejects(client.callTool({ name: 'pki_issue_certificate', arguments: names }), /no tool of this name/);
    await assert.rejects(
      client.callTool({ name: 'run_operation', arguments: { operation: 'pki.issue_certificate', input: names } }),
      /no tool of this name/,
    );
    for (const operation of ['pki.issue_certificate', 'pki_issue_certificate']) {
      const refused = await callRefused(client, 'run_read_operation', { operation, input: names });
      assert.equal(refused.code, 'denied');
    }
    const { total } = await callOk(client, 'search_operations', { query: 'issue certificate', limit: 50 });
    const all = await callOk(client, 'search_operations', { query: 'issue certificate', limit: 50 });
    assert.equal(all.operations.filter(({ effect }: { effect: string }) => effect !== 'read').length, 0);
    assert.ok(total > 0);
    assert.equal((await server.ok('GET', 'pki/certificates?role=web')).certificates.length, 0);
  });

  test(`run_read_operation over ${transport} writes nothing, whatever it is asked`, async (context) => {
    const { client, server } = await connect(context);
    for (const operation of ['pki.issue_certificate', 'pki_issue_certificate', 'pki.delete_role']) {
      const refused = await callRefused(client, 'run_read_operation', { operation, input: { ...names, name: 'web' } });
      assert.equal(refused.code, 'denied', operation);
    }
    for (const operation of [
      'PKI.issue_certificate',
      ' pki.issue_certificate',
      'pki.issue_certificate\u0000',
      'pki%2Eissue_certificate',
    ]) {
      const refused = await callRefused(client, 'run_read_operation', { operation, input: names });
      assert.equal(refused.code, 'not_found', operation);
    }
    const smuggled = await callRefused(client, 'run_read_operation', {
      operation: 'pki.list_roles',
      input: {},
      idempotency_key: 'x',
    });
    assert.equal(smuggled.code, 'invalid_request');
    assert.equal((await server.ok('GET', 'pki/certificates?role=web')).certificates.length, 0);
    assert.equal((await server.ok('GET', 'pki/roles')).roles.length, 1);
  });

  test(`a denied path over ${transport} is denied in every spelling, and wins over an allowed one`, async (context) => {
    const { client, server } = await connect(context, {
      CHANCERY_MCP_ALLOWED_PATHS: 'pki/**, auth/**',
      CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web',
    });
    for (const role of [
      'web',
      'WEB',
      'Web',
      'web/',
      'web%2f',
      '%77eb',
      './web',
      'x/../web',
      'web\u0000',
      ' web',
      'web\u200b',
      'ｗｅｂ',
    ]) {
      for (const call of [
        () => callRefused(client, 'pki_issue_certificate', { ...names, role }),
        () => callRefused(client, 'run_operation', { operation: 'pki.issue_certificate', input: { ...names, role } }),
        () => callRefused(client, 'run_read_operation', { operation: 'pki.get_role', input: { name: role } }),
      ]) {
        const { code } = await call();
        assert.ok(role === 'web' ? code === 'denied' : code === 'invalid_request', `${role}: ${code}`);
      }
    }
    const { message } = await callRefused(client, 'pki_plan_certificate', names);
    assert.match(message, /operator of this MCP server does not let it touch pki\/roles\/web/);
    // What is not on the list of the allowed is denied without being named.
    const lease = await callRefused(client, 'lease_list_leases');
    assert.equal(lease.code, 'denied');
    await callOk(client, 'pki_list_authorities');
    assert.equal((await server.ok('GET', 'pki/certificates?role=web')).certificates.length, 0);
  });

  test(`a denied path over ${transport} is not reached by what acts on it under another name`, async (context) => {
    const { client } = await connect(context, {
      CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web, database/connections/prod',
    });
    const attempts: readonly (readonly [string, Record<string, unknown>])[] = [
      ['acme.create_external_account_key', { role: 'web' }],
      ['database.create_role', { name: 'r', connection: 'prod', member_of: ['readers'] }],
      ['database.create_role', { name: 'r', connection: 'x', credential: 'certificate', certificate_role: 'web' }],
    ];
    for (const [operation, input] of attempts) {
      const refused = await callRefused(client, 'run_operation', { operation, input });
      assert.equal(refused.code, 'denied', `${operation}: ${refused.message}`);
      assert.match(refused.message, /operator of this MCP server|token is narrowed/);
    }
  });

  test(`a denied name over ${transport} does not deny its neighbours, nor is it passed as part of another`, async (context) => {
    const { client, server } = await connect(context, { CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web-*' });
    for (const name of ['web-a', 'webby', 'a-web-b'])
      await server.ok('POST', 'pki/roles', {
        name,
        authority: 'issuing',
        allowed_domains: ['example.com'],
        allow_subdomains: true,
      });
    assert.equal((await callRefused(client, 'pki_issue_certificate', { ...names, role: 'web-a' })).code, 'denied');
    for (const role of ['web', 'webby', 'a-web-b']) await callOk(client, 'pki_plan_certificate', { ...names, role });
  });

  test(`toolsets of areas bound over ${transport} what can be called at all`, async (context) => {
    const { client } = await connect(context, { CHANCERY_MCP_TOOLSETS: 'lease, policy' });
    const { tools } = await client.listTools();
    assert.ok(!tools.some(({ name }) => name.startsWith('pki_')));
    assert.ok(tools.some(({ name }) => name === 'lease_end_lease'));
    const refused = await callRefused(client, 'run_operation', { operation: 'pki.issue_certificate', input: names });
    assert.equal(refused.code, 'not_found');
    const { operations } = await callOk(client, 'search_operations', { query: 'certificate', limit: 50 });
    assert.ok(operations.every(({ operation }: { operation: string }) => !operation.startsWith('pki.')));
  });

  test(`a session over ${transport} makes no more calls than the limit, whichever tool it uses`, async (context) => {
    const { client } = await connect(context, { CHANCERY_MCP_RATE_LIMIT: '0.01:5' });
    const calls = [
      { name: 'auth_whoami', arguments: {} },
      { name: 'run_read_operation', arguments: { operation: 'auth.whoami' } },
      { name: 'run_operation', arguments: { operation: 'auth.whoami' } },
    ];
    const results = await Promise.all(
      Array.from({ length: 15 }, (_, index) => client.callTool(calls[index % 3] as never)),
    );
    assert.equal(results.filter(({ isError }) => isError !== true).length, 5);
    const refused = await callRefused(client, 'auth_whoami');
    assert.equal(refused.code, 'rate_limited');
    assert.ok(refused.retry_after > 0);
  });
}

test('opening sessions, or making tokens, is no way round the limit over HTTP', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_RATE_LIMIT: '0.01:4' });
  const tokens = [];
  for (let index = 0; index < 6; index++) tokens.push((await server.ok('POST', 'tokens', {})).token);
  const ask = (token: string) =>
    fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        'mcp-session-id': crypto.randomUUID(),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'auth_whoami' } }),
    });
  const statuses: number[] = [];
  let done = 0;
  let last: Response | undefined;
  for (const token of tokens) {
    for (let index = 0; index < 5; index++) {
      const reply = await ask(token);
      statuses.push(reply.status);
      if (reply.status === 429) last = reply;
      else if (!(await reply.text()).includes('"isError":true')) done++;
    }
  }
  assert.equal(statuses.filter((status) => status === 200).length, 16);
  assert.ok(done <= 16);
  assert.ok(Number(last?.headers.get('retry-after')) > 0);
});

test('a namespace lock over stdio refuses the token of another, and everything while the server does not say', async (context) => {
  const server = await startServer(context);
  const locked = await connectStdio(context, server, { env: { CHANCERY_MCP_NAMESPACE: 'team-a' } });
  assert.equal((await callRefused(locked, 'pki_list_roles')).code, 'denied');
  const { key } = await server.ok('POST', 'namespaces', { name: 'team-a' });
  const own = await connectStdio(context, server, { token: key, env: { CHANCERY_MCP_NAMESPACE: 'team-a' } });
  await callOk(own, 'pki_list_roles');
  const nobody = await connectStdio(
    context,
    { url: 'http://127.0.0.1:9', token: key },
    { env: { CHANCERY_MCP_NAMESPACE: 'team-a' } },
  );
  assert.equal((await callRefused(nobody, 'pki_list_roles')).code, 'unavailable');
});

test('what the server guards, a client of its own guards less cannot open', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_DENIED_PATHS: 'pki/**' });
  await foundPki(server);
  const client = await connectHttp(context, server, { path: '/mcp/x/all' });
  assert.equal((await callRefused(client, 'pki_list_roles')).code, 'denied');
  const { events } = await server.ok('GET', 'audit/events?outcome=denied');
  assert.equal(events[0].operation, 'pki.list_roles');
  assert.equal(events[0].transport, 'mcp');
});

test('toolsets and read-only are chosen by the address', async (context) => {
  const server = await startServer(context);
  const list = async (path: string) => {
    const client = await connectHttp(context, server, { path });
    return (await client.listTools()).tools;
  };
  const [byDefault, readOnly, pki, pkiReadOnly, all] = await Promise.all(
    ['/mcp', '/mcp/readonly', '/mcp/x/pki', '/mcp/x/pki/readonly', '/mcp/x/all'].map(list),
  );
  assert.ok(byDefault && readOnly && pki && pkiReadOnly && all);
  assert.ok(byDefault.length <= 24);
  assert.ok(readOnly.every(({ annotations }) => annotations?.readOnlyHint));
  assert.ok(pki.some(({ name }) => name === 'pki_create_authority'));
  assert.ok(pki.every(({ name }) => !name.startsWith('database_')));
  assert.ok(pkiReadOnly.length < pki.length && pkiReadOnly.every(({ annotations }) => annotations?.readOnlyHint));
  assert.equal(all.length, server.chancery.operations.length + 4);
  const client = await connectHttp(context, server, { path: '/mcp/x/pki/readonly' });
  await assert.rejects(client.callTool({ name: 'pki_create_role', arguments: {} }), /no tool of this name/);
});

test('the same list comes in the same order every time', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server, { path: '/mcp/x/all' });
  const [first, second] = [await client.listTools(), await client.listTools()];
  assert.deepEqual(first.tools, second.tools);
});

test('settings that cannot be used end the program with what is wrong, and no value', async (context) => {
  await assert.rejects(startServer(context, { CHANCERY_MCP_TOOLSETS: 'pki, nix' }), /CHANCERY_MCP_TOOLSETS/);
  await assert.rejects(startServer(context, { CHANCERY_MCP_DENIED_PATHS: 'PKI/**' }), /CHANCERY_MCP_DENIED_PATHS/);
  await assert.rejects(startServer(context, { CHANCERY_MCP_ALLOWED_ORIGINS: '*' }), /CHANCERY_MCP_ALLOWED_ORIGINS/);
});

for (const [transport, connect] of Object.entries(transports)) {
  test(`secrets stand in results over ${transport} only when the operator wants it`, async (context) => {
    const { client } = await connect(context, { CHANCERY_MCP_REVEAL: 'true' });
    const shown = await callOk(client, 'pki_issue_certificate', names);
    assert.match(shown.private_key, /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal(shown.delivery, undefined);
    const { tools } = await client.listTools();
    const issue = tools.find(({ name }) => name === 'pki_issue_certificate');
    assert.ok(Object.keys(issue?.outputSchema?.['properties'] ?? {}).includes('private_key'));
    assert.doesNotMatch(issue?.description ?? '', /not in the result/);
  });

  test(`what looks like a secret is masked over ${transport} unless the operator turns that off`, async (context) => {
    const description = `used with postgres://app:open-sesame-1@db/app and chy_${'x'.repeat(49)}`;
    for (const [mask, seen] of [
      ['true', 'used with postgres://app:[masked]@db/app and [masked: token]'],
      ['false', description],
    ] as const) {
      const { client, server } = await connect(context, { CHANCERY_MCP_MASK_VALUES: mask });
      await server.ok('POST', 'principals', { name: 'p', kind: 'agent', policies: [], description });
      const { output } = await callOk(client, 'run_read_operation', {
        operation: 'auth.get_principal',
        input: { name: 'p' },
      });
      assert.equal(output.description, seen);
    }
  });
}
