import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { once } from 'node:events';
import { test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/** Approvals, repeats, errors that say what to do next, progress and cancelling. */

const certificate = { role: 'web', dns_names: ['a.example.com'] };

async function enrolCareful(server: Awaited<ReturnType<typeof startServer>>): Promise<string> {
  await server.ok('POST', 'policies', {
    name: 'careful',
    rules: [
      {
        effect: 'allow',
        operations: ['pki.issue_certificate'],
        resources: ['pki/roles/**'],
        conditions: { approval: true },
      },
      { effect: 'allow', operations: ['policy.get_approval'], resources: ['approvals/**'] },
    ],
  });
  await server.ok('POST', 'principals', { name: 'agent', kind: 'agent', policies: ['careful'] });
  return (await server.ok('POST', 'principals/agent/keys', {})).key;
}

test('an approval that was asked for over stdio is good after chancery mcp was started anew, and none is asked for twice', async (context) => {
  const server = await startServer(context);
  await foundPki(server, 'rsa-3072', { key_types: ['rsa-3072', 'ec-p256'] });
  await server.ok('POST', 'policies', {
    name: 'careful',
    rules: [{ effect: 'allow', operations: ['pki.*'], resources: ['**'], conditions: { approval: true } }],
  });
  await server.ok('POST', 'principals', { name: 'agent', kind: 'agent', policies: ['careful'] });
  const { key: token } = await server.ok('POST', 'principals/agent/keys', {});
  const outDir = join(mkdtempSync(join(tmpdir(), 'chancery-kept-')), 'out');
  context.after(() => rmSync(dirname(outDir), { recursive: true, force: true }));
  const connect = () => connectStdio(context, server, { token, flags: ['--out-dir', outDir] });
  const pending = async () => (await server.ok('GET', 'approvals?state=pending')).approvals as { id: string }[];

  const first = await connect();
  const refused = await callRefused(first, 'pki_issue_certificate', certificate);
  assert.equal(refused.code, 'approval_required');
  const again = await callRefused(first, 'pki_issue_certificate', { dns_names: ['a.example.com'], role: 'web' });
  await first.close();
  const second = await connect();
  const anew = await callRefused(second, 'pki_issue_certificate', certificate);
  assert.deepEqual([again.approval_id, anew.approval_id], [refused.approval_id, refused.approval_id]);
  assert.deepEqual(
    (await pending()).map(({ id }) => id),
    [refused.approval_id],
  );
  const [kept = '', ...more] = readdirSync(outDir);
  assert.deepEqual([more, statSync(join(outDir, kept)).mode & 0o777], [[], 0o600]);

  await server.ok('POST', `approvals/${refused.approval_id}/approve`, {});
  await second.close();
  const third = await connect();
  const repeat = { operation: 'pki.issue_certificate', input: certificate, approval_id: refused.approval_id };
  const { output, delivery } = await callOk(third, 'run_operation', repeat);
  const key = createPrivateKey(readFileSync(delivery.files.private_key));
  assert.ok(new X509Certificate(output.certificate).checkPrivateKey(key));
  assert.ok(!readdirSync(outDir).includes(kept));
  // The next certificate has another key.
  const next = await callRefused(third, 'pki_issue_certificate', certificate);
  assert.equal(next.code, 'approval_required');
  assert.notEqual(next.approval_id, refused.approval_id);
});

for (const [transport, connect] of Object.entries({ HTTP: connectHttp, stdio: connectStdio })) {
  test(`a call that needs an approval says so over ${transport}, and passes once with it`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connect(context, server, { token: await enrolCareful(server) });
    const refused = await callRefused(client, 'pki_issue_certificate', certificate);
    assert.equal(refused.code, 'approval_required');
    assert.match(refused.next, /run_operation/);
    const { approval_id: approvalId } = refused;
    const repeat = { operation: 'pki.issue_certificate', input: certificate, approval_id: approvalId };
    assert.equal((await callRefused(client, 'run_operation', repeat)).code, 'approval_required');
    assert.equal(
      (await callRefused(client, 'run_operation', { operation: 'policy.approve_request', input: { id: approvalId } }))
        .code,
      'denied',
    );
    await server.ok('POST', `approvals/${approvalId}/approve`, {});
    const other = { ...repeat, input: { ...certificate, dns_names: ['b.example.com'] } };
    assert.equal((await callRefused(client, 'run_operation', other)).code, 'denied');
    const { output } = await callOk(client, 'run_operation', repeat);
    assert.match(output.certificate, /BEGIN CERTIFICATE/);
    assert.equal((await callRefused(client, 'run_operation', repeat)).code, 'denied');
  });

  test(`programs name approval and key in _meta over ${transport}`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connect(context, server);
    const request = {
      name: 'pki_issue_certificate',
      arguments: certificate,
      _meta: { 'chancery/idempotency_key': 'one' },
    };
    const [first, second] = [await client.callTool(request), await client.callTool(request)];
    const serial = (result: typeof first) => (result.structuredContent as Record<string, unknown>)['serial_number'];
    assert.equal(serial(first), serial(second));
    const once_ = { operation: 'pki.issue_certificate', input: certificate, idempotency_key: 'one' };
    assert.equal((await callOk(client, 'run_operation', once_)).replayed, true);
    await assert.rejects(client.callTool({ ...request, _meta: { 'chancery/idempotency_key': 'a b' } }), /printable/);
  });

  test(`a refusal over ${transport} names the code, the field, the next step and the request`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connect(context, server);
    const invalid = await callRefused(client, 'pki_issue_certificate', { role: 'web', dns_name: 'a.example.com' });
    assert.equal(invalid.code, 'invalid_request');
    assert.deepEqual(invalid.details[0].at, '/dns_name');
    assert.match(invalid.next, /describe_operation \{"operation":"pki\.issue_certificate"\}/);
    assert.match(invalid.request_id, /^req_/);
    const refused = await callRefused(client, 'pki_issue_certificate', { role: 'web', dns_names: ['a.example.org'] });
    assert.equal(refused.code, 'refused');
    assert.ok(refused.details.length > 0 && refused.hint !== undefined);
    const missing = await callRefused(client, 'lease_renew_lease', {});
    assert.equal(missing.code, 'invalid_request');
    await assert.rejects(client.callTool({ name: 'nix', arguments: {} }), /no tool of this name/);
  });

  test(`a result over ${transport} is structured, and the same as text`, async (context) => {
    const server = await startServer(context);
    const client = await connect(context, server);
    const { content, structuredContent } = await client.callTool({ name: 'auth_whoami', arguments: {} });
    const [block] = content;
    assert.deepEqual(block?.type === 'text' ? JSON.parse(block.text) : undefined, structuredContent);
  });
}

