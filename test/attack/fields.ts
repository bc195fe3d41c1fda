import { z } from 'zod';
import type { BoundOperation } from '#core/operation.ts';
import type { Client, Reply } from '#test/chancery.ts';

/** What an operation takes, from its schema, and requests with one part of it replaced. */

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export type Input = Readonly<Record<string, unknown>>;
/** Where a value stands in an input: `['rules', 0, 'effect']`. */
export type FieldPath = readonly (string | number)[];
export interface Field {
  readonly path: FieldPath;
  /** Whether text may stand there. */
  readonly isText: boolean;
}

type HasInput = Pick<BoundOperation, 'input'>;
const schemas = new WeakMap<object, Schema>();

export function inputSchema({ input }: HasInput): Schema {
  const known = schemas.get(input);
  if (known !== undefined) return known;
  const made = z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' }) as Schema;
  schemas.set(input, made);
  return made;
}

/** Every field that an operation takes, those within objects and the first items of lists too. */
export function fieldsOf(operation: HasInput): readonly Field[] {
  const root = inputSchema(operation);
  const found = new Map<string, Field>();
  const walk = (schema: Schema, path: FieldPath, depth: number): void => {
    const resolved = schema.$ref === undefined ? schema : (root.$defs?.[schema.$ref.slice('#/$defs/'.length)] ?? {});
    if (path.length > 0) remember(found, path, resolved);
    if (depth > 6) return;
    for (const [name, inner] of Object.entries(resolved.properties ?? {})) walk(inner, [...path, name], depth + 1);
    if (resolved.items !== undefined) walk(resolved.items, [...path, 0], depth + 1);
    for (const each of alternatives(resolved)) walk(each, path, depth + 1);
  };
  walk(root, [], 0);
  return [...found.values()];
}

function alternatives({ anyOf = [], oneOf = [], allOf = [] }: Schema): readonly Schema[] {
  return [...anyOf, ...oneOf, ...allOf];
}

function remember(found: Map<string, Field>, path: FieldPath, schema: Schema): void {
  const key = JSON.stringify(path);
  const isText = [schema.type].flat().includes('string') && schema.enum === undefined;
  found.set(key, { path, isText: isText || (found.get(key)?.isText ?? false) });
}

/** A copy of the input with another value at a path; what is missing on the way is made. */
export function withValue(input: Input, path: FieldPath, value: unknown): Input {
  return replaced(input, path, value) as Input;
}

function replaced(at: unknown, path: FieldPath, value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === 'number') {
    const list: unknown[] = Array.isArray(at) ? [...(at as unknown[])] : [];
    list[step] = replaced(list[step], rest, value);
    return list;
  }
  const object: Input = typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as Input) : {};
  return { ...object, [step]: replaced(object[step], rest, value) };
}

/** An input that the schema takes: the required fields only, each as `value` says it. */
export function requiredInput(operation: HasInput, value: (field: string, schema: Schema) => unknown): Input {
  const { properties = {}, required = [] } = inputSchema(operation);
  return Object.fromEntries(required.map((field) => [field, value(field, properties[field] ?? {})]));
}

const holdsNoBody = new Set(['GET', 'DELETE']);

/** Calls an operation as REST clients do, by its binding. Values of the wrong type are sent as well as the place allows. */
export function send(
  client: Client,
  { http }: Pick<BoundOperation, 'http'>,
  input: Input,
  headers?: Readonly<Record<string, string>>,
): Promise<Reply> {
  const left: Record<string, unknown> = { ...input };
  const path = http.path.replaceAll(/\{(\w+)\}/g, (_all, field: string) => {
    const value = left[field];
    delete left[field];
    return encodeURIComponent(asText(value));
  });
  if (!holdsNoBody.has(http.method))
    return client.call(http.method, path.slice(1), JSON.stringify(left), { ...json, ...headers });
  const query = queryOf(left);
  return client.call(http.method, `${path.slice(1)}${query === '' ? '' : `?${query}`}`, undefined, headers);
}

const json = { 'content-type': 'application/json' };

function queryOf(fields: Input): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .flatMap(([field, value]) => (Array.isArray(value) ? value : [value]).map((item) => [field, asText(item)] as const))
    .map(([field, text]) => `${encodeURIComponent(field)}=${encodeURIComponent(text)}`)
    .join('&');
}

function asText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
  return text.toWellFormed();
}

/** Runs tasks, so many at a time, and answers their results in order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  run: (item: Item, index: number) => Promise<Result>,
  width = 16,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++)
      results[index] = await run(items[index] as Item, index);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
