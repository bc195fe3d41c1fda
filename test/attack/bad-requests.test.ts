import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InProcess, type Reply, startChancery } from '#test/chancery.ts';
import { rawExchange } from '../http/harness.ts';
import { openTarget, processorTime } from './attack.ts';
import { type Input, inParallel } from './fields.ts';
import { assertProblem } from './problem.ts';
import { sampleFor } from './samples.ts';
import { viewStore } from './store-view.ts';
import { furnish } from './world.ts';

/** Requests that HTTP, JSON and the router have to refuse before any operation sees them. */

/** Sends a request line and headers as they are; a URL library would tidy them up first. */
async function sendRaw(
  server: Pick<InProcess, 'url' | 'token'>,
  line: string,
  headers: readonly string[] = [],
  body = '',
): Promise<Reply> {
  const { host } = new URL(server.url);
  const authorization = server.token === undefined ? [] : [`Authorization: Bearer ${server.token}`];
  const head = [`Host: ${host}`, 'Connection: close', ...authorization, ...headers];
  const answer = await rawExchange(server.url, `${line} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${body}`);
  const [top = '', ...rest] = answer.split('\r\n\r\n');
  const [status = '', ...lines] = top.split('\r\n');
  const fields = lines.map((each): [string, string] => {
    const colon = each.indexOf(':');
    return [each.slice(0, colon), each.slice(colon + 1).trim()];
  });
  const text = rest.join('\r\n\r\n');
  const answered = new Headers(fields);
  const isJson = /json/.test(answered.get('content-type') ?? '');
  return {
    status: Number(status.split(' ')[1]),
    headers: answered,
    body: isJson && text !== '' ? JSON.parse(Buffer.from(text, 'latin1').toString()) : text,
  };
}

const megabytes = (count: number) => 'a'.repeat(count * 1_048_576);

test('a body of 10 MB is refused by every operation that takes one', async (context) => {
  const server = await startChancery(context);
  const { ids } = await furnish(server, 'root', 'tenant');
  const view = viewStore(context, server.folder);
  const before = view.digest();
  const body = JSON.stringify({ description: megabytes(10) });
  const withBody = server.chancery.operations.filter(({ http }) => http.method !== 'GET' && http.method !== 'DELETE');
  for (const operation of withBody) {
    const sample: Input = sampleFor(operation, ids);
    const path = operation.http.path.replaceAll(/\{(\w+)\}/g, (_all, field: string) => String(sample[field]));
    const reply = await server.call(operation.http.method, path.slice(1), body).catch(() => undefined);
    // The connection may be cut before the client has read the answer: then nothing was accepted either.
    if (reply !== undefined) assertProblem(reply, operation.id, { status: 413, code: 'too_large' });
  }
  assert.deepEqual(view.digest(), before);
});

test('a body of another type than JSON is refused', async (context) => {
  const { server } = await openTarget(context);
  const types = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json5',
    'application/jsonp',
    'application/octet-stream',
    'application/x-protobuf',
    'application/merge-patch+json',
    'json',
    'application/json, text/plain',
    '*/*',
  ];
  for (const type of types) {
    const reply = await server.call('POST', 'pki/roles', '{"name":"x","authority":"issuing"}', {
      'content-type': type,
    });
    assertProblem(reply, type, { status: 415, code: 'unsupported_media_type' });
  }
  const length = ['Content-Length: 2'];
  assertProblem(await sendRaw(server, 'POST /v1/tokens', length, '{}'), 'no type', { status: [400, 415] });
});

