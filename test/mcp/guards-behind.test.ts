import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Client } from '@modelcontextprotocol/client';
import { foundPki, type InProcess } from '#test/chancery.ts';
import { postgresWorld } from '#test/postgres-target.ts';
import { foundDatabase } from '../database/fixture.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/** Denied paths, and what leads to them by another name: found while an operation runs, not in what it is given. */

const denied = 'database/connections/app, pki/authorities/other';

interface House {
  readonly server: InProcess;
  readonly clients: Readonly<Record<'HTTP' | 'stdio', Client>>;
  readonly lease: string;
  readonly serial: string;
  readonly certificate: string;
}

/** A role of a denied connection with a lease, and one of a denied authority with a certificate. */
async function house(context: TestContext): Promise<House> {
  const world = await postgresWorld();
  context.after(() => world.stop());
  const server = await startServer(context, { CHANCERY_MCP_DENIED_PATHS: denied, CHANCERY_LOG_LEVEL: 'silent' });
  await foundPki(server);
  await foundDatabase(server, world);
  await server.ok('POST', 'pki/authorities', { name: 'other', kind: 'root', common_name: 'Other' });
  const role = { name: 'hidden', authority: 'other', allowed_domains: ['example.com'], allow_subdomains: true };
  await server.ok('POST', 'pki/roles', role);
  const leased = await server.ok('POST', 'database/roles/readonly/credentials', {});
  const issued = await server.ok('POST', 'pki/certificates', { role: 'hidden', dns_names: ['a.example.com'] });
  const clients = {
    HTTP: await connectHttp(context, server),
    stdio: await connectStdio(context, server, { env: { CHANCERY_MCP_DENIED_PATHS: denied } }),
  };
  return { server, clients, lease: leased.lease_id, serial: issued.serial_number, certificate: issued.certificate };
}

function attempts({ lease, serial, certificate }: House): readonly (readonly [string, Record<string, unknown>])[] {
  return [
    ['database.get_connection', { name: 'app' }],
    ['database.get_role', { name: 'readonly' }],
    ['database.update_role', { name: 'readonly', default_ttl: '2h' }],
    ['database.update_role', { name: 'readonly', connection: 'elsewhere' }],
    ['database.delete_role', { name: 'readonly', drain: true }],
    ['database.create_role', { name: 'r', connection: 'app', member_of: ['app_reader'] }],
    ['database.issue_credentials', { role: 'readonly' }],
    ['database.plan_credentials', { role: 'readonly' }],
    ['database.run_query', { role: 'readonly', sql: 'SELECT 1' }],
    ['lease.get_lease', { lease_id: lease }],
    ['lease.renew_lease', { lease_id: lease, increment: '2h' }],
    ['lease.revoke_lease', { lease_id: lease }],
    ['lease.revoke_leases', { engine: 'database' }],
    ['lease.revoke_leases', { principal: 'admin' }],
    ['lease.revoke_leases', { role: 'database/roles/readonly' }],
    ['lease.revoke_leases', { target: 'database/connections/app' }],
    ['lease.forget_leases', { target: 'database/connections/app', reason: 'x' }],
    ['pki.get_role', { name: 'hidden' }],
    ['pki.update_role', { name: 'hidden', authority: 'issuing' }],
    ['pki.update_role', { name: 'web', authority: 'other' }],
    ['pki.create_role', { name: 'r', authority: 'other', allowed_domains: ['example.com'] }],
    ['pki.delete_role', { name: 'hidden' }],
    ['pki.issue_certificate', { role: 'hidden', dns_names: ['b.example.com'] }],
    ['pki.plan_certificate', { role: 'hidden', dns_names: ['b.example.com'] }],
    ['pki.get_certificate', { serial_number: serial }],
    ['pki.revoke_certificate', { serial_number: serial }],
    ['pki.revoke_certificates', { name: 'a.example.com' }],
    ['pki.revoke_certificates', { serial_numbers: [serial] }],
    ['pki.report_key_compromise', { certificate }],
    ['pki.create_authority', { name: 'below', kind: 'intermediate', parent: 'other', common_name: 'Below' }],
    ['pki.cross_sign_authority', { name: 'issuing', authority: 'other' }],
    ['acme.get_directory', { role: 'hidden' }],
    ['acme.configure_directory', { role: 'hidden' }],
    ['acme.configure_directory', { role: 'web', profiles: { x: { description: 'x', role: 'hidden' } } }],
    ['acme.reset_directory', { role: 'hidden' }],
    ['acme.create_external_account_key', { role: 'hidden' }],
  ];
}

