import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type LintKind, type LintProfile, lintSignedCertificate } from '#pki/lint/certificate.ts';
import { lintCrl } from '#pki/lint/crl.ts';
import { lintOcspResponse } from '#pki/lint/ocsp.ts';
import { type KeyType, keyTypes } from '#pki/x509/algorithm.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { decodeOnePem, encodePem } from '#pki/x509/pem.ts';
import { type InProcess, startChancery } from '#test/chancery.ts';

/** What the engine makes, before the linters and dumpers that others use: zlint, openssl, certtool, dumpasn1. */

const runFile = promisify(execFile);
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'chancery-lint-'));
});
after(() => rmSync(folder, { recursive: true }));

async function run(program: string, ...parameters: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runFile(program, [...parameters], { timeout: 60_000, maxBuffer: 1 << 24 });
  return stdout + stderr;
}

/** Names of the lints of these sources that end in an error. */
async function zlintErrors(pem: string, sources: string): Promise<string[]> {
  const path = join(folder, 'zlint.pem');
  await writeFile(path, pem);
  const { stdout } = await runFile('zlint', ['-includeSources', sources, '-format', 'pem', path]);
  const results = Object.entries(JSON.parse(stdout) as Record<string, { result: string }>);
  assert.ok(results.length > 0, 'zlint ran');
  return results.filter(([, { result }]) => result === 'error' || result === 'fatal').map(([name]) => name);
}

function ownFindings(pem: string, kind: LintKind, profile: LintProfile, severity?: string): string[] {
  const findings = lintSignedCertificate(decodeOnePem(pem, 'CERTIFICATE', 65_536), { kind, profile });
  return findings.filter((finding) => severity === undefined || finding.severity === severity).map(({ code }) => code);
}

/** Throws when a program that knows the algorithm does not read the certificate. */
async function readWithOthers(pem: string, keyType: KeyType): Promise<void> {
  const path = join(folder, 'read.pem');
  await writeFile(path, pem);
  assert.match(await run('openssl', 'x509', '-in', path, '-noout', '-text'), /X509v3 extensions:/);
  // -e: it takes octets that happen to look like DER for DER, as one key identifier in some thousands does.
  assert.match(await run('dumpasn1', '-ae', await toDer(pem)), /0 warnings, 0 errors/);
  // GnuTLS 3.7 does not know ML-DSA and noRevAvail (RFC 9608), but reads everything else of such certificates.
  const gnutls = await run('certtool', '-i', '--infile', path);
  assert.match(gnutls, /X.509 Certificate Information:/);
  assert.doesNotMatch(gnutls, isBlind(keyType) ? /^error:/m : /error|unknown extension (?!2\.5\.29\.56)/i);
}

async function toDer(pem: string): Promise<string> {
  const path = join(folder, 'read.der');
  await writeFile(path, decodeOnePem(pem, 'CERTIFICATE', 65_536));
  return path;
}

interface Chain {
  readonly root: string;
  readonly issuing: string;
}

async function foundChain(server: InProcess, keyType: KeyType): Promise<Chain> {
  const make = async (name: string, fields: object): Promise<string> => {
    const made = await server.ok('POST', 'pki/authorities', {
      name,
      country: 'DE',
      organization: 'Lint Test',
      common_name: `Lint ${name}`,
      key_type: keyType,
      ...fields,
    });
    return made.certificate;
  };
  const root = await make(`root-${keyType}`, { kind: 'root' });
  const below = { kind: 'intermediate', parent: `root-${keyType}` };
  return { root, issuing: await make(`issuing-${keyType}`, below) };
}

async function issue(server: InProcess, keyType: KeyType, role: object, asked: object): Promise<string> {
  const name = `role-${Math.random().toString(36).slice(2)}`;
  await server.ok('POST', 'pki/roles', {
    name,
    authority: `issuing-${keyType}`,
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    key_types: [keyType],
    ...role,
  });
  return (await server.ok('POST', 'pki/certificates', { role: name, ...asked })).certificate;
}

const fullRole = {
  allow_wildcards: true,
  allowed_ip_ranges: ['10.0.0.0/8', '2001:db8::/32'],
  allowed_uris: ['spiffe://example.com/**', 'https://example.com/**'],
  allowed_emails: ['@example.com'],
  allowed_common_names: ['worker 7'],
  organization: 'Ünïted Müßig AG',
  organizational_unit: 'Platform',
  country: 'DE',
  locality: 'Köln',
  province: 'NRW',
  extended_key_usages: ['server_auth', 'client_auth'],
  policy_oids: ['1.3.6.1.4.1.99999.1'],
};

const fullRequest = {
  dns_names: ['a.example.com', '*.b.example.com', 'xn--bcher-kva.example.com'],
  ip_addresses: ['10.1.2.3', '2001:db8::7'],
  uris: ['spiffe://example.com/ns/prod/sa/api'],
  emails: ['ops@example.com'],
  common_name: 'worker 7',
};

const clientRole = { extended_key_usages: ['client_auth'], allowed_emails: ['@example.com'] };

