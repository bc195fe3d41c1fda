import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { callOk, callRefused, connectStdio, startServer } from './world.ts';

for (const era of ['modern', 'legacy'] as const) {
  test(`a ${era} client lists tools and calls them over stdio`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connectStdio(context, server, { era });
    const { tools } = await client.listTools();
    assert.equal(tools[0]?.name, 'auth_whoami');
    assert.equal((await callOk(client, 'auth_whoami')).name, 'admin');
    await callOk(client, 'pki_plan_certificate', { role: 'web', dns_names: ['a.example.com'] });
    const refused = await callRefused(client, 'pki_issue_certificate', { role: 'nix', dns_names: ['a.example.com'] });
    assert.equal(refused.code, 'not_found');
    assert.equal(client.stderr(), '');
  });
}
