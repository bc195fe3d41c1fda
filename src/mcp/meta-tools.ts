import { didYouMean, suggest } from '#core/suggest.ts';
import { BackendError, type ObjectSchema, type OfferedOperation } from './backend.ts';
import { toolNameOf } from './catalogue.ts';
import { searchOperations } from './search.ts';
import { describedOutput, type Tool } from './tool.ts';

/** Four tools by which everything that is not on the list is found, understood and run. */

const operationField = {
  type: 'string',
  minLength: 1,
  maxLength: 100,
  description: 'Id of an operation, such as pki.create_role',
};
const inputField = {
  type: 'object',
  description: 'Its input, as describe_operation shows it',
  additionalProperties: true,
};

function strictObject(properties: Record<string, object>, required: readonly string[]): ObjectSchema {
  return { type: 'object', properties, required, additionalProperties: false };
}

const aText = { type: 'string' };
const summaries = {
  type: 'array',
  items: strictObject({ operation: aText, title: aText, summary: aText, effect: aText, tool: aText }, [
    'operation',
    'title',
    'summary',
    'effect',
  ]),
};

export const searchTool: Tool = {
  name: 'search_operations',
  title: 'Search all operations',
  description:
    'Finds operations by words: certificates, authorities, roles, ACME, databases, leases, principals, tokens, policies, approvals, audit. Everything the server can do is found here, also what has no tool on this list.',
  inputSchema: strictObject(
    {
      query: { type: 'string', minLength: 1, maxLength: 200, description: 'Words, such as "rotate authority"' },
      limit: { type: 'integer', minimum: 1, maximum: 50, default: 10 },
    },
    ['query'],
  ),
  outputSchema: strictObject({ operations: summaries, total: { type: 'integer' }, hint: aText }, [
    'operations',
    'total',
  ]),
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
};

export const describeTool: Tool = {
  name: 'describe_operation',
  title: 'Describe an operation',
  description:
    'Shows the input and output schema of one operation, and what it does to the world. Use it before run_operation.',
  inputSchema: strictObject({ operation: operationField }, ['operation']),
  outputSchema: strictObject(
    {
      operation: aText,
      title: aText,
      summary: aText,
      effect: aText,
      idempotent: { type: 'boolean' },
      open_world: { type: 'boolean' },
      secret_fields: { type: 'array', items: aText },
      input_schema: { type: 'object' },
      output_schema: { type: 'object' },
    },
    [
      'operation',
      'title',
      'summary',
      'effect',
      'idempotent',
      'open_world',
      'secret_fields',
      'input_schema',
      'output_schema',
    ],
  ),
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
};

const runResult = strictObject(
  { operation: aText, output: { type: 'object' }, replayed: { type: 'boolean' }, delivery: { type: 'object' } },
  ['operation', 'output', 'replayed'],
);

/** Annotated as the worst that it can do. */
export const runTool: Tool = {
  name: 'run_operation',
  title: 'Run any operation',
  description:
    'Runs any operation by id, also destructive ones. Goes through the same checks as the tools on this list. With approval_id it repeats a call that somebody approved; with idempotency_key a repeat does nothing twice.',
  inputSchema: strictObject(
    {
      operation: operationField,
      input: inputField,
      approval_id: { type: 'string', pattern: '^[!-~]{1,255}$', description: 'From the error approval_required' },
      idempotency_key: {
        type: 'string',
        pattern: '^[!-~]{1,255}$',
        description: 'Any text, new for each new intention',
      },
    },
    ['operation'],
  ),
  outputSchema: runResult,
  annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true },
};

export const runReadTool: Tool = {
  name: 'run_read_operation',
  title: 'Run a reading operation',
  description: 'Runs an operation that changes nothing, by id. Others are refused here.',
  inputSchema: strictObject({ operation: operationField, input: inputField }, ['operation']),
  outputSchema: runResult,
  annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: true },
};

export const metaTools = [searchTool, describeTool, runReadTool, runTool] as const;