/** The outside readers of today know no ML-DSA. */
function isBlind(keyType: KeyType): boolean {
  return keyType.startsWith('ml-dsa');
}

for (const keyType of keyTypes) {
  test(`zlint faults nothing by RFC 5280 in what ${keyType} keys sign, and others read it`, async (context) => {
    const server = await startChancery(context);
    const { root, issuing } = await foundChain(server, keyType);
    const leaves = [
      await issue(server, keyType, {}, { dns_names: ['example.com'] }),
      await issue(server, keyType, fullRole, fullRequest),
      await issue(server, keyType, clientRole, { emails: ['someone@example.com'] }),
      await issue(server, keyType, { short_lived: true }, { dns_names: ['example.com'], ttl: '1d' }),
    ];
    const made = [
      { pem: root, kind: 'authority' as const },
      { pem: issuing, kind: 'authority' as const },
      ...leaves.map((pem) => ({ pem, kind: 'leaf' as const })),
    ];
    for (const { pem, kind } of made) {
      const errors = await zlintErrors(pem, 'RFC5280,RFC5480,RFC5891');
      assert.deepEqual(errors, []);
      assert.deepEqual(ownFindings(pem, kind, 'rfc5280', 'error'), []);
      await readWithOthers(pem, keyType);
    }
  });
}

const webPkiKeyTypes = keyTypes.filter((keyType) => /^(?:ec|rsa)-/.test(keyType));

for (const keyType of webPkiKeyTypes) {
  test(`zlint faults nothing by the Baseline Requirements in what a Web PKI role issues for ${keyType} keys`, async (context) => {
    const server = await startChancery(context);
    await foundChain(server, keyType);
    const role = {
      web_pki: true,
      ...(keyType.startsWith('rsa') ? { key_usages: ['digital_signature', 'key_encipherment'] } : {}),
    };
    for (const asked of [
      { dns_names: ['www.example.com'] },
      { dns_names: ['a.example.com', 'b.c.example.com'], ttl: '60d' },
    ]) {
      const pem = await issue(server, keyType, { max_ttl: '90d', ...role }, asked);
      assert.deepEqual(await zlintErrors(pem, 'RFC5280,CABF_BR'), []);
      assert.deepEqual(ownFindings(pem, 'leaf', 'web_pki'), []);
    }
  });
}

test('authorities for the Web PKI have no fault that their making can avoid', async (context) => {
  const server = await startChancery(context);
  const { root, issuing } = await foundChain(server, 'ec-p384');
  for (const pem of [root, issuing]) {
    assert.deepEqual(await zlintErrors(pem, 'RFC5280,CABF_BR'), []);
    assert.deepEqual(ownFindings(pem, 'authority', 'web_pki', 'error'), []);
  }
});

async function fetchBytes(url: string, request?: RequestInit): Promise<Buffer> {
  const reply = await fetch(url, request);
  assert.equal(reply.status, 200);
  return Buffer.from(await reply.arrayBuffer());
}

/** Addresses of CRLs in a certificate or CRL, as they stand in it. */
function crlUrls(der: Buffer): string[] {
  return der.toString('latin1').match(/http:\/\/[\w.:/-]+\.crl/g) ?? [];
}

test('our linter and zlint fault nothing in the CRLs and OCSP answers of the engine', async (context: TestContext) => {
  const server = await startChancery(context);
  const { issuing } = await foundChain(server, 'ec-p256');
  const leaf = decodeCertificate(
    decodeOnePem(await issue(server, 'ec-p256', {}, { dns_names: ['example.com'], ttl: '30d' }), 'CERTIFICATE', 65_536),
  );
  const revocation = {
    serial_numbers: [leaf.serialNumber],
    reason: 'key_compromise',
    invalidity_date: '2026-01-01T00:00:00Z',
  };
  await server.ok('POST', 'pki/certificates/revoke', revocation);
  const [url = ''] = crlUrls(leaf.der);
  const crl = await fetchBytes(url);
  const deltaUrl = crlUrls(crl).find((found) => found.includes('delta')) ?? '';
  for (const der of [crl, await fetchBytes(deltaUrl)]) {
    assert.deepEqual(lintCrl(der), []);
    assert.deepEqual(lintCrl(der, { profile: 'web_pki' }), []);
    assert.deepEqual(await zlintErrors(encodePem('X509 CRL', der), 'RFC5280'), []);
  }
  const authority = decodeCertificate(decodeOnePem(issuing, 'CERTIFICATE', 65_536));
  const hashes = hashIssuer(authority.subject.der, authority.spki);
  for (const nonce of [undefined, Buffer.alloc(32, 7)]) {
    const serials = [leaf.serialNumber, '0badcafe'];
    const certIds = serials.map((serial) => encodeCertId('sha256', hashes, serial));
    const body = encodeOcspRequest(certIds, nonce);
    const request = { method: 'POST', body, headers: { 'content-type': 'application/ocsp-request' } };
    assert.deepEqual(lintOcspResponse(await fetchBytes(`${server.url}/pki/issuing-ec-p256/ocsp`, request)), []);
  }
});
