import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { promisify } from 'node:util';
import type { Client, Transport } from '@modelcontextprotocol/client';
import { Client as PostgresClient } from 'pg';
import type { InProcess } from '#test/chancery.ts';
import { compileCache } from '#test/compile-cache.ts';
import { type PostgresWorld, postgresWorld } from '#test/postgres-target.ts';
import { connectionTo, leasedUsers, until } from '../database/fixture.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/**
 * What an agent does from an empty server on, as a script: authorities, a certificate in use by a TLS server, an answer
 * from a database, a program with a database user, and all of it ended again. Every message is looked at.
 */

let postgres: PostgresWorld;
before(async () => {
  postgres = await postgresWorld();
});
after(() => postgres.stop());

/** What the agent's host does with a delivery, and the agent never sees: field → content. */
type Fetch = (delivery: Delivery) => Promise<ReadonlyMap<string, string>>;

interface Delivery {
  readonly method: string;
  readonly fields: readonly string[];
  readonly claim?: string;
  readonly files?: Readonly<Record<string, string>>;
}

interface Agent {
  readonly client: Client;
  readonly fetch: Fetch;
  /** `claim` or `file`. */
  readonly method: string;
  /** How the audit names the face. */
  readonly transport: string;
}

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chancery-session-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const run = promisify(execFile);

/** Over HTTP: the command, where the secret is needed. */
function claiming(context: TestContext, server: InProcess): Fetch {
  return async ({ claim }) => {
    assert.ok(claim);
    const out = join(folder(context), 'claimed');
    await run(join(import.meta.dirname, '../../bin/chancery'), ['claim', claim, '--output-dir', out], {
      env: { PATH: process.env['PATH'], ...compileCache, CHANCERY_URL: server.url, CHANCERY_TOKEN: server.token },
    });
    return new Map(
      readdirSync(out).map((file) => [file.replace(/\.[a-z0-9]+$/, ''), readFileSync(join(out, file), 'utf8')]),
    );
  };
}

/** Over stdio: the files that the server has written beside the agent. */
const reading: Fetch = async ({ files = {} }) =>
  new Map(Object.entries(files).map(([field, path]) => [field, readFileSync(path, 'utf8')]));

const agents: Record<string, (context: TestContext, server: InProcess) => Promise<Agent>> = {
  'Streamable HTTP, 2026-07-28': async (context, server) => ({
    client: await connectHttp(context, server),
    fetch: claiming(context, server),
    method: 'claim',
    transport: 'mcp',
  }),
  'Streamable HTTP, 2025-11-25': async (context, server) => ({
    client: await connectHttp(context, server, { era: 'legacy' }),
    fetch: claiming(context, server),
    method: 'claim',
    transport: 'mcp',
  }),
  stdio: async (context, server) => ({
    client: await connectStdio(context, server, { env: { CHANCERY_MCP_OUT: join(folder(context), 'out') } }),
    fetch: reading,
    method: 'file',
    transport: 'rest',
  }),
};

interface Message {
  readonly jsonrpc: string;
  readonly id?: number;
  readonly method?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: unknown;
}

interface Transcript {
  readonly sent: Message[];
  readonly received: Message[];
}

/** Every message from now on, in both directions. */
function record(client: Client): Transcript {
  const { transport } = client;
  assert.ok(transport);
  const transcript: Transcript = { sent: [], received: [] };
  const send = transport.send.bind(transport);
  const receive = transport.onmessage;
  const spies: Pick<Transport, 'send' | 'onmessage'> = {
    send(message, ...rest) {
      transcript.sent.push(message as Message);
      return send(message, ...rest);
    },
    onmessage(message, ...rest) {
      transcript.received.push(message as Message);
      receive?.(message, ...rest);
    },
  };
  Object.assign(transport, spies);
  return transcript;
}

