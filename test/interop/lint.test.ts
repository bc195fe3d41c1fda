import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeCertificate, maxCertificateBytes } from '#pki/x509/certificate.ts';
import { decodeCrl } from '#pki/x509/crl.ts';
import type { Extensions } from '#pki/x509/extension.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
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

/**
 * What dumpasn1 faults in a DER file. It looks into no OCTET STRING of its own accord (-e): whether a random string in
 * there is DER it can only guess. Empty elements are sound (-z): RFC 6960 §4.2.1 says `good` by one.
 */
async function dumpasn1Faults(path: string): Promise<string | undefined> {
  const { code, output } = await run('dumpasn1', ['-e', '-z', '-s', path]);
  return code === 0 && output.trim() === '0 warnings, 0 errors.' ? undefined : output;
}

/** Files of the certificate as DER and of what is in its extensions. */
function certificateParts(path: string): string[] {
  const der = decodeOnePem(readFileSync(path, 'utf8'), 'CERTIFICATE', maxCertificateBytes);
  writeFileSync(`${path}.der`, der);
  return [`${path}.der`, ...unpack(path, decodeCertificate(der).extensions)];
}

/** The CRL and files of what is in its extensions. */
function crlParts(path: string): string[] {
  return [path, ...unpack(path, decodeCrl(readFileSync(path)).extensions)];
}

/** Writes each value to a file of its own: it is DER by itself (RFC 5280 §4.2). */
function unpack(path: string, extensions: Extensions): string[] {
  return [...extensions.values()].map(({ oid, value }) => {
    writeFileSync(`${path}.${oid}`, value);
    return `${path}.${oid}`;
  });
}

/** The certificate with which the responder signs, once it has answered. */
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
    const certificates = [
      ...(['root', 'issuing', 'leaf', 'lost'] as const).map((name) => chain.file(`${name}.pem`)),
      signer,
    ];
    const crls = (['root', 'issuing', 'delta'] as const).map((name) => chain.file(`${name}.crl`));
    for (const path of [...certificates, ...crls.map((crl) => `${crl}.pem`)])
      assert.deepEqual(await zlintErrors(path, 'RFC5280,RFC5480,RFC5891'), [], path);
    const others = [chain.file('leaf.p12'), chain.file('leaf.p7b'), join(chain.folder, 'answer.der')];
    const ders = [...certificates.flatMap(certificateParts), ...crls.flatMap(crlParts), ...others];
    for (const path of ders) assert.equal(await dumpasn1Faults(path), undefined, path);
  });
}

test('dumpasn1 sees an INTEGER with a superfluous octet', async () => {
  const path = join(world.folder, 'padded.der');
  writeFileSync(path, Buffer.from('300402020001', 'hex'));
  assert.match((await dumpasn1Faults(path)) ?? '', /1 error\./);
});

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
  // The lints do look: an ordinary certificate names no policy, which the Baseline Requirements want.
  const faults = await zlintErrors(chain.file('leaf.pem'), 'CABF_BR');
  assert.ok(faults.includes('e_sub_cert_certificate_policies_missing'), faults.join());
});