/** Checks arguments by the little that the schemas above use. Throws BackendError that names every fault. */
export function checkArguments({ name, inputSchema }: Tool, args: Readonly<Record<string, unknown>>): void {
  const { properties, required } = inputSchema;
  const unknown = Object.keys(args).filter((field) => !Object.hasOwn(properties, field));
  const faults = [
    ...unknown.map((field) => ({ at: `/${field.slice(0, 64)}`, message: unknownField(field, properties, args) })),
    ...Object.entries(properties).flatMap(([field, schema]) => {
      const value = args[field];
      const missing = required?.includes(field) === true ? 'is missing' : undefined;
      const message = value === undefined ? missing : faultOf(value, schema as FieldSchema);
      return message === undefined ? [] : [{ at: `/${field}`, message }];
    }),
  ];
  const [first] = faults;
  if (first === undefined) return;
  const next = `${name} takes ${Object.keys(properties).join(', ')}; needed: ${required?.join(', ') ?? 'none'}.`;
  throw new BackendError(`${first.at}: ${first.message}.`, {
    code: 'invalid_request',
    details: faults.slice(0, 20),
    members: { next },
  });
}

function unknownField(field: string, known: object, args: object): string {
  const near = didYouMean(field, Object.keys(known));
  if (near !== undefined) return `there is no field of this name; ${near.replace(/\?$/, '')}`;
  return 'input' in known && 'operation' in args
    ? 'there is no field of this name; fields of the operation go into input'
    : 'there is no field of this name';
}

interface FieldSchema {
  readonly type: 'string' | 'integer' | 'object';
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

function faultOf(value: unknown, schema: FieldSchema): string | undefined {
  switch (schema.type) {
    case 'string':
      if (typeof value !== 'string') return 'expected a string';
      if (value.length < (schema.minLength ?? 0)) return 'is empty';
      if (value.length > (schema.maxLength ?? 255)) return `has more than ${schema.maxLength ?? 255} characters`;
      return schema.pattern === undefined || /^[!-~]{1,255}$/.test(value)
        ? undefined
        : 'must be 1 to 255 printable ASCII characters without spaces';
    case 'integer':
      return Number.isInteger(value) && Number(value) >= (schema.minimum ?? 0) && Number(value) <= (schema.maximum ?? 0)
        ? undefined
        : `must be a whole number from ${schema.minimum ?? 0} to ${schema.maximum ?? 0}`;
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
        ? undefined
        : `expected an object${typeof value === 'string' ? ', not a text that holds one' : ''}`;
  }
}

/** By its id or by the name of its tool. Throws BackendError that names the nearest. */
export function findOperation(operations: readonly OfferedOperation[], word: string): OfferedOperation {
  const found = operations.find((operation) => operation.id === word || toolNameOf(operation) === word);
  if (found) return found;
  if (metaTools.some(({ name }) => name === word))
    throw new BackendError(`${word} is a tool and not an operation.`, {
      code: 'not_found',
      members: { next: `Call the tool ${word} itself.` },
    });
  const near = nearestOperations(operations, word);
  throw new BackendError('There is no operation of this id that this token could call.', {
    code: 'not_found',
    hint: near.length === 0 ? undefined : `The nearest: ${near.join(', ')}.`,
    members: { next: 'search_operations {"query":"…"} finds operations by words; take the id from its answer.' },
  });
}

/** Ids that are spelt much the same, or else that are about the same. */
export function nearestOperations(operations: readonly OfferedOperation[], word: string): string[] {
  const ids = operations.map(({ id }) => id);
  const spelt = suggest(word.replace('_', '.'), ids);
  return spelt.length > 0 ? spelt : searchOperations(operations, word, 3).found.map(({ id }) => id);
}

export function describeOperation(operation: OfferedOperation, reveal: boolean): Record<string, unknown> {
  return {
    operation: operation.id,
    title: operation.title,
    summary: operation.summary,
    effect: operation.effect,
    idempotent: operation.idempotent,
    open_world: operation.openWorld,
    secret_fields: [...operation.sensitive],
    input_schema: operation.input,
    output_schema: describedOutput(operation, reveal),
  };
}
