import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from '#core/errors.ts';
import { rawExchange, startServer } from './harness.ts';

test('an error is a problem document with code, hint, findings, members and the request id', async (context) => {
  const { call } = await startServer(context);
  const { status, headers, json } = await call('POST', '/v1/test/fail', {
    json: { how: 'refused' },
    headers: { 'x-request-id': 'trace-1' },
  });
  assert.equal(status, 422);
  assert.equal(headers.get('content-type'), 'application/problem+json; charset=utf-8');
  assert.equal(headers.get('x-request-id'), 'trace-1');
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.deepEqual(json, {
    role: 'web',
    type: '/docs/errors#refused',
    title: errorCodes.refused.title,
    status: 422,
    detail: 'The role allows no wildcard.',
    code: 'refused',
    hint: 'Ask for a plain name.',
    request_id: 'trace-1',
    errors: [{ at: 'allow_wildcards', message: '*.example.com is a wildcard' }],
  });
});

test('an unknown error is a constant sentence for the caller, and everything for the log under the request id', async (context) => {
  const { call, lines } = await startServer(context);
  const { status, text, json } = await call('POST', '/v1/test/fail', { json: { how: 'throw' } });
  assert.equal(status, 500);
  assert.equal(json['code'], 'internal');
  assert.doesNotMatch(text, /canary|harness\.ts|TypeError/);
  const line = lines.find(({ request_id }) => request_id === json['request_id']);
  assert.equal(line?.['operation'], 'test.fail');
  assert.match(JSON.stringify(line), /canary-in-the-message.*canary-in-the-cause/);
});

test('what is the fault of the caller is not logged', async (context) => {
  const { call, lines } = await startServer(context);
  await call('POST', '/v1/test/fail', { json: { how: 'refused' } });
  await call('GET', '/v1/nothing');
  assert.deepEqual(lines, []);
});

test('an error that is worth a retry says when, in whole seconds', async (context) => {
  const { call } = await startServer(context);
  const { status, headers } = await call('POST', '/v1/test/fail', { json: { how: 'wait' } });
  assert.equal(status, 503);
  assert.equal(headers.get('retry-after'), '2');
});

test('a request without a token and one with a bad token are told apart as RFC 6750 says', async (context) => {
  const { call } = await startServer(context);
  const none = await call('GET', '/v1/test/roles', { token: null });
  assert.equal(none.status, 401);
  assert.equal(none.headers.get('www-authenticate'), 'Bearer realm="chancery"');
  const bad = await call('GET', '/v1/test/roles', { token: 'chy_bad' });
  assert.equal(bad.status, 401);
  assert.equal(bad.headers.get('www-authenticate'), 'Bearer realm="chancery", error="invalid_token"');
  const other = await call('GET', '/v1/test/roles', { token: null, headers: { authorization: 'Basic YTpi' } });
  assert.equal(other.headers.get('www-authenticate'), 'Bearer realm="chancery"');
});

test('a path that does not exist and a method that does not fit have their own answers', async (context) => {
  const { call } = await startServer(context);
  const missing = await call('GET', '/v1/nothing/here');
  assert.equal(missing.status, 404);
  assert.equal(missing.json['code'], 'not_found');
  const wrong = await call('PUT', '/v1/test/roles/web', { json: {} });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.json['code'], 'method_not_allowed');
  assert.equal(wrong.headers.get('allow'), 'DELETE, GET, HEAD, POST');
  const options = await call('OPTIONS', '/v1/test/roles/web');
  assert.equal(options.status, 405);
  assert.equal(options.headers.get('access-control-allow-origin'), null);
});

test('whatever is wrong with a request, the answer is a problem document with its code', async (context) => {
  const { call } = await startServer(context);
  const json = { 'content-type': 'application/json' };
  const cases: [path: string, options: Parameters<typeof call>[2], status: number, code: string][] = [
    ['/v1/test/roles/web', { body: '{"a":', headers: json }, 400, 'invalid_request'],
    ['/v1/test/roles/web', { body: 'a=b', headers: { 'content-type': 'text/plain' } }, 415, 'unsupported_media_type'],
    ['/v1/test/roles/web', { body: 'x', headers: { 'content-type': 'no media type' } }, 415, 'unsupported_media_type'],
    ['/v1/test/roles/%zz', { json: {} }, 400, 'invalid_request'],
    ['/v1/test/roles/web', { json: { unknown: 1 } }, 400, 'invalid_request'],
    ['/v1/test/roles/forbidden', { json: {} }, 403, 'denied'],
    ['/v1/test/fail', { json: { how: 'hidden' } }, 404, 'not_found'],
    [`/v1/test/roles/${'a'.repeat(600)}`, { json: {} }, 400, 'invalid_request'],
    ['/v1/test/roles/web', { json: {}, headers: { 'idempotency-key': 'a b' } }, 400, 'invalid_request'],
  ];
  for (const [path, options, status, code] of cases) {
    const answer = await call('POST', path, options);
    assert.deepEqual([answer.status, answer.json['code'], answer.json['status']], [status, code, status], path);
    assert.equal(answer.json['request_id'], answer.headers.get('x-request-id'));
  }
});

test('no value of a request comes back in an error, whichever field is mistyped', async (context) => {
  const { call } = await startServer(context);
  const canary = 'canary-4711';
  const bodies: unknown[] = [
    { secret: { inner: canary } },
    { secret: [canary] },
    { names: canary },
    { count: canary },
    { role: { inner: canary } },
    { deep: canary },
    [canary],
    canary,
  ];
  for (const json of bodies) {
    const { status, text } = await call('POST', '/v1/test/roles/web', { json });
    assert.equal(status, 400);
    assert.doesNotMatch(text, /canary/);
  }
  const broken = await call('POST', '/v1/test/roles/web', {
    body: `{"secret": ${canary}`,
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(broken.status, 400);
  assert.doesNotMatch(broken.text, /canary/);
});

test('a request id that is not sane is replaced', async (context) => {
  const { call } = await startServer(context);
  for (const given of ['a b', 'x'.repeat(65), '<script>']) {
    const { headers } = await call('GET', '/healthz', { headers: { 'x-request-id': given } });
    assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{18}[0-9a-z]{6,}$/);
  }
});

test('bytes that are no HTTP are answered with a problem document, and the connection ends', async (context) => {
  const { url } = await startServer(context);
  const answer = await rawExchange(url, 'NONSENSE\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 400 /);
  assert.match(answer, /\r\nconnection: close\r\n/);
  assert.equal((JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as { code: string }).code, 'invalid_request');
});

test('headers that are too large are refused with 431', async (context) => {
  const { url } = await startServer(context);
  const answer = await rawExchange(
    url,
    `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: ${'a'.repeat(20_000)}\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.equal((JSON.parse(answer.split('\r\n\r\n')[1] ?? '') as { code: string }).code, 'too_large');
});
