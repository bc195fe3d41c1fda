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
    inputSchema: leanInput(operation.input) as ObjectSchema,
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

/** Characters of JSON beyond which only the top level of an output schema is listed. */
const longestOutput = 700;

/**
 * What the result of the tool is: the output without its secret fields, and `delivery` where there were some. Names and
 * types only, and of long ones the top level only: what is listed, a model reads before every task, and twenty whole
 * schemas are 13,000 tokens. `describe_operation` shows the whole, and the server keeps to it.
 */
export function resultSchema(operation: OfferedOperation, reveal: boolean): ObjectSchema {
  const lean = shownOutput(operation, reveal, leanOutput);
  if (JSON.stringify(lean).length <= longestOutput) return lean;
  const { type, properties, required, additionalProperties } = lean;
  return {
    type,
    properties: mapValues(properties, topOnly) as ObjectSchema['properties'],
    required,
    additionalProperties,
  };
}

/** The type of a field, and of its items, without what stands in them. */
function topOnly(schema: unknown): unknown {
  const { type, items, anyOf } = schema as {
    readonly type?: unknown;
    readonly items?: unknown;
    readonly anyOf?: unknown[];
  };
  if (anyOf !== undefined) return { anyOf: anyOf.map(topOnly) };
  return type === undefined ? {} : items === undefined ? { type } : { type, items: topOnly(items) };
}

/** The whole schema of the same, for `describe_operation`. */
export function describedOutput(operation: OfferedOperation, reveal: boolean): ObjectSchema {
  return shownOutput(operation, reveal, (schema) => schema);
}

function shownOutput(
  { output, sensitive }: OfferedOperation,
  reveal: boolean,
  change: (schema: unknown) => unknown,
): ObjectSchema {
  const whole = change(output) as ObjectSchema;
  if (sensitive.length === 0) return whole;
  const kept = Object.entries(whole.properties).filter(([field]) => reveal || !sensitive.includes(field));
  // Kept answers hold no secrets, so they are not promised where they are revealed either.
  const required = (whole.required ?? []).filter((field) => !sensitive.includes(field));
  return {
    ...whole,
    properties: { ...Object.fromEntries(kept), delivery: change(deliverySchema) as object },
    required,
  };
}

/** Bounds and patterns: what they refuse, the server refuses, and says why. */
const bounds = [
  '$schema',
  'pattern',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'contentEncoding',
  'propertyNames',
];
const leanInput = without(new Set(bounds));
const leanOutput = without(
  new Set([...bounds, 'description', 'title', 'examples', 'default', 'format', 'enum', 'minimum', 'maximum']),
);

/** Schemas whose members are named by the schema itself, not by JSON Schema. */
const maps = new Set(['properties', '$defs']);

/** A schema without some of its keywords, at every level. */
function without(keywords: ReadonlySet<string>): (schema: unknown) => unknown {
  const change = (schema: unknown): unknown => {
    if (Array.isArray(schema)) return schema.map(change);
    if (typeof schema !== 'object' || schema === null) return schema;
    return Object.fromEntries(
      Object.entries(schema).flatMap(([keyword, value]) => {
        if (keywords.has(keyword) || isNoBound(value)) return [];
        if (maps.has(keyword)) return [[keyword, mapValues(value as object, change)]];
        return [[keyword, keyword === 'enum' || keyword === 'default' ? value : change(value)]];
      }),
    );
  };
  return change;
}

/** Zod writes the bounds of safe integers where there are none. They say nothing. */
function isNoBound(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) === Number.MAX_SAFE_INTEGER;
}

function mapValues(map: object, change: (value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));
}