test('what is not one JSON object in UTF-8, each member once, is refused', async (context) => {
  const { refuse, server } = await openTarget(context);
  const issue = '"role":"web","dns_names":["a.example.com"]';
  const bad: Readonly<Record<string, string>> = {
    'an end that is missing': `{${issue}`,
    'a comma too many': `{${issue},}`,
    'single quotes': `{'role':'web'}`,
    comments: `{${issue}} // web`,
    'two values': `{${issue}}{${issue}}`,
    'a byte order mark': `\ufeff{${issue}}`,
    NaN: `{${issue},"ttl":NaN}`,
    'a number that JSON has not': `{${issue},"ttl":0x10}`,
    'an escape that JSON has not': '{"role":"\\x77eb"}',
    'a raw control character': '{"role":"we\nb"}',
    'a member twice': `{${issue},"role":"other"}`,
    'a member twice, once escaped': `{${issue},"\\u0072ole":"other"}`,
    'a member twice within': `{${issue},"name_constraints":{"a":1,"a":2}}`,
    __proto__: `{${issue},"__proto__":{"ttl":"1h"}}`,
    '__proto__, escaped': `{${issue},"__pro\\u0074o__":{"ttl":"1h"}}`,
    '__proto__ within': `{${issue},"x":{"__proto__":null}}`,
    constructor: `{${issue},"constructor":{"prototype":{"csr":"x"}}}`,
    'arrays 500,000 deep': '['.repeat(500_000) + ']'.repeat(500_000),
    'arrays 60,000 deep in a field': `{${issue},"uris":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    'objects 20,000 deep': '{"a":'.repeat(20_000),
    'a long number': `{${issue},"ttl":${'9'.repeat(100_000)}}`,
    'a number of a large exponent': `{${issue},"ttl":1e999999999}`,
    '20,000 members': `{${Array.from({ length: 20_000 }, (_, index) => `"${index}":0`).join()}}`,
  };
  for (const [what, body] of Object.entries(bad)) {
    const { seconds } = await processorTime(() =>
      refuse(what, 'pki/certificates', body, {
        status: [400, 413],
        code: ['invalid_request', 'too_large'],
        unread: true,
      }),
    );
    assert.ok(seconds < 1, `${what} cost ${seconds} s`);
  }
  const deep = '['.repeat(500_000) + ']'.repeat(500_000);
  assertProblem(await server.call('POST', 'policies', deep), 'deep where 1 MB is allowed', { status: [400, 413] });
  const broken = Buffer.concat([Buffer.from('{"role":"'), Buffer.of(0xff, 0xc0, 0x80), Buffer.from('"}')]);
  const reply = await fetch(`${server.url}/v1/pki/certificates`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
    body: broken,
  });
  assert.equal(reply.status, 400);
  const polluted: Record<string, unknown> = {};
  assert.equal(polluted['ttl'] ?? polluted['csr'], undefined);
});

test('a compressed body is not unpacked', async (context) => {
  const { server } = await openTarget(context);
  const body = JSON.stringify({ role: 'web', dns_names: ['a.example.com'] });
  for (const encoding of ['gzip', 'br', 'deflate', 'zstd'])
    assertProblem(
      await server.call('POST', 'pki/certificates', `\u001f\u008b${body}`, { 'content-encoding': encoding }),
      encoding,
    );
});

test('no method but those of a route does anything', async (context) => {
  const server = await startChancery(context);
  const { ids } = await furnish(server, 'root', 'tenant');
  const view = viewStore(context, server.folder);
  const before = view.digest();
  const routes = server.chancery.operations.map(({ http }) => ({
    method: http.method,
    pattern: new RegExp(`^${http.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  }));
  const paths = new Map<string, Set<string>>();
  for (const operation of server.chancery.operations) {
    const sample: Input = sampleFor(operation, ids);
    const path = operation.http.path.replaceAll(/\{(\w+)\}/g, (_all, field: string) => String(sample[field]));
    paths.set(path, new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)));
  }
  const methods = [
    'GET',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'PROPFIND',
    'TRACE',
    'SEARCH',
    'LOCK',
    'MKCOL',
    'REPORT',
  ];
  const wrong = [...paths].flatMap(([path, own]) =>
    methods.filter((each) => !own.has(each)).map((method) => ({ path, method })),
  );
  await inParallel(wrong, async ({ path, method }) => {
    const reply = await sendRaw(server, `${method} /v1${path}`, [
      'X-HTTP-Method-Override: DELETE',
      'Content-Length: 0',
    ]);
    assertProblem(reply, `${method} ${path}`, { status: [404, 405] });
    if (reply.status === 405) assert.notEqual(reply.headers.get('allow') ?? '', '', path);
  });
  assert.deepEqual(view.digest(), before);
  const tunnelled = await sendRaw(server, `GET /v1/pki/roles/${ids.role}?_method=DELETE`, [
    'X-HTTP-Method-Override: DELETE',
  ]);
  assertProblem(tunnelled, 'a method in the query', { status: 400 });
  assert.deepEqual(view.digest(), before);
});

