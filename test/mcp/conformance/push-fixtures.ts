import type { ElicitRequestFormParams, McpServer, ServerContext } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { text } from './answers.ts';

/**
 * Fixtures by which the server asks the client in the middle of a call, as sessions of 2025-11-25 allow: on the stream of
 * that call, for there is no other (GET is not served).
 */

export function registerPushFixtures(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    { description: 'Asks a model', inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, { mcpReq }) => {
      const { content } = await mcpReq.requestSampling(
        { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 100 },
        { relatedRequestId: mcpReq.id },
      );
      const [block] = [content].flat();
      return text(`LLM response: ${block?.type === 'text' ? block.text : ''}`);
    },
  );
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user', inputSchema: z.object({ message: z.string() }) },
    ({ message }, context) =>
      ask(context, 'User response', {
        message,
        requestedSchema: {
          type: 'object',
          properties: {
            username: { type: 'string', description: "User's response" },
            email: { type: 'string', description: "User's email address" },
          },
          required: ['username', 'email'],
        },
      }),
  );
  server.registerTool('test_elicitation_sep1034_defaults', { description: 'Asks with defaults' }, (context) =>
    ask(context, 'Elicitation completed', defaultsForm),
  );
  server.registerTool('test_elicitation_sep1330_enums', { description: 'Asks to choose' }, (context) =>
    ask(context, 'Elicitation completed', choicesForm),
  );
}

async function ask({ mcpReq }: ServerContext, said: string, form: ElicitRequestFormParams) {
  const { action, content } = await mcpReq.elicitInput(form, { relatedRequestId: mcpReq.id });
  return text(`${said}: action=${action}, content=${JSON.stringify(content ?? {})}`);
}

const defaultsForm: ElicitRequestFormParams = {
  message: 'Please look at the defaults',
  requestedSchema: {
    type: 'object',
    properties: {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    },
  },
};

const titled = (title: string) => [
  { const: 'value1', title: `First ${title}` },
  { const: 'value2', title: `Second ${title}` },
  { const: 'value3', title: `Third ${title}` },
];
const options = ['option1', 'option2', 'option3'];

const choicesForm: ElicitRequestFormParams = {
  message: 'Please choose',
  requestedSchema: {
    type: 'object',
    properties: {
      untitledSingle: { type: 'string', enum: options },
      titledSingle: { type: 'string', oneOf: titled('Option') },
      legacyEnum: {
        type: 'string',
        enum: ['opt1', 'opt2', 'opt3'],
        enumNames: ['Option One', 'Option Two', 'Option Three'],
      },
      untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
      titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
    },
  },
};
