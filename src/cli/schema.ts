/** What the CLI reads of an operation's JSON Schema (2020-12, as Zod writes it): the fields, and what each takes. */

export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly format?: string;
  readonly contentEncoding?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** `json`: objects, arrays of them, and whatever else has no form as a word. `text_or_json`: text that may be one. */
export type ValueKind = 'string' | 'integer' | 'number' | 'boolean' | 'list' | 'json' | 'text_or_json';

/** What one value may be. */
export interface ValueType {
  readonly kind: ValueKind;
  readonly nullable: boolean;
  /** The allowed texts of an enumeration. */
  readonly values?: readonly string[] | undefined;
  readonly pattern?: RegExp | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  /** Of a list. */
  readonly item?: ValueType | undefined;
  readonly isDuration: boolean;
  readonly isTime: boolean;
}

/** One field of an input or an output. */
export interface Field {
  /** As in JSON: `dns_names`. */
  readonly name: string;
  readonly type: ValueType;
  readonly required: boolean;
  readonly description: string;
  readonly default: unknown;
  readonly examples: readonly unknown[];
  readonly schema: JsonSchema;
}

export interface Shape {
  readonly fields: readonly Field[];
  /** False: a field that is not listed is an error. */
  readonly open: boolean;
}

/** The fields of an object schema; of a union of objects, all fields, where those that every member needs are required. */
export function readShape(root: JsonSchema): Shape {
  const { properties, required, open } = gather(root, root);
  const fields = [...properties].map(([name, schema]) => readField(name, schema, required.has(name), root));
  return { fields, open };
}

interface Gathered {
  readonly properties: ReadonlyMap<string, JsonSchema>;
  readonly required: ReadonlySet<string>;
  readonly open: boolean;
}

function gather(schema: JsonSchema, root: JsonSchema, depth = 0): Gathered {
  const plain = deref(schema, root);
  const members = depth < maxDepth ? [plain.allOf ?? [], plain.anyOf ?? plain.oneOf ?? []] : [[], []];
  const all = (members[0] ?? []).map((member) => gather(member, root, depth + 1));
  const any = (members[1] ?? []).map((member) => gather(member, root, depth + 1));
  const own: Gathered = {
    properties: new Map(Object.entries(plain.properties ?? {})),
    required: new Set(plain.required),
    open: plain.additionalProperties !== false && plain.allOf === undefined && any.length === 0,
  };
  const inEveryMember = [...(any[0]?.required ?? [])].filter((name) => any.every(({ required }) => required.has(name)));
  return {
    properties: new Map([own, ...all, ...any].flatMap(({ properties }) => [...properties])),
    required: new Set([...[own, ...all].flatMap(({ required }) => [...required]), ...inEveryMember]),
    open: [own, ...all, ...any].some(({ open }) => open),
  };
}

function readField(name: string, schema: JsonSchema, required: boolean, root: JsonSchema): Field {
  const plain = deref(schema, root);
  return {
    name,
    type: readType(plain, root),
    required: required && plain.default === undefined,
    description: schema.description ?? plain.description ?? '',
    default: schema.default ?? plain.default,
    examples: schema.examples ?? plain.examples ?? [],
    schema: plain,
  };
}

const maxDepth = 8;

function deref(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const name = schema.$ref === '#' ? undefined : schema.$ref?.replace('#/$defs/', '');
  if (schema.$ref === undefined) return schema;
  return { ...(name === undefined ? root : root.$defs?.[name]), ...schema };
}

/** The schema and, for unions, its members: every alternative that a value has, flat. */
function alternatives(schema: JsonSchema, root: JsonSchema, depth = 0): JsonSchema[] {
  const plain = deref(schema, root);
  const members = plain.anyOf ?? plain.oneOf ?? (plain.allOf?.length === 1 ? plain.allOf : undefined);
  if (members !== undefined && depth < maxDepth)
    return members.flatMap((member) => alternatives(member, root, depth + 1));
  const types = typeof plain.type === 'string' ? [plain.type] : plain.type;
  return types === undefined ? [plain] : types.map((type) => ({ ...plain, type }));
}

export function readType(schema: JsonSchema, root: JsonSchema): ValueType {
  const every = alternatives(schema, root);
  const some = every.filter(({ type }) => type !== 'null');
  const kind = kindOf(some);
  const [first] = some;
  return {
    kind,
    nullable: some.length < every.length,
    values: kind === 'string' ? enumeration(some) : undefined,
    pattern: first?.pattern === undefined || some.length > 1 ? undefined : compile(first.pattern),
    minimum: first?.minimum,
    maximum: first?.maximum,
    item: kind === 'list' && first?.items !== undefined ? readType(first.items, root) : undefined,
    // The duration of core/duration.ts: text with units, or a number of seconds.
    isDuration: kind === 'string' && some.some(({ type }) => type === 'number' || type === 'integer'),
    isTime: first?.format === 'date-time',
  };
}

function kindOf(some: readonly JsonSchema[]): ValueKind {
  const kinds = new Set(some.map(simpleKind));
  if (kinds.size === 1) return [...kinds][0] ?? 'json';
  if (kinds.has('json') || kinds.has('list')) return kinds.has('string') ? 'text_or_json' : 'json';
  if (kinds.has('string')) return 'string';
  return kinds.has('boolean') ? 'json' : 'number';
}

function simpleKind(schema: JsonSchema): ValueKind {
  if (schema.type === 'integer' || schema.type === 'number' || schema.type === 'boolean') return schema.type;
  if (schema.type === 'string' || typeof schema.const === 'string') return 'string';
  if (schema.type !== 'array' || schema.items === undefined) return 'json';
  const item = kindOf(alternatives(schema.items, schema));
  return item === 'json' || item === 'list' ? 'json' : 'list';
}

/** The allowed texts, when every alternative says them. */
function enumeration(some: readonly JsonSchema[]): readonly string[] | undefined {
  const values = some.map((one) => one.enum ?? (one.const === undefined ? undefined : [one.const]));
  if (values.some((list) => list === undefined)) return undefined;
  return values.flatMap((list) => list ?? []).map(String);
}

function compile(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, 'u');
  } catch {
    // A pattern that is no JavaScript expression only costs an early check; the server checks everything again.
    return undefined;
  }
}
