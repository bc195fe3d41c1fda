import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'gpt-tokenizer';
import { allOperations } from '#chancery/operations.ts';
import { offerOperations } from '#mcp/catalogue.ts';
import { everyday } from '#mcp/everyday.ts';
import { createSurfaces } from '#mcp/surface.ts';
import type { Tool } from '#mcp/tool.ts';

/** What models have to read before they do anything, and what clients rely on. */

const all = offerOperations(allOperations);
const surfaces = createSurfaces(all, false);
const listed = (...toolsets: string[]) => surfaces.of({ toolsets, readOnly: false }, all).tools;

test('the default list costs at most 8,000 tokens', () => {
  const tools = listed('default');
  const tokens = encode(JSON.stringify({ tools })).length;
  assert.ok(tokens <= 8000, `${tokens} tokens`);
  assert.ok(tools.length >= 18 && tools.length <= 24, `${tools.length} tools`);
});

test('everything of every day exists', () => {
  const ids = new Set(all.map(({ id }) => id));
  assert.deepEqual(
    everyday.filter((id) => !ids.has(id)),
    [],
  );
});

for (const tool of listed('all')) {
  test(`the tool ${tool.name} keeps to what clients accept`, () => {
    assert.match(tool.name, /^[a-z0-9_]{1,48}$/);
    assert.ok(tool.title.length > 0 && tool.title.length <= 60);
    assert.ok(tool.description.length <= 700, `${tool.description.length} characters`);
    assert.deepEqual(
      Object.values(tool.annotations).map((hint) => typeof hint),
      Array.from({ length: 4 }, () => 'boolean'),
    );
    for (const schema of [tool.inputSchema, tool.outputSchema]) {
      assert.equal(schema.type, 'object');
      assert.equal(schema.additionalProperties, false);
      for (const word of ['oneOf', 'anyOf', 'allOf', '$ref', '$schema']) assert.ok(!(word in schema));
      for (const name of schema.required ?? []) assert.ok(name in schema.properties);
    }
    assert.ok(!JSON.stringify(tool).includes(String(Number.MAX_SAFE_INTEGER)));
  });
}

test('annotations come from what the operation does, at the worst for run_operation', () => {
  const annotations = Object.fromEntries(listed('all').map((tool: Tool) => [tool.name, tool.annotations]));
  assert.deepEqual(annotations['pki_list_roles'], {
    readOnlyHint: true,
    destructiveHint: false,
    idempotentHint: true,
    openWorldHint: false,
  });
  assert.equal(annotations['pki_issue_certificate']?.destructiveHint, false);
  assert.equal(annotations['pki_issue_certificate']?.idempotentHint, false);
  assert.equal(annotations['pki_revoke_certificate']?.destructiveHint, true);
  assert.equal(annotations['pki_update_role']?.destructiveHint, true);
  assert.equal(annotations['database_issue_credentials']?.openWorldHint, true);
  assert.deepEqual(annotations['run_operation'], {
    readOnlyHint: false,
    destructiveHint: true,
    idempotentHint: false,
    openWorldHint: true,
  });
});

test('no tool has a secret field in its result, and each that makes one says where it goes', () => {
  for (const operation of all) {
    if (operation.sensitive.length === 0) continue;
    const tool = listed('all').find(({ name }) => name === operation.id.replace('.', '_'));
    assert.ok(tool);
    for (const field of operation.sensitive)
      assert.ok(!(field in tool.outputSchema.properties), `${tool.name}.${field}`);
    assert.ok('delivery' in tool.outputSchema.properties);
  }
});

test('with the operator’s wish to reveal them, secret fields are in the schema', () => {
  const tools = createSurfaces(all, true).of({ toolsets: ['all'], readOnly: false }, all).tools;
  const issue = tools.find(({ name }) => name === 'pki_issue_certificate');
  assert.ok(issue && 'private_key' in issue.outputSchema.properties);
  const key = tools.find(({ name }) => name === 'auth_create_key');
  // The kept answer of an earlier call has no secret, revealed or not.
  assert.ok(key && 'key' in key.outputSchema.properties && !key.outputSchema.required?.includes('key'));
});
