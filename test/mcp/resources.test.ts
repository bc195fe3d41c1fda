import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Client } from '@modelcontextprotocol/client';
import { foundPki, type InProcess } from '#test/chancery.ts';
import { shelves } from '#mcp/resources-shelves.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/** `chancery://…`: lists, reads, completion; over both eras and both transports. */

async function readText(client: Client, uri: string): Promise<string> {
  const { contents } = await client.readResource({ uri });
  const [content] = contents;
  assert.equal(contents.length, 1);
  assert.equal(content?.uri, uri);
  assert.ok(content !== undefined && 'text' in content);
  return content.text;
}

interface Refusal {
  readonly code: number;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

async function refusalOf(work: Promise<unknown>): Promise<Refusal> {
  try {
    await work;
  } catch (thrown) {
    return thrown as Refusal;
  }
  throw new Error('it was not refused');
}

/** The key of a new principal that may do what the rules say. */
async function keyFor(server: InProcess, name: string, rules: object[]): Promise<string> {
  await server.ok('POST', 'policies', { name, rules });
  await server.ok('POST', 'principals', { name, kind: 'agent', policies: [name] });
  return (await server.ok('POST', `principals/${name}/keys`, {})).key;
}

const clients = {
  'a modern client over HTTP': (context: TestContext, server: InProcess) => connectHttp(context, server),
  'a legacy client over HTTP': (context: TestContext, server: InProcess) =>
    connectHttp(context, server, { era: 'legacy' }),
  'a client over stdio': (context: TestContext, server: InProcess) => connectStdio(context, server),
};

for (const [who, connect] of Object.entries(clients)) {
  test(`${who} lists and reads every kind of resource`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connect(context, server);
    const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
    await server.ok('POST', `pki/certificates/${issued.serial_number}/revoke`, { reason: 'superseded' });
    await server.ok('POST', 'pki/authorities/issuing/crl/rebuild', {});

    const listed = (await client.listResources()).resources.map(({ uri }) => uri);
    for (const uri of [
      'chancery://docs/start',
      'chancery://authorities/root',
      'chancery://authorities/issuing/chain.pem',
      'chancery://authorities/issuing/crl',
      'chancery://policies/administrator',
    ])
      assert.ok(listed.includes(uri), uri);

    const authority = JSON.parse(await readText(client, 'chancery://authorities/issuing'));
    const { output } = await callOk(client, 'run_read_operation', {
      operation: 'pki.get_authority',
      input: { name: 'issuing' },
    });
    assert.deepEqual(authority, output);

    const pem = await readText(client, 'chancery://authorities/issuing/chain.pem');
    const [issuing, root] = pem
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .map((block) => new X509Certificate(block)) as [X509Certificate, X509Certificate];
    assert.ok(issuing.checkIssued(root));
    assert.equal(root.subject, 'CN=Test Root');

    const { crls, first_entries: entries } = JSON.parse(await readText(client, 'chancery://authorities/issuing/crl'));
    assert.ok(crls.some((crl: { number: number; entries: number }) => crl.number > 0 && crl.entries === 1));
    assert.ok(crls.every((crl: { this_update: string; next_update: string }) => crl.this_update < crl.next_update));
    assert.deepEqual(
      entries.map((entry: object) => ({ ...entry, revoked_at: undefined })),
      [{ serial_number: issued.serial_number, revocation_reason: 'superseded', revoked_at: undefined }],
    );

    const certificate = JSON.parse(await readText(client, `chancery://certificates/${issued.serial_number}`));
    assert.equal(certificate.status, 'revoked');
    const policy = JSON.parse(await readText(client, 'chancery://policies/auditor'));
    assert.equal(policy.name, 'auditor');
    assert.match(await readText(client, 'chancery://docs/delivery'), /^# Where secrets go/);
  });
}

test('every template of a resource names its variable, and is on the list', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server);
  const { resourceTemplates } = await client.listResourceTemplates();
  for (const { uriTemplate, variable, pattern } of shelves) {
    assert.ok(uriTemplate.includes(`{${variable}}`));
    assert.ok(resourceTemplates.some((template) => template.uriTemplate === uriTemplate));
    assert.ok(!pattern.test(uriTemplate));
  }
  assert.ok(resourceTemplates.some(({ uriTemplate }) => uriTemplate === 'chancery://docs/{topic}'));
});

