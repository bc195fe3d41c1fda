import {
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type Resource,
  ResourceNotFoundError,
  type ResourceTemplateType,
} from '@modelcontextprotocol/server';
import { BackendError } from './backend.ts';
import type { Caller } from './caller.ts';
import { nextStep, viewFailure } from './failure.ts';
import { listPage } from './resources-list.ts';
import { type ReadContext, type Shelf, shelfIsOpen, shelves } from './resources-shelves.ts';
import type { PartContext } from './server.ts';
import { topics } from './texts/topics.ts';

/**
 * `chancery://…`: what an agent may read without choosing a tool. Each is read by the same calls as the tool of the same
 * name, so that policy, guards, audit and escaping are the same. Every one of them can be had by a tool as well, for the
 * clients that know no resources.
 */

/** JSON-RPC leaves the numbers outside of -32768…-32000 to applications: a refusal that is neither absence nor a fault. */
export const refusalCode = 1000;

/** A text that is always there, whatever the store holds. */
export interface FixedText {
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly mimeType: string;
  readonly text: string;
}

const topicTexts: readonly FixedText[] = topics.map(({ topic, title, description, text }) => ({
  uri: `chancery://docs/${topic}`,
  name: `docs/${topic}`,
  title,
  description,
  mimeType: 'text/markdown',
  text,
}));

export const docsTemplate = {
  name: 'docs',
  uriTemplate: 'chancery://docs/{topic}',
  title: 'Documentation',
  description: 'Short texts about the use of this server',
  mimeType: 'text/markdown',
} as const;

const topicsByUri = new Map(topicTexts.map((text) => [text.uri, text]));

/** Further texts that are served in the same lists (skills). Asked only when somebody lists or reads: most requests do neither. */
export interface TextSource {
  /** How their addresses are made. */
  readonly template: ResourceTemplateType;
  list(context: PartContext): readonly FixedText[];
}

export function registerResources({ server }: McpServer, context: PartContext, source: TextSource): void {
  const { caller } = context;
  server.registerCapabilities({ resources: {} });
  server.setRequestHandler('resources/list', ({ params }, { mcpReq }) => {
    const texts = [...topicTexts, ...source.list(context)].map(describeText);
    return explained(() => listPage({ caller, signal: mcpReq.signal }, texts, params?.cursor));
  });
  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: [
      ...shelves.filter((shelf) => shelfIsOpen(caller, shelf)).map(describeShelf),
      docsTemplate,
      source.template,
    ],
  }));
  server.setRequestHandler('resources/read', async ({ params: { uri } }, { mcpReq }) => {
    const text = topicsByUri.get(uri) ?? source.list(context).find((candidate) => candidate.uri === uri);
    if (text !== undefined) return contents(uri, text.mimeType, text.text);
    const found = findShelf(caller, uri);
    if (found === undefined) throw new ResourceNotFoundError(uri);
    const read = { caller, signal: mcpReq.signal };
    return explained(async () => contents(uri, found.shelf.mimeType, await readShelf(read, found, uri)), uri);
  });
}

function describeText({ uri, name, title, description, mimeType }: FixedText): Resource {
  return { uri, name, title, description, mimeType };
}

function describeShelf({ name, uriTemplate, title, description, mimeType }: Shelf): ResourceTemplateType {
  return { name, uriTemplate, title, description, mimeType };
}

function contents(uri: string, mimeType: string, text: string) {
  return { contents: [{ uri, mimeType, text }] };
}

interface Found {
  readonly shelf: Shelf;
  readonly value: string;
}

/** Addresses have one spelling: no escapes, no case, no query. Everything else is no address of ours. */
function findShelf(caller: Caller, uri: string): Found | undefined {
  if (uri.length > 255) return undefined;
  for (const shelf of shelves) {
    const value = shelf.pattern.exec(uri)?.[1];
    if (value !== undefined) return shelfIsOpen(caller, shelf) ? { shelf, value } : undefined;
  }
  return undefined;
}

async function readShelf(context: ReadContext, { shelf, value }: Found, uri: string): Promise<string> {
  const text = await shelf.read(context, value);
  if (text === undefined) throw new ResourceNotFoundError(uri);
  return text;
}

/** What operations refuse, in the errors of the protocol. */
export async function explained<Value>(work: () => Promise<Value>, uri?: string): Promise<Value> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    const absent = thrown.code === 'not_found' || thrown.code === 'invalid_request';
    if (absent && uri !== undefined) throw new ResourceNotFoundError(uri);
    throw new ProtocolError(
      thrown.code === 'internal' ? ProtocolErrorCode.InternalError : refusalCode,
      thrown.message,
      viewFailure(thrown, nextStep(thrown.code, undefined)),
    );
  }
}
