import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, foundPki, startChancery } from '#test/chancery.ts';

async function issue(client: Client, more: object = {}) {
  return client.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'], ...more });
}

const validate = (client: Client, input: object) => client.ok('POST', 'pki/certificates/validate', input);

test('a certificate of ours is valid for its name, with our roots trusted without being given', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const issued = await issue(server);
  const result = await validate(server, {
    certificate: issued.certificate,
    dns_name: 'A.example.com',
    check_revocation: 'hard',
  });
  assert.deepEqual(result.reasons, []);
  assert.equal(result.valid, true);
  assert.deepEqual(
    result.path.map((entry: { role: string; revocation: string }) => [entry.role, entry.revocation]),
    [
      ['leaf', 'good'],
      ['intermediate', 'good'],
      ['trust_anchor', 'not_checked'],
    ],
  );
  assert.equal(result.path[0].serial_number, issued.serial_number);
});

test('a chain of ML-DSA keys is valid', async (context) => {
  const server = await startChancery(context);
  await foundPki(server, 'ml-dsa-44');
  const issued = await issue(server, { key_type: 'ml-dsa-65' });
  const result = await validate(server, { certificate: issued.certificate, dns_name: 'a.example.com' });
  assert.deepEqual([result.valid, result.reasons, result.path.length], [true, [], 3]);
});

test('a wrong name, a wrong purpose and a time after the end are each told with the certificate that has the fault', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const { certificate, not_after: end } = await issue(server);
  const named = await validate(server, { certificate, dns_name: 'b.example.com' });
  assert.deepEqual(
    [named.valid, named.reasons[0].code, named.reasons[0].certificate.index],
    [false, 'name_mismatch', 0],
  );
  assert.match(named.reasons[0].found, /a\.example\.com/);
  const used = await validate(server, { certificate, purpose: 'code_signing' });
  assert.deepEqual(
    used.reasons.map((reason: { code: string }) => reason.code),
    ['extended_key_usage'],
  );
  const at = `${new Date(Date.parse(end) + 1000).toISOString().slice(0, 19)}Z`;
  const late = await validate(server, { certificate, at });
  assert.deepEqual(
    late.reasons.map((reason: { code: string }) => reason.code),
    ['expired'],
  );
  assert.equal((await validate(server, { certificate, at: end })).valid, true);
});

test('a revoked certificate is invalid from its revocation on, and valid again when a hold is released', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const { certificate, serial_number: serial } = await issue(server);
  await server.ok('POST', `pki/certificates/${serial}/revoke`, { reason: 'certificate_hold' });
  const held = await validate(server, { certificate });
  assert.deepEqual([held.valid, held.reasons[0].code, held.path[0].revocation], [false, 'on_hold', 'held']);
  await server.ok('POST', `pki/certificates/${serial}/release`, {});
  assert.equal((await validate(server, { certificate })).valid, true);
  await server.ok('POST', `pki/certificates/${serial}/revoke`, { reason: 'key_compromise' });
  const revoked = await validate(server, { certificate });
  assert.deepEqual([revoked.valid, revoked.reasons[0].code], [false, 'revoked']);
  assert.match(revoked.reasons[0].found, /key_compromise/);
  assert.equal((await validate(server, { certificate, check_revocation: 'none' })).valid, true);
});

test('a certificate of another installation is valid only with its root given, and its revocation is then unknown', async (context) => {
  const inside = await startChancery(context);
  const outside = await startChancery(context);
  await foundPki(outside);
  const issued = await issue(outside);
  const certificate = [issued.certificate, ...issued.chain].join('');
  const distrusted = await validate(inside, { certificate });
  assert.equal(distrusted.valid, false);
  assert.equal(distrusted.reasons[0].code, 'issuer_not_found');
  const given = { certificate, trust_anchors: [issued.chain[1]], dns_name: 'a.example.com' };
  const soft = await validate(inside, given);
  assert.deepEqual([soft.valid, soft.path[0].revocation], [true, 'unknown']);
  const hard = await validate(inside, { ...given, check_revocation: 'hard' });
  assert.deepEqual([hard.valid, hard.reasons[0].code], [false, 'revocation_unknown']);
});

test('the roots of another namespace are not trusted', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const issued = await issue(server);
  const made = await server.ok('POST', 'namespaces', { name: 'tenant' });
  const tenant = server.as(made.key);
  const result = await validate(tenant, { certificate: [issued.certificate, ...issued.chain].join('') });
  assert.deepEqual([result.valid, result.reasons[0].code], [false, 'issuer_not_found']);
});

test('bytes that are no certificate give a verdict, and names that are none are refused', async (context) => {
  const server = await startChancery(context);
  const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.alloc(60, 0x30).toString('base64')}\n-----END CERTIFICATE-----\n`;
  const result = await validate(server, { certificate: pem });
  assert.deepEqual([result.valid, result.path, result.reasons[0].code], [false, [], 'malformed_certificate']);
  const refusals = [
    { dns_name: '*.example.com' },
    { dns_name: 'a..example' },
    { ip_address: '010.0.0.1' },
    { dns_name: 'a.example', ip_address: '10.0.0.1' },
  ];
  for (const names of refusals) {
    const reply = await server.call('POST', 'pki/certificates/validate', { certificate: pem, ...names });
    assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request'], JSON.stringify(names));
  }
});

test('text around the certificates is passed over, wherever they stand', async (context) => {
  const [inside, outside] = [await startChancery(context), await startChancery(context)];
  await foundPki(outside);
  const issued = await issue(outside);
  const explained = (pem: string) => `Certificate:\n    Data:\n        Version: 3 (0x2)\n${pem}\n # said somebody\r\n`;
  const [issuer, anchor] = issued.chain.map(explained);
  const given = { certificate: explained(issued.certificate), dns_name: 'a.example.com', trust_anchors: [anchor] };
  const beside = await validate(inside, { ...given, intermediates: [issuer] });
  assert.deepEqual([beside.valid, beside.reasons], [true, []]);
  const inOne = await validate(inside, { ...given, certificate: given.certificate + issuer + anchor });
  assert.deepEqual([inOne.valid, inOne.path.length], [true, 3]);
  const key = '-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n';
  for (const certificate of ['no block at all, but long enough to be read as a PEM, which it is not', issuer + key]) {
    const reply = await inside.call('POST', 'pki/certificates/validate', { ...given, certificate });
    assert.deepEqual([reply.status, reply.body.code], [400, 'invalid_request']);
  }
});
