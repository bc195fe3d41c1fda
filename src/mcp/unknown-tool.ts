import { suggest } from '#core/suggest.ts';
import type { OfferedOperation } from './backend.ts';
import { toolNameOf } from './catalogue.ts';
import { nearestOperations } from './meta-tools.ts';
import { callText, type Reach } from './next-step.ts';

/** What a model is told that calls a tool which is not on its list: mostly there is an operation behind it all the same. */
export function unknownTool(reach: Reach, name: string): string {
  const none = 'There is no tool of this name here.';
  const operation = operationMeant(reach.operations, name);
  if (operation !== undefined) return `${none} ${byId(reach, operation)}`;
  const tools = suggest(name, [...reach.tools.keys()]);
  if (tools.length > 0) return `${none} The nearest: ${tools.join(', ')}.`;
  const calls = nearestOperations(reach.operations, name).flatMap((id) => callText(reach, id) ?? []);
  const nearest = calls.length > 0 ? ` The nearest: ${calls.join('; ')}.` : '';
  return `${none}${nearest} search_operations {"query":"…"} finds operations by words; what this token could never call is not found.`;
}

/** Clients put the name of the server before that of a tool, and models call operations by id. */
function operationMeant(operations: readonly OfferedOperation[], name: string): OfferedOperation | undefined {
  const bare = name.replace(/^(?:mcp__)?chancery(?:__|_|\.|-)/, '');
  return operations.find((operation) => operation.id === bare || toolNameOf(operation) === bare);
}

function byId({ tools }: Reach, operation: OfferedOperation): string {
  const { id, effect } = operation;
  const tool = toolNameOf(operation);
  if (tools.has(tool)) return `The tool is called ${tool}.`;
  const runner = effect === 'read' ? 'run_read_operation' : 'run_operation';
  if (!tools.has(runner)) return `The operation ${id} changes something, and this list has only what reads.`;
  return `It is the operation ${id}: call ${runner} {"operation":"${id}","input":{…}} with the arguments as input; describe_operation {"operation":"${id}"} shows what it takes.`;
}
