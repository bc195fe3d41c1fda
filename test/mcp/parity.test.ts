import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { toCommands } from '#cli/command.ts';
import { fromManifest } from '#cli/manifest.ts';
import { allOperations } from '#chancery/operations.ts';
import { callOk, connectHttp, connectStdio, startServer } from './world.ts';

/** One list of operations, four faces: REST, CLI, MCP and the documents say the same of each. */

const root = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

// oxlint-disable-next-line typescript/no-explicit-any -- JSON documents of many shapes; a wrong guess fails the test
type Json = any;

function schemaOf(operation: (typeof allOperations)[number], io: 'input' | 'output'): Json {
  const { $schema: _, ...schema } = operation[io].toJSONSchema({ io, unrepresentable: 'any' }) as Json;
  return JSON.parse(JSON.stringify(schema));
}

/** Names, types and choices at every level: what a listed schema keeps of the whole. */
function skeleton(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(skeleton);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { type, enum: choices, required, items, properties, additionalProperties, anyOf } = schema;
  return {
    type,
    choices,
    required,
    additionalProperties: skeleton(additionalProperties),
    items: skeleton(items),
    anyOf: skeleton(anyOf),
    properties:
      properties && Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, skeleton(value)])),
  };
}

test('every operation exists as route, command, tool and documented entry, with one schema', async (context) => {
  const server = await startServer(context);
  const openapi = (await (await fetch(`${server.url}/openapi.json`)).json()) as Json;
  const kept = JSON.parse(read('docs/generated/openapi.json'));
  const manifest = fromManifest(read('src/cli/operations.json'));
  const commands = new Map(toCommands(manifest).map((command) => [command.operation.id, command]));
  const cliPage = read('docs/generated/cli.md');
  const toolPage = read('docs/generated/tools.md');
  const http = await connectHttp(context, server, { path: '/mcp/x/all' });
  const stdio = await connectStdio(context, server, { flags: ['--toolsets', 'all'] });
  const [overHttp, overStdio] = [await http.listTools(), await stdio.listTools()];
  assert.deepEqual(overHttp.tools, overStdio.tools);
  assert.deepEqual(
    server.chancery.operations.map(({ id }) => id).sort(),
    allOperations.map(({ id }) => id).sort(),
    'what runs is what is documented',
  );
  for (const operation of allOperations) {
    const { id } = operation;
    const input = schemaOf(operation, 'input');
    const { method, path } = operation.http;
    for (const document of [openapi, kept])
      assert.equal(document.paths[`/v1${path}`]?.[method.toLowerCase()]?.operationId, id, `${id} in OpenAPI`);
    const command = commands.get(id);
    assert.ok(command, `${id} in the CLI`);
    assert.deepEqual(command.operation.input.toJSONSchema({ io: 'input', unrepresentable: 'any' }), {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      ...input,
    });
    assert.ok(cliPage.includes(`chancery ${command.area} ${command.verb}`), `${id} in docs/generated/cli.md`);
    const tool = overHttp.tools.find(({ name }) => name === id.replace('.', '_'));
    assert.ok(tool, `${id} as a tool`);
    assert.deepEqual(skeleton(tool.inputSchema), skeleton(input), `${id}: input of the tool`);
    assert.ok(toolPage.includes(`\`${tool.name}\``), `${id} in docs/generated/tools.md`);
    const described = await callOk(http, 'describe_operation', { operation: id });
    assert.deepEqual(described.input_schema, input, `${id}: described input`);
    const output = schemaOf(operation, 'output');
    for (const field of Object.keys(output.properties))
      assert.equal(
        field in described.output_schema.properties,
        !operation.sensitive?.includes(field),
        `${id}.${field}`,
      );
  }
  assert.equal(overHttp.tools.length, allOperations.length + 4);
});