test('an address has one spelling, and every other is no address', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const client = await connectHttp(context, server);
  for (const uri of [
    'chancery://authorities/Root',
    'chancery://authorities/%72oot',
    'chancery://authorities/root/',
    'chancery://authorities//root',
    'chancery://authorities/../authorities/root',
    'chancery://authorities/./root',
    'chancery://authorities/root?x=1',
    'chancery://authorities/root#x',
    'chancery://authorities/root\n',
    'chancery://Authorities/root',
    'CHANCERY://authorities/root',
    'chancery:authorities/root',
    'chancery://authorities/root/key.pem',
    'chancery://authorities/nobody',
    'chancery://certificates/ABCDEF',
    'chancery://certificates/0',
    'chancery://leases/lse_00000000000000000000000000',
    'chancery://leases/*',
    'chancery://policies/*',
    'chancery://docs/nothing',
    'skill://chancery/../SKILL.md',
    'file:///etc/passwd',
    'root',
    `chancery://authorities/${'a'.repeat(10_000)}`,
  ]) {
    const { code, data } = await refusalOf(client.readResource({ uri }));
    assert.deepEqual([code, data], [-32602, { uri }], uri);
  }
});

test('what the policy denies is neither listed, read nor completed, and the attempt is in the audit', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const key = await keyFor(server, 'narrow', [
    { effect: 'allow', operations: ['pki.get_authority'], resources: ['pki/authorities/issuing'] },
  ]);
  const client = await connectHttp(context, server, { token: key });
  const { resources } = await client.listResources();
  assert.ok(resources.length > 0);
  assert.ok(resources.every(({ uri }) => uri.startsWith('chancery://docs/') || uri.startsWith('skill://')));
  assert.equal(JSON.parse(await readText(client, 'chancery://authorities/issuing')).name, 'issuing');
  const refused = await refusalOf(client.readResource({ uri: 'chancery://authorities/root' }));
  assert.deepEqual([refused.code, refused.data['code']], [1000, 'denied']);
  assert.equal(typeof refused.data['next'], 'string');
  const { completion } = await client.complete({
    ref: { type: 'ref/resource', uri: 'chancery://authorities/{name}' },
    argument: { name: 'name', value: '' },
  });
  assert.deepEqual(completion.values, []);
  const { events } = await server.ok('GET', 'audit/events?principal=narrow&outcome=denied&operation=pki.get_authority');
  assert.deepEqual(
    events.map((event: { resource: string; transport: string }) => [event.resource, event.transport]),
    [['pki/authorities/root', 'mcp']],
  );
});

test('a token that was narrowed sees no template that it could never read', async (context) => {
  const server = await startServer(context);
  const { token } = await server.ok('POST', 'tokens', { operations: ['lease.*'], ttl: '1h' });
  const client = await connectHttp(context, server, { token });
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.deepEqual(
    resourceTemplates.map(({ uriTemplate }) => uriTemplate).filter((uri) => uri.startsWith('chancery://')),
    ['chancery://leases/{lease_id}', 'chancery://docs/{topic}'],
  );
  const { code } = await refusalOf(client.readResource({ uri: 'chancery://policies/administrator' }));
  assert.equal(code, -32602);
});

test('paths that the operator denies are denied to resources as to tools', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_DENIED_PATHS: 'pki/authorities/root' });
  await foundPki(server);
  for (const client of [
    await connectHttp(context, server),
    await connectStdio(context, server, { env: { CHANCERY_MCP_DENIED_PATHS: 'pki/authorities/root' } }),
  ]) {
    for (const uri of [
      'chancery://authorities/root',
      'chancery://authorities/root/chain.pem',
      'chancery://authorities/root/crl',
    ]) {
      const { code, data } = await refusalOf(client.readResource({ uri }));
      assert.deepEqual([code, data['code']], [1000, 'denied'], uri);
    }
    assert.equal(JSON.parse(await readText(client, 'chancery://authorities/issuing')).name, 'issuing');
  }
});

test('namespaces do not see each other', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const { key } = await server.ok('POST', 'namespaces', { name: 'team-a' });
  const client = await connectHttp(context, server, { token: key });
  const { resources } = await client.listResources();
  assert.ok(!resources.some(({ uri }) => uri.startsWith('chancery://authorities/')));
  const { code } = await refusalOf(client.readResource({ uri: 'chancery://authorities/root' }));
  assert.equal(code, -32602);
  const { completion } = await client.complete({
    ref: { type: 'ref/resource', uri: 'chancery://authorities/{name}/crl' },
    argument: { name: 'name', value: 'r' },
  });
  assert.deepEqual(completion, { values: [], total: 0, hasMore: false });
});

