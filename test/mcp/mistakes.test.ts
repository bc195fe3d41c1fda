import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import type { Client } from '@modelcontextprotocol/client';
import { foundPki, type InProcess } from '#test/chancery.ts';
import { callOk, callRefused, connectHttp, connectStdio, startServer } from './world.ts';

/** What a model does wrong, and what it is told: each answer must be enough for the next try to succeed. */

interface Mistake {
  readonly tool: string;
  readonly args: Record<string, unknown>;
  /** Parts of the error as JSON. */
  readonly told: readonly RegExp[];
}

const names = { role: 'web', dns_names: ['a.example.com'] };
const lease = 'lse_00000000000000000000000000';

const mistakes: Readonly<Record<string, Mistake>> = {
  'a text where a list is wanted': {
    tool: 'pki_issue_certificate',
    args: { ...names, dns_names: 'a.example.com' },
    told: [/expected array, received string/, /"about":\{"dns_names":"/, /describe_operation/],
  },
  'a field of another name': {
    tool: 'pki_issue_certificate',
    args: { role: 'web', domains: ['a.example.com'] },
    told: [/\/domains: there is no field of this name/, /"needed":\["role"\]/, /"optional":\[[^\]]*"dns_names"/],
  },
  'nothing at all': {
    tool: 'pki_issue_certificate',
    args: {},
    told: [/\/role: is missing/, /"needed":\["role"\]/, /"about":\{"role":"/],
  },
  'a role that does not exist': {
    tool: 'pki_issue_certificate',
    args: { ...names, role: 'wbe' },
    told: [/There is no role wbe/, /"next":"Call pki_list_roles \{\}\."/],
  },
  'a duration in words': {
    tool: 'pki_issue_certificate',
    args: { ...names, ttl: '1 year' },
    told: [/90s, 15m, 24h or 30d/],
  },
  'a life that is too long': {
    tool: 'pki_issue_certificate',
    args: { ...names, ttl: '365d' },
    told: [
      /"nearest_request":\{"role":"web","dns_names":\["a.example.com"\],"ttl":"30d"\}/,
      /make the same call with it/,
    ],
  },
  'a foreign name': {
    tool: 'pki_issue_certificate',
    args: { ...names, dns_names: ['a.example.org'] },
    told: [/"nearest_request":\{"role":"web","dns_names":\["a.example.com"\]\}/],
  },
  'a serial number under another name': {
    tool: 'pki_get_certificate',
    args: { serial: 'abcdef' },
    told: [/serial_number: is missing/, /"needed":\["serial_number"\]/],
  },
  'a certificate that does not exist': {
    tool: 'pki_revoke_certificate',
    args: { serial_number: '00:AB:CD' },
    told: [/serial number abcd/, /Call pki_list_certificates \{\}/],
  },
  'a state of another kind': {
    tool: 'pki_list_certificates',
    args: { status: 'active' },
    told: [/must be one of .*valid.*held.*revoked.*expired/],
  },
  'a time without a length': {
    tool: 'lease_renew_lease',
    args: { lease_id: lease },
    told: [/\/increment/, /"about":\{"increment":"/],
  },
  'a lease that does not exist': {
    tool: 'lease_revoke_lease',
    args: { lease_id: lease },
    told: [/Call lease_list_leases \{\}/],
  },
  'something else as the id of a lease': {
    tool: 'lease_revoke_lease',
    args: { lease_id: 'chy_web_1' },
    told: [/not the id of a lease/, /describe_operation.*Call lease_list_leases \{\}/],
  },
  'a key beside the fields': {
    tool: 'pki_issue_certificate',
    args: { ...names, idempotency_key: 'x' },
    told: [/idempotency_key is an argument of run_operation: call run_operation/],
  },
  'a state that does not allow it': {
    tool: 'run_operation',
    args: { operation: 'policy.delete_policy', input: { name: 'administrator' } },
    told: [
      /Call run_read_operation \{\\"operation\\":\\"policy\.get_policy\\",\\"input\\":\{\\"name\\":\\"administrator\\"/,
    ],
  },
  'a statement under another name': {
    tool: 'database_run_query',
    args: { role: 'r', query: 'SELECT 1' },
    told: [/sql/, /"needed":\["role","sql"\]/],
  },
  'half an operation': {
    tool: 'policy_test_policy',
    args: { operation: 'issue_certificate', resource: 'pki/roles/web' },
    told: [/write for example pki\.issue_certificate/],
  },
  'an id that begins well': {
    tool: 'run_operation',
    args: { operation: 'pki.rotate', input: {} },
    told: [/The nearest: pki\.rotate_authority/, /search_operations/],
  },
  'fields beside input': {
    tool: 'run_operation',
    args: { operation: 'pki.create_role', name: 'x', authority: 'issuing' },
    told: [/fields of the operation go into input/, /"needed":\["name","authority"\]/],
  },
  'input as a text': {
    tool: 'run_operation',
    args: { operation: 'pki.create_role', input: '{"name":"x"}' },
    told: [/\/input: expected an object, not a text/],
  },
  'the id under another name': {
    tool: 'run_operation',
    args: { id: 'pki.create_role' },
    told: [/\/operation.*is missing/, /run_operation takes operation, input/],
  },
  'a name that is taken': {
    tool: 'run_operation',
    args: { operation: 'pki.create_role', input: { name: 'web', authority: 'issuing' } },
    told: [/Call run_operation \{\\"operation\\":\\"pki\.update_role\\"/],
  },
  'another thing that does not exist': {
    tool: 'run_operation',
    args: { operation: 'pki.create_role', input: { name: 'new', authority: 'nope' } },
    told: [/no authority nope/, /Call pki_list_authorities \{\}/],
  },
  'a tool as an operation': {
    tool: 'run_operation',
    args: { operation: 'search_operations', input: {} },
    told: [/Call the tool search_operations itself/],
  },
  'a change by the tool that reads': {
    tool: 'run_read_operation',
    args: { operation: 'pki.issue_certificate', input: names },
    told: [/runs only what reads/, /Call pki_issue_certificate/],
  },
  'a day without a date': {
    tool: 'run_read_operation',
    args: { operation: 'audit.list_events', input: { since: 'yesterday' } },
    told: [/\/since/, /"about":\{"since":"RFC 3339/],
  },
  'a question under another name': {
    tool: 'search_operations',
    args: { q: 'certificate' },
    told: [/\/query/, /search_operations takes query, limit/],
  },
  'an area instead of an operation': {
    tool: 'describe_operation',
    args: { operation: 'pki' },
    told: [/The nearest: pki\./, /search_operations/],
  },
};

const tools: Readonly<Record<string, RegExp>> = {
  pki_rotate_authority: /call run_operation \{"operation":"pki\.rotate_authority","input":\{…\}\}.*describe_operation/,
  'pki.rotate_authority': /call run_operation \{"operation":"pki\.rotate_authority"/,
  audit_list_events: /call run_read_operation \{"operation":"audit\.list_events"/,
  mcp__chancery__pki_list_roles: /The tool is called pki_list_roles\./,
  'pki.list_roles': /The tool is called pki_list_roles\./,
  pki_issue_certifcate: /The nearest: pki_issue_certificate\./,
  issue_certificate: /The nearest: pki_issue_certificate\./,
  create_database_user: /The nearest: .*database_issue_credentials.*search_operations/,
  xyzzy: /search_operations/,
};

const addresses: Readonly<Record<string, RegExp>> = {
  'chancery://authorities/nope': /pki_list_authorities \{\} lists what there is/,
  [`chancery://leases/${lease}`]: /lease_list_leases \{\} lists what there is/,
  'chancery://authority/issuing': /chancery:\/\/authorities\/\{name\}/,
  'chancery://certificates/ABCD': /lower case: .*chancery:\/\/certificates\/\{serial_number\}/,
  'chancery://docs/nope': /Topics: start, certificates/,
  'pki://ca/root': /chancery:\/\/authorities\/\{name\}/,
};

const prompts: readonly (readonly [name: string, args: Record<string, string>, told: RegExp])[] = [
  ['tls', {}, /There are bootstrap_ca, tls_for_service/],
  ['tls-for-service', { dns_name: 'x' }, /tls_for_service/],
  ['tls_for_service', {}, /needs dns_name: it takes dns_name, role \(may be left out\)/],
  ['tls_for_service', { domain: 'x' }, /takes dns_name, role \(may be left out\), and nothing else/],
];

const transports = { HTTP: connectHttp, stdio: connectStdio };

for (const [transport, connect] of Object.entries(transports)) {
  describe(`over ${transport}`, () => {
    const ends: (() => unknown)[] = [];
    let server: InProcess;
    let client: Client;

    before(async () => {
      const context = { after: (end: () => unknown) => ends.unshift(end) } as unknown as TestContext;
      server = await startServer(context);
      await foundPki(server);
      client = await connect(context, server);
    });
    after(async () => {
      for (const end of ends) await end();
    });

    for (const [what, { tool, args, told }] of Object.entries(mistakes)) {
      test(`${what} is answered with what helps`, async () => {
        const error = JSON.stringify(await callRefused(client, tool, args));
        for (const part of told) assert.match(error, part);
        assert.doesNotMatch(error, /openapi|Idempotency-Key|BEGIN CERTIFICATE REQUEST/);
      });
    }

    for (const [name, told] of Object.entries(tools)) {
      test(`the tool ${name}, which is not on the list, is answered with the call to make`, async () => {
        await assert.rejects(client.callTool({ name, arguments: {} }), (thrown: Error & { code?: number }) => {
          assert.equal(thrown.code, -32602);
          assert.match(thrown.message, /There is no tool of this name here/);
          assert.match(thrown.message, told);
          return true;
        });
      });
    }

    for (const [uri, told] of Object.entries(addresses))
      test(`the address ${uri} is answered with where to look`, () =>
        assert.rejects(client.readResource({ uri }), told));

    for (const [name, args, told] of prompts)
      test(`the prompt ${name} with ${JSON.stringify(args)} is answered with what it takes`, () =>
        assert.rejects(client.getPrompt({ name, arguments: args }), told));

    test('words that nothing has are answered with other words', async () => {
      const { operations, hint } = await callOk(client, 'search_operations', { query: 'xyzzy' });
      assert.deepEqual(operations, []);
      assert.match(hint, /certificate/);
    });

    test('what is told after a refusal can be called as it is told', async () => {
      const missing = await callRefused(client, 'run_read_operation', {
        operation: 'auth.get_principal',
        input: { name: 'nobody' },
      });
      const [, tool = '', args = ''] = /^Call (\w+) (\{.*\})\.$/.exec(missing.next) ?? [];
      assert.ok((await callOk(client, tool, JSON.parse(args))).output.principals.length > 0);
      const refused = await callRefused(client, 'pki_issue_certificate', { ...names, ttl: '365d' });
      const issued = await callOk(client, 'pki_issue_certificate', refused.nearest_request);
      assert.deepEqual(issued.delivery.fields, ['private_key']);
    });

    test('a repeat that made secrets says that they went out with the first answer, and gives none away', async () => {
      await server.ok('POST', 'principals', { name: 'p', kind: 'agent', policies: [] });
      const request = { operation: 'auth.create_key', input: { principal: 'p' }, idempotency_key: 'one' };
      const first = await callOk(client, 'run_operation', request);
      const again = await callOk(client, 'run_operation', request);
      assert.deepEqual([again.replayed, again.output.id], [true, first.output.id]);
      assert.deepEqual([again.delivery.method, again.delivery.fields], ['earlier', ['key']]);
      assert.match(again.delivery.next, /claim\.list_claims/);
      assert.ok(!JSON.stringify(again).includes('chc_'));
      const other = { ...request, input: { principal: 'p', description: 'another' } };
      const conflict = await callRefused(client, 'run_operation', other);
      assert.match(conflict.message, /idempotency_key was used for another request/);
      assert.equal(conflict.next, undefined);
    });

    test('a repeat for a key that the caller has itself speaks of no delivery', async () => {
      const input = { name: 'q', kind: 'agent', policies: [] };
      const request = { operation: 'auth.create_principal', input, idempotency_key: 'two' };
      await callOk(client, 'run_operation', request);
      const again = await callOk(client, 'run_operation', request);
      assert.deepEqual([again.replayed, again.delivery], [true, undefined]);
    });

    test('a denial by policy names calls that explain it', async () => {
      await server.ok('POST', 'principals', { name: 'nobody', kind: 'agent', policies: [] });
      const { key } = await server.ok('POST', 'principals/nobody/keys', {});
      const context = { after: (end: () => unknown) => ends.unshift(end) } as unknown as TestContext;
      const poor = await connect(context, server, { token: key });
      const { next } = await callRefused(poor, 'pki_list_roles');
      assert.match(
        next,
        /^auth_whoami \{\} shows .* policy_test_policy \{"operation":"pki\.list_roles","resource":"pki\/roles"\}/,
      );
    });
  });
}

test('what the operator closed is told as such, and not as a question of policy', async (context) => {
  const closed = { CHANCERY_MCP_DENIED_PATHS: 'pki/roles/web' };
  const server = await startServer(context, closed);
  await foundPki(server);
  const readOnly = await connectStdio(context, server, { flags: ['--read-only', '--toolsets', 'all'] });
  await assert.rejects(readOnly.callTool({ name: 'pki_create_role', arguments: {} }), /this list has only what reads/);
  for (const client of [await connectHttp(context, server), await connectStdio(context, server, { env: closed })]) {
    const error = await callRefused(client, 'pki_plan_certificate', names);
    assert.deepEqual([error.code, error.closed_by], ['denied', 'mcp_operator']);
    assert.match(error.next, /^Tell the user that the operator of this MCP server closed this/);
    assert.doesNotMatch(error.next, /policy/);
  }
});
