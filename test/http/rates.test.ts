import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { AccessRequest, Authorization } from '#core/dispatch.ts';
import { limitPrincipals } from '#http/gates.ts';
import { addressKey, addressMatcher, createRateLimiter, generations } from '#http/rate-limit.ts';
import { defaultHttpSettings, type RateSettings } from '#http/settings.ts';
import { goodToken, startServer } from './harness.ts';

const rates = (changes: Partial<RateSettings>): { readonly rates: RateSettings } => ({
  rates: { ...defaultHttpSettings.rates, ...changes },
});
/** A rate that does not refill while a test runs. */
const fixed = (burst: number) => ({ perSecond: 0.001, burst });

test('a bucket gives its burst at once, then its rate, and says how long to wait', () => {
  let now = 0;
  const limiter = createRateLimiter({ perSecond: 10, burst: 3 }, () => now);
  assert.deepEqual(
    [1, 2, 3].map(() => limiter.take('a')),
    [0, 0, 0],
  );
  assert.equal(limiter.take('a'), 0.1);
  assert.equal(limiter.take('b'), 0);
  now = 50;
  assert.ok(Math.abs(limiter.take('a') - 0.05) < 1e-9);
  now = 100;
  assert.equal(limiter.take('a'), 0);
  now = 1_000_000;
  assert.deepEqual(
    [1, 2, 3].map(() => limiter.take('a')),
    [0, 0, 0],
  );
  assert.notEqual(limiter.take('a'), 0);
});

test('over any stretch of time no key gets more than the burst and the rate allow', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 50 }), (waits, burst, perSecond) => {
      let now = 0;
      const limiter = createRateLimiter({ perSecond, burst }, () => now);
      let taken = 0;
      for (const wait of waits) {
        now += wait;
        if (limiter.take('a') === 0) taken += 1;
      }
      assert.ok(taken <= burst + (now / 1000) * perSecond + 1e-6);
    }),
  );
});

test('what is remembered is bounded, and what is used stays', () => {
  const remembered = generations<number, number>(10);
  for (let key = 0; key < 1000; key++) {
    remembered.put(key, key);
    assert.equal(remembered.get(0), 0);
  }
  const left = Array.from({ length: 1000 }, (_, key) => key).filter((key) => remembered.get(key) !== undefined);
  assert.ok(left.length <= 20);
});

