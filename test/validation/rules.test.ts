import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element, nullValue, oid, sequence } from '#engines/pki/asn1/writer.ts';
import { tag } from '#engines/pki/asn1/tag.ts';
import { sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import {
  assembleCertificate,
  decodeCertificate,
  encodeTbsCertificate,
  version3,
} from '#engines/pki/x509/certificate.ts';
import { encodeRawExtension } from '#engines/pki/x509/extension.ts';
import type { KeyUsage } from '#engines/pki/x509/key-extensions.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { type Certified, certify, codes, intermediate, leafOf, root, subject, validate } from './fixture.ts';

/** Rules of RFC 5280 on single certificates, each with a certificate that breaks it alone. */

test('the key usages of a leaf must be consistent with the purpose, independently of its extended ones', async () => {
  const anchor = await root();
  const purposes = ['server_auth', 'client_auth', 'code_signing', 'email_protection', 'any'] as const;
  const accepted = async (...usages: KeyUsage[]) => {
    const leaf = await leafOf(anchor, { usages, purposes: [oids.anyExtendedKeyUsage] });
    const results = purposes.map(async (purpose) => codes(await validate({ leaf, anchors: [anchor] }, { purpose })));
    const found = await Promise.all(results);
    for (const reasons of found) if (reasons.length > 0) assert.deepEqual(reasons, ['key_usage@0']);
    return purposes.filter((_, index) => found[index]?.length === 0);
  };
  assert.deepEqual(await accepted('digital_signature'), purposes);
  assert.deepEqual(await accepted('key_encipherment'), ['server_auth', 'email_protection', 'any']);
  assert.deepEqual(await accepted('key_agreement', 'crl_sign'), [
    'server_auth',
    'client_auth',
    'email_protection',
    'any',
  ]);
  assert.deepEqual(await accepted('content_commitment'), ['email_protection', 'any']);
  assert.deepEqual(await accepted('crl_sign', 'data_encipherment'), ['any']);
});

test('an authority in the place of the leaf needs neither purposes nor usages of a subscriber', async () => {
  const anchor = await root();
  const names = [{ kind: 'dns', value: 'ca.example.com' }] as const;
  const authority = await intermediate(anchor, 'CA', { names });
  const asked = { purpose: 'server_auth', name: { kind: 'dns', value: 'ca.example.com' } } as const;
  for (const profile of ['rfc5280', 'web_pki'] as const)
    assert.deepEqual(codes(await validate({ leaf: authority, anchors: [anchor] }, { ...asked, profile })), []);
  const purposes = [oids.serverAuth];
  const withPurposes = await intermediate(anchor, 'CA', { names, purposes });
  assert.deepEqual(codes(await validate({ leaf: withPurposes, anchors: [anchor] }, asked)), ['key_usage@0']);
});

/** The same certificate with another version, signed anew. */
function withVersion(of: Certified, by: Certified, version: Uint8Array): Buffer {
  const { tbs } = decodeCertificate(of.der);
  const fields = tbs.subarray(4 + version3.length);
  const algorithm = signatureAlgorithmOf(by.keyType);
  const changed = sequence([version, fields]);
  return assembleCertificate(changed, algorithm, sign(by.key.privateKey, by.keyType, changed));
}

test('extensions make no authority, and no leaf, of a certificate that is not of version 3', async () => {
  const anchor = await root();
  const authority = await intermediate(anchor);
  const leaf = await leafOf(authority);
  const version2 = Uint8Array.of(0xa0, 0x03, 0x02, 0x01, 0x01);
  for (const version of [new Uint8Array(), version2]) {
    const old = { ...authority, der: withVersion(authority, anchor, version) };
    assert.deepEqual(codes(await validate({ leaf, between: [old], anchors: [anchor] })), ['malformed_certificate@1']);
    const oldLeaf = { ...leaf, der: withVersion(leaf, authority, version) };
    assert.deepEqual(codes(await validate({ leaf: oldLeaf, between: [authority], anchors: [anchor] })), [
      'malformed_certificate@0',
    ]);
  }
  const same = { ...authority, der: withVersion(authority, anchor, version3) };
  assert.equal((await validate({ leaf, between: [same], anchors: [anchor] })).valid, true);
});

test('critical certificate policies must be understood with their qualifiers', async () => {
  const anchor = await root();
  const found = async (critical: boolean, qualifier: Buffer) => {
    const policy = sequence([oid('1.3.6.1.4.1.99999.5.1'), sequence([qualifier])]);
    const extensions = [encodeRawExtension(oids.certificatePolicies, critical, sequence([policy]))];
    return codes(await validate({ leaf: await leafOf(anchor, { extensions }), anchors: [anchor] }));
  };
  const cps = sequence([oid(oids.policyCps), element(tag.ia5String, [Buffer.from('http://a.example/')])]);
  const other = sequence([oid('1.3.6.1.4.1.99999.5.2'), nullValue()]);
  assert.deepEqual(await found(true, cps), []);
  assert.deepEqual(await found(false, other), []);
  assert.deepEqual(await found(true, other), ['unknown_critical_extension@0']);
});

test('a SPIFFE ID is that of a leaf with no other URI', async () => {
  const anchor = await root();
  const uri = (value: string) => ({ kind: 'uri', value }) as const;
  const [id, other] = [uri('spiffe://example.org/web'), uri('spiffe://example.org/db')];
  const found = async (leaf: Certified, name: { kind: 'uri'; value: string } = id) =>
    codes(await validate({ leaf, anchors: [anchor] }, { name }));
  assert.deepEqual(await found(await leafOf(anchor, { names: [{ kind: 'dns', value: 'a.example' }, id] })), []);
  assert.deepEqual(await found(await leafOf(anchor, { names: [id, other] })), ['name_mismatch@0']);
  assert.deepEqual(await found(await intermediate(anchor, 'CA', { names: [id] })), ['key_usage@0']);
  const signing = await leafOf(anchor, { names: [id], usages: ['digital_signature', 'crl_sign'] });
  assert.deepEqual(await found(signing), ['key_usage@0']);
  const plain = [uri('https://a.example/'), uri('https://b.example/')];
  assert.deepEqual(await found(await leafOf(anchor, { names: plain }), uri('https://b.example/')), []);
});

test('keys that public authorities must not certify are refused by the profile of the web alone', async () => {
  const anchor = await root('Root');
  for (const keyType of ['ed25519', 'ml-dsa-44', 'ec-p384'] as const) {
    const authority = certify(await subject('CA', keyType), anchor);
    const leaf = await leafOf(authority, { names: [{ kind: 'dns', value: 'a.example.com' }] });
    const given = { leaf, between: [authority], anchors: [anchor] };
    assert.deepEqual(codes(await validate(given)), [], keyType);
    const found = (await validate(given, { profile: 'web_pki' })).reasons.map(({ section }) => section);
    assert.equal(found.includes('Baseline Requirements §7.1.3.1'), keyType !== 'ec-p384', keyType);
  }
});

test('the profile of the web knows signature algorithms octet for octet, RFC 5280 as their RFCs have them', async () => {
  const anchor = certify(await subject('Root', 'rsa-2048'), await subject('Above'));
  const leaf = await leafOf(anchor);
  const { extensions, ...fields } = decodeCertificate(leaf.der);
  const remade = (algorithm: Buffer) => {
    const changed = encodeTbsCertificate({
      ...fields,
      signatureAlgorithm: algorithm,
      issuer: fields.issuer.der,
      subject: fields.subject.der,
      extensions: [...extensions.values()].map((each) => encodeRawExtension(each.oid, each.critical, each.value)),
    });
    const der = assembleCertificate(changed, algorithm, sign(anchor.key.privateKey, 'rsa-2048', changed));
    return { ...leaf, der };
  };
  const breaks = async (algorithm: Buffer) => {
    const given = { leaf: remade(algorithm), anchors: [anchor] };
    assert.deepEqual(codes(await validate(given)), []);
    const { reasons } = await validate(given, { profile: 'web_pki' });
    return reasons.some(({ section }) => section === 'Baseline Requirements §7.1.3.2');
  };
  assert.equal(await breaks(signatureAlgorithmOf('rsa-2048')), false);
  assert.equal(await breaks(sequence([oid(oids.sha256WithRsa)])), true);
});