test('what leads to a denied path is denied, over both transports, and nothing is done', async (context) => {
  const built = await house(context);
  const { server, clients, lease, serial } = built;
  for (const [transport, client] of Object.entries(clients)) {
    for (const [operation, input] of attempts(built)) {
      const refused = await callRefused(client, 'run_operation', { operation, input });
      assert.equal(refused.code, 'denied', `${transport} ${operation}: ${JSON.stringify(refused)}`);
      assert.match(refused.message, /operator of this MCP server|token is narrowed/, operation);
    }
    for (const uri of [
      `chancery://leases/${lease}`,
      `chancery://certificates/${serial}`,
      'chancery://authorities/other',
      'chancery://authorities/other/chain.pem',
      'chancery://authorities/other/crl',
    ])
      await assert.rejects(client.readResource({ uri }), /does not let it touch|narrowed/, uri);
    // Its neighbours are not.
    await callOk(client, 'pki_issue_certificate', { role: 'web', dns_names: ['a.example.com'] });
  }
  assert.equal((await server.ok('GET', `leases/${lease}`)).renewals, 0);
  assert.equal((await server.ok('GET', 'leases?state=active')).leases.length, 1);
  assert.equal((await server.ok('GET', `pki/certificates/${serial}`)).status, 'valid');
  assert.equal((await server.ok('GET', 'pki/roles/web')).authority, 'issuing');
  assert.equal((await server.ok('GET', 'database/roles/readonly')).default_ttl, '1h');
  const { events } = await server.ok('GET', 'audit/events?operation=lease.revoke_lease');
  assert.deepEqual(
    events.map(({ outcome, code }: Record<string, unknown>) => [outcome, code]),
    [
      ['denied', 'denied'],
      ['denied', 'denied'],
    ],
  );
});

test('an answer that was kept for somebody unguarded is not told again to a guarded session', async (context) => {
  const server = await startServer(context, { CHANCERY_MCP_DENIED_PATHS: denied, CHANCERY_LOG_LEVEL: 'silent' });
  await server.ok('POST', 'pki/authorities', { name: 'other', kind: 'root', common_name: 'Other' });
  const input = { name: 'hidden', authority: 'other', allowed_domains: ['example.com'] };
  const key = { 'idempotency-key': 'k1' };
  await server.ok('POST', 'pki/roles', input, key);
  const repeated = await server.call('POST', 'pki/roles', input, key);
  assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
  const clients = [
    await connectHttp(context, server),
    await connectStdio(context, server, { env: { CHANCERY_MCP_DENIED_PATHS: denied } }),
  ];
  for (const client of clients) {
    const call = { operation: 'pki.create_role', input, idempotency_key: 'k1' };
    assert.equal((await callRefused(client, 'run_operation', call)).code, 'denied');
    const own = {
      operation: 'pki.create_authority',
      input: { name: `own-${clients.indexOf(client)}`, kind: 'root', common_name: 'Own' },
      idempotency_key: 'k2',
    };
    assert.equal((await callOk(client, 'run_operation', own)).replayed, false);
    assert.equal((await callOk(client, 'run_operation', own)).replayed, true);
  }
});

test('allowed paths are those that are asked for; what stands behind them need not be named', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const env = { CHANCERY_MCP_ALLOWED_PATHS: 'pki/roles/web' };
  const client = await connectStdio(context, server, { env });
  await callOk(client, 'pki_issue_certificate', { role: 'web', dns_names: ['a.example.com'] });
  assert.equal((await callRefused(client, 'pki_list_authorities')).code, 'denied');
});

test('chancery mcp with paths calls with a token of its own that has them, and with nothing else', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  const client = await connectStdio(context, server, { env: { CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web' } });
  await Promise.all([1, 2, 3].map(() => callOk(client, 'pki_list_roles')));
  const { tokens } = await server.ok('GET', 'tokens');
  assert.deepEqual(
    tokens.map(({ denied_resources: globs, resources }: Record<string, unknown>) => [globs, resources]),
    [[['pki/roles/web'], null]],
  );
  const { events } = await server.ok('GET', 'audit/events?operation=pki.list_roles');
  assert.ok(events.every((event: { credential_id: string }) => event.credential_id === tokens[0].id));
  // What it makes is as narrow as it is.
  const { narrowings } = await callOk(client, 'auth_whoami');
  assert.deepEqual(narrowings, [{ operations: ['**'], resources: ['**'], denied_resources: ['pki/roles/web'] }]);
});

test('without the narrower token nothing is called', async (context) => {
  const server = await startServer(context);
  let { token } = server;
  for (let depth = 0; depth < 8; depth++) token = (await server.as(token).ok('POST', 'tokens', {})).token;
  const env = { CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web' };
  const client = await connectStdio(context, server, { token, env });
  const refused = await callRefused(client, 'pki_list_roles');
  assert.equal(refused.code, 'wrong_state');
  assert.match(refused.message, /narrowed to the paths of this MCP server could not be made/);
  const { events } = await server.ok('GET', 'audit/events?operation=pki.list_roles');
  assert.equal(events.length, 0);
});