test('all addresses of one IPv6 /64 are one, and no two of IPv4 are', () => {
  assert.equal(addressKey('2001:db8:1:2:3:4:5:6'), addressKey('2001:db8:1:2::9'));
  assert.notEqual(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'));
  assert.equal(addressKey('::1'), addressKey('::2'));
  assert.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2'));
  assert.notEqual(addressKey('10.0.0.1'), addressKey('10.0.0.2'));
});

test('ranges match what is in them and nothing else', () => {
  const matches = addressMatcher(['10.1.0.0/16', '192.0.2.7', 'fd00::/8', '::1']);
  for (const address of ['10.1.2.3', '192.0.2.7', 'fd12::1', '::1']) assert.ok(matches(address), address);
  for (const address of ['10.2.0.1', '192.0.2.8', 'fe80::1', '::2', '', 'nonsense'])
    assert.ok(!matches(address), address);
});

test('after too many failed authentications an address has to wait, and nothing more is audited', async (context) => {
  const { call, events } = await startServer(context, { config: rates({ failedAuthentication: fixed(3) }) });
  const statuses: number[] = [];
  for (let attempt = 0; attempt < 5; attempt++)
    statuses.push((await call('GET', '/v1/test/roles', { token: `chy_wrong${attempt}` })).status);
  assert.deepEqual(statuses, [401, 401, 401, 429, 429]);
  assert.equal(events.length, 3);
  const { headers, json } = await call('GET', '/v1/test/roles', { token: null });
  assert.equal(json['code'], 'rate_limited');
  assert.ok(Number(headers.get('retry-after')) > 0);
});

test('a token that worked lately goes on working behind an address that has to wait', async (context) => {
  const { call } = await startServer(context, { config: rates({ failedAuthentication: fixed(2) }) });
  assert.equal((await call('GET', '/v1/test/roles')).status, 200);
  for (let attempt = 0; attempt < 4; attempt++) await call('GET', '/v1/test/roles', { token: 'chy_wrong' });
  assert.equal((await call('GET', '/v1/test/roles', { token: 'chy_wrong' })).status, 429);
  assert.equal((await call('GET', '/v1/test/roles', { token: goodToken })).status, 200);
});

test('requests of authenticated principals are not counted against their address', async (context) => {
  const { call } = await startServer(context, {
    config: rates({ open: fixed(1), failedAuthentication: fixed(1), exempt: [] }),
  });
  for (let request = 0; request < 20; request++) assert.equal((await call('GET', '/v1/test/roles')).status, 200);
});

const open = [
  { method: 'GET', path: '/open', summary: 'Open', handle: () => ({ status: 200, headers: {}, body: 'x' }) },
] as const;

test('open routes, the reference and paths that do not exist are limited per address; health is not', async (context) => {
  const { call } = await startServer(context, { config: rates({ open: fixed(3), exempt: [] }), publicRoutes: open });
  const paths = ['/open', '/openapi.json', '/nothing', '/open', '/docs', '/nothing'];
  const statuses: number[] = [];
  for (const path of paths) statuses.push((await call('GET', path, { token: null })).status);
  assert.deepEqual(statuses, [200, 200, 404, 429, 429, 429]);
  assert.equal((await call('GET', '/healthz', { token: null })).status, 200);
});

test('addresses that are exempt are not limited on open routes', async (context) => {
  const { call } = await startServer(context, { config: rates({ open: fixed(1) }), publicRoutes: open });
  for (let request = 0; request < 5; request++) assert.equal((await call('GET', '/open')).status, 200);
});

test('behind a trusted proxy the limit counts the address that the proxy names, and nobody else may name one', async (context) => {
  const config = { ...rates({ open: fixed(1), exempt: [] }), trustedProxies: ['127.0.0.1'] };
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
  const trusting = await startServer(context, { config, publicRoutes: open });
  const statuses: number[] = [];
  for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2'])
    statuses.push((await trusting.call('GET', '/open', from(address))).status);
  assert.deepEqual(statuses, [200, 429, 200]);
  const plain = await startServer(context, { config: { ...config, trustedProxies: [] }, publicRoutes: open });
  assert.equal((await plain.call('GET', '/open', from('192.0.2.1'))).status, 200);
  assert.equal((await plain.call('GET', '/open', from('192.0.2.2'))).status, 429);
});

test('whoever is not admitted cannot make the server read a body', async (context) => {
  const { call } = await startServer(context, { config: rates({ failedAuthentication: fixed(1) }) });
  await call('GET', '/v1/test/roles', { token: null });
  const broken = { token: null, body: '{"broken', headers: { 'content-type': 'application/json' } };
  assert.equal((await call('POST', '/v1/test/roles/web', broken)).status, 429);
});

test('an address that is no address is none', async (context) => {
  const { call, events } = await startServer(context, { config: { trustedProxies: ['127.0.0.1'] } });
  await call('GET', '/v1/test/roles', { headers: { 'x-forwarded-for': 'canary' } });
  await call('GET', '/v1/test/roles', { headers: { 'x-forwarded-for': '192.0.2.9' } });
  assert.deepEqual(
    events.map(({ sourceAddress }) => sourceAddress),
    [null, '192.0.2.9'],
  );
});

test('a principal that has used up its rate is refused before the policy is asked; background work is not counted', async () => {
  let asked = 0;
  const authorize = limitPrincipals(async () => {
    asked += 1;
    return {} as Authorization;
  }, fixed(2));
  const by = (kind: string, id: string) => ({ principal: { kind, id, name: id } }) as unknown as AccessRequest;
  await authorize(by('agent', 'a'));
  await authorize(by('agent', 'a'));
  await assert.rejects(authorize(by('agent', 'a')), { code: 'rate_limited' });
  await authorize(by('agent', 'b'));
  for (let run = 0; run < 5; run++) await authorize(by('system', 's'));
  assert.equal(asked, 8);
});
