import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { errorCodes } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { describeApi } from '#http/openapi.ts';
import { startServer, testOperations } from './harness.ts';

type Node = Record<string, unknown>;

const node = z
  .strictObject({
    name: z.string(),
    get children(): z.ZodArray<z.ZodType> {
      return z.array(node);
    },
  })
  .meta({ id: 'Node' });
const anonymous: z.ZodType = z.strictObject({
  get children() {
    return z.array(anonymous);
  },
});
const defaulted = z.strictObject({ size: z.number().default(1) }).meta({ id: 'Defaulted' });
const subject = z
  .strictObject({ common_name: z.string().max(64).describe('Common name') })
  .meta({ id: 'Subject', description: 'A subject' });

const special = defineOperation({
  id: 'test.issue_thing',
  title: 'Issue a thing',
  summary: 'Has everything that is hard to describe.',
  input: z.strictObject({
    name: z.string().describe('Name'),
    subject: subject.optional(),
    ttl: duration.optional().describe('Life'),
    tree: node.optional(),
    defaulted: defaulted.optional(),
    at: z.iso.datetime().optional(),
  }),
  output: z.strictObject({ subject, defaulted, secret: z.string(), at: z.iso.datetime() }),
  http: { method: 'PUT', path: '/test/things/{name}' },
  resource: ({ name }) => `test/things/${name}`,
  effect: 'mutating',
  openWorld: true,
  sensitive: ['secret'],
  run: async () => ({
    output: { subject: { common_name: 'a' }, defaulted: { size: 1 }, secret: 's', at: '2026-11-21T10:00:00Z' },
  }),
});

const publicRoutes = [
  { method: 'GET', path: '/pki/:authority/ocsp/*', summary: 'OCSP over GET (RFC 6960)' },
  { method: 'POST', path: '/pki/:authority/ocsp', summary: 'OCSP', consumes: ['application/ocsp-request'] },
  { method: 'GET', path: '/pki/:authority/crl/:shard', summary: 'CRL' },
] as const;
const document = describeApi({ version: '1.2.3', operations: [...testOperations, special], publicRoutes }) as Node;

/** Every object of the document, with the path to it. */
function* walk(value: unknown, path = '#'): Generator<[string, Node]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [path, value as Node];
  for (const [key, item] of Object.entries(value)) yield* walk(item, `${path}/${key}`);
}

function at(pointer: string): unknown {
  const keys = pointer.replace(/^#\//, '').split('/');
  return keys.reduce<unknown>((value, key) => (value as Node | undefined)?.[key.replaceAll('~1', '/')], document);
}

function* operationsOf(): Generator<[path: string, method: string, operation: Node]> {
  for (const [path, methods] of Object.entries(document['paths'] as Record<string, Record<string, Node>>))
    for (const [method, operation] of Object.entries(methods)) yield [path, method, operation];
}

const parametersOf = (operation: Node): Node[] =>
  (operation['parameters'] as Node[]).map(
    (item) => (typeof item['$ref'] === 'string' ? at(item['$ref']) : item) as Node,
  );

test('the document has what OpenAPI 3.1 requires, and nothing that is undefined', () => {
  assert.match(String(document['openapi']), /^3\.1\.\d$/);
  for (const field of ['title', 'version']) assert.equal(typeof (document['info'] as Node)[field], 'string');
  assert.deepEqual(JSON.parse(JSON.stringify(document)), document);
});

test('every operation and every public route is described once, under an id of its own', () => {
  const described = [...operationsOf()];
  assert.equal(described.length, testOperations.length + 1 + publicRoutes.length);
  const ids = described.map(([, , operation]) => operation['operationId']);
  assert.equal(new Set(ids).size, ids.length);
  for (const operation of [...testOperations, special]) assert.ok(ids.includes(operation.id));
});

test('every parameter of a path is declared as such and required, and no other is', () => {
  for (const [path, , operation] of operationsOf()) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const declared = parametersOf(operation).filter((parameter) => parameter['in'] === 'path');
    assert.deepEqual(new Set(declared.map(({ name }) => name)), new Set(inPath), path);
    assert.equal(declared.length, inPath.length);
    assert.ok(declared.every(({ required }) => required === true));
  }
});

test('every parameter has a place, a schema and a name of its own there', () => {
  for (const [path, , operation] of operationsOf()) {
    const parameters = parametersOf(operation);
    const keys = parameters.map((parameter) => `${String(parameter['in'])} ${String(parameter['name'])}`);
    assert.equal(new Set(keys).size, keys.length, path);
    for (const parameter of parameters) {
      assert.match(String(parameter['in']), /^(?:path|query|header)$/);
      assert.equal(typeof parameter['schema'], 'object');
    }
  }
});

