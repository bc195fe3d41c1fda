import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { foundPki, startChancery } from '#test/chancery.ts';

function show(pem: string): string {
  return execFileSync('openssl', ['x509', '-noout', '-text'], { input: pem, encoding: 'utf8' });
}

test('a certificate of a short-lived role says that there is no revocation information, and names none (RFC 9608)', async (context) => {
  const server = await startChancery(context);
  await foundPki(server, 'ec-p256', { short_lived: true, max_ttl: '30d' });
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'], ttl: '1h' });
  const text = show(issued.certificate);
  assert.match(text, /2\.5\.29\.56|No Revocation Available/);
  assert.doesNotMatch(text, /CRL Distribution|OCSP - URI/);
});

test('a longer certificate of the same role names its CRL and its OCSP responder', async (context) => {
  const server = await startChancery(context);
  await foundPki(server, 'ec-p256', { short_lived: true, max_ttl: '30d' });
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'], ttl: '8d' });
  const text = show(issued.certificate);
  assert.doesNotMatch(text, /2\.5\.29\.56/);
  assert.match(text, /CRL Distribution/);
  assert.match(text, /OCSP - URI/);
});