test('long lists come in pages that have everything once', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const rules = [{ effect: 'allow', operations: ['auth.whoami'], resources: ['**'] }];
  for (let number = 100; number < 210; number++) await server.ok('POST', 'policies', { name: `p${number}`, rules });
  const client = await connectHttp(context, server);
  const found: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await client.request({ method: 'resources/list', params: cursor === undefined ? {} : { cursor } });
    assert.ok(page.resources.length <= 100);
    found.push(...page.resources.map(({ uri }) => uri));
    cursor = page.nextCursor;
    pages += 1;
  } while (cursor !== undefined);
  assert.ok(pages >= 2);
  assert.equal(new Set(found).size, found.length);
  assert.equal(found.filter((uri) => uri.startsWith('chancery://policies/p')).length, 110);
  assert.equal(found.filter((uri) => uri.startsWith('chancery://authorities/')).length, 6);

  const complete = (value: string) =>
    client.complete({
      ref: { type: 'ref/resource', uri: 'chancery://policies/{name}' },
      argument: { name: 'name', value },
    });
  const { completion } = await complete('p');
  assert.deepEqual([completion.values.length, completion.total, completion.hasMore], [100, 110, true]);
  assert.deepEqual((await complete('p19')).completion.total, 10);
  assert.deepEqual((await complete('nothing')).completion.values, []);
});

test('lists are whole though a page of what they are made from would be too large', async (context) => {
  const server = await startServer(context);
  const resources = Array.from({ length: 60 }, (_, number) => `pki/roles/${'a'.repeat(60)}${number}`);
  const rules = Array.from({ length: 4 }, () => ({ effect: 'allow', operations: ['pki.get_role'], resources }));
  for (let number = 10; number < 40; number++) await server.ok('POST', 'policies', { name: `large-${number}`, rules });
  const client = await connectHttp(context, server);
  const whole = await callRefused(client, 'run_read_operation', { operation: 'policy.list_policies', input: {} });
  assert.equal(whole.code, 'too_large');
  const { resources: listed } = await client.listResources();
  assert.equal(listed.filter(({ uri }) => uri.startsWith('chancery://policies/large-')).length, 30);
  const { completion } = await client.complete({
    ref: { type: 'ref/resource', uri: 'chancery://policies/{name}' },
    argument: { name: 'name', value: 'large-1' },
  });
  assert.ok(completion.values.includes('large-10'));
  assert.equal(completion.hasMore, true);
});

test('a cursor of another list, or of nobody, is refused', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server);
  for (const cursor of ['', 'x', 'W10', Buffer.from('[9,null]').toString('base64url'), 'A'.repeat(100_000)]) {
    const { code } = await refusalOf(client.request({ method: 'resources/list', params: { cursor } }));
    assert.equal(code, -32602, cursor.slice(0, 20));
  }
  const foreign = Buffer.from('[0,"bm90IGEgY3Vyc29y"]').toString('base64url');
  const { data } = await refusalOf(client.request({ method: 'resources/list', params: { cursor: foreign } }));
  assert.equal(data['code'], 'invalid_request');
});

test('topics are completed, unknown variables are not, and unknown templates are refused', async (context) => {
  const server = await startServer(context);
  const client = await connectHttp(context, server);
  const complete = (uri: string, name: string, value: string) =>
    client.complete({ ref: { type: 'ref/resource', uri }, argument: { name, value } });
  assert.deepEqual((await complete('chancery://docs/{topic}', 'topic', 'de')).completion.values, ['delivery']);
  assert.deepEqual((await complete('chancery://docs/{topic}', 'name', 'de')).completion.values, []);
  assert.deepEqual((await complete('chancery://policies/{name}', 'serial_number', '')).completion.values, []);
  assert.equal((await refusalOf(complete('chancery://secrets/{name}', 'name', ''))).code, -32602);
});

test('text that somebody else wrote is escaped in resources as in tools', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  await server.ok('POST', 'policies', {
    name: 'hostile',
    description: `harmless\u202Eevil\u200B ${server.token}`,
    rules: [{ effect: 'deny', operations: ['*'], resources: ['**'] }],
  });
  const client = await connectHttp(context, server);
  const text = await readText(client, 'chancery://policies/hostile');
  assert.ok(!/[\u202E\u200B]/.test(text));
  assert.match(JSON.parse(text).description, /harmless\\u\{202e\}evil\\u\{200b\} \[masked: token\]/);
});

test('resources take from the same allowance as tools', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_RATE_LIMIT: '1:3' });
  await foundPki(server);
  const client = await connectHttp(context, server);
  const read = () => client.readResource({ uri: 'chancery://authorities/root' });
  const { code, data } = await refusalOf(
    (async () => {
      for (let time = 0; time < 5; time++) await read();
    })(),
  );
  assert.deepEqual([code, data['code']], [1000, 'rate_limited']);
  assert.ok(Number(data['retry_after']) >= 1);
});
