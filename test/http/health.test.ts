import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from './harness.ts';

const anonymous = { token: null };

test('healthz says that the process lives, whatever the probes say', async (context) => {
  const { call } = await startServer(context, { probes: { store: () => Promise.reject(new Error('down')) } });
  const { status, json, headers } = await call('GET', '/healthz', anonymous);
  assert.equal(status, 200);
  assert.deepEqual(json, { status: 'ok', version: '1.2.3' });
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('readyz is 200 while every probe answers', async (context) => {
  const { call } = await startServer(context, {
    probes: { store: async () => undefined, seal: async () => undefined },
  });
  const { status, json } = await call('GET', '/readyz', anonymous);
  assert.equal(status, 200);
  assert.deepEqual(json, { status: 'ready', version: '1.2.3', checks: { store: 'ok', seal: 'ok' } });
});

test('readyz is 503 and names the probe that failed; why it failed is in the log only', async (context) => {
  const probes = { store: () => Promise.reject(new Error('canary')), seal: async () => undefined };
  const { call, lines } = await startServer(context, { probes });
  const { status, json, text } = await call('GET', '/readyz', anonymous);
  assert.equal(status, 503);
  assert.deepEqual(json['checks'], { store: 'failed', seal: 'ok' });
  assert.doesNotMatch(text, /canary/);
  assert.match(JSON.stringify(lines), /canary/);
});

test('a probe that throws at once or never answers has failed', async (context) => {
  const probes = {
    throwing: () => {
      throw new Error('at once');
    },
    hanging: () => new Promise<void>(() => undefined),
  };
  const { call } = await startServer(context, { probes });
  const { status, json } = await call('GET', '/readyz', anonymous);
  assert.equal(status, 503);
  assert.deepEqual(json['checks'], { throwing: 'failed', hanging: 'failed' });
});

test('many questions at once do not ask the store as often', async (context) => {
  let asked = 0;
  const probes = {
    store: async () => {
      asked += 1;
    },
  };
  const { call } = await startServer(context, { probes });
  await Promise.all(Array.from({ length: 100 }, () => call('GET', '/readyz', anonymous)));
  assert.ok(asked < 10, `asked ${asked} times`);
});
