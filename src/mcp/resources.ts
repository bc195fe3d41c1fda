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
import { viewFailure } from './failure.ts';
import { callText, nextStep, type Reach } from './next-step.ts';
import { listPage } from './resources-list.ts';
import { type ReadContext, type Shelf, shelfIsOpen, shelves } from './resources-shelves.ts';
import type { PartContext } from './server.ts';
import { topics } from './texts/topics.ts';
import { safeText } from './untrusted-text.ts';

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
  const { caller, surface } = context;
  const reach = { operations: caller.operations, tools: surface.entries };
  server.registerCapabilities({ resources: {} });
  server.setRequestHandler('resources/list', ({ params }, { mcpReq }) => {
    const texts = [...topicTexts, ...source.list(context)].map(describeText);
    return explained(reach, () => listPage({ caller, signal: mcpReq.signal }, texts, params?.cursor));
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
    if (found === undefined) throw notFound(uri, formsText(caller));
    const read = { caller, signal: mcpReq.signal };
    const absent = notFound(uri, listText(reach, found.shelf));
    return explained(
      reach,
      async () => contents(uri, found.shelf.mimeType, await readShelf(read, found, absent)),
      absent,
    );
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

/** The data is the address alone, by which clients know this error; what helps stands in the sentence. */
function notFound(uri: string, help: string): ResourceNotFoundError {
  return new ResourceNotFoundError(uri, `Resource not found: ${safeText(uri.slice(0, 255))}. ${help}`);
}

function listText(reach: Reach, { values }: Shelf): string {
  const call = callText(reach, values.operation);
  return call === undefined ? 'It may be missing, or of another namespace.' : `${call} lists what there is.`;
}

function formsText(caller: Caller): string {
  const forms = [...shelves.filter((shelf) => shelfIsOpen(caller, shelf)), docsTemplate].map((one) => one.uriTemplate);
  return `Addresses have one of these forms, without escapes or a trailing slash, and names and hex in lower case: ${forms.join(', ')}. Topics: ${topics.map(({ topic }) => topic).join(', ')}.`;
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

async function readShelf(context: ReadContext, { shelf, value }: Found, absent: Error): Promise<string> {
  const text = await shelf.read(context, value);
  if (text === undefined) throw absent;
  return text;
}

/** What operations refuse, in the errors of the protocol. */
async function explained<Value>(reach: Reach, work: () => Promise<Value>, absent?: Error): Promise<Value> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    if (absent !== undefined && (thrown.code === 'not_found' || thrown.code === 'invalid_request')) throw absent;
    throw new ProtocolError(
      thrown.code === 'internal' ? ProtocolErrorCode.InternalError : refusalCode,
      thrown.message,
      viewFailure(thrown, nextStep(thrown, { operation: undefined, reach })),
    );
  }
}
