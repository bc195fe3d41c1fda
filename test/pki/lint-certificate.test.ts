import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitString, contextOctets, element, nullValue, oid, sequence } from '#pki/asn1/writer.ts';
import { oids } from '#pki/x509/oid.ts';
import { certificateRules } from '#pki/lint/certificate-rules.ts';
import { lintCertificate, lintSignedCertificate } from '#pki/lint/certificate.ts';
import * as sample from './lint-fixture.ts';
import { certificateCases } from './lint-cases.ts';
import { webPkiCases } from './lint-web-pki-cases.ts';
import { prepare } from './lint-fixture.ts';

const samples = Object.entries({
  'a leaf': sample.leaf,
  'an RSA leaf': sample.rsaLeaf,
  'a leaf of the Web PKI': sample.webLeaf,
  'an RSA leaf of the Web PKI': sample.webRsaLeaf,
  'a leaf for an organization': sample.organizationLeaf,
  'a root': sample.root,
  'a root of the Web PKI': sample.webRoot,
  'an authority': sample.authority,
  'an authority of the Web PKI': sample.webAuthority,
  'a responder': sample.responder,
  'a responder of the Web PKI': sample.webResponder,
});

for (const [what, sound] of samples) {
  test(`${what} without fault has no finding`, () => {
    assert.deepEqual(lintCertificate(prepare(sound), sound.options), []);
  });
}

const cases = [...certificateCases, ...webPkiCases];
const variants = new Map<string, number>();

for (const { code, sample: sound, change, also = [] } of cases) {
  const number = (variants.get(code) ?? 0) + 1;
  variants.set(code, number);
  test(`only ${code} is found in a certificate that breaks it (${number})`, () => {
    const findings = lintCertificate(prepare(sound, change), sound.options);
    assert.deepEqual(findings.map((finding) => finding.code).toSorted(), [code, ...also].toSorted());
    for (const { section, message } of findings) {
      assert.match(section, /^(?:RFC \d+|Baseline Requirements) (?:§|appendix )/);
      assert.doesNotMatch(message, /\.$|[\p{Cc}]/u);
    }
  });
}

test('every rule of every kind of certificate has a certificate that breaks it', () => {
  const kinds = ['leaf', 'authority', 'ocsp_signer'] as const;
  const profiles = ['rfc5280', 'web_pki'] as const;
  const options = kinds.flatMap((kind) => profiles.map((profile) => ({ kind, profile })));
  const rules = options.flatMap((each) => certificateRules(each).map(({ finding }) => finding.code));
  const tried = new Set(cases.map(({ code }) => code));
  assert.deepEqual(
    [...new Set(rules)].filter((code) => !tried.has(code)),
    [],
  );
});

test('no two rules of a kind have the same code', () => {
  for (const { options } of samples.map(([, sound]) => sound)) {
    const codes = certificateRules(options).map(({ finding }) => finding.code);
    assert.equal(new Set(codes).size, codes.length);
  }
});

test('bytes that are no certificate give one finding and never throw', () => {
  const sound = prepare(sample.webAuthority);
  for (let length = 0; length < sound.length; length++) {
    const findings = lintCertificate(sound.subarray(0, length), sample.webAuthority.options);
    assert.equal(findings.length, 1);
    assert.match(findings[0]?.code ?? '', /^malformed_/);
  }
});

test('a certificate with any one byte changed is judged without throwing, and never stays silent about broken DER', () => {
  const sound = prepare(sample.webLeaf);
  for (let at = 0; at < sound.length; at++) {
    for (const value of [0x00, 0xff, 0x80, 0x30, (sound[at] ?? 0) ^ 0x01, (sound[at] ?? 0) ^ 0x20]) {
      const copy = Buffer.from(sound);
      copy[at] = value;
      const findings = lintCertificate(copy, sample.webLeaf.options);
      assert.ok(findings.every(({ severity }) => severity === 'error' || severity === 'warning'));
    }
  }
});

test('a certificate larger than 64 KiB is not read', () => {
  const findings = lintCertificate(Buffer.alloc(65_537, 0x30), sample.leaf.options);
  assert.deepEqual(
    findings.map(({ code }) => code),
    ['malformed_certificate'],
  );
});

test('thousands of names and extensions are judged in bounded time', () => {
  const names = Array.from({ length: 2500 }, (_, index) => sample.dns(`host-${index}.example.com`));
  const many = sample.altName(names, true);
  assert.deepEqual(
    lintCertificate(prepare(sample.webLeaf, { extensions: { names: many } }), sample.webLeaf.options),
    [],
  );
  const extensions = Object.fromEntries(
    Array.from({ length: 2000 }, (_, index) => [`x${index}`, sample.extension(`1.2.${index}`, element(0x05, []))]),
  );
  assert.deepEqual(lintCertificate(prepare(sample.leaf, { extensions }), sample.leaf.options), []);
});

test('what cannot be seen is escaped in messages', () => {
  const names = sample.altName([element(0x82, [Buffer.from('a\u0007b.example.com', 'latin1')])], true);
  const [finding] = lintCertificate(prepare(sample.leaf, { extensions: { names } }), sample.leaf.options);
  assert.equal(finding?.code, 'subject_alt_name_dns_character');
  assert.match(finding.message, /"a\\u0007b/);
  const octets = sample.altName([contextOctets(7, Buffer.of(1, 2, 3))], true);
  const [address] = lintCertificate(prepare(sample.leaf, { extensions: { names: octets } }), sample.leaf.options);
  assert.match(address?.message ?? '', /"010203"$/);
});

test('a whole certificate is judged like its signed part, and by the algorithm outside of it', () => {
  const { options } = sample.leaf;
  const tbs = prepare(sample.leaf);
  const sign = (algorithm: Buffer) => sequence([tbs, algorithm, bitString(Buffer.alloc(70))]);
  const codes = (der: Buffer) => lintSignedCertificate(der, options).map(({ code }) => code);
  assert.deepEqual(codes(sign(sample.algorithm.ecdsa)), []);
  assert.deepEqual(codes(sign(sample.algorithm.ed25519)), ['signature_algorithm_differs']);
  const withParameters = sequence([oid(oids.ecdsaWithSha256), nullValue()]);
  assert.deepEqual(codes(sign(withParameters)), ['signature_algorithm_differs']);
  assert.deepEqual(codes(tbs), ['malformed_certificate']);
  const empty = prepare(sample.leaf, { serial: element(0x02, [Buffer.of(0)]) });
  const other = sequence([empty, sample.algorithm.ecdsa, bitString(Buffer.alloc(70))]);
  assert.deepEqual(codes(other), ['serial_zero']);
});

test('a key usage that serves no purpose is named, and a purpose that no key usage serves', () => {
  const message = (change: sample.Change) =>
    lintCertificate(prepare(sample.rsaLeaf, change), sample.rsaLeaf.options)[0]?.message;
  const purposes = sample.purposes([oids.clientAuth]);
  const both = { extensions: { purposes, keyUsage: sample.keyUsage(0, 2) } };
  const neither = { extensions: { purposes, keyUsage: sample.keyUsage(2) } };
  const text = 'the keyUsage does not fit the purposes of the extKeyUsage';
  assert.equal(message(both), `${text}: keyEncipherment serves none of them`);
  assert.equal(message(neither), `${text}: none of its bits serves clientAuth`);
});
