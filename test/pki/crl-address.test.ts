import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lintCrl } from '#engines/pki/lint/crl.ts';
import { type CertificateList, decodeCrl } from '#engines/pki/x509/crl.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { foundPki, type InProcess, startChancery } from '#test/chancery.ts';
import { type IssuedCertificate, openssl } from './revocation-house.ts';

/** An installation whose public URL changes: what was issued before must be found on the CRLs that are made after. */

const before = { CHANCERY_PUBLIC_URL: 'http://before.example' };
const after = { CHANCERY_PUBLIC_URL: 'http://after.example' };

async function fetchCrl(server: InProcess, path: string): Promise<CertificateList> {
  return decodeCrl(Buffer.from(await (await fetch(`${server.url}/pki/${path}`)).arrayBuffer()));
}

function issue(server: InProcess): Promise<IssuedCertificate> {
  return server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'] });
}

function namesOf(crl: CertificateList): unknown[] {
  return crl.issuingDistributionPoint?.name?.fullName?.map((name) => 'value' in name && name.value) ?? [];
}

/** `openssl verify` of the whole chain by the CRLs of root and intermediate. */
async function verify(context: TestContext, server: InProcess, issued: IssuedCertificate): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-address-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const crls = await Promise.all(['root', 'issuing'].map((name) => fetchCrl(server, `${name}/crl/1-0.crl`)));
  const given = [
    '-CAfile',
    file('root.pem', issued.chain[1] ?? ''),
    '-untrusted',
    file('ca.pem', issued.chain[0] ?? ''),
  ];
  const lists = ['-CRLfile', file('crls.pem', crls.map(({ der }) => encodePem('X509 CRL', der)).join(''))];
  return openssl('verify', '-crl_check_all', ...given, ...lists, file('leaf.pem', issued.certificate));
}

test('after a change of the public URL a CRL covers the certificates of both addresses', async (context) => {
  const first = await startChancery(context, { env: before });
  await foundPki(first);
  const old = await issue(first);
  const revoked = await issue(first);
  assert.deepEqual(namesOf(await fetchCrl(first, 'issuing/crl/1-0.crl')), [
    'http://before.example/pki/issuing/crl/1-0.crl',
  ]);
  await first.stop();

  const second = await startChancery(context, { env: after, folder: first.folder });
  assert.match(await verify(context, second, old), /: OK/, 'before anything is issued under the new address');
  const young = await issue(second);
  assert.match(await verify(context, second, young), /: OK/, 'its CRL knows the new address at once');
  assert.match(await verify(context, second, old), /: OK/);
  await second.ok('POST', `pki/certificates/${revoked.serial_number}/revoke`, {});
  assert.match(await verify(context, second, revoked), /certificate revoked/);
  const full = await fetchCrl(second, 'issuing/crl/1-0.crl');
  const both = ['after', 'before'].map((host) => `http://${host}.example/pki/issuing/crl/1-0.crl`);
  assert.deepEqual(namesOf(full), both);
  assert.deepEqual(lintCrl(full.der), []);
});

test('a delta CRL builds on no CRL that had other addresses', async (context) => {
  const first = await startChancery(context, { env: before });
  await foundPki(first);
  const old = await issue(first);
  const base = await fetchCrl(first, 'issuing/crl/1-0.crl');
  await first.stop();
  const second = await startChancery(context, { env: after, folder: first.folder });
  await second.ok('POST', `pki/certificates/${old.serial_number}/revoke`, {});
  const delta = await fetchCrl(second, 'issuing/crl/1-0-delta.crl');
  assert.equal(delta.deltaBase, base.crlNumber, 'nobody knows it by another address yet');
  assert.deepEqual(namesOf(delta), namesOf(base));
  const young = await issue(second);
  const full = await fetchCrl(second, 'issuing/crl/1-0.crl');
  const next = await fetchCrl(second, 'issuing/crl/1-0-delta.crl');
  assert.equal(next.deltaBase, full.crlNumber);
  assert.deepEqual(namesOf(next), namesOf(full));
  await second.ok('POST', `pki/certificates/${young.serial_number}/revoke`, {});
  const last = await fetchCrl(second, 'issuing/crl/1-0-delta.crl');
  assert.equal(last.deltaBase, full.crlNumber, 'and from then on they build on that one');
  assert.equal(last.index().size, 1);
  assert.deepEqual(lintCrl(last.der), []);
});

test('a root that was rotated, and a shard that nothing was issued on, keep the address that they were told', async (context) => {
  const first = await startChancery(context, { env: before });
  await foundPki(first);
  await first.ok('POST', 'pki/authorities/root/rotate', {});
  await first.stop();
  const second = await startChancery(context, { env: after, folder: first.folder });
  for (const name of ['root/crl/1-0.crl', 'root/crl/2-0.crl'])
    assert.deepEqual(namesOf(await fetchCrl(second, name)), [`http://before.example/pki/${name}`]);
  const issued = await issue(second);
  assert.match(await verify(context, second, issued), /: OK/);
  assert.deepEqual(namesOf(await fetchCrl(second, 'issuing/crl/1-0.crl')), [
    'http://after.example/pki/issuing/crl/1-0.crl',
  ]);
});
