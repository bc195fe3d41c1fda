import { type CallToolResult, type McpServer, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { ServerContext } from '@modelcontextprotocol/server';
import { BackendError, type CallContext, type OfferedOperation } from './backend.ts';
import type { Caller, Performed } from './caller.ts';
import { toolNameOf } from './catalogue.ts';
import { failureResult, viewFailure } from './failure.ts';
import {
  checkArguments,
  describeOperation,
  describeTool,
  findOperation,
  runReadTool,
  runTool,
  searchTool,
} from './meta-tools.ts';
import { callText, fieldHelp, nextStep, type Reach } from './next-step.ts';
import { startHeartbeat } from './progress.ts';
import { searchOperations } from './search.ts';
import type { Surface } from './surface.ts';
import { unknownTool } from './unknown-tool.ts';

export interface ToolsOptions {
  readonly caller: Caller;
  readonly surface: Surface;
  readonly reveal: boolean;
}

type Arguments = Readonly<Record<string, unknown>>;
type Structured = Record<string, unknown>;

/** `tools/list` and `tools/call`, straight on the protocol: the SDK's own would make the schemas anew per request. */
export function registerTools({ server }: McpServer, options: ToolsOptions): void {
  server.registerCapabilities({ tools: {} });
  server.setRequestHandler('tools/list', () => ({ tools: [...options.surface.tools] as never }));
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    if (!options.surface.entries.has(params.name))
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, unknownTool(reachOf(options), params.name));
    return callTool(options, params.name, params.arguments ?? {}, context);
  });
}

function reachOf({ caller, surface }: Pick<ToolsOptions, 'caller' | 'surface'>): Reach {
  return { operations: caller.operations, tools: surface.entries };
}

async function callTool(
  options: ToolsOptions,
  name: string,
  args: Arguments,
  context: ServerContext,
): Promise<CallToolResult> {
  const stop = startHeartbeat(context, name);
  try {
    return result(await run(options, name, args, fromMeta(context)));
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    const operation = operationOf(options, name, args);
    const input = options.surface.entries.get(name) === undefined ? args['input'] : args;
    const next = nextStep(thrown, { operation: operation?.id, input: asFields(input), reach: reachOf(options) });
    return failureResult(viewFailure(thrown, next, operation && fieldHelp(operation, thrown)));
  } finally {
    stop();
  }
}

/** Structured, and the same as text for clients that know only that. */
function result(structured: Structured): CallToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(structured) }], structuredContent: structured };
}

async function run(options: ToolsOptions, name: string, args: Arguments, context: CallContext): Promise<Structured> {
  const { caller, reveal, surface } = options;
  const operation = surface.entries.get(name);
  if (operation) return merged(await caller.call(operation, args, context));
  switch (name) {
    case searchTool.name:
      checkArguments(searchTool, args);
      return search(options, String(args['query']), Number(args['limit'] ?? 10));
    case describeTool.name:
      checkArguments(describeTool, args);
      return describeOperation(findOperation(caller.operations, String(args['operation'])), reveal);
    case runReadTool.name:
      checkArguments(runReadTool, args);
      return runById(options, args, context, true);
    default:
      checkArguments(runTool, args);
      return runById(options, args, withKeys(args, context), false);
  }
}

function search({ caller, surface }: ToolsOptions, query: string, limit: number): Structured {
  const allowed = caller.operations.filter(({ effect }) => !caller.readOnly || effect === 'read');
  const { found, total } = searchOperations(allowed, query, limit);
  const operations = found.map((operation) => {
    const tool = toolNameOf(operation);
    const { id, title, summary, effect } = operation;
    return { operation: id, title, summary, effect, ...(surface.entries.has(tool) ? { tool } : {}) };
  });
  const hint =
    'Nothing has these words. Use others, such as certificate, authority, database, lease, token, policy or audit.';
  return total === 0 ? { operations, total, hint } : { operations, total };
}

async function runById(options: ToolsOptions, args: Arguments, context: CallContext, reads: boolean) {
  const { caller } = options;
  const operation = findOperation(caller.operations, String(args['operation']));
  if (reads) refuseWrites(operation, reachOf(options));
  const { output, delivery, replayed } = await caller.call(operation, args['input'] ?? {}, context);
  return { operation: operation.id, output, replayed, ...(delivery === undefined ? {} : { delivery }) };
}

function refuseWrites({ id, effect }: OfferedOperation, reach: Reach): void {
  if (effect === 'read') return;
  const call = callText(reach, id);
  throw new BackendError(`${id} changes something; run_read_operation runs only what reads.`, {
    code: 'denied',
    members: {
      next:
        call === undefined ? 'This list has only what reads: tell the user what you wanted to do.' : `Call ${call}.`,
    },
  });
}

function merged({ output, delivery }: Performed): Structured {
  return delivery === undefined ? { ...output } : { ...output, delivery };
}

function withKeys(args: Arguments, context: CallContext): CallContext {
  const approvalId = args['approval_id'];
  const idempotencyKey = args['idempotency_key'];
  return {
    ...context,
    ...(typeof approvalId === 'string' ? { approvalId } : {}),
    ...(typeof idempotencyKey === 'string' ? { idempotencyKey } : {}),
  };
}

/** Programs name the approval and the key in `_meta`, so that no tool spends schema on them; models use run_operation. */
export const metaKeys = { approval: 'chancery/approval_id', idempotency: 'chancery/idempotency_key' } as const;

const printable = /^[!-~]{1,255}$/;

function fromMeta({ mcpReq }: ServerContext): CallContext {
  const meta = (mcpReq._meta ?? {}) as Arguments;
  const [approvalId, idempotencyKey] = [meta[metaKeys.approval], meta[metaKeys.idempotency]].map((value) => {
    if (value === undefined) return undefined;
    if (typeof value === 'string' && printable.test(value)) return value;
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `${metaKeys.approval} and ${metaKeys.idempotency} take 1 to 255 printable ASCII characters without spaces.`,
    );
  });
  return { signal: mcpReq.signal, approvalId, idempotencyKey };
}

function asFields(input: unknown): Arguments | undefined {
  return typeof input === 'object' && input !== null ? (input as Arguments) : undefined;
}

/** The operation that was called, by its tool or by id. */
function operationOf({ surface, caller }: ToolsOptions, name: string, args: Arguments): OfferedOperation | undefined {
  const word = args['operation'];
  return (
    surface.entries.get(name) ?? caller.operations.find((known) => known.id === word || toolNameOf(known) === word)
  );
}
