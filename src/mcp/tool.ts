import { deliverySchema, type ObjectSchema, type OfferedOperation } from './backend.ts';
import { toolNameOf } from './catalogue.ts';

/** A tool as `tools/list` tells it. Plain data, made once: schemas that are made per request cost more than the call. */
export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: ObjectSchema;
  readonly outputSchema: ObjectSchema;
  readonly annotations: ToolAnnotations;
}

/** All four, always: what is left out stands for the worst. */
export interface ToolAnnotations {
  readonly readOnlyHint: boolean;
  readonly destructiveHint: boolean;
  readonly idempotentHint: boolean;
  readonly openWorldHint: boolean;
}

/** `reveal`: the operator wants secret fields in results (CHANCERY_MCP_REVEAL). */
export function toTool(operation: OfferedOperation, reveal: boolean): Tool {
  const { sensitive } = operation;
  const held = reveal ? [] : sensitive;
  return {
    name: toolNameOf(operation),
    title: operation.title,
    description:
      held.length === 0
        ? operation.summary
        : `${operation.summary} Secret fields (${held.join(', ')}) are not in the result: \`delivery\` says where they went.`,
    inputSchema: withoutHugeBounds(operation.input),
    outputSchema: resultSchema(operation, reveal),
    annotations: annotationsOf(operation),
  };
}

/** MCP calls only additive updates not destructive, so what replaces something is destructive as well. */
export function annotationsOf({
  effect,
  idempotent,
  openWorld,
}: Pick<OfferedOperation, 'effect' | 'idempotent' | 'openWorld'>): ToolAnnotations {
  return {
    readOnlyHint: effect === 'read',
    destructiveHint: effect === 'mutating' || effect === 'destructive',
    idempotentHint: effect === 'read' || idempotent,
    openWorldHint: openWorld,
  };
}

/**
 * What the result of the tool is: the output without its secret fields, and `delivery` where there were some. Without
 * descriptions, patterns and bounds: they double what a client's model has to read, and `describe_operation` has them.
 */
export function resultSchema({ output, sensitive }: OfferedOperation, reveal: boolean): ObjectSchema {
  const lean = leanSchema(output) as ObjectSchema;
  if (reveal || sensitive.length === 0) return lean;
  const kept = Object.entries(lean.properties).filter(([field]) => !sensitive.includes(field));
  const required = (lean.required ?? []).filter((field) => !sensitive.includes(field));
  return {
    ...lean,
    properties: { ...Object.fromEntries(kept), delivery: leanSchema(deliverySchema) as object },
    required,
  };
}

const words = new Set([
  'description',
  'title',
  'examples',
  'default',
  'pattern',
  'format',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'propertyNames',
  '$schema',
]);
const maps = new Set(['properties', '$defs']);

function leanSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(leanSchema);
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).flatMap(([word, value]) => {
      if (words.has(word)) return [];
      if (word === 'enum' || word === 'const' || word === 'required') return [[word, value]];
      return [[word, maps.has(word) ? mapValues(value as object, leanSchema) : leanSchema(value)]];
    }),
  );
}

function mapValues(map: object, change: (value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));
}

/** Zod writes the bounds of safe integers where there are none. They say nothing and cost tokens. */
function withoutHugeBounds(schema: ObjectSchema): ObjectSchema {
  return dropHuge(schema) as ObjectSchema;
}

function dropHuge(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(dropHuge);
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).flatMap(([word, value]) =>
      (word === 'maximum' || word === 'minimum') && Math.abs(value as number) === Number.MAX_SAFE_INTEGER
        ? []
        : [[word, dropHuge(value)]],
    ),
  );
}
