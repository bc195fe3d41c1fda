import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRevocationHouse } from './revocation-house.ts';

/** `max_per_hour` and `max_valid` of a role. */

const hour = 3_600_000;
const request = { role: 'braked', dns_names: ['a.example.com'] };

async function openBraked(context: Parameters<typeof openRevocationHouse>[0], limits: object) {
  const house = await openRevocationHouse(context);
  const role = { name: 'braked', authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };
  await house.ok('POST', 'pki/roles', { ...role, ...limits });
  // A quarter past, so that no hour ends while the test runs.
  house.clock.advance(hour - (house.clock.now() % hour) + hour / 4);
  const ask = (path = 'pki/certificates', fields: object = {}) => house.call('POST', path, { ...request, ...fields });
  return { house, ask };
}

test('a role issues so many certificates in an hour and no more, and says when there will be others', async (context) => {
  const { house, ask } = await openBraked(context, { max_per_hour: 3 });
  const first = await Promise.all(Array.from({ length: 8 }, () => ask()));
  const counts = Map.groupBy(first, ({ status }) => status);
  assert.equal(counts.get(201)?.length, 3, JSON.stringify(first.map(({ status }) => status)));
  const refused = await ask();
  assert.deepEqual([refused.status, refused.body.code], [429, 'rate_limited']);
  assert.equal(
    refused.body.detail,
    'Role braked has issued 3 certificates in this hour; max_per_hour allows 3 in an hour.',
  );
  const wait = Number(refused.headers.get('retry-after'));
  assert.ok(wait > 40 * 60 && wait <= 45 * 60, `${wait}`);
  const plan = (await ask('pki/certificates/plan')).body;
  assert.deepEqual([plan.allowed, plan.refusals[0].rule, plan.certificate], [false, 'max_per_hour', null]);
  assert.match(plan.advice, /^Try again in 4\dm/);
  assert.equal((await house.call('POST', 'pki/certificates', { ...request, role: 'web' })).status, 201, 'others go on');
  house.clock.advance(wait * 1000);
  assert.equal((await ask()).status, 201);
  assert.equal((await ask('pki/certificates/plan')).body.allowed, true);
});

test('a repeat with its Idempotency-Key takes no place', async (context) => {
  const { house } = await openBraked(context, { max_per_hour: 1 });
  const headers = { 'idempotency-key': 'one' };
  const [one, two] = [
    await house.call('POST', 'pki/certificates', request, headers),
    await house.call('POST', 'pki/certificates', request, headers),
  ];
  assert.deepEqual([one.status, two.status], [201, 201]);
  assert.equal(one.body.serial_number, two.body.serial_number);
});

test('a role has so many valid certificates at once; those that end or are revoked make room', async (context) => {
  const { house, ask } = await openBraked(context, { max_valid: 2 });
  const one = (await ask(undefined, { ttl: '1h' })).body;
  const two = (await ask(undefined, { ttl: '10h' })).body;
  const refused = await ask();
  assert.deepEqual([refused.status, refused.body.refusals[0].rule], [429, 'max_valid']);
  assert.ok(Math.abs(Number(refused.headers.get('retry-after')) - 3600) < 60);
  await house.ok('POST', `pki/certificates/${two.serial_number}/revoke`, { reason: 'certificate_hold' });
  assert.equal((await ask()).status, 429, 'what is held may come back');
  await house.ok('POST', `pki/certificates/${two.serial_number}/revoke`, { reason: 'superseded' });
  assert.equal((await ask()).status, 201);
  assert.equal((await ask()).status, 429);
  house.clock.advance(Date.parse(one.not_after) - house.clock.now() + 1000);
  assert.equal((await ask()).status, 201, 'one has expired');
});

test('many requests at once do not go beyond max_valid', async (context) => {
  const { house, ask } = await openBraked(context, { max_valid: 3 });
  await Promise.all(Array.from({ length: 12 }, () => ask()));
  while ((await ask()).status === 201);
  const { certificates } = await house.ok('GET', 'pki/certificates?role=braked');
  assert.equal(certificates.length, 3);
});

test('limits can be changed and taken away', async (context) => {
  const { house, ask } = await openBraked(context, { max_per_hour: 1, max_valid: 1 });
  assert.equal((await ask()).status, 201);
  const both = (await ask()).body.refusals.map(({ rule }: { rule: string }) => rule);
  assert.deepEqual(both, ['max_per_hour', 'max_valid']);
  await house.ok('PATCH', 'pki/roles/braked', { max_per_hour: 2, max_valid: 2 });
  assert.equal((await ask()).status, 201);
  const role = await house.ok('PATCH', 'pki/roles/braked', { max_per_hour: null, max_valid: null });
  assert.equal('max_per_hour' in role || 'max_valid' in role, false);
  assert.equal((await ask()).status, 201);
});
