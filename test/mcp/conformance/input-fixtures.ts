import {
  acceptedContent,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { requestState, text } from './answers.ts';

/** Fixtures that need an answer of the user before they go on, by several rounds (2026-07-28). */

const named = z.object({ name: z.string() });
const coloured = z.object({ color: z.string() });
const confirmed = z.object({ ok: z.boolean() });
const contextual = z.object({ context: z.string() });

const askName = inputRequired.elicit({ message: 'What is your name?', requestedSchema: named });
const askConfirmation = inputRequired.elicit({ message: 'Please confirm', requestedSchema: confirmed });

function sampling(words: string, maxTokens: number) {
  return inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: words } }],
    maxTokens,
  });
}

export function registerInputFixtures(server: McpServer): void {
  registerSingleQuestions(server);
  registerStatefulQuestions(server);
  registerMultipleQuestions(server);
  registerCapabilityQuestions(server);
  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'A prompt that asks first' },
    ({ mcpReq }) => {
      const given = acceptedContent(mcpReq.inputResponses, 'user_context', contextual);
      if (given === undefined)
        return inputRequired({
          inputRequests: {
            user_context: inputRequired.elicit({
              message: 'What context should the prompt use?',
              requestedSchema: contextual,
            }),
          },
        });
      return { messages: [{ role: 'user', content: { type: 'text', text: `With the context ${given.context}` } }] };
    },
  );
}

function registerSingleQuestions(server: McpServer): void {
  const greet = ({ mcpReq }: ServerContext) => {
    const given = acceptedContent(mcpReq.inputResponses, 'user_name', named);
    return given === undefined
      ? inputRequired({ inputRequests: { user_name: askName } })
      : text(`Hello, ${given.name}!`);
  };
  server.registerTool('test_input_required_result_elicitation', { description: 'Asks for a name' }, greet);
  server.registerTool('test_streaming_elicitation', { description: 'Asks for a name' }, greet);
  server.registerTool('test_input_required_result_sampling', { description: 'Asks a model' }, ({ mcpReq }) => {
    const given = inputResponse(mcpReq.inputResponses, 'capital_question');
    if (given.kind !== 'sampling')
      return inputRequired({ inputRequests: { capital_question: sampling('What is the capital of France?', 100) } });
    return text(JSON.stringify(given.result.content));
  });
  server.registerTool('test_input_required_result_list_roots', { description: 'Asks for roots' }, ({ mcpReq }) => {
    const given = inputResponse(mcpReq.inputResponses, 'client_roots');
    if (given.kind !== 'roots') return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    return text(given.roots.map(({ uri }) => uri).join(' '));
  });
}

function registerStatefulQuestions(server: McpServer): void {
  const confirm = async ({ mcpReq }: ServerContext) => {
    const given = acceptedContent(mcpReq.inputResponses, 'confirm', confirmed);
    if (given !== undefined && mcpReq.requestState<string>() === 'confirm') return text('state-ok');
    return inputRequired({
      inputRequests: { confirm: askConfirmation },
      requestState: await requestState.mint('confirm'),
    });
  };
  server.registerTool('test_input_required_result_request_state', { description: 'Keeps state' }, confirm);
  server.registerTool('test_input_required_result_tampered_state', { description: 'Checks state' }, confirm);
  server.registerTool('test_input_required_result_multi_round', { description: 'Asks twice' }, async ({ mcpReq }) => {
    const state = mcpReq.requestState<string>();
    const colour = acceptedContent(mcpReq.inputResponses, 'step2', coloured);
    if (state?.startsWith('named ') === true && colour) return text(`${state.slice(6)} likes ${colour.color}`);
    const person = acceptedContent(mcpReq.inputResponses, 'step1', named);
    return person === undefined
      ? askStep('step1', 'Step 1: What is your name?', named, 'unnamed')
      : askStep('step2', 'Step 2: What is your favorite color?', coloured, `named ${person.name}`);
  });
}

async function askStep(
  step: string,
  message: string,
  requestedSchema: z.ZodType,
  state: string,
): Promise<InputRequiredResult> {
  return inputRequired({
    inputRequests: { [step]: inputRequired.elicit({ message, requestedSchema }) },
    requestState: await requestState.mint(state),
  });
}

function registerMultipleQuestions(server: McpServer): void {
  server.registerTool(
    'test_input_required_result_multiple_inputs',
    { description: 'Asks three things at once' },
    async ({ mcpReq }) => {
      const person = acceptedContent(mcpReq.inputResponses, 'user_name', named);
      const greeting = inputResponse(mcpReq.inputResponses, 'greeting');
      const roots = inputResponse(mcpReq.inputResponses, 'client_roots');
      if (person && greeting.kind === 'sampling' && roots.kind === 'roots')
        return text(`${person.name}, ${roots.roots.length} roots, ${JSON.stringify(greeting.result.content)}`);
      return inputRequired({
        inputRequests: {
          user_name: askName,
          greeting: sampling('Generate a greeting', 50),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await requestState.mint('three'),
      });
    },
  );
}

type Capabilities = Readonly<Record<string, unknown>>;

function capabilitiesOf({ mcpReq }: ServerContext): Capabilities {
  const envelope = (mcpReq.envelope ?? {}) as Readonly<Record<string, unknown>>;
  return (envelope['io.modelcontextprotocol/clientCapabilities'] ?? {}) as Capabilities;
}

function registerCapabilityQuestions(server: McpServer): void {
  // The SDK refuses to pass on a question that the client cannot answer.
  server.registerTool('test_missing_capability', { description: 'Needs sampling' }, () =>
    inputRequired({ inputRequests: { greeting: sampling('Generate a greeting', 50) } }),
  );
  server.registerTool('test_input_required_result_capabilities', { description: 'Asks what it can' }, (context) => {
    const can = capabilitiesOf(context);
    const inputRequests = {
      ...(can['elicitation'] === undefined ? {} : { user_name: askName }),
      ...(can['sampling'] === undefined ? {} : { greeting: sampling('Generate a greeting', 50) }),
      ...(can['roots'] === undefined ? {} : { client_roots: inputRequired.listRoots() }),
    };
    return Object.keys(inputRequests).length === 0 ? text('Nothing can be asked.') : inputRequired({ inputRequests });
  });
}
