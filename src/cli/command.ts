import type { BoundOperation } from '#core/operation.ts';
import type { Field, JsonSchema, Shape } from './schema.ts';
import { readShape } from './schema.ts';

/** What gives a JSON Schema: a Zod schema, or one read from a manifest. */
export interface SchemaSource {
  readonly toJSONSchema: (params: { readonly io: 'input' | 'output'; readonly unrepresentable: 'any' }) => unknown;
}

/** What the CLI needs of an operation; the bound and the unbound form both fit, and so does a manifest's (manifest.ts). */
export type CliOperation = Pick<
  BoundOperation,
  'id' | 'title' | 'summary' | 'http' | 'cli' | 'effect' | 'idempotent' | 'openWorld' | 'sensitive'
> & {
  readonly input: SchemaSource;
  readonly output: SchemaSource;
};

/** An operation as a command: `pki.issue_certificate` is `chancery pki issue-certificate`. */
export interface Command {
  readonly operation: CliOperation;
  /** `pki` */
  readonly area: string;
  /** `issue-certificate` */
  readonly verb: string;
  /** What it is about, from the REST path and its own name: `certificates`. */
  readonly collection: string;
  /** Input fields given by position. */
  readonly positional: readonly string[];
  /** Parsed from the schema when first asked for: one run of the CLI needs one or two. */
  readonly input: () => Shape;
  readonly output: () => Shape;
}

export function toCommands(operations: readonly CliOperation[]): Command[] {
  return operations.map((operation) => {
    const [area = '', name = ''] = operation.id.split('.');
    const input = once(() => readShape(schemaOf(operation.input, 'input')));
    const positional = once(() => operation.cli?.arguments ?? defaultArguments(operation, input()));
    return {
      operation,
      area,
      verb: kebab(name),
      collection: collectionOf(operation.http.path, area, name),
      get positional() {
        return positional();
      },
      input,
      output: once(() => readShape(schemaOf(operation.output, 'output'))),
    };
  });
}

export function schemaOf(schema: SchemaSource, io: 'input' | 'output'): JsonSchema {
  return schema.toJSONSchema({ io, unrepresentable: 'any' }) as JsonSchema;
}

/** Path parameters; where there are none, the required `name` of what is made. */
function defaultArguments({ http }: CliOperation, input: Shape): readonly string[] {
  const inPath = pathParameters(http.path);
  const named = inPath.length === 0 && input.fields.some(({ name, required }) => name === 'name' && required);
  return named ? ['name'] : inPath;
}

/** The segment that the operation is named for (`create_key` under `/principals/{name}/keys`), else the first below the area. */
function collectionOf(path: string, area: string, name: string): string {
  const segments = path.split('/').filter((segment) => segment !== '' && !segment.startsWith('{') && segment !== area);
  const noun = kebab(name.replace(/^[a-z]+_/, ''));
  return segments.find((segment) => segment === noun || segment === pluralOf(noun)) ?? segments[0] ?? area;
}

/** role → roles, key → keys, authority → authorities. */
export function pluralOf(noun: string): string {
  return /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`;
}

/** `/pki/roles/{name}` → `name`. */
export function pathParameters(path: string): string[] {
  return [...path.matchAll(/\{([a-z0-9_]+)\}/g)].map((match) => match[1] ?? '');
}

export function kebab(name: string): string {
  return name.replaceAll('_', '-');
}

function once<Value>(make: () => Value): () => Value {
  let made: { value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** The field of a list's items, when an output is a page: one array of objects, beside its cursor. */
export function listField(command: Command): Field | undefined {
  const { fields } = command.output();
  const arrays = fields.filter(({ schema }) => schema.type === 'array' && schema.items?.properties !== undefined);
  return arrays.length === 1 && fields.length <= 2 && (fields.length === 1 || hasCursor(command))
    ? arrays[0]
    : undefined;
}

function hasCursor(command: Command): boolean {
  return command.output().fields.some(({ name }) => name === 'next_cursor');
}

/** Whether `--all` can follow pages. */
export function isPaged(command: Command): boolean {
  return (
    listField(command) !== undefined &&
    hasCursor(command) &&
    command.input().fields.some(({ name }) => name === 'cursor')
  );
}