/** Each request has its one answer, nothing else was said, and text and structure are the same. */
function assertSound({ sent, received }: Transcript, secrets: readonly string[]): void {
  assert.ok(sent.length > 20);
  const asked = sent.filter(({ id }) => id !== undefined);
  assert.deepEqual(
    received.map(({ id }) => id),
    asked.map(({ id }) => id),
  );
  for (const message of [...sent, ...received]) {
    assert.equal(message.jsonrpc, '2.0');
    for (const secret of secrets) assert.ok(!JSON.stringify(message).includes(secret), 'a secret was said');
    assert.doesNotMatch(JSON.stringify(message), /PRIVATE KEY-----|postgres(?:ql)?:\/\/[^"]*:(?!\*\*\*@)[^@"*]+@/);
  }
  for (const { result } of received) {
    assert.ok(result);
    const { content, structuredContent } = result as {
      readonly content?: readonly { readonly text: string }[];
      readonly structuredContent?: unknown;
    };
    if (structuredContent !== undefined) assert.deepEqual(JSON.parse(content?.[0]?.text ?? ''), structuredContent);
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests read answers of many shapes; a wrong guess fails the test
async function runOperation(client: Client, operation: string, input: object): Promise<any> {
  const result = await callOk(client, 'run_operation', { operation, input });
  assert.equal(result.operation, operation);
  assert.equal(result.replayed, false);
  return result.output;
}

// oxlint-disable-next-line typescript/no-explicit-any -- as above
async function readOperation(client: Client, operation: string, input: object): Promise<any> {
  return (await callOk(client, 'run_read_operation', { operation, input })).output;
}

async function readResource(client: Client, uri: string): Promise<string> {
  const [content] = (await client.readResource({ uri })).contents;
  assert.ok(content !== undefined && 'text' in content);
  return content.text;
}

/** From nothing to a role that issues. */
async function foundAuthorities({ client }: Agent): Promise<void> {
  const { messages } = await client.getPrompt({
    name: 'bootstrap_ca',
    arguments: { organization: 'Example', domain: 'example.com' },
  });
  assert.equal(messages.length, 1);
  const self = await callOk(client, 'auth_whoami');
  assert.equal(self.name, 'admin');
  assert.deepEqual((await callOk(client, 'pki_list_authorities', { limit: 10 })).authorities, []);
  const found = await callOk(client, 'search_operations', { query: 'create authority' });
  assert.equal(found.operations[0].operation, 'pki.create_authority');
  const described = await callOk(client, 'describe_operation', { operation: 'pki.create_authority' });
  assert.ok(described.input_schema.properties.max_path_length);
  const organization = 'Example';
  const root = { name: 'root', kind: 'root', common_name: 'Example Root', organization, key_type: 'ec-p384' };
  assert.equal((await runOperation(client, 'pki.create_authority', root)).state, 'active');
  const issuing = { name: 'issuing', parent: 'root', common_name: 'Example Issuing', organization, max_path_length: 0 };
  assert.equal((await runOperation(client, 'pki.create_authority', issuing)).parent, 'root');
  const role = { name: 'web', authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };
  assert.equal((await runOperation(client, 'pki.create_role', role)).require_csr, false);
}

/** A certificate, in use: a TLS server with it, and a client that trusts the root that the resource shows. */
async function serveTls({ client, fetch, method }: Agent): Promise<{ serial: string; pem: string; secret: string }> {
  const name = 'api.example.com';
  assert.equal((await callOk(client, 'pki_plan_certificate', { role: 'web', dns_names: [name] })).allowed, true);
  const foreign = await callOk(client, 'pki_plan_certificate', { role: 'web', dns_names: ['example.org'] });
  assert.equal(foreign.allowed, false);
  const refused = await callRefused(client, 'pki_issue_certificate', { role: 'web', dns_names: ['example.org'] });
  assert.equal(refused.code, 'refused');
  const issued = await callOk(client, 'pki_issue_certificate', { role: 'web', dns_names: [name], purpose: 'session' });
  assert.deepEqual([issued.delivery.method, issued.delivery.fields], [method, ['private_key']]);
  const key = (await fetch(issued.delivery)).get('private_key');
  assert.ok(key);
  const root = await readResource(client, 'chancery://authorities/root/chain.pem');
  const seen = await handshake({ key, cert: [issued.certificate, ...issued.chain].join('\n') }, root, name);
  assert.equal(seen, issued.serial_number);
  return { serial: issued.serial_number, pem: issued.certificate, secret: key };
}

/** Serial number of the certificate that the client was shown and has verified. */
async function handshake(own: { key: string; cert: string }, root: string, name: string): Promise<string> {
  const server = createServer(own, (socket) => socket.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const socket = connect({ host: '127.0.0.1', port, ca: root, servername: name, minVersion: 'TLSv1.3' });
    await once(socket, 'secureConnect');
    const { serialNumber } = new X509Certificate(socket.getPeerCertificate().raw);
    assert.equal(socket.authorized, true);
    const [hello] = (await once(socket, 'data')) as [Buffer];
    assert.equal(hello.toString(), 'hello');
    socket.destroy();
    return serialNumber.toLowerCase();
  } finally {
    server.close();
  }
}

/** An answer without a credential, a program with one, longer and then not at all. */
async function useDatabase({ client, fetch, method }: Agent): Promise<string[]> {
  const role = { name: 'readonly', connection: 'app', member_of: ['app_reader'], max_ttl: '4h' };
  assert.equal((await runOperation(client, 'database.create_role', role)).name, 'readonly');
  const question = { role: 'readonly', sql: 'SELECT note FROM notes WHERE note = $1', parameters: ['first'] };
  const answer = await callOk(client, 'database_run_query', { ...question, purpose: 'session' });
  assert.deepEqual([answer.rows, answer.user_removed, answer.delivery], [[['first']], true, undefined]);
  const write = await callRefused(client, 'database_run_query', { role: 'readonly', sql: 'DELETE FROM notes' });
  assert.notEqual(write.code, 'internal');
  assert.deepEqual(await leasedUsers(postgres), []);

  const issued = await callOk(client, 'database_issue_credentials', {
    role: 'readonly',
    ttl: '1h',
    purpose: 'session',
  });
  assert.equal(issued.password, undefined);
  assert.equal(issued.delivery.method, method);
  assert.match(issued.delivery.redacted_url, /:\*\*\*@127\.0\.0\.1/);
  const fetched = await fetch(issued.delivery);
  const [url, password] = [fetched.get('connection_url')?.trim(), fetched.get('password')?.trim()];
  assert.ok(url && password);
  assert.deepEqual(await ask(url), [{ note: 'first' }]);

  const lease = { lease_id: issued.lease_id };
  const renewed = await callOk(client, 'lease_renew_lease', { ...lease, increment: '2h' });
  assert.ok(renewed.expires_at > issued.expires_at);
  const { leases } = await callOk(client, 'lease_list_leases', { state: 'active' });
  assert.deepEqual(
    leases.map(({ id }: { id: string }) => id),
    [issued.lease_id],
  );
  assert.equal(JSON.parse(await readResource(client, `chancery://leases/${issued.lease_id}`)).state, 'active');
  assert.equal((await callOk(client, 'lease_revoke_lease', lease)).gone, true);
  assert.deepEqual(await leasedUsers(postgres), []);
  await assert.rejects(ask(url));
  return [password, url];
}

async function ask(url: string): Promise<unknown[]> {
  const client = new PostgresClient({ connectionString: url });
  await client.connect();
  try {
    return (await client.query('SELECT note FROM notes')).rows;
  } finally {
    await client.end();
  }
}

/** A user that nobody revokes ends by itself. */
async function letExpire({ client }: Agent): Promise<void> {
  const issued = await callOk(client, 'database_issue_credentials', { role: 'readonly', ttl: '1s' });
  await until('the lease has expired', async () => {
    const lease = await readOperation(client, 'lease.get_lease', { lease_id: issued.lease_id });
    return lease.state === 'revoked' && lease.cause === 'expired';
  });
  assert.deepEqual(await leasedUsers(postgres), []);
}

async function revokeCertificate({ client }: Agent, serial: string, pem: string): Promise<void> {
  const intermediates = await readResource(client, 'chancery://authorities/issuing/chain.pem');
  const anchors = await readResource(client, 'chancery://authorities/root/chain.pem');
  const question = {
    certificate: pem,
    intermediates: [intermediates.split(/(?<=-----END CERTIFICATE-----\n)/)[0]],
    trust_anchors: [anchors],
    dns_name: 'api.example.com',
  };
  assert.equal((await callOk(client, 'pki_validate_certificate', question)).valid, true);
  const revoked = await callOk(client, 'pki_revoke_certificate', { serial_number: serial, reason: 'superseded' });
  assert.equal(revoked.status, 'revoked');
  await runOperation(client, 'pki.rebuild_crls', { name: 'issuing' });
  const { crls, first_entries: entries } = JSON.parse(await readResource(client, 'chancery://authorities/issuing/crl'));
  assert.equal(entries[0].serial_number, serial);
  assert.ok(crls.some((crl: { entries: number }) => crl.entries === 1));
  const shown = await callOk(client, 'pki_get_certificate', { serial_number: serial });
  assert.deepEqual([shown.status, shown.revocation_reason], ['revoked', 'superseded']);
}

/** What was done is on record, in order, by this face. */
async function assertAudited({ client, transport }: Agent): Promise<void> {
  const { events } = await readOperation(client, 'audit.list_events', { outcome: 'ok', limit: 200 });
  const done = (events as { operation: string; transport: string }[])
    .filter((event) => event.transport === transport)
    .map(({ operation }) => operation)
    .toReversed();
  let from = 0;
  for (const operation of [
    'pki.create_authority',
    'pki.create_role',
    'pki.issue_certificate',
    'database.create_role',
    'database.run_query',
    'database.issue_credentials',
    'lease.revoke_lease',
    'pki.revoke_certificate',
  ]) {
    const at = done.indexOf(operation, from);
    assert.ok(at >= from, `${operation} is not on record after ${done[from]}`);
    from = at;
  }
  assert.equal((await readOperation(client, 'audit.verify_log', {})).valid, true);
}

for (const [how, start] of Object.entries(agents)) {
  test(`an agent goes from an empty server to TLS and a database answer, and back, over ${how}`, async (context) => {
    const server = await startServer(context);
    const agent = await start(context, server);
    const transcript = record(agent.client);
    await foundAuthorities(agent);
    const { serial, pem, secret } = await serveTls(agent);
    // The administrator's password is the operator's business, and no model's.
    await server.ok('POST', 'database/connections', connectionTo(postgres));
    const secrets = await useDatabase(agent);
    await letExpire(agent);
    await revokeCertificate(agent, serial, pem);
    await assertAudited(agent);
    assertSound(transcript, [secret.slice(40, 90), ...secrets, postgres.settings.password ?? '']);
  });
}
