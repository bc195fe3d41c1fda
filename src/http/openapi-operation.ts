import { type ErrorCode, errorCodes } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Components, Json, JsonObject } from './openapi-schema.ts';

/** What of an operation is described; the bound and the unbound form both fit. */
export type DescribedOperation = Pick<
  BoundOperation,
  | 'id'
  | 'title'
  | 'summary'
  | 'input'
  | 'output'
  | 'http'
  | 'cli'
  | 'effect'
  | 'idempotent'
  | 'openWorld'
  | 'installation'
  | 'sensitive'
>;

export function areaOf(operation: Pick<DescribedOperation, 'id'>): string {
  return operation.id.split('.', 1)[0] ?? '';
}

/** One operation as an OpenAPI operation object. `answer` is the name of the schema of its output. */
export function describeOperation(operation: DescribedOperation, answer: string, components: Components): JsonObject {
  const { http } = operation;
  const input = components.schemaOf(operation.input, 'input');
  const inPath = [...http.path.matchAll(/\{(\w+)\}/g)].map(([, field = '']) => field);
  const inQuery = http.method === 'GET' || http.method === 'DELETE';
  return {
    operationId: operation.id,
    tags: [areaOf(operation)],
    summary: operation.title,
    description: operation.summary,
    parameters: [...fieldParameters(input, inPath, inQuery), ...headerParameters(operation)],
    ...(inQuery ? {} : { requestBody: requestBody(operation, withoutFields(input, inPath), components) }),
    responses: responsesOf(operation, answer, components),
    'x-effect': operation.effect,
    'x-idempotent': operation.effect === 'read' || operation.idempotent === true,
    'x-open-world': operation.openWorld === true,
    'x-installation': operation.installation === true,
    ...(operation.sensitive === undefined ? {} : { 'x-sensitive': [...operation.sensitive] }),
    ...(http.bodyLimit === undefined ? {} : { 'x-body-limit': http.bodyLimit }),
    'x-cli': commandOf(operation, inPath),
  };
}

/** How the CLI is called for it: `pki issue-certificate`, and its positional arguments. */
function commandOf(operation: DescribedOperation, inPath: readonly string[]): Json {
  const [area = '', verb = ''] = operation.id.split('.');
  return { command: `${area} ${verb.replaceAll('_', '-')}`, arguments: [...(operation.cli?.arguments ?? inPath)] };
}

const objectOf = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};

const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);

const textsOf = (value: Json | undefined): string[] =>
  listOf(value).filter((item): item is string => typeof item === 'string');

const combinators = ['anyOf', 'oneOf', 'allOf'] as const;

/** Properties of an object schema, over all alternatives when it is a union. */
function propertiesOf(schema: JsonObject): JsonObject {
  const branches = combinators.flatMap((key) => listOf(schema[key])).map((branch) => propertiesOf(objectOf(branch)));
  return Object.assign({}, ...branches, objectOf(schema['properties'])) as JsonObject;
}

function fieldParameters(input: JsonObject, inPath: readonly string[], inQuery: boolean): Json[] {
  const properties = propertiesOf(input);
  const required = textsOf(input['required']);
  const fields = inQuery ? [...new Set([...inPath, ...Object.keys(properties)])] : inPath;
  return fields.map((name) => {
    const { description, ...schema } = objectOf(properties[name]);
    const path = inPath.includes(name);
    return {
      name,
      in: path ? 'path' : 'query',
      required: path || required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema,
    };
  });
}

function headerParameters(operation: DescribedOperation): Json[] {
  const names = operation.effect === 'read' ? ['Approval'] : ['IdempotencyKey', 'Approval'];
  return [...names, 'RequestId'].map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

/** The schema of the body: the input without what the path already says. */
function withoutFields(schema: JsonObject, fields: readonly string[]): JsonObject {
  const { properties, required, ...rest } = schema;
  const alternatives = combinators
    .filter((key) => key in rest)
    .map((key) => [key, listOf(rest[key]).map((branch) => withoutFields(objectOf(branch), fields))]);
  const kept = Object.entries(objectOf(properties)).filter(([name]) => !fields.includes(name));
  const left = textsOf(required).filter((field) => !fields.includes(field));
  return {
    ...rest,
    ...(Object.fromEntries(alternatives) as JsonObject),
    ...(properties === undefined ? {} : { properties: Object.fromEntries(kept) }),
    ...(left.length > 0 ? { required: left } : {}),
  };
}

/** A body in which nothing is required may be left out altogether. */
function requestBody(operation: DescribedOperation, schema: JsonObject, components: Components): Json {
  const reference = components.named(`${pascal(operation.id)}Request`, schema);
  return { required: 'required' in schema, content: { 'application/json': { schema: reference } } };
}

/** `pki.issue_certificate` → `PkiIssueCertificate`. */
function pascal(id: string): string {
  return id.replaceAll(/(?:^|[._])([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Names for the outputs of all operations. What several operations answer with is one thing, and is named after it:
 * the output of `pki.get_role` and `pki.create_role` is `PkiRole`; that of one alone is `PkiIssueCertificateResponse`.
 */
export function nameAnswers(
  operations: readonly DescribedOperation[],
  components: Components,
): ReadonlyMap<DescribedOperation, string> {
  const groups = Map.groupBy(operations, ({ output }) => JSON.stringify(components.schemaOf(output, 'output')));
  const names = new Map<DescribedOperation, string>();
  const taken = new Set<string>();
  for (const group of groups.values()) {
    const own = `${pascal(group[0]?.id ?? '')}Response`;
    const shared = pascal((group[0]?.id ?? '').replace(/\.[a-z]+_/, '.'));
    const name = group.length > 1 && !taken.has(shared) ? shared : own;
    taken.add(name);
    for (const operation of group) names.set(operation, name);
  }
  return names;
}

/** Codes that any call may be answered with, and those that only calls which change something may be. */
const everyCall: readonly ErrorCode[] = [
  'invalid_request',
  'unauthenticated',
  'denied',
  'not_found',
  'rate_limited',
  'internal',
  'unavailable',
];
const everyChange: readonly ErrorCode[] = [
  'conflict',
  'too_large',
  'unsupported_media_type',
  'refused',
  'storage_full',
];

function responsesOf(operation: DescribedOperation, answer: string, components: Components): Json {
  const status = operation.http.status ?? 200;
  const codes = [...everyCall, ...(operation.effect === 'read' ? [] : everyChange)];
  const problems = [...new Set(codes.map((code) => errorCodes[code].status))].sort((a, b) => a - b);
  const success =
    status === 204
      ? { description: 'Done; the answer is empty' }
      : {
          description: 'Done',
          headers: {
            'X-Request-Id': { description: 'Names the request in log and audit', schema: { type: 'string' } },
          },
          content: {
            'application/json': { schema: components.named(answer, components.schemaOf(operation.output, 'output')) },
          },
        };
  return {
    [status]: success,
    ...Object.fromEntries(problems.map((problem) => [problem, { $ref: `#/components/responses/Problem${problem}` }])),
  };
}
