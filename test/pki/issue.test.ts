import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { keyTypes } from '#engines/pki/x509/algorithm.ts';
import { foundPki, startChancery } from '#test/chancery.ts';

function temporary(context: TestContext): (name: string, content?: string | Buffer) => string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-issue-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return (name, content) => {
    if (content !== undefined) writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
}

function openssl(args: readonly string[], input?: string | Buffer): string {
  return execFileSync('openssl', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

test('a certificate by CSR certifies the key of the CSR and hands out no private key', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const file = temporary(context);
  openssl([
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    file('key.pem'),
    '-out',
    file('csr.pem'),
    '-subj',
    '/',
    '-addext',
    'subjectAltName=DNS:a.example.com,DNS:b.example.com',
  ]);
  const issued = await server.ok('POST', 'pki/certificates', {
    role: 'web',
    csr: readFileSync(file('csr.pem'), 'utf8'),
  });
  assert.equal(issued.private_key, undefined);
  const certificate = new X509Certificate(issued.certificate);
  assert.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(file('key.pem')))));
  assert.equal(certificate.subjectAltName, 'DNS:a.example.com, DNS:b.example.com');
});

test('names of the CSR and of the parameters stand in the certificate together, each once', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const file = temporary(context);
  openssl([
    'req',
    '-new',
    '-newkey',
    'ed25519',
    '-nodes',
    '-keyout',
    file('key.pem'),
    '-out',
    file('csr.pem'),
    '-subj',
    '/CN=a.example.com',
    '-addext',
    'subjectAltName=DNS:B.example.com',
  ]);
  const issued = await server.ok('POST', 'pki/certificates', {
    role: 'web',
    csr: readFileSync(file('csr.pem'), 'utf8'),
    dns_names: ['c.example.com', 'b.example.com'],
  });
  assert.equal(
    new X509Certificate(issued.certificate).subjectAltName,
    'DNS:a.example.com, DNS:b.example.com, DNS:c.example.com',
  );
});

test('a CSR that asks to be an authority gets an ordinary certificate', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const file = temporary(context);
  openssl([
    'req',
    '-new',
    '-newkey',
    'ed25519',
    '-nodes',
    '-keyout',
    file('key.pem'),
    '-out',
    file('csr.pem'),
    '-subj',
    '/',
    '-addext',
    'subjectAltName=DNS:a.example.com',
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=keyCertSign',
  ]);
  const issued = await server.ok('POST', 'pki/certificates', {
    role: 'web',
    csr: readFileSync(file('csr.pem'), 'utf8'),
  });
  const certificate = new X509Certificate(issued.certificate);
  assert.equal(certificate.ca, false);
  assert.doesNotMatch(openssl(['x509', '-noout', '-text'], issued.certificate), /Certificate Sign/);
});

for (const keyType of keyTypes) {
  test(`a key of type ${keyType} that is made here belongs to its certificate`, async (context) => {
    const server = await startChancery(context);
    await foundPki(server, 'ec-p256');
    const issued = await server.ok('POST', 'pki/certificates', {
      role: 'web',
      dns_names: ['a.example.com'],
      key_type: keyType,
    });
    const certificate = new X509Certificate(issued.certificate);
    assert.ok(certificate.checkPrivateKey(createPrivateKey(issued.private_key)));
    assert.ok(certificate.verify(new X509Certificate(issued.chain[0]).publicKey));
  });
}

test('the formats hold the same certificate: PEM, DER, bundle, PKCS#12 and PKCS#7', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const request = { role: 'web', dns_names: ['a.example.com'] };
  const der = await server.ok('POST', 'pki/certificates', { ...request, format: 'der' });
  assert.equal(
    new X509Certificate(Buffer.from(der.der, 'base64')).fingerprint256,
    new X509Certificate(der.certificate).fingerprint256,
  );
  const bundle = await server.ok('POST', 'pki/certificates', { ...request, format: 'bundle' });
  assert.equal(bundle.bundle.match(/BEGIN CERTIFICATE/g).length, 2);
  assert.match(bundle.bundle, /^-----BEGIN PRIVATE KEY-----/);
  const pkcs12 = await server.ok('POST', 'pki/certificates', {
    ...request,
    format: 'pkcs12',
    password: 'correct horse',
  });
  const file = temporary(context);
  const shown = openssl([
    'pkcs12',
    '-in',
    file('file.p12', Buffer.from(pkcs12.pkcs12, 'base64')),
    '-passin',
    'pass:correct horse',
    '-nodes',
  ]);
  assert.equal(shown.match(/BEGIN CERTIFICATE/g)?.length, 3);
  assert.match(shown, /BEGIN PRIVATE KEY/);
  const pkcs7 = await server.ok('GET', `pki/certificates/${der.serial_number}?format=pkcs7`);
  const certificates = openssl([
    'pkcs7',
    '-inform',
    'DER',
    '-print_certs',
    '-in',
    file('file.p7b', Buffer.from(pkcs7.pkcs7, 'base64')),
  ]);
  assert.equal(certificates.match(/BEGIN CERTIFICATE/g)?.length, 3);
});

