import type { z } from 'zod';
import { AppError, type ErrorDetail } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';

type Fields = Readonly<Record<string, unknown>>;
export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** Where the raw input of one operation is put together, before dispatch validates it. */
export interface InputReader {
  /** For GET and DELETE: path parameters and the query string. */
  readonly fromQuery: (params: Readonly<Record<string, string>>, query: Query) => Fields;
  /** For the others: path parameters and the JSON body. */
  readonly fromBody: (params: Readonly<Record<string, string>>, body: unknown) => unknown;
}

/**
 * What a query string and a path are to become. A URL holds text only; the schema says which texts mean numbers and
 * truth values, and which fields are lists. What does not look like one stays text, so that the schema refuses it.
 */
interface Kind {
  readonly list: boolean;
  readonly read: (text: string) => unknown;
}

export function compileInput(operation: Pick<BoundOperation, 'input'>): InputReader {
  const kinds = new Map(Object.entries(fieldsOf(operation.input)).map(([field, schema]) => [field, kindOf(schema)]));
  return {
    fromQuery: (params, query) => {
      const input: Record<string, unknown> = {};
      for (const field of Object.keys(query)) define(input, field, coerce(kinds.get(field), query[field]));
      for (const field of Object.keys(params)) {
        if (field in query) throw repeated(field);
        define(input, field, coerce(kinds.get(field), params[field]));
      }
      return input;
    },
    fromBody: (params, body) => {
      if (body !== undefined && !isObject(body))
        throw new AppError('invalid_request', 'The body must be a JSON object.', {
          hint: 'Send the fields of the request as {"field": value}.',
        });
      const input: Record<string, unknown> = { ...body };
      for (const field of Object.keys(params)) {
        const value = coerce(kinds.get(field), params[field]);
        if (Object.hasOwn(input, field) && input[field] !== value) throw repeated(field);
        define(input, field, value);
      }
      return input;
    },
  };
}

/** Sets an own property whatever its name: `__proto__` is a field like any other here, and the schema refuses it. */
function define(target: Record<string, unknown>, field: string, value: unknown): void {
  if (field === '__proto__') Object.defineProperty(target, field, { value, enumerable: true });
  else target[field] = value;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function repeated(field: string): AppError {
  const detail: ErrorDetail = { at: `/${field}`, message: 'differs from the path' };
  return new AppError('invalid_request', `${field} is given in the path and again, differently or in the query.`, {
    hint: `Leave ${field} out of the body and the query; the path says it.`,
    details: [detail],
  });
}

function coerce(kind: Kind | undefined, value: string | string[] | undefined): unknown {
  if (kind === undefined || value === undefined) return value;
  if (Array.isArray(value)) return kind.list ? value.map(kind.read) : value;
  return kind.list ? [kind.read(value)] : kind.read(value);
}

type Schema = z.core.$ZodType;
type Definition = z.core.$ZodTypes['_zod']['def'];

const definitionOf = (schema: Schema): Definition => schema._zod.def as Definition;

/** The schema behind optional, default, nullable, readonly, catch and the input side of pipes. */
function bare(schema: Schema): Schema {
  const definition = definitionOf(schema);
  switch (definition.type) {
    case 'optional':
    case 'nonoptional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'readonly':
    case 'catch':
      return bare(definition.innerType);
    case 'pipe':
      return bare(definition.in);
    default:
      return schema;
  }
}

/** The fields that an input schema takes, over all alternatives when it is a union. */
export function fieldsOf(schema: Schema): Readonly<Record<string, Schema>> {
  const definition = definitionOf(bare(schema));
  if (definition.type === 'object') return definition.shape;
  if (definition.type === 'union')
    return Object.assign({}, ...definition.options.map(fieldsOf)) as Record<string, Schema>;
  if (definition.type === 'intersection') return { ...fieldsOf(definition.left), ...fieldsOf(definition.right) };
  return {};
}

const asText = (text: string): unknown => text;
const decimal = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/;
const asNumber = (text: string): unknown => (decimal.test(text) ? Number(text) : text);
const asBoolean = (text: string): unknown => (text === 'true' ? true : text === 'false' ? false : text);

function kindOf(schema: Schema): Kind {
  const definition = definitionOf(bare(schema));
  if (definition.type === 'array') return { list: true, read: kindOf(definition.element).read };
  if (definition.type === 'number') return { list: false, read: asNumber };
  if (definition.type === 'boolean') return { list: false, read: asBoolean };
  return { list: false, read: asText };
}
