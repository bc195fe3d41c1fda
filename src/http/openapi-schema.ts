import { z } from 'zod';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** Schemas of the document's `components`, collected while operations are described. */
export interface Components {
  /** The JSON Schema (2020-12) of a Zod schema; what it shares by `.meta({ id })` goes into the components once. */
  readonly schemaOf: (schema: z.core.$ZodType, io: 'input' | 'output') => JsonObject;
  /** Puts a schema under a name, for generated clients, and refers to it. What is there already is referred to again. */
  readonly named: (name: string, schema: JsonObject) => JsonObject;
  readonly schemas: Record<string, Json>;
}

export function createComponents(): Components {
  const schemas: Record<string, Json> = {};
  const shapes = new Map<string, string>();
  return {
    schemas,
    schemaOf: (schema, io) => {
      const { $schema: _, $defs, ...root } = toJsonSchema(schema, io) as JsonObject;
      const definitions = ($defs ?? {}) as JsonObject;
      const names = nameDefinitions(definitions, shapes, io);
      const refer = (pointer: string): string => reference(names.get(pointer.replace('#/$defs/', '')) ?? unnamed());
      for (const [id, definition] of Object.entries(definitions))
        schemas[names.get(id) ?? id] = moveReferences(definition ?? {}, refer);
      return moveReferences(root, refer) as JsonObject;
    },
    named: (name, schema) => {
      schemas[name] ??= schema;
      return { $ref: reference(name) };
    },
  };
}

const reference = (name: string): string => `#/components/schemas/${name}`;

/**
 * Names for the definitions that a schema shares by `.meta({ id })`. Requests and answers may differ in shape: what has
 * a default is optional in the one and always there in the other. Then the second to come gets a suffix.
 */
function nameDefinitions(definitions: JsonObject, shapes: Map<string, string>, io: 'input' | 'output') {
  const names = new Map<string, string>();
  for (const id of Object.keys(definitions)) {
    if (id.startsWith('__')) unnamed();
    const shape = shapeOf(definitions, id);
    const suffixed = `${id}${io === 'input' ? 'Request' : 'Response'}`;
    const name = [id, suffixed].find((candidate) => (shapes.get(candidate) ?? shape) === shape);
    if (name === undefined) throw new Error(`two schemas have the id ${id}; give one of them another`);
    shapes.set(name, shape);
    names.set(id, name);
  }
  return names;
}

/** Recursive schemas can only be referred to by name. */
function unnamed(): never {
  throw new Error('a recursive schema of an operation has no name; give it one with .meta({ id })');
}

/** The text of a definition with all that it refers to. */
function shapeOf(definitions: JsonObject, id: string): string {
  const reached = new Set([id]);
  for (const name of reached) {
    const text = JSON.stringify(definitions[name] ?? {});
    for (const [, next = ''] of text.matchAll(/"#\/\$defs\/([^"]+)"/g)) reached.add(next);
  }
  return JSON.stringify([...reached].map((name) => [name, definitions[name]]));
}

/** A request is described by what its schema takes, an answer by what its schema gives. */
function toJsonSchema(schema: z.core.$ZodType, io: 'input' | 'output'): unknown {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const { type } = zodSchema._zod.def;
      if (type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
      tidy(jsonSchema);
    },
  });
}

/** Zod spells out the calendar in the pattern of dates and times; the format says the same and can be read. */
function tidy(schema: Record<string, unknown>): void {
  const { format } = schema;
  if (typeof format === 'string' && /^(?:date|time|date-time|uuid|email|ipv4|ipv6)$/.test(format))
    delete schema['pattern'];
  // Safe integers are what JSON numbers can be at all; saying so on every count hides the bounds that matter.
  if (schema['maximum'] === Number.MAX_SAFE_INTEGER) delete schema['maximum'];
  if (schema['minimum'] === Number.MIN_SAFE_INTEGER) delete schema['minimum'];
}

function moveReferences(value: Json, refer: (pointer: string) => string): Json {
  if (Array.isArray(value)) return value.map((item: Json) => moveReferences(item, refer));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string' ? refer(item) : moveReferences(item ?? null, refer),
    ]),
  );
}
