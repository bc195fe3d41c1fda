import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foundPki } from '#test/chancery.ts';
import { callOk, callRefused, connectHttp, startServer } from './world.ts';

for (const era of ['modern', 'legacy'] as const) {
  test(`a ${era} client lists tools and calls them over HTTP`, async (context) => {
    const server = await startServer(context);
    await foundPki(server);
    const client = await connectHttp(context, server, { era });
    const { tools } = await client.listTools();
    assert.equal(tools[0]?.name, 'auth_whoami');
    assert.equal((await callOk(client, 'auth_whoami')).name, 'admin');
    const plan = await callOk(client, 'pki_plan_certificate', { role: 'web', dns_names: ['a.example.com'] });
    assert.equal(plan.allowed ?? true, true);
    const refused = await callRefused(client, 'pki_issue_certificate', { role: 'nix', dns_names: ['a.example.com'] });
    assert.equal(refused.code, 'not_found');
  });
}