/** Spellings of the path to `secret`, for somebody who may only see `allowed`. */
const tricks = [
  'allowed/../secret',
  'allowed/..%2fsecret',
  'allowed%2f..%2fsecret',
  'allowed%2F%2E%2E%2Fsecret',
  'allowed/%2e%2e/secret',
  'allowed/..;/secret',
  'allowed;/../secret',
  'allowed\\..\\secret',
  'allowed%5c..%5csecret',
  'allowed%252f..%252fsecret',
  'allowed/%252e%252e/secret',
  'allowed%c0%af..%c0%afsecret',
  'allowed%e0%80%af..%e0%80%afsecret',
  './secret',
  '%2e/secret',
  '/secret',
  '//secret',
  'secret/',
  'secret//',
  'secret/.',
  'secret/..',
  'secret;',
  'secret;allowed',
  'secret;v=1',
  'secret%3b',
  'secret%00',
  'secret%00allowed',
  'allowed%00/../secret',
  'secret%20',
  '%20secret',
  'secret+',
  'secret.',
  'secret.json',
  'secret%0a',
  'secret%0d%0a',
  'secret%09',
  'secret%23',
  'secret%3f',
  'secret#allowed',
  'allowed#/../secret',
  'secret?name=allowed',
  'allowed?name=secret',
  'allowed?name=allowed&name=secret',
  'allowed?name[]=secret',
  'SECRET',
  'Secret',
  '%53ecret',
  '\u017fecret',
  '%c5%bfecret',
  '%ef%bd%93ecret',
  'secre\u0074\u0300',
  'se%cc%81cret',
  's%e2%80%8becret',
  '%ef%bb%bfsecret',
  'secret%e2%80%ae',
  '%u0073ecret',
  '%73ecret',
  '%73%65%63%72%65%74',
  'secret',
  '*',
  '**',
  'secret,allowed',
  'allowed,secret',
  'allowed|secret',
  '{name}',
  ':name',
  '$secret',
  '%',
  '%2',
  '%zz',
  'secret%',
  `${'../'.repeat(40)}v1/pki/roles/secret`,
  'x'.repeat(5000),
];
const prefixes = [
  '/v1/pki/roles/',
  '/v1//pki/roles/',
  '//v1/pki/roles/',
  '/V1/pki/roles/',
  '/v1/PKI/roles/',
  '/v1/./pki/roles/',
  '/v1/x/../pki/roles/',
  '/v1%2fpki/roles/',
  '/v1;/pki/roles/',
  '/v1/pki/roles;/',
  '/docs/../v1/pki/roles/',
  '\\v1\\pki\\roles\\',
  '/%76%31/pki/roles/',
];

test('whoever may see one resource reaches no other by any spelling of a path', async (context) => {
  const { server } = await openTarget(context);
  const role = { authority: 'issuing', allowed_domains: ['example.com'] };
  await server.ok('POST', 'pki/roles', { ...role, name: 'allowed', description: 'may be seen' });
  await server.ok('POST', 'pki/roles', { ...role, name: 'secret', description: 'CANARY' });
  const { token } = await server.ok('POST', 'tokens', { operations: ['pki.*'], resources: ['pki/roles/allowed'] });
  const narrowed = server.as(token);
  assert.equal((await narrowed.ok('GET', 'pki/roles/allowed')).name, 'allowed');
  const view = viewStore(context, server.folder);
  const before = view.digest();
  const { host } = new URL(server.url);
  const paths = [
    ...prefixes.flatMap((prefix) => tricks.map((trick) => `${prefix}${trick}`)),
    ...tricks.map((trick) => `http://${host}/v1/pki/roles/${trick}`),
    `http://evil.example/v1/pki/roles/secret`,
  ];
  await inParallel(paths, async (path) => {
    const reply = await sendRaw(narrowed, `GET ${path}`);
    const told = `${path}: ${reply.status} ${JSON.stringify(reply.body)}`;
    assert.doesNotMatch(JSON.stringify(reply.body), /CANARY/, told);
    if (reply.status === 200) assert.equal(reply.body.name, 'allowed', told);
    else assertProblem(reply, path);
    const deleted = await sendRaw(narrowed, `DELETE ${path.replaceAll('allowed', 'hidden')}`);
    assertProblem(deleted, `DELETE ${path}`);
  });
  assert.deepEqual(view.digest(), before);
});

/** Public routes take names from the path too, and no check of a policy stands behind them. */
const publicPaths = [
  '/pki/issuing/ca.pem',
  '/pki/issuing/ca/1.cer',
  '/pki/issuing/crl/1-0.crl',
  '/pki/roots.pem',
  '/docs/docs.js',
  '/openapi.json',
];
const escapes = [
  '..',
  '%2e%2e',
  '%2e%2e%2f',
  '..%2f',
  '..%5c',
  '%252e%252e',
  '..;',
  '.',
  '%00',
  '%2500',
  '\u2025',
  '%c0%ae%c0%ae',
  '',
];
const targets = [
  'etc/passwd',
  'root.key',
  'admin.token',
  'v1/auth/whoami',
  'main.ts',
  'server.ts',
  'package.json',
  'chancery.db',
];

test('public routes give what stands at their paths and nothing else', async (context) => {
  const { server } = await openTarget(context);
  const open = { url: server.url, token: undefined };
  const view = viewStore(context, server.folder);
  const plain = new Set<string>();
  for (const path of publicPaths) {
    const reply = await sendRaw(open, `GET ${path}`);
    assert.equal(reply.status, 200, path);
    plain.add(String(reply.body));
  }
  const before = view.digest();
  const paths = publicPaths.flatMap((path) => {
    const segments = path.split('/');
    const twisted = segments
      .slice(1)
      .flatMap((_segment, index) =>
        escapes.flatMap((escape) => [
          [...segments.slice(0, index + 1), escape, ...segments.slice(index + 1)].join('/'),
          [...segments.slice(0, index + 1), `${segments[index + 1]}${escape}`, ...segments.slice(index + 2)].join('/'),
          ...targets.map((target) => [...segments.slice(0, index + 1), escape, escape, escape, target].join('/')),
        ]),
      );
    return twisted.filter((each) => each !== path);
  });
  await inParallel([...new Set(paths)], async (path) => {
    const reply = await sendRaw(open, `GET ${path}`);
    if (reply.status === 200) assert.ok(plain.has(String(reply.body)), `${path} answers something of its own`);
    else assertProblem(reply, path);
  });
  assert.deepEqual(view.digest(), before);
});

