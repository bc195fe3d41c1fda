import assert from 'node:assert/strict';
import { webcrypto, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import 'reflect-metadata';
import {
  ChallengePasswordAttribute,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { foundPki, startChancery } from '#test/chancery.ts';
import { must } from './tools.ts';

/** Certificate requests as the tools of the world encode them, and what is issued for them. */

const server = await startChancery(undefined);
const folder = mkdtempSync(join(tmpdir(), 'chancery-requests-'));
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
  rmSync(server.folder, { recursive: true });
});
await foundPki(server, 'ec-p256', { organization: 'Interop Test' });

const path = (name: string): string => join(folder, name);

/** Issues for the request as it stands, and returns the names of the certificate, which is for the key of the request. */
async function issue(csr: string, publicKey: string): Promise<string | undefined> {
  const issued = await server.ok('POST', 'pki/certificates', { role: 'web', csr });
  assert.equal(issued.private_key, undefined);
  const certificate = new X509Certificate(issued.certificate as string);
  assert.equal(certificate.publicKey.export({ type: 'spki', format: 'pem' }), publicKey);
  return certificate.subjectAltName;
}

const keys = {
  'ec-p256': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'ec-p384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'ec-p521': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
  ed25519: ['-algorithm', 'ED25519'],
  'rsa-2048': ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
} as const;

/** A key made by openssl; its path, and its public half. */
async function makeKey(type: keyof typeof keys): Promise<{ key: string; publicKey: string }> {
  const key = path(`${type}.key`);
  await must('openssl', ['genpkey', ...keys[type], '-out', key]);
  return { key, publicKey: await must('openssl', ['pkey', '-in', key, '-pubout']) };
}

for (const type of Object.keys(keys) as (keyof typeof keys)[]) {
  test(`a request of openssl for a key of ${type} is issued, with names as CN and as extension`, async () => {
    const { key, publicKey } = await makeKey(type);
    const request = ['req', '-new', '-key', key, '-subj'];
    const plain = await must('openssl', [...request, '/CN=a.example.com']);
    assert.equal(await issue(plain, publicKey), 'DNS:a.example.com');
    const san = 'subjectAltName=critical,DNS:a.example.com,DNS:b.example.com';
    const named = await must('openssl', [...request, '/', '-addext', san]);
    assert.equal(await issue(named, publicKey), 'DNS:a.example.com, DNS:b.example.com');
    // What else it asks for is not copied.
    const greedy = await must('openssl', [
      ...request,
      '/CN=a.example.com',
      '-addext',
      'basicConstraints=critical,CA:TRUE',
    ]);
    assert.equal(await issue(greedy, publicKey), 'DNS:a.example.com');
  });
}

/** Masks of openssl's string types: what it may encode the subject in. */
const encodings = {
  UTF8STRING: 'utf8only',
  PRINTABLESTRING: 'MASK:0x2',
  T61STRING: 'MASK:0x4',
  IA5STRING: 'MASK:0x10',
  BMPSTRING: 'MASK:0x800',
};

for (const [encoding, mask] of Object.entries(encodings)) {
  test(`a request whose subject is a ${encoding}, with a challenge password, is issued`, async () => {
    const { key, publicKey } = await makeKey('ec-p256');
    const config = path('request.cnf');
    const fields = [
      'CN=a.example.com',
      '[attributes]',
      'challengePassword=correct horse',
      'unstructuredName=some name',
    ];
    const sections = ['[req]', 'prompt=no', 'distinguished_name=name', 'attributes=attributes', `string_mask=${mask}`];
    writeFileSync(config, [...sections, '[name]', ...fields, ''].join('\n'));
    const csr = await must('openssl', ['req', '-new', '-key', key, '-config', config]);
    assert.ok((await must('openssl', ['asn1parse'], { input: csr })).includes(encoding));
    assert.equal(await issue(csr, publicKey), 'DNS:a.example.com');
  });
}

test('a request of certtool is issued', async () => {
  const { key, publicKey } = await makeKey('ec-p256');
  const template = ['cn = "a.example.com"', 'dns_name = "b.example.com"', 'challenge_password = "correct horse"', ''];
  writeFileSync(path('request.tmpl'), template.join('\n'));
  const line = ['--generate-request', '--load-privkey', key, '--template', path('request.tmpl'), '--no-text'];
  const csr = (await must('certtool', line)).trimStart();
  assert.match(csr, /^-----BEGIN NEW CERTIFICATE REQUEST-----/);
  assert.equal(await issue(csr, publicKey), 'DNS:a.example.com, DNS:b.example.com');
});

test('a request of keytool is issued', async () => {
  const store = ['-keystore', path('store.p12'), '-storetype', 'PKCS12', '-storepass', 'correct horse', '-alias', 'a'];
  const name = ['-dname', 'CN=a.example.com, O=Some Company'];
  await must('keytool', ['-genkeypair', '-keyalg', 'EC', '-groupname', 'secp256r1', ...name, ...store]);
  const certificate = new X509Certificate(await must('keytool', ['-exportcert', '-rfc', ...store]));
  const publicKey = certificate.publicKey.export({ type: 'spki', format: 'pem' });
  const plain = await must('keytool', ['-certreq', ...store]);
  assert.equal(await issue(plain, publicKey), 'DNS:a.example.com');
  const named = await must('keytool', ['-certreq', '-ext', 'SAN=dns:b.example.com', ...store]);
  assert.equal(await issue(named, publicKey), 'DNS:a.example.com, DNS:b.example.com');
});

test('a request of @peculiar/x509 in Node is issued, with and without attributes', async () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', pair.publicKey)).toString('base64');
  const publicKey = `-----BEGIN PUBLIC KEY-----\n${spki.match(/.{1,64}/g)?.join('\n')}\n-----END PUBLIC KEY-----\n`;
  const make = { name: 'CN=a.example.com', keys: pair, signingAlgorithm: algorithm };
  const plain = await Pkcs10CertificateRequestGenerator.create(make, webcrypto);
  assert.equal(await issue(`${plain.toString('pem')}\n`, publicKey), 'DNS:a.example.com');
  const extensions = [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'b.example.com' }])];
  const attributes = [new ChallengePasswordAttribute('correct horse')];
  const full = await Pkcs10CertificateRequestGenerator.create({ ...make, extensions, attributes }, webcrypto);
  assert.equal(await issue(`${full.toString('pem')}\n`, publicKey), 'DNS:a.example.com, DNS:b.example.com');
});
