import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOriginCheck, isLoopback } from '#http/origin.ts';
import { rawExchange, startServer } from './harness.ts';

const loopback = { host: '127.0.0.1', port: 8420 };
const check = createOriginCheck({ listen: loopback, publicUrl: 'https://ca.example.com' });

test('a server on loopback answers to loopback names and to its public name, and to no other', () => {
  for (const host of ['127.0.0.1:8420', 'localhost', 'LOCALHOST:8420', '[::1]:8420', 'ca.example.com', 'a.localhost:1'])
    assert.doesNotThrow(() => check(host, undefined), host);
  for (const host of [
    'evil.example',
    '127.0.0.1.evil.example:8420',
    'localhost.evil.example',
    '10.0.0.1',
    '[::2]',
    'a b',
    '',
  ])
    assert.throws(() => check(host, undefined), { code: 'denied' }, host);
});

test('a server on another interface answers to any name', () => {
  const wide = createOriginCheck({ listen: { host: '0.0.0.0', port: 8420 }, publicUrl: null });
  assert.doesNotThrow(() => wide('anything.example', undefined));
});

test('only pages of the server itself may call it', () => {
  for (const origin of ['http://127.0.0.1:8420', 'https://ca.example.com'])
    assert.doesNotThrow(() => check('127.0.0.1:8420', origin), origin);
  for (const origin of [
    'http://evil.example',
    'http://127.0.0.1:9999',
    'null',
    '',
    'http://127.0.0.1:8420.evil.example',
  ])
    assert.throws(() => check('127.0.0.1:8420', origin), { code: 'denied' }, origin);
});

test('loopback is what only this machine reaches', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'x.localhost']) assert.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '127.0.0.1.example', '128.0.0.1', 'example.com', ''])
    assert.ok(!isLoopback(host), host);
});

test('a request under a rebound name or from a foreign page is refused before anybody is authenticated', async (context) => {
  const { url, call, events } = await startServer(context);
  const foreign = await call('GET', '/v1/test/roles', { headers: { origin: 'https://evil.example' } });
  assert.deepEqual([foreign.status, foreign.json['code']], [403, 'denied']);
  const rebound = await rawExchange(
    url,
    'GET /v1/test/roles HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
  );
  assert.match(rebound, /^HTTP\/1\.1 403 /);
  assert.deepEqual(events, []);
  assert.equal((await call('GET', '/v1/test/roles', { headers: { origin: url } })).status, 200);
});