test('search finds by words, describe shows the whole, run runs what is not on the list', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const client = await connectHttp(context, server);
  const { operations } = await callOk(client, 'search_operations', { query: 'rotate an authority' });
  assert.equal(operations[0].operation, 'pki.rotate_authority');
  assert.equal(operations[0].tool, undefined);
  const described = await callOk(client, 'describe_operation', { operation: 'pki.rotate_authority' });
  assert.equal(described.effect, 'mutating');
  const roles = await callOk(client, 'run_read_operation', { operation: 'pki.list_roles', input: { limit: 1 } });
  assert.equal(roles.output.roles.length, 1);
  assert.equal((await callRefused(client, 'describe_operation', { operation: 'pki.rotate' })).code, 'not_found');
  for (const args of [
    {},
    { query: '' },
    { query: 'x'.repeat(201) },
    { query: 'x', limit: 51 },
    { query: 'x', limit: 1.5 },
    { query: 1 },
    { query: 'x', more: 1 },
  ])
    assert.equal((await callRefused(client, 'search_operations', args)).code, 'invalid_request', JSON.stringify(args));
});

test('a refusal of very much says no more than a model can read', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const client = await connectHttp(context, server);
  const dnsNames = Array.from({ length: 1000 }, (_, index) => `${'a'.repeat(60)}.${index}.example.org`);
  const result = await client.callTool({
    name: 'pki_issue_certificate',
    arguments: { role: 'web', dns_names: dnsNames },
  });
  const text = JSON.stringify(result);
  assert.equal(result.isError, true);
  assert.ok(text.length < 65_536, `${text.length} characters`);
});

test('lists come in pages', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  for (const name of ['b', 'c'])
    await server.ok('POST', 'pki/roles', { name, authority: 'issuing', allowed_domains: ['example.com'] });
  const client = await connectHttp(context, server);
  const first = await callOk(client, 'pki_list_roles', { limit: 2 });
  const second = await callOk(client, 'pki_list_roles', { limit: 2, cursor: first.next_cursor });
  assert.deepEqual(
    [...first.roles, ...second.roles].map(({ name }: { name: string }) => name),
    ['b', 'c', 'web'],
  );
  assert.equal(second.next_cursor, null);
});

/** A server that takes requests and answers none: whatever waits, waits for ever. */
async function silentServer(context: { after(run: () => void): void }) {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}

test('a long call tells the client that it goes on, and ends when the client cancels', async (context) => {
  const client = await connectStdio(context, { url: await silentServer(context), token: 'chy_x' });
  const abort = new AbortController();
  const told: number[] = [];
  const call = client.callTool(
    { name: 'pki_list_roles', arguments: {} },
    {
      signal: abort.signal,
      onprogress: ({ progress, total, message }) => {
        // Seconds, said as such: nobody knows how much is left.
        assert.deepEqual([total, message], [undefined, `pki_list_roles is under way for ${progress} s`]);
        told.push(progress);
        if (told.length === 2) abort.abort();
      },
    },
  );
  await assert.rejects(call);
  assert.ok((told[1] ?? 0) > (told[0] ?? 0), 'progress grows');
  // The server is still there and answers what it can.
  assert.equal((await callOk(client, 'search_operations', { query: 'roles' })).operations.length > 0, true);
});

test('a server that stops answers the calls that are under way', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server);
  const calls = Array.from({ length: 20 }, () => callOk(client, 'auth_whoami'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const [answers] = await Promise.all([Promise.allSettled(calls), server.stop()]);
  assert.ok(answers.every(({ status }) => status === 'fulfilled'));
});