test('what is no HTTP, or HTTP that two readers read differently, is refused', async (context) => {
  const { server, view } = await openTarget(context);
  const before = view.digest();
  const { host } = new URL(server.url);
  const auth = `Host: ${host}\r\nAuthorization: Bearer ${server.token}\r\n`;
  const json = 'Content-Type: application/json\r\n';
  const body = '{"name":"smuggled","authority":"issuing"}';
  const ambiguous = [
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Content-Length: ${body.length}\r\nContent-Length: 2\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Content-Length: ${body.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Transfer-Encoding: xchunked\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Content-Length: +${body.length}\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}Content-Length : ${body.length}\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json} Content-Length: ${body.length}\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\n${auth}${json}\n${body}`,
    `POST /v1/pki/roles HTTP/0.9\r\n${auth}${json}\r\n${body}`,
    `POST /v1/pki/roles HTTP/3.0\r\n${auth}${json}\r\n${body}`,
    `POST  /v1/pki/roles HTTP/1.1\r\n${auth}${json}\r\n${body}`,
    `POST /v1/pki/roles\tHTTP/1.1\r\n${auth}${json}\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}X: a\0b\r\n\r\n${body}`,
    `POST /v1/pki/roles HTTP/1.1\r\n${auth}${json}X\r\n\r\n${body}`,
    `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ];
  for (const text of ambiguous) {
    const answer = await rawExchange(server.url, `${text}\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /, JSON.stringify(text.slice(0, 200)));
    assert.doesNotMatch(answer, /HTTP\/1\.1 2\d\d /, JSON.stringify(text.slice(0, 200)));
  }
  assert.deepEqual(view.digest(), before);
});

test('one token, one key and one approval are read from a request, or none', async (context) => {
  const { server, view } = await openTarget(context);
  const token = `Authorization: Bearer ${server.token}`;
  const anonymous = { url: server.url, token: undefined };
  const good = await sendRaw(anonymous, 'GET /v1/auth/whoami', [token]);
  assert.equal(good.status, 200);
  const before = view.digest();
  const refused: readonly (readonly string[])[] = [
    ['Authorization: Bearer'],
    ['Authorization: Bearer '],
    [`Authorization: Basic ${Buffer.from(`:${server.token}`).toString('base64')}`],
    [`Authorization: Token ${server.token}`],
    [`Authorization: ${server.token}`],
    [`Authorization: Bearer ${server.token} x`],
    [`Authorization: Bearer ${server.token},${server.token}`],
    [`Authorization: Bearer "${server.token}"`],
    [`Authorization: Bearer ${server.token?.toUpperCase()}`],
    [`Authorization: Bearer ${server.token?.slice(0, -1)}`],
    [`Authorization: Bearer ${server.token}0`],
    [`Authorization: Bearer ${server.token}%00`],
    [`Authorization: Bearer ${'a'.repeat(4000)}`],
    ['Authorization: Bearer __proto__'],
    [`X-Authorization: Bearer ${server.token}`],
    [`Cookie: token=${server.token}`],
    [`X-Forwarded-Authorization: Bearer ${server.token}`],
    ['X-Forwarded-User: admin', 'X-Remote-User: admin', 'X-Original-URL: /v1/auth/whoami', 'Forwarded: for=127.0.0.1'],
  ];
  for (const headers of refused)
    assertProblem(await sendRaw(anonymous, 'GET /v1/auth/whoami', headers), headers.join(), { status: 401 });
  assertProblem(await sendRaw(anonymous, `GET /v1/auth/whoami?access_token=${server.token}`), 'in the query', {
    status: 401,
  });
  for (const header of ['Idempotency-Key', 'Chancery-Approval'])
    for (const value of ['', 'a b', 'a\u00e9', 'x'.repeat(256), '\t', 'a\u007f'])
      assertProblem(
        await sendRaw(
          server,
          'POST /v1/tokens',
          [`${header}: ${value}`, 'Content-Type: application/json', 'Content-Length: 2'],
          '{}',
        ),
        `${header} ${JSON.stringify(value.slice(0, 10))}`,
        { status: 400 },
      );
  assert.deepEqual(view.digest(), before);
});