test('a plan stores nothing, and its nearest request passes when it is sent', async (context) => {
  const server = await startChancery(context);
  await foundPki(server, 'ec-p256', { max_ttl: '7d' });
  const plan = await server.ok('POST', 'pki/certificates/plan', {
    role: 'web',
    dns_names: ['a.example.com', 'evil.example.org', '*.example.com'],
    ttl: '90d',
  });
  assert.equal(plan.allowed, false);
  assert.deepEqual(plan.refusals.map((refusal: { rule: string }) => refusal.rule).toSorted(), [
    'allow_wildcards',
    'allowed_domains',
    'max_ttl',
  ]);
  assert.deepEqual((await server.ok('GET', 'pki/certificates?kind=leaf')).certificates, []);
  const issued = await server.ok('POST', 'pki/certificates', plan.nearest_request);
  assert.equal(new X509Certificate(issued.certificate).subjectAltName, 'DNS:a.example.com');
});

test('a plan that allows tells what the certificate would hold', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const plan = await server.ok('POST', 'pki/certificates/plan', { role: 'web', dns_names: ['a.example.com'] });
  assert.equal(plan.allowed, true);
  assert.deepEqual(plan.certificate.names, ['dns:a.example.com']);
  assert.deepEqual(plan.certificate.extended_key_usages, ['1.3.6.1.5.5.7.3.1']);
});

test('a policy with a longest life cuts the default and refuses what asks for more', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  await server.ok('POST', 'policies', {
    name: 'short',
    rules: [
      {
        effect: 'allow',
        operations: ['pki.issue_certificate'],
        resources: ['pki/roles/web'],
        conditions: { max_ttl: '1h' },
      },
    ],
  });
  await server.ok('POST', 'principals', { name: 'agent', kind: 'agent', policies: ['short'] });
  const { key } = await server.ok('POST', 'principals/agent/keys', {});
  const agent = server.as(key);
  const issued = await agent.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
  assert.ok(Date.parse(issued.not_after) - Date.now() <= 3_600_000);
  const refused = await agent.call('POST', 'pki/certificates', {
    role: 'web',
    dns_names: ['a.example.com'],
    ttl: '2h',
  });
  assert.equal(refused.status, 403);
  assert.match(JSON.stringify(refused.body), /1h/);
});

test('certificates are found by name, role, principal, key and end, newest first, page by page', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const serials: string[] = [];
  for (const name of ['a', 'b', 'c', 'd', 'e'])
    serials.unshift(
      (await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [`${name}.example.com`] })).serial_number,
    );
  const found = (reply: { certificates: { serial_number: string }[] }) =>
    reply.certificates.map((each) => each.serial_number);
  assert.deepEqual(found(await server.ok('GET', 'pki/certificates?role=web')), serials);
  assert.deepEqual(found(await server.ok('GET', 'pki/certificates?name=c.example.com')), [serials[2]]);
  assert.deepEqual(
    found(await server.ok('GET', 'pki/certificates?principal=admin&kind=leaf&expires_within=25h')),
    serials,
  );
  assert.deepEqual(found(await server.ok('GET', 'pki/certificates?principal=nobody')), []);
  const first = await server.ok('GET', 'pki/certificates?role=web&limit=2');
  const second = await server.ok('GET', `pki/certificates?role=web&limit=2&cursor=${first.next_cursor}`);
  assert.deepEqual([...found(first), ...found(second)], serials.slice(0, 4));
  const key = (await server.ok('GET', `pki/certificates/${serials[0]}`)).key_sha256;
  assert.deepEqual(found(await server.ok('GET', `pki/certificates?key_sha256=${key}`)), [serials[0]]);
});

test('a common name that is no alternative name is found, revoked by filter and expected as cn:', async (context) => {
  const server = await startChancery(context);
  const role = { extended_key_usages: ['client_auth'], allowed_common_names: ['chy_ab12c_*'] };
  await foundPki(server, 'ec-p256', role);
  const issue = async (commonName: string) =>
    (await server.ok('POST', 'pki/certificates', { role: 'web', common_name: commonName })).serial_number as string;
  const [one, other] = [await issue('chy_ab12c_one'), await issue('chy_ab12c_other')];
  await issue('a.example.com');
  const found = async (name: string) =>
    (await server.ok('GET', `pki/certificates?name=${name}`)).certificates.map(
      (each: { serial_number: string }) => each.serial_number,
    );
  assert.deepEqual(await found('cn:chy_ab12c_one'), [one]);
  assert.deepEqual(await found('cn:chy_ab12c_'), []);
  assert.deepEqual(await found('cn:a.example.com'), []);
  const filtered = await server.ok('POST', 'pki/certificates/revoke', { name: 'cn:chy_ab12c_one', role: 'web' });
  assert.deepEqual(filtered.serial_numbers, [one]);
  const path = `pki/certificates/${other}/revoke`;
  assert.equal((await server.call('POST', path, { expected: { name: 'cn:chy_ab12c_one' } })).status, 409);
  assert.equal((await server.ok('POST', path, { expected: { name: 'cn:chy_ab12c_other' } })).status, 'revoked');
});

test('the expiring report lists soonest first and says what was renewed', async (context) => {
  const server = await startChancery(context);
  await foundPki(server);
  const issue = (name: string, ttl: string) =>
    server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [name], ttl });
  const [late, soon] = [await issue('late.example.com', '3h'), await issue('soon.example.com', '1h')];
  const renewed = await issue('soon.example.com', '20h');
  const report = await server.ok('GET', 'pki/certificates/expiring?within=4h');
  assert.deepEqual(
    report.certificates.map((each: { serial_number: string; renewed_by: string | null }) => [
      each.serial_number,
      each.renewed_by,
    ]),
    [
      [soon.serial_number, renewed.serial_number],
      [late.serial_number, null],
    ],
  );
});
