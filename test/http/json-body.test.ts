import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseJsonBody } from '#http/json-body.ts';
import { startServer } from './harness.ts';

const parse = (text: string): unknown => parseJsonBody(Buffer.from(text));
const headers = { 'content-type': 'application/json' };

test('every JSON value of at most 32 levels is parsed as JSON.parse does', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(undefined, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      if (text.includes('__proto__')) return;
      assert.deepEqual(parse(text), JSON.parse(text));
    }),
  );
});

test('text that JSON.parse refuses is refused as invalid_request', () => {
  const notJson = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((text) => !isJson(text));
  fc.assert(
    fc.property(notJson, (text) => {
      assert.throws(() => parse(text), { code: 'invalid_request' });
    }),
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test('an empty body is no body', () => {
  assert.equal(parse(''), undefined);
});

test('a field that is named twice is refused at every depth, also when it is spelled with an escape', () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"x":[{"b":{"c":1,"c":1}}]}',
    '{"role":1,"\\u0072ole":2}',
    '{"a:":"{:\\"","a:":1}',
  ])
    assert.throws(() => parse(text), { code: 'invalid_request', message: /same field twice/ });
});

test('the same name in different objects, and colons in texts, are no repetition', () => {
  const text = '{"a":{"a":"x:y\\\\"},"b":[{"a":1},{"a":":\\":"}]}';
  assert.deepEqual(parse(text), JSON.parse(text));
});

test('a field named __proto__ is refused, also when it is spelled with an escape', () => {
  for (const text of ['{"__proto__":{"admin":true}}', '{"a":[{"\\u005f_proto__":1}]}'])
    assert.throws(() => parse(text), { code: 'invalid_request' });
});

test('bytes that are not UTF-8 are refused', () => {
  assert.throws(() => parseJsonBody(Buffer.from([0x22, 0xff, 0x22])), { code: 'invalid_request', message: /UTF-8/ });
});

test('32 levels are accepted and 33 are not', () => {
  assert.doesNotThrow(() => parse('['.repeat(32) + ']'.repeat(32)));
  assert.throws(() => parse('['.repeat(33) + ']'.repeat(33)), { code: 'invalid_request', message: /32 levels/ });
});

test('half a million nested arrays get a 4xx, and the server goes on', async (context) => {
  const { call } = await startServer(context, { config: { bodyLimit: 4_000_000 } });
  const depth = 500_000;
  const bodies = [
    '['.repeat(depth) + ']'.repeat(depth),
    '['.repeat(depth),
    '{"a":'.repeat(depth) + '1' + '}'.repeat(depth),
    `{"names":${'['.repeat(depth)}${']'.repeat(depth)}}`,
  ];
  for (const body of bodies) {
    const { status, json } = await call('POST', '/v1/test/roles/web', { body, headers });
    assert.deepEqual([status, json['code']], [400, 'invalid_request']);
  }
  assert.equal((await call('GET', '/v1/test/roles/web')).status, 200);
});

test('a text of a million quotes and backslashes is read once, not again and again', async (context) => {
  const { call } = await startServer(context, { config: { bodyLimit: 4_000_000 } });
  for (const body of [`{"secret":"${'\\"'.repeat(400_000)}"}`, `{"secret":"${'\\\\'.repeat(400_000)}"}`]) {
    const { status } = await call('POST', '/v1/test/roles/web', { body, headers });
    assert.equal(status, 201);
  }
});
