import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foundPki, startChancery } from '#test/chancery.ts';

const request = { role: 'web', dns_names: ['a.example.com'] };

test('of 20 equal calls at once with one Idempotency-Key, one issues and all answer the same certificate', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const calls = Array.from({ length: 20 }, () =>
    server.call('POST', 'pki/certificates', request, { 'idempotency-key': 'k-1' }),
  );
  const replies = await Promise.all(calls);
  assert.deepEqual([...new Set(replies.map((reply) => reply.status))], [201]);
  assert.equal(new Set(replies.map((reply) => reply.body.serial_number)).size, 1);
  assert.equal((await server.ok('GET', 'pki/certificates?role=web')).certificates.length, 1);
});

test('a replayed answer says so and never holds the private key', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const first = await server.call('POST', 'pki/certificates', request, { 'idempotency-key': 'k-2' });
  const second = await server.call('POST', 'pki/certificates', request, { 'idempotency-key': 'k-2' });
  assert.match(first.body.private_key, /PRIVATE KEY/);
  assert.equal(second.headers.get('idempotency-replayed'), 'true');
  assert.equal(second.body.private_key, undefined);
  assert.equal(second.body.serial_number, first.body.serial_number);
});

test('the same Idempotency-Key with another request is refused', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  await server.ok('POST', 'pki/certificates', request, { 'idempotency-key': 'k-3' });
  const reply = await server.call(
    'POST',
    'pki/certificates',
    { ...request, dns_names: ['b.example.com'] },
    { 'idempotency-key': 'k-3' },
  );
  assert.equal(reply.status, 409);
  assert.equal(reply.body.code, 'conflict');
});
