import type { PublicRoute } from '#core/engine.ts';
import { areaOf, type DescribedOperation, describeOperation, nameAnswers } from './openapi-operation.ts';
import { errorTable, problemResponses, problemSchema } from './openapi-problems.ts';
import { createComponents, type Json, type JsonObject } from './openapi-schema.ts';

export interface OpenApiSource {
  readonly version: string;
  readonly operations: readonly DescribedOperation[];
  readonly publicRoutes: readonly Pick<PublicRoute, 'method' | 'path' | 'summary' | 'consumes'>[];
  /** Origin of the server; absent in the document that is kept in the repository. */
  readonly publicUrl?: string | undefined;
}

/** The OpenAPI 3.1 document of the REST API, derived from the operations alone. */
export function describeApi(source: OpenApiSource): JsonObject {
  const components = createComponents();
  const paths: Record<string, Record<string, Json>> = {};
  const add = (path: string, method: string, item: Json): void => {
    paths[path] = { ...paths[path], [method.toLowerCase()]: item };
  };
  const answers = nameAnswers(source.operations, components);
  for (const operation of source.operations) {
    const described = describeOperation(operation, answers.get(operation) ?? operation.id, components);
    add(`/v1${operation.http.path}`, operation.http.method, described);
  }
  for (const route of source.publicRoutes) add(openPath(route.path), route.method, describePublicRoute(route));
  return {
    openapi: '3.1.1',
    info: {
      title: 'Chancery',
      version: source.version,
      summary: 'Credentials that expire, for agents and platforms.',
      description: introduction,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: source.publicUrl ?? '/' }],
    security: [{ token: [] }],
    tags: tagsOf(source),
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API key or a child token (`chy_…`)' },
      },
      parameters: sharedParameters,
      responses: problemResponses(),
      schemas: { Problem: problemSchema, ...components.schemas },
    },
    'x-error-codes': errorTable(),
  };
}

const introduction = [
  'Every operation needs a token in `Authorization: Bearer …` and a policy that allows it on its resource.',
  'Errors are problem documents (RFC 9457): `code` is stable and meant for programs, `detail` says what was found, `hint` what to do next.',
  'Durations are text (`90s`, `15m`, `24h`, `30d`) or seconds; times are RFC 3339 in UTC; serial numbers are lower-case hex.',
  'Lists take `limit` and `cursor`. Calls that change something take `Idempotency-Key`: a repeat does nothing again.',
].join('\n\n');

/** What the areas are, in the order of the documentation; an area that is not named here is shown by its name. */
const areas: Readonly<Record<string, string>> = {
  pki: 'Certificate authorities, roles, certificates and their revocation',
  acme: 'Certificates from outside authorities, and our own authorities over ACME (RFC 8555)',
  database: 'Database connections, roles, and users that exist only while they are needed',
  lease: 'What was handed out for a time: read, renew, revoke',
  auth: 'Namespaces, principals, their keys, and tokens narrowed from others',
  policy: 'What each principal may do and why, and the approvals that some requests wait for',
  audit: 'What was done, by whom, provably',
  seal: 'The keys under which secrets are sealed at rest',
  system: 'The server itself',
};

const openArea = 'public';

function tagsOf(source: OpenApiSource): Json {
  const used = new Set(source.operations.map(areaOf));
  const known = Object.keys(areas).filter((area) => used.has(area));
  const others = [...used].filter((area) => !(area in areas));
  const open = { name: openArea, description: 'Protocol routes that need no token' };
  return [
    ...[...known, ...others].map((name) => ({ name, description: areas[name] ?? name })),
    ...(source.publicRoutes.length > 0 ? [open] : []),
  ];
}

const header = (name: string, description: string, maxLength: number): Json => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string', minLength: 1, maxLength },
});

const sharedParameters: JsonObject = {
  IdempotencyKey: header(
    'Idempotency-Key',
    'A repeat with the same key returns the kept answer, without its secret fields, and does nothing again',
    255,
  ),
  Approval: header('Chancery-Approval', 'Id of an approval given for exactly this request', 255),
  RequestId: header('X-Request-Id', 'Your own name for the request, of A-Z a-z 0-9 . _ -; else one is made', 64),
};

/** `/pki/:authority/ocsp/*` as `/pki/{authority}/ocsp/{rest}`: OpenAPI has no parameter that spans slashes. */
function openPath(path: string): string {
  return path.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{rest}');
}

function describePublicRoute(route: OpenApiSource['publicRoutes'][number]): JsonObject {
  const path = openPath(route.path);
  const words = path.replaceAll(/\W+/g, '_').replaceAll(/^_|_$/g, '');
  return {
    operationId: `${openArea}.${route.method.toLowerCase()}_${words}`,
    tags: [openArea],
    summary: route.summary,
    security: [],
    parameters: [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
      ...(name === 'rest' ? { description: 'The rest of the path, which may hold slashes' } : {}),
    })),
    ...(route.consumes === undefined
      ? {}
      : { requestBody: { required: true, content: Object.fromEntries(route.consumes.map((type) => [type, {}])) } }),
    responses: { default: { description: 'As the protocol says' } },
  };
}
