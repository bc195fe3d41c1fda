import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeOnePem } from '#engines/pki/x509/pem.ts';
import { openRevocationHouse, openssl, type RevocationHouse } from './revocation-house.ts';

async function newRequest(house: RevocationHouse, name = 'key') {
  const key = house.file(
    `${name}.pem`,
    await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'),
  );
  const csr = await openssl('req', '-new', '-key', key, '-subj', '/', '-addext', 'subjectAltName=DNS:a.example.com');
  return { key: readFileSync(key, 'utf8'), csr };
}

test('a lost key is blocked and all its certificates are revoked, by the key itself', async (context) => {
  const house = await openRevocationHouse(context);
  const { key, csr } = await newRequest(house);
  const two = [
    await house.ok('POST', 'pki/certificates', { role: 'web', csr }),
    await house.ok('POST', 'pki/certificates', { role: 'web', csr }),
  ];
  const other = await house.issue();
  await house.revoke(two[0], { reason: 'superseded' });
  const report = await house.ok('POST', 'pki/compromised-keys', { private_key: key });
  assert.deepEqual([report.proven, report.revoked, report.left, report.authorities], [true, 2, 0, []]);
  const crl = (await house.crl()).index();
  for (const issued of two) assert.equal(crl.find(issued.serial_number)[0]?.reason, 'key_compromise');
  assert.equal(crl.find(other.serial_number).length, 0);
  const refused = await house.call('POST', 'pki/certificates', { role: 'web', csr });
  assert.equal(refused.status, 422);
  const again = await house.ok('POST', 'pki/compromised-keys', { private_key: key });
  assert.deepEqual([again.revoked, again.already], [0, 2]);
});

test('the private key that is reported is kept nowhere', async (context) => {
  const house = await openRevocationHouse(context);
  const { key } = await newRequest(house);
  await house.ok('POST', 'pki/compromised-keys', { private_key: key });
  await house.stop();
  const pkcs8 = decodeOnePem(key, 'PRIVATE KEY', 16_384);
  const secret = pkcs8.subarray(36, 68);
  const traces = [secret, Buffer.from(secret.toString('hex')), Buffer.from(key.split('\n')[1] ?? 'none')];
  for (const file of readdirSync(house.folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const content = readFileSync(join(file.parentPath, file.name));
    for (const trace of traces) assert.equal(content.indexOf(trace), -1, file.name);
  }
});

test('by CSR it is proven; by certificate or hash it is believed, and said to be unproven', async (context) => {
  const house = await openRevocationHouse(context);
  const proof = await newRequest(house);
  assert.equal((await house.ok('POST', 'pki/compromised-keys', { csr: proof.csr })).proven, true);
  const lines = proof.csr.split('\n');
  const forged = lines.toSpliced(-3, 1, `${lines.at(-3)?.slice(0, -4)}AAA=`).join('\n');
  assert.equal((await house.call('POST', 'pki/compromised-keys', { csr: forged })).status, 400);
  const issued = await house.issue();
  const byCertificate = await house.ok('POST', 'pki/compromised-keys', { certificate: issued.certificate });
  assert.deepEqual([byCertificate.proven, byCertificate.revoked], [false, 1]);
  const hash = createHash('sha256').update('no key of ours').digest('hex');
  const byHash = await house.ok('POST', 'pki/compromised-keys', { spki_sha256: hash });
  assert.deepEqual([byHash.proven, byHash.revoked], [false, 0]);
  const both = { spki_sha256: hash, csr: proof.csr };
  assert.equal((await house.call('POST', 'pki/compromised-keys', both)).status, 400);
  assert.equal((await house.call('POST', 'pki/compromised-keys', {})).status, 400);
});

test('blocked keys are listed and unblocked', async (context) => {
  const house = await openRevocationHouse(context);
  const { csr } = await newRequest(house);
  const { spki_sha256 } = await house.ok('POST', 'pki/compromised-keys', { csr });
  const { compromised_keys } = await house.ok('GET', 'pki/compromised-keys');
  assert.deepEqual(
    compromised_keys.map((key: { spki_sha256: string; evidence: string }) => [key.spki_sha256, key.evidence]),
    [[spki_sha256, 'csr']],
  );
  await house.ok('DELETE', `pki/compromised-keys/${spki_sha256}`);
  assert.equal((await house.call('DELETE', `pki/compromised-keys/${spki_sha256}`)).status, 404);
  await house.ok('POST', 'pki/certificates', { role: 'web', csr });
});

test('when it is the key of an authority, its certificate is revoked by the one above and it signs no more', async (context) => {
  const house = await openRevocationHouse(context);
  await house.issue();
  const authority = await house.ok('GET', 'pki/authorities/issuing');
  const report = await house.ok('POST', 'pki/compromised-keys', { certificate: authority.certificate });
  assert.deepEqual([report.authorities, report.revoked], [['issuing'], 1]);
  assert.equal(report.advice.length, 2);
  assert.equal((await house.ok('GET', 'pki/authorities/issuing')).state, 'retired');
  assert.equal(
    (await house.ok('GET', `pki/certificates/${authority.serial_number}`)).revocation_reason,
    'key_compromise',
  );
});
