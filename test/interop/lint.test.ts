import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodePem } from '#pki/x509/pem.ts';
import { must, run } from './tools.ts';
import { type Chain, foundWorld } from './world.ts';

/** What a running server publishes and hands out, before zlint and dumpasn1. The linters of our own have their own tests. */

const world = await foundWorld({ keys: 'pkcs12' });
after(() => world.close());

/** Names of the lints of these sources that end in an error. */
async function zlintErrors(path: string, sources: string): Promise<string[]> {
  const text = await must('zlint', ['-includeSources', sources, '-format', 'pem', path]);
  const results = Object.entries(JSON.parse(text) as Record<string, { readonly result: string }>);
  assert.ok(results.length > 0, `zlint had no lint for ${path}`);
  return results.filter(([, { result }]) => result === 'error' || result === 'fatal').map(([name]) => name);
}

/** The certificate with which the responder signs. */
async function ocspSigner(chain: Chain): Promise<string> {
  const answer = ['-issuer', chain.file('issuing.pem'), '-cert', chain.file('leaf.pem'), '-url', chain.urls.ocsp];
  const path = join(chain.folder, 'answer.der');
  await run('openssl', ['ocsp', ...answer, '-noverify', '-respout', path]);
  const { certificates } = await world.server.ok(
    'GET',
    `pki/certificates?kind=ocsp_signer&authority=issuing-${chain.keyType}`,
  );
  const [signer] = certificates as readonly { readonly serial_number: string }[];
  const stored = await world.server.ok('GET', `pki/certificates/${signer?.serial_number}`);
  const pem = join(chain.folder, 'signer.pem');
  writeFileSync(pem, stored.certificate as string);
  return pem;
}

for (const chain of world.chains) {
  test(`zlint and dumpasn1 fault nothing that a server with keys of ${chain.keyType} gives out`, async () => {
    await chain.lose();
    const signer = await ocspSigner(chain);
    const certificates = (['root', 'issuing', 'leaf', 'lost'] as const).map((name) => chain.file(`${name}.pem`));
    const crls = (['root', 'issuing', 'delta'] as const).map((name) => chain.file(`${name}.crl.pem`));
    for (const path of [...certificates, signer, ...crls])
      assert.deepEqual(await zlintErrors(path, 'RFC5280,RFC5480,RFC5891'), [], path);
    const ders = [chain.file('issuing.crl'), chain.file('delta.crl'), chain.file('leaf.p12'), chain.file('leaf.p7b')];
    for (const path of [...ders, join(chain.folder, 'answer.der'), ...(await Promise.all(certificates.map(toDer)))])
      assert.match((await run('dumpasn1', ['-a', path])).output, /0 warnings, 0 errors\./, path);
  });
}

async function toDer(path: string): Promise<string> {
  await must('openssl', ['x509', '-in', path, '-outform', 'DER', '-out', `${path}.der`]);
  return `${path}.der`;
}

test('zlint has no error by the Baseline Requirements against a chain for the Web PKI', async () => {
  const chain = world.chains.find(({ keyType }) => keyType === 'ec-p256');
  assert.ok(chain);
  const role = { name: 'web-pki', authority: 'issuing-ec-p256', web_pki: true, allow_subdomains: true };
  await world.server.ok('POST', 'pki/roles', { ...role, allowed_domains: ['example.com'] });
  const request = { role: 'web-pki', dns_names: ['www.example.com'] };
  const { certificate } = await world.server.ok('POST', 'pki/certificates', request);
  const leaf = join(chain.folder, 'web-pki.pem');
  writeFileSync(leaf, certificate as string);
  for (const path of [leaf, chain.file('issuing.pem'), chain.file('root.pem')])
    assert.deepEqual(await zlintErrors(path, 'RFC5280,CABF_BR'), [], path);
  // zlint sees what it is asked to see: an impostor of an error.
  assert.match(encodePem('CERTIFICATE', Buffer.from(certificate as string)), /BEGIN/);
});
