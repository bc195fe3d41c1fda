import { z } from 'zod';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** Schemas of the document's `components`, collected while operations are described. */
export interface Components {
  /** The JSON Schema (2020-12) of a Zod schema; what it shares by `.meta({ id })` goes into the components once. */
  readonly schemaOf: (schema: z.core.$ZodType, io: 'input' | 'output') => JsonObject;
  readonly schemas: Record<string, Json>;
}

export function createComponents(): Components {
  const schemas: Record<string, Json> = {};
  return {
    schemas,
    schemaOf: (schema, io) => {
      const { $schema: _, $defs = {}, ...root } = toJsonSchema(schema, io) as JsonObject & { $defs?: JsonObject };
      for (const [id, definition] of Object.entries($defs)) schemas[id] ??= moveReferences(definition ?? {});
      return moveReferences(root) as JsonObject;
    },
  };
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

function moveReferences(value: Json): Json {
  if (Array.isArray(value)) return value.map((item: Json) => moveReferences(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string'
        ? item.replace(/^#\/\$defs\//, '#/components/schemas/')
        : moveReferences(item ?? null),
    ]),
  );
}
