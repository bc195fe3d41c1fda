import type { Effect } from '#core/operation.ts';
import type { ObjectSchema, OfferedOperation } from './backend.ts';

/** What gives a JSON Schema: a Zod schema, or one read from a manifest. */
export interface SchemaSource {
  readonly toJSONSchema: (params: { readonly io: 'input' | 'output'; readonly unrepresentable: 'any' }) => unknown;
}

/** An operation in any of its forms: the definition, the bound one, or that of the CLI's manifest. */
export interface OperationSource {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly effect: Effect;
  readonly idempotent?: boolean | undefined;
  readonly openWorld?: boolean | undefined;
  readonly sensitive?: readonly string[] | undefined;
  readonly input: SchemaSource;
  readonly output: SchemaSource;
}

/**
 * Operations as tools need them, by id, so that every face lists them in the same order. A schema is made when it is read
 * for the first time, since all of them take a third of the time in which a server starts; reading one that no tool can
 * have throws TypeError.
 */
export function offerOperations(sources: readonly OperationSource[]): OfferedOperation[] {
  const ordered = [...sources].sort((a, b) => (a.id < b.id ? -1 : 1));
  return ordered.map(offer);
}

function offer(source: OperationSource): OfferedOperation {
  let input: ObjectSchema | undefined;
  let output: ObjectSchema | undefined;
  return {
    id: source.id,
    title: source.title,
    summary: source.summary,
    effect: source.effect,
    idempotent: source.idempotent ?? source.effect === 'read',
    openWorld: source.openWorld ?? false,
    sensitive: source.sensitive ?? [],
    get input() {
      return (input ??= objectSchema(source, 'input'));
    },
    get output() {
      return (output ??= objectSchema(source, 'output'));
    },
  };
}

/** `pki.issue_certificate` → `pki`. */
export function areaOf({ id }: Pick<OfferedOperation, 'id'>): string {
  return id.slice(0, id.indexOf('.'));
}

/** `pki.issue_certificate` → `pki_issue_certificate`: clients allow letters, digits and underscores, and prefix names. */
export function toolNameOf({ id }: Pick<OfferedOperation, 'id'>): string {
  return id.replace('.', '_');
}

// An inference API refuses tools with one of these at the top level of their schema.
const notAtTheTop = ['oneOf', 'anyOf', 'allOf', '$ref'];

function objectSchema(source: OperationSource, io: 'input' | 'output'): ObjectSchema {
  const schema = source[io].toJSONSchema({ io, unrepresentable: 'any' }) as Readonly<Record<string, unknown>>;
  const { $schema: _, ...rest } = schema;
  if (rest['type'] !== 'object' || rest['additionalProperties'] !== false || notAtTheTop.some((word) => word in rest))
    throw new TypeError(`the ${io} of ${source.id} is not a strict object`);
  return { ...rest, properties: rest['properties'] ?? {} } as unknown as ObjectSchema;
}
