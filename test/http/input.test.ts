import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { compileInput } from '#http/input.ts';
import { startServer } from './harness.ts';

test('a query string becomes what the schema asks for: lists, numbers and truth values', async (context) => {
  const { call } = await startServer(context);
  const { status, json } = await call('GET', '/v1/test/roles/web?names=a&names=b&count=4&deep=false');
  assert.equal(status, 200);
  assert.deepEqual(json, { role: 'web', names: ['a', 'b'], count: 4, deep: false });
  assert.deepEqual((await call('GET', '/v1/test/roles/web?names=a')).json, { role: 'web', names: ['a'] });
  assert.deepEqual((await call('GET', '/v1/test/roles?limit=7')).json, { limit: 7, cursor: null });
});

test('a query that is not what the schema asks for is refused, field by field', async (context) => {
  const { call } = await startServer(context);
  const cases: [query: string, at: string][] = [
    ['count=four', '/count'],
    ['count=0x10', '/count'],
    ['count=1e2', '/count'],
    ['count=', '/count'],
    ['count=1&count=2', '/count'],
    ['deep=yes', '/deep'],
    ['unknown=1', '/unknown'],
    ['__proto__=1', '/__proto__'],
  ];
  for (const [query, at] of cases) {
    const { status, json } = await call('GET', `/v1/test/roles/web?${query}`);
    assert.equal(status, 400, query);
    assert.deepEqual(
      (json['errors'] as { at: string }[]).map((finding) => finding.at),
      [at],
      query,
    );
  }
});

test('a field of the path may be repeated in the body when it agrees, and is refused when it does not', async (context) => {
  const { call } = await startServer(context);
  assert.equal((await call('POST', '/v1/test/roles/web', { json: { role: 'web' } })).status, 201);
  const { status, json } = await call('POST', '/v1/test/roles/web', { json: { role: 'forbidden' } });
  assert.equal(status, 400);
  assert.deepEqual(json['errors'], [{ at: '/role', message: 'differs from the path' }]);
  assert.equal((await call('GET', '/v1/test/roles/web?role=forbidden')).status, 400);
});

test('fields in the wrong place are refused, not ignored', async (context) => {
  const { call } = await startServer(context);
  assert.equal((await call('POST', '/v1/test/roles/web?count=1', { json: {} })).status, 400);
  assert.equal((await call('DELETE', '/v1/test/roles/web', { json: { force: true } })).status, 400);
  assert.equal((await call('DELETE', '/v1/test/roles/web?force=true')).status, 204);
});

test('a body may be left out where nothing in it is required, with and without its media type', async (context) => {
  const { call } = await startServer(context);
  assert.equal((await call('POST', '/v1/test/sign')).status, 200);
  assert.equal((await call('POST', '/v1/test/sign', { headers: { 'content-type': 'application/json' } })).status, 200);
  assert.equal(
    (await call('POST', '/v1/test/sign', { body: '', headers: { 'content-type': 'application/json' } })).status,
    200,
  );
});

test('a success has the status of the operation, its output and nothing to be cached', async (context) => {
  const { call } = await startServer(context);
  const created = await call('POST', '/v1/test/roles/web', { json: { names: ['a'] } });
  assert.equal(created.status, 201);
  assert.equal(created.headers.get('content-type'), 'application/json; charset=utf-8');
  assert.equal(created.headers.get('cache-control'), 'no-store');
  assert.equal(created.headers.get('x-content-type-options'), 'nosniff');
  const deleted = await call('DELETE', '/v1/test/roles/web');
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
  const head = await call('HEAD', '/v1/test/roles/web');
  assert.deepEqual([head.status, head.text], [200, '']);
});

test('a repeat with the same Idempotency-Key gets the kept answer and says so', async (context) => {
  const { call } = await startServer(context);
  const request = { json: { names: ['a'] }, headers: { 'idempotency-key': 'order-1' } };
  const first = await call('POST', '/v1/test/roles/web', request);
  const second = await call('POST', '/v1/test/roles/web', request);
  assert.equal(first.headers.get('idempotency-replayed'), null);
  assert.equal(second.headers.get('idempotency-replayed'), 'true');
  assert.deepEqual(second.json, first.json);
});

test('the audit gets the address, the request id and the transport of the request', async (context) => {
  const { call, events } = await startServer(context);
  await call('GET', '/v1/test/roles/web', { headers: { 'x-request-id': 'trace-2' } });
  const { requestId, sourceAddress, transport, principal } = events[0] ?? {};
  assert.deepEqual([requestId, sourceAddress, transport, principal], ['trace-2', '127.0.0.1', 'rest', 'alice']);
});

test('fields are found behind defaults, pipes, unions and nullable schemas', () => {
  const fields = {
    size: z.number().nullable().default(1),
    flag: z.boolean().optional().transform(Boolean),
    numbers: z.array(z.number()).readonly().prefault([]),
  };
  const other = z.strictObject({ kind: z.literal('b'), more: z.array(z.boolean()) });
  const input = z.union([z.strictObject(fields), other]).transform((value) => value);
  const reader = compileInput({ input });
  assert.deepEqual(reader.fromQuery({}, { size: '3', flag: 'true', numbers: ['1', '2.5'], more: 'false' }), {
    size: 3,
    flag: true,
    numbers: [1, 2.5],
    more: [false],
  });
});
