import { type McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import { BackendError } from './backend.ts';
import { promptNamed, unknownPrompt } from './prompts.ts';
import { docsTemplate } from './resources.ts';
import { askPage, type ReadContext, shelves, type ValueSource, valueSources } from './resources-shelves.ts';
import type { PartContext } from './server.ts';
import { topics } from './texts/topics.ts';

/** `completion/complete`: values come from the lists that the caller may read, so nobody is told a name that is not theirs. */

/** The protocol allows no more. */
const maxValues = 100;
/** Of a list this many are looked at: one page. */
const lookedAt = 200;

interface Completion {
  readonly values: string[];
  readonly total?: number;
  readonly hasMore: boolean;
}

const none: Completion = { values: [], total: 0, hasMore: false };

export function registerCompletion({ server }: McpServer, { caller }: PartContext): void {
  server.registerCapabilities({ completions: {} });
  server.setRequestHandler('completion/complete', async ({ params }, { mcpReq }) => {
    const { ref, argument } = params;
    const context = { caller, signal: mcpReq.signal };
    const completion =
      ref.type === 'ref/prompt'
        ? await completePrompt(context, ref.name, argument)
        : await completeAddress(context, ref.uri, argument);
    return { completion: { ...completion } };
  });
}

interface Argument {
  readonly name: string;
  readonly value: string;
}

async function completePrompt(context: ReadContext, name: string, argument: Argument): Promise<Completion> {
  const prompt = promptNamed(context.caller, name);
  if (prompt === undefined) throw unknownPrompt(context.caller);
  const values = prompt.arguments.find((candidate) => candidate.name === argument.name)?.values;
  return values === undefined ? none : completeFrom(context, valueSources[values], argument.value);
}

async function completeAddress(context: ReadContext, template: string, argument: Argument): Promise<Completion> {
  if (template === docsTemplate.uriTemplate) {
    const words = topics.map(({ topic }) => topic);
    return argument.name === 'topic' ? narrowed(words, argument.value, false) : none;
  }
  const shelf = shelves.find(({ uriTemplate }) => uriTemplate === template);
  if (shelf === undefined)
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      'There is no resource template of this address here; resources/templates/list has them.',
    );
  return argument.name === shelf.variable ? completeFrom(context, shelf.values, argument.value) : none;
}

async function completeFrom(context: ReadContext, source: ValueSource, begun: string): Promise<Completion> {
  try {
    const page = await askPage(context, source, lookedAt);
    if (page === undefined) return none;
    const words = page.items.map((item) => String(item[source.field]));
    return narrowed(words, begun, page.next !== undefined);
  } catch (thrown) {
    // What may not be listed, or not now, is not completed; whoever types on loses nothing.
    if (thrown instanceof BackendError) return none;
    throw thrown;
  }
}

function narrowed(words: readonly string[], begun: string, more: boolean): Completion {
  const found = words.filter((word) => word.startsWith(begun));
  return {
    values: found.slice(0, maxValues),
    ...(more ? {} : { total: found.length }),
    hasMore: more || found.length > maxValues,
  };
}
