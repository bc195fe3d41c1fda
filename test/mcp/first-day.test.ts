import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { callOk, connectHttp, startServer } from './world.ts';

/** What docs/mcp.md tells to do first, done as it stands there. */

const page = readFileSync(join(import.meta.dirname, '../../docs/mcp.md'), 'utf8');

function block(language: string, holds: string): string {
  const found = [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].find(
    ([, kind, text]) => kind === language && text?.includes(holds),
  );
  assert.ok(found?.[2], `${language} with ${holds}`);
  return found[2];
}

/** `--operations 'a,b' --resources c --resources d`, as the command reads them. */
function flags(command: string, name: string): string[] {
  return [...command.matchAll(new RegExp(`--${name} '?([^\\s']+)`, 'g'))].map(([, value = '']) => value);
}

test('the policy and the token of the page let an agent plan, issue, look, and fetch what is delivered', async (context) => {
  const server = await startServer(context);
  await foundPki(server);
  await server.ok('POST', 'policies', { name: 'issue-web', rules: JSON.parse(block('json', '"effect"')) });
  await server.ok('POST', 'principals', { name: 'build-agent', kind: 'agent', policies: ['issue-web'] });
  const { key } = await server.ok('POST', 'principals/build-agent/keys', {});
  const command = block('sh', 'auth create-token').replaceAll('\\\n', ' ');
  const agent = server.as(key);
  const { token } = await agent.ok('POST', 'tokens', {
    operations: flags(command, 'operations').flatMap((list) => list.split(',')),
    resources: flags(command, 'resources'),
    ttl: flags(command, 'ttl')[0],
  });
  const client = await connectHttp(context, server, { token });
  assert.equal((await callOk(client, 'pki_list_roles')).roles.length, 1);
  const names = { role: 'web', dns_names: ['a.example.com'] };
  assert.equal((await callOk(client, 'pki_plan_certificate', names)).allowed, true);
  const { serial_number, delivery } = await callOk(client, 'pki_issue_certificate', names);
  assert.equal((await callOk(client, 'pki_get_certificate', { serial_number })).status, 'valid');
  const { output } = await server.as(token).ok('POST', 'claims/redeem', { handle: delivery.claim });
  assert.match(output.private_key, /BEGIN PRIVATE KEY/);
});
