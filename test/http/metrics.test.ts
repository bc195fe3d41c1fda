import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { bind } from '#core/operation.ts';
import { request, startServer, testOperations } from './harness.ts';

/** Value of a sample by its full name with labels. */
const sample = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
};

test('metrics need a token that may read them, and reading them is audited', async (context) => {
  const { call, events } = await startServer(context);
  const none = await call('GET', '/metrics', { token: null });
  assert.deepEqual([none.status, none.json['code']], [401, 'unauthenticated']);
  const { status, headers, text } = await call('GET', '/metrics');
  assert.equal(status, 200);
  assert.match(headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(sample(text, 'chancery_build_info{version="1.2.3"}'), 1);
  assert.deepEqual(
    events.map(({ operation, outcome }) => [operation, outcome]),
    [
      ['system.read_metrics', 'denied'],
      ['system.read_metrics', 'ok'],
    ],
  );
});

test('the same text is the answer of the operation', async (context) => {
  const { call } = await startServer(context);
  const { status, json } = await call('GET', '/v1/system/metrics');
  assert.equal(status, 200);
  assert.match(String(json['text']), /^chancery_build_info/m);
});

test('requests are counted by route and status, calls by operation, transport and outcome', async (context) => {
  const { call } = await startServer(context);
  await call('GET', '/v1/test/roles/web');
  await call('GET', '/v1/test/roles/web');
  await call('GET', '/v1/test/roles/forbidden');
  await call('GET', '/v1/nothing');
  const { text } = await call('GET', '/metrics');
  const requests = 'chancery_http_requests_total';
  assert.equal(sample(text, `${requests}{route="test.get_role",status="200"}`), 2);
  assert.equal(sample(text, `${requests}{route="test.get_role",status="403"}`), 1);
  assert.equal(sample(text, `${requests}{route="none",status="404"}`), 1);
  const calls = (outcome: string) =>
    sample(text, `chancery_operations_total{operation="test.get_role",transport="rest",outcome="${outcome}"}`);
  assert.deepEqual([calls('ok'), calls('denied')], [2, 1]);
  const duration = 'chancery_http_request_duration_seconds';
  assert.equal(sample(text, `${duration}_count{route="test.get_role"}`), 3);
  assert.equal(sample(text, `${duration}_bucket{route="test.get_role",le="+Inf"}`), 3);
  assert.ok((sample(text, `${duration}_sum{route="test.get_role"}`) ?? 0) > 0);
  assert.equal(sample(text, 'chancery_http_requests_in_flight{route="test.get_role"}'), 0);
  assert.ok((sample(text, 'chancery_http_connections') ?? 0) >= 1);
  assert.ok((sample(text, 'nodejs_eventloop_lag_p99_seconds') ?? -1) >= 0);
});

test('every line of the text is a comment or a sample with a number, and every family is typed once', async (context) => {
  const { call } = await startServer(context);
  await call('GET', '/v1/test/roles/web');
  const { text } = await call('GET', '/metrics');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of lines)
    assert.match(line, /^[a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]+="[^"\\]*",?)+\})? [-+0-9.eEInfNa]+$/i);
  const types = text.split('\n').filter((line) => line.startsWith('# TYPE '));
  assert.equal(new Set(types).size, types.length);
});

test('with an admin listener the metrics are there without a token, and no longer on the main address', async (context) => {
  const port = await freePort();
  const { call } = await startServer(context, { config: { adminListen: { host: '127.0.0.1', port } } });
  await call('GET', '/v1/test/roles/web');
  const admin = `http://127.0.0.1:${port}`;
  const metrics = await request(`${admin}/metrics`, 'GET', { token: null });
  assert.equal(metrics.status, 200);
  assert.equal(sample(metrics.text, 'chancery_http_requests_total{route="test.get_role",status="200"}'), 1);
  assert.equal((await request(`${admin}/readyz`, 'GET', { token: null })).status, 200);
  assert.equal((await request(`${admin}/v1/test/roles/web`, 'GET')).status, 404);
  assert.equal((await call('GET', '/metrics')).status, 404);
});

test('without the operation there is no /metrics', async (context) => {
  const { call } = await startServer(context, { operations: bind(testOperations, {}) });
  assert.equal((await call('GET', '/metrics')).status, 404);
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
