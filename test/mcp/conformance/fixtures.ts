import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CallToolResult,
  completable,
  fromJsonSchema,
  McpServer,
  ProtocolError,
  ProtocolErrorCode,
  ResourceTemplate,
  type ServerContext,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { requestState, text } from './answers.ts';
import { registerInputFixtures } from './input-fixtures.ts';
import { registerPushFixtures } from './push-fixtures.ts';

/**
 * The tools, resources and prompts that the official suite asks for by name. They know nothing of Chancery: with them the
 * suite tries the transport, the guards and the composition that the product has in front of its own.
 */

const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const silence = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

/** What fixtures need of the server that they are in. */
export interface FixtureOptions {
  /** Where changes of lists are told, so that subscriptions hear of them. */
  readonly bus?: ServerEventBus | undefined;
  /** Of a session: the fixtures by which the server asks the client (2025-11-25). */
  readonly sessionful: boolean;
}

export function createFixtureServer({ bus, sessionful }: FixtureOptions): McpServer {
  const server = new McpServer(
    { name: 'conformance-fixtures', version: '1' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        logging: {},
        completions: {},
      },
      requestState,
    },
  );
  registerContentTools(server);
  registerTellingTools(server, bus);
  registerSchemaTools(server);
  registerResources(server);
  registerPrompts(server);
  registerInputFixtures(server);
  if (sessionful) registerPushFixtures(server);
  return server;
}

function registerContentTools(server: McpServer): void {
  const image = { type: 'image', data: pixel, mimeType: 'image/png' } as const;
  server.registerTool('test_simple_text', { description: 'Text' }, () =>
    text('This is a simple text response for testing.'),
  );
  server.registerTool('test_image_content', { description: 'An image' }, () => ({ content: [image] }));
  server.registerTool('test_audio_content', { description: 'A sound' }, () => ({
    content: [{ type: 'audio', data: silence, mimeType: 'audio/wav' }],
  }));
  server.registerTool('test_embedded_resource', { description: 'A resource' }, () => ({
    content: [
      {
        type: 'resource',
        resource: {
          uri: 'test://embedded-resource',
          mimeType: 'text/plain',
          text: 'This is an embedded resource content.',
        },
      },
    ],
  }));
  server.registerTool('test_multiple_content_types', { description: 'All of them' }, () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      image,
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: JSON.stringify({ test: 'data', value: 123 }),
        },
      },
    ],
  }));
  server.registerTool('test_error_handling', { description: 'An error' }, () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
}

/** Milliseconds between two messages of one call. */
const pause = 50;

function registerTellingTools(server: McpServer, bus: ServerEventBus | undefined): void {
  server.registerTool('test_tool_with_progress', { description: 'Progress' }, async ({ mcpReq }) => {
    const token = mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await sleep(pause);
      if (token === undefined) continue;
      await mcpReq.notify({
        method: 'notifications/progress',
        params: { progressToken: token, progress, total: 100 },
      });
    }
    return text('done');
  });
  const logging = async ({ mcpReq }: ServerContext): Promise<CallToolResult> => {
    for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await mcpReq.log('info', line);
      await sleep(pause);
    }
    return text('logged');
  };
  server.registerTool('test_tool_with_logging', { description: 'Log lines' }, logging);
  server.registerTool('test_logging_tool', { description: 'Log lines where they are asked for' }, logging);
  server.registerTool('test_trigger_tool_change', { description: 'Tells that tools changed' }, () => {
    bus?.publish({ kind: 'tools_list_changed' });
    return text('told');
  });
  server.registerTool('test_trigger_prompt_change', { description: 'Tells that prompts changed' }, () => {
    bus?.publish({ kind: 'prompts_list_changed' });
    return text('told');
  });
}

// No word of JSON Schema, so the type of schemas does not know it.
const mirrored: Record<string, object> = {
  region: { type: 'string', 'x-mcp-header': 'Region' },
  priority: { type: 'integer', 'x-mcp-header': 'Priority' },
  query: { type: 'string' },
};
const draft202012 = 'https://json-schema.org/draft/2020-12/schema';

function registerSchemaTools(server: McpServer): void {
  const inputSchema = fromJsonSchema({
    $schema: draft202012,
    type: 'object',
    $defs: {
      address: {
        $anchor: 'addressDef',
        type: 'object',
        properties: { street: { type: 'string' }, city: { type: 'string' } },
      },
    },
    properties: {
      name: { type: 'string' },
      address: { $ref: '#/$defs/address' },
      contactMethod: { type: 'string', enum: ['phone', 'email'] },
      phone: { type: 'string' },
      email: { type: 'string' },
    },
    allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
    if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
    // oxlint-disable-next-line unicorn/no-thenable -- the keyword of JSON Schema
    then: { required: ['phone'] },
    else: { required: ['email'] },
    additionalProperties: false,
  });
  server.registerTool('json_schema_2020_12_tool', { description: 'A schema with everything', inputSchema }, () =>
    text('ok'),
  );
  server.registerTool(
    'test_custom_headers',
    {
      description: 'An argument that stands in a header too',
      inputSchema: fromJsonSchema({ type: 'object', properties: mirrored }),
    },
    () => text('ok'),
  );
}

function registerResources(server: McpServer): void {
  const plain = 'text/plain';
  server.registerResource('static-text', 'test://static-text', { mimeType: plain }, ({ href }) => ({
    contents: [{ uri: href, mimeType: plain, text: 'This is the content of the static text resource.' }],
  }));
  server.registerResource('static-binary', 'test://static-binary', { mimeType: 'image/png' }, ({ href }) => ({
    contents: [{ uri: href, mimeType: 'image/png', blob: pixel }],
  }));
  server.registerResource('watched', 'test://watched-resource', { mimeType: plain }, ({ href }) => ({
    contents: [{ uri: href, mimeType: plain, text: 'Watched resource content' }],
  }));
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { mimeType: 'application/json' },
    ({ href }, { id }) => ({
      contents: [
        {
          uri: href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  );
  const watched = new Set<string>();
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    watched.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    if (!watched.delete(params.uri))
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is no subscription to this resource.');
    return {};
  });
}

function registerPrompts(server: McpServer): void {
  const user = 'user' as const;
  const says = (words: string) => ({ role: user, content: { type: 'text' as const, text: words } });
  server.registerPrompt('test_simple_prompt', { description: 'Text' }, () => ({
    messages: [says('This is a simple prompt for testing.')],
  }));
  const places = (value: string) => ['paris', 'park', 'party'].filter((word) => word.startsWith(value));
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'Arguments',
      argsSchema: z.object({ arg1: completable(z.string(), places), arg2: z.string() }),
    },
    ({ arg1, arg2 }) => ({ messages: [says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)] }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'A resource', argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri: uri }) => ({
      messages: [
        {
          role: user,
          content: {
            type: 'resource',
            resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
          },
        },
        says('Please process the embedded resource above.'),
      ],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'An image' }, () => ({
    messages: [
      { role: user, content: { type: 'image', data: pixel, mimeType: 'image/png' } },
      says('Please analyze the image above.'),
    ],
  }));
}