test('every reference leads somewhere', () => {
  let references = 0;
  for (const [path, { $ref }] of walk(document)) {
    if (typeof $ref !== 'string') continue;
    references += 1;
    assert.match($ref, /^#\/components\//, path);
    assert.notEqual(at($ref), undefined, `${path}: ${$ref}`);
  }
  assert.ok(references > 20);
});

test('component names are those that OpenAPI allows', () => {
  for (const group of Object.values(document['components'] as Record<string, Node>))
    for (const name of Object.keys(group)) assert.match(name, /^[A-Za-z0-9._-]+$/);
});

test('every operation says how it succeeds and fails, and failures are problem documents', () => {
  for (const [path, , operation] of operationsOf()) {
    if (String(operation['operationId']).startsWith('public.')) continue;
    const responses = operation['responses'] as Record<string, Node>;
    const statuses = Object.keys(responses);
    assert.equal(statuses.filter((status) => status.startsWith('2')).length, 1, path);
    for (const status of ['400', '401', '403', '404', '429', '500', '503']) {
      const response = at(String(responses[status]?.['$ref'])) as Node;
      assert.ok('application/problem+json' in (response['content'] as Node), `${path} ${status}`);
    }
  }
});

test('every error code is a status of the problem responses and in the table of codes', () => {
  const responses = (document['components'] as Record<string, Node>)['responses'];
  for (const [code, { status }] of Object.entries(errorCodes)) {
    assert.ok(`Problem${status}` in (responses ?? {}));
    assert.ok(code in (document['x-error-codes'] as Node));
  }
});

test('what only one transport would know is there as extensions', () => {
  const put = at('#/paths/~1v1~1test~1things~1{name}/put') as Node;
  assert.equal(put['x-effect'], 'mutating');
  assert.equal(put['x-open-world'], true);
  assert.deepEqual(put['x-sensitive'], ['secret']);
  assert.deepEqual(put['x-cli'], { command: 'test issue-thing', arguments: ['name'] });
});

test('the body has the fields that the path does not have, and shared and recursive schemas are components', () => {
  const put = at('#/paths/~1v1~1test~1things~1{name}/put') as Node;
  const content = (put['requestBody'] as Node)['content'] as Record<string, Record<string, Node>>;
  const reference = content['application/json']?.['schema']?.['$ref'];
  assert.equal(reference, '#/components/schemas/TestIssueThingRequest');
  const properties = (at(reference) as Node)['properties'] as Record<string, Node>;
  assert.deepEqual(Object.keys(properties), ['subject', 'ttl', 'tree', 'defaulted', 'at']);
  assert.equal(properties['subject']?.['$ref'], '#/components/schemas/Subject');
  assert.deepEqual(properties['ttl']?.['anyOf'], [{ type: 'string', maxLength: 32 }, { type: 'number' }]);
  assert.deepEqual(properties['at'], { type: 'string', format: 'date-time' });
});

test('a shape that differs between requests and answers is there in both', () => {
  const schemas = (document['components'] as Record<string, Record<string, Node>>)['schemas'] ?? {};
  const required = ['Defaulted', 'DefaultedRequest'].map((name) => schemas[name]?.['required']);
  assert.deepEqual(required, [['size'], undefined]);
});

test('a recursive schema without a name is refused when the document is made', () => {
  const nameless = { ...special, input: z.strictObject({ tree: anonymous }) };
  assert.throws(() => describeApi({ version: '1', operations: [nameless], publicRoutes: [] }), /has no name/);
});

test('an answer that several operations give is one schema, named after the thing', () => {
  const answerOf = (path: string, method: string, status: string) => {
    const response = at(`#/paths/${path}/${method}/responses/${status}/content`) as Record<
      string,
      Record<string, Node>
    >;
    return Object.values(response)[0]?.['schema']?.['$ref'];
  };
  assert.equal(answerOf('~1v1~1test~1roles~1{role}', 'get', '200'), '#/components/schemas/TestRole');
  assert.equal(answerOf('~1v1~1test~1roles~1{role}', 'post', '201'), '#/components/schemas/TestRole');
  assert.equal(answerOf('~1v1~1test~1roles', 'get', '200'), '#/components/schemas/TestListRolesResponse');
});

test('lists are described by their query parameters, with defaults', () => {
  const list = at('#/paths/~1v1~1test~1roles/get') as Node;
  const limit = parametersOf(list).find(({ name }) => name === 'limit');
  assert.deepEqual([limit?.['in'], limit?.['required']], ['query', false]);
  assert.equal((limit?.['schema'] as Node | undefined)?.['default'], 50);
});

test('public routes need no token and are described with parameters that OpenAPI knows', () => {
  const ocsp = at('#/paths/~1pki~1{authority}~1ocsp~1{rest}/get') as Node;
  assert.deepEqual(ocsp['security'], []);
  assert.deepEqual(
    parametersOf(ocsp).map(({ name }) => name),
    ['authority', 'rest'],
  );
});

test('the server serves the document of its own operations', async (context) => {
  const { call } = await startServer(context, { config: { publicUrl: 'https://ca.example.com' } });
  const { status, json } = await call('GET', '/openapi.json', { token: null });
  assert.equal(status, 200);
  assert.deepEqual(json['servers'], [{ url: 'https://ca.example.com' }]);
  assert.ok('/v1/test/roles/{role}' in (json['paths'] as Node));
});
