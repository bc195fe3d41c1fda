import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PublicRequest, PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { startServer } from './harness.ts';

const seen: PublicRequest[] = [];
const remember = (request: PublicRequest) => {
  seen.push(request);
  return { status: 200, headers: { 'content-type': 'application/ocsp-response' }, body: Buffer.from([1, 2, 255]) };
};
const routes: readonly PublicRoute[] = [
  { method: 'GET', path: '/pki/:authority/ocsp/*', summary: 'OCSP', handle: remember },
  {
    method: 'POST',
    path: '/pki/:authority/ocsp',
    summary: 'OCSP',
    consumes: ['application/ocsp-request'],
    bodyLimit: 1000,
    handle: remember,
  },
  {
    method: 'GET',
    path: '/pki/roots.pem',
    summary: 'Roots',
    handle: async () => ({
      status: 200,
      headers: { 'content-type': 'application/pem-certificate-chain' },
      body: 'PEM',
    }),
  },
  {
    method: 'GET',
    path: '/acme/:role/new-nonce',
    summary: 'Nonce',
    handle: () => ({ status: 204, headers: {}, body: '' }),
  },
  {
    method: 'HEAD',
    path: '/acme/:role/new-nonce',
    summary: 'Nonce',
    handle: () => ({ status: 200, headers: { 'replay-nonce': 'abc' }, body: '' }),
  },
  {
    method: 'GET',
    path: '/pki/:authority/ca.pem',
    summary: 'Authority',
    handle: () => {
      throw new AppError('not_found', 'There is no such authority.');
    },
  },
  {
    method: 'POST',
    path: '/acme/:role/broken',
    summary: 'Broken',
    handle: () => {
      throw new TypeError('canary');
    },
  },
];
const anonymous = { token: null };

test('a protocol route gets the bytes of the body, its parameters and the address, and no token is needed', async (context) => {
  const { call } = await startServer(context, { publicRoutes: routes });
  const body = Uint8Array.from([0x30, 0x00, 0xff]);
  const { status, headers } = await call('POST', '/pki/services/ocsp', {
    token: null,
    body,
    headers: { 'content-type': 'application/ocsp-request; x=1', 'x-request-id': 'trace-3' },
  });
  assert.equal(status, 200);
  assert.equal(headers.get('content-type'), 'application/ocsp-response');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  const request = seen.at(-1);
  assert.deepEqual([...(request?.body ?? [])], [0x30, 0x00, 0xff]);
  assert.deepEqual({ ...request?.params }, { authority: 'services' });
  assert.deepEqual([request?.sourceAddress, request?.requestId], ['127.0.0.1', 'trace-3']);
});

test('the path reaches the handler undecoded, however long it is', async (context) => {
  const { call } = await startServer(context, { publicRoutes: routes });
  const rest = `${'MFQwUjBQ%2B%2F'.repeat(60)}%3D/x`;
  assert.equal((await call('GET', `/pki/services/ocsp/${rest}?a=b`, anonymous)).status, 200);
  assert.equal(seen.at(-1)?.url, `/pki/services/ocsp/${rest}?a=b`);
});

test('a body of another media type is refused with 415, and one that is too large with 413', async (context) => {
  const { call } = await startServer(context, { publicRoutes: routes });
  const post = (type: string, size: number) =>
    call('POST', '/pki/services/ocsp', { token: null, body: 'a'.repeat(size), headers: { 'content-type': type } });
  const wrong = await post('application/json', 10);
  assert.deepEqual([wrong.status, wrong.json['code']], [415, 'unsupported_media_type']);
  assert.equal((await post('application/ocsp-request', 1001)).status, 413);
  assert.equal((await post('application/ocsp-request', 1000)).status, 200);
  assert.equal((await call('POST', '/pki/services/ocsp', anonymous)).status, 415);
});

test('every GET answers HEAD with the same headers, unless HEAD has an answer of its own', async (context) => {
  const { call } = await startServer(context, { publicRoutes: routes });
  const head = await call('HEAD', '/pki/roots.pem', anonymous);
  assert.deepEqual([head.status, head.headers.get('content-length'), head.text], [200, '3', '']);
  assert.equal((await call('HEAD', '/acme/web/new-nonce', anonymous)).headers.get('replay-nonce'), 'abc');
  assert.equal((await call('GET', '/acme/web/new-nonce', anonymous)).status, 204);
});

test('errors of protocol routes are problem documents as well', async (context) => {
  const { call } = await startServer(context, { publicRoutes: routes });
  const missing = await call('GET', '/pki/services/ca.pem', anonymous);
  assert.deepEqual([missing.status, missing.json['code']], [404, 'not_found']);
  const broken = await call('POST', '/acme/web/broken', anonymous);
  assert.deepEqual([broken.status, broken.json['code']], [500, 'internal']);
  assert.doesNotMatch(broken.text, /canary/);
  const wrong = await call('DELETE', '/pki/roots.pem', anonymous);
  assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD']);
});
