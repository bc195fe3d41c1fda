import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import { assembleCertificate, encodeTbsCertificate } from '#engines/pki/x509/certificate.ts';
import { bitString, integer, nullValue, oid, sequence, unsignedInteger } from '#engines/pki/asn1/writer.ts';
import { readDer } from '#engines/pki/asn1/reader.ts';
import { encodeExtension, encodeRawExtension, readExtension } from '#engines/pki/x509/extension.ts';
import { encodeName, type NameAttributeInput } from '#engines/pki/x509/name.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { decodeSpki, keyIdentifierOf } from '#engines/pki/x509/spki.ts';
import type { PeerName } from '#engines/pki/validation/peer-name.ts';
import { type ValidationRequest, validateCertificate } from '#engines/pki/validation/validate.ts';
import { at, crlOf, day, type Subject, subject } from './fixture.ts';

/**
 * The profile web_pki, rule by rule: each case changes one thing in a chain that conforms. Where the RFC or the Baseline
 * Requirements leave something open, the case says that it passes.
 */

type Extensions = Record<string, Buffer | undefined>;

interface Change {
  readonly root?: Extensions;
  readonly middle?: Extensions;
  readonly leaf?: Extensions;
  readonly subject?: readonly NameAttributeInput[];
  readonly serialNumber?: string;
  readonly spki?: Buffer;
  readonly life?: readonly [number, number];
  readonly name?: PeerName;
  readonly more?: Partial<ValidationRequest>;
}

const people = {
  root: await subject('Root'),
  middle: await subject('CA'),
  leaf: await subject('leaf'),
  other: await subject('Other'),
};
const keyId = ({ key }: Subject) => keyIdentifierOf(decodeSpki(key.spki));

function sound(of: Subject, by: Subject): Extensions {
  const isLeaf = of === people.leaf;
  return {
    ski: encodeExtension('subject_key_identifier', keyId(of)),
    aki: of === people.root ? undefined : encodeExtension('authority_key_identifier', { keyIdentifier: keyId(by) }),
    bc: isLeaf ? undefined : encodeExtension('basic_constraints', { ca: true }),
    ku: encodeExtension('key_usage', isLeaf ? ['digital_signature'] : ['key_cert_sign', 'crl_sign']),
    eku: isLeaf ? encodeExtension('extended_key_usage', [oids.serverAuth]) : undefined,
    san: isLeaf ? encodeExtension('subject_alt_name', [{ kind: 'dns', value: 'a.example.com' }], true) : undefined,
  };
}

function make(of: Subject, by: Subject, change: Extensions = {}, more: Change = {}): Buffer {
  const signatureAlgorithm = signatureAlgorithmOf('ec-p256');
  const isLeaf = of === people.leaf;
  const [from, to] = (isLeaf ? more.life : undefined) ?? [-10, 10];
  const tbs = encodeTbsCertificate({
    serialNumber: (isLeaf ? more.serialNumber : undefined) ?? '1234',
    signatureAlgorithm,
    issuer: by.name,
    notBefore: at + from * day,
    notAfter: at + to * day,
    subject: isLeaf ? encodeName(more.subject ?? []) : of.name,
    spki: (isLeaf ? more.spki : undefined) ?? of.key.spki,
    extensions: Object.values({ ...sound(of, by), ...change }).filter((each) => each !== undefined),
  });
  return assembleCertificate(tbs, signatureAlgorithm, sign(by.key.privateKey, 'ec-p256', tbs));
}

async function judge(change: Change): Promise<string> {
  const { root, middle, leaf } = people;
  const { valid, reasons } = await validateCertificate({
    leaf: make(leaf, middle, change.leaf, change),
    intermediates: [make(middle, root, change.middle)],
    anchors: [make(root, root, change.root)],
    at,
    name: change.name ?? { kind: 'dns', value: 'a.example.com' },
    purpose: 'server_auth',
    profile: 'web_pki',
    checkRevocation: 'none',
    ...change.more,
  });
  return valid ? 'valid' : reasons.map(({ code, certificate }) => `${code}@${certificate?.index}`).join(' ');
}

const raw = (dotted: string, critical: boolean, hex: string) =>
  encodeRawExtension(dotted, critical, Buffer.from(hex, 'hex'));
/** The same value, with the other criticality than the field's own. */
const flipped = (extension: Buffer) => {
  const read = readDer(extension, extension.length, readExtension);
  return encodeRawExtension(read.oid, !read.critical, read.value);
};

const dns = (...values: string[]) =>
  encodeExtension(
    'subject_alt_name',
    values.map((value) => ({ kind: 'dns' as const, value })),
    true,
  );
const besideSubject = (...values: string[]) =>
  encodeExtension(
    'subject_alt_name',
    values.map((value) => ({ kind: 'dns' as const, value })),
    false,
  );
const common = (value: string) => [{ type: 'common_name' as const, value }];
const issuerName = people.root.name;

const cases: readonly (readonly [string, Change, string])[] = [
  ['nothing changed', {}, 'valid'],
  ['a root without AKI', { root: { aki: undefined } }, 'valid'],
  [
    'a root with its own AKI',
    { root: { aki: encodeExtension('authority_key_identifier', { keyIdentifier: keyId(people.root) }) } },
    'valid',
  ],
  [
    'a root with another AKI',
    { root: { aki: encodeExtension('authority_key_identifier', { keyIdentifier: keyId(people.other) }) } },
    'profile@2',
  ],
  ['a root without SKI', { root: { ski: undefined } }, 'profile@2'],
  ['an intermediate without SKI', { middle: { ski: undefined } }, 'profile@1'],
  ['a leaf without SKI', { leaf: { ski: undefined } }, 'valid'],
  ['an intermediate without AKI', { middle: { aki: undefined } }, 'profile@1'],
  ['a leaf without AKI', { leaf: { aki: undefined } }, 'profile@0'],
  ['an AKI without identifier', { leaf: { aki: raw(oids.authorityKeyIdentifier, false, '3000') } }, 'profile@0'],
  [
    'a malformed AKI',
    { leaf: { aki: raw(oids.authorityKeyIdentifier, false, '0500') } },
    'malformed_extension@0 profile@0',
  ],
  ['a critical SKI', { middle: { ski: flipped(sound(people.middle, people.root)['ski'] as Buffer) } }, 'profile@1'],
  ['a critical AKI', { leaf: { aki: flipped(sound(people.leaf, people.middle)['aki'] as Buffer) } }, 'profile@0'],
  ['a root without basicConstraints', { root: { bc: undefined } }, 'profile@2'],
  ['an intermediate without basicConstraints', { middle: { bc: undefined } }, 'not_a_ca@1 profile@1'],
  [
    'basicConstraints that are not critical',
    { middle: { bc: flipped(sound(people.middle, people.root)['bc'] as Buffer) } },
    'profile@1',
  ],
  [
    'an intermediate that is none',
    { middle: { bc: encodeExtension('basic_constraints', { ca: false }) } },
    'not_a_ca@1',
  ],
  ['an intermediate without keyUsage', { middle: { ku: undefined } }, 'profile@1'],
  ['a root without keyUsage', { root: { ku: undefined } }, 'profile@2'],
  [
    'an intermediate without keyCertSign',
    { middle: { ku: encodeExtension('key_usage', ['crl_sign']) } },
    'key_usage@1',
  ],
  ['a leaf without keyUsage', { leaf: { ku: undefined } }, 'valid'],
  [
    'a leaf with keyCertSign',
    { leaf: { ku: encodeExtension('key_usage', ['digital_signature', 'key_cert_sign']) } },
    'profile@0',
  ],
  ['an empty keyUsage', { leaf: { ku: raw(oids.keyUsage, true, '030100') } }, 'key_usage@0 profile@0'],
  [
    'a leaf with basicConstraints, not a CA',
    { leaf: { bc: encodeExtension('basic_constraints', { ca: false }) } },
    'valid',
  ],
  ['a leaf with a path length', { leaf: { bc: raw(oids.basicConstraints, true, '3003020100') } }, 'profile@0'],
  ['a leaf without extendedKeyUsage', { leaf: { eku: undefined } }, 'profile@0'],
  [
    'an empty extendedKeyUsage',
    { leaf: { eku: raw(oids.extendedKeyUsage, false, '3000') } },
    'malformed_extension@0 profile@0',
  ],
  [
    'anyExtendedKeyUsage',
    { leaf: { eku: encodeExtension('extended_key_usage', [oids.anyExtendedKeyUsage]) } },
    'profile@0',
  ],
  [
    'a critical extendedKeyUsage',
    { leaf: { eku: flipped(sound(people.leaf, people.middle)['eku'] as Buffer) } },
    'profile@0',
  ],
  [
    'an extendedKeyUsage in a root',
    { root: { eku: encodeExtension('extended_key_usage', [oids.serverAuth]) } },
    'profile@2',
  ],
  [
    'an intermediate for servers',
    { middle: { eku: encodeExtension('extended_key_usage', [oids.serverAuth]) } },
    'valid',
  ],
  [
    'an intermediate for clients',
    { middle: { eku: encodeExtension('extended_key_usage', [oids.clientAuth]) } },
    'extended_key_usage@1',
  ],
  [
    'nameConstraints in a leaf',
    {
      leaf: {
        nc: encodeExtension('name_constraints', { permitted: [{ kind: 'dns', value: 'example.com' }] as never }),
      },
    },
    'profile@0',
  ],
  [
    'nameConstraints that are not critical',
    {
      middle: {
        nc: flipped(
          encodeExtension('name_constraints', { permitted: [{ kind: 'dns', value: 'example.com' }] as never }),
        ),
      },
    },
    'valid',
  ],
  [
    'policyConstraints that are not critical',
    { middle: { pc: raw(oids.policyConstraints, false, '3003800105') } },
    'profile@1',
  ],
  ['empty policyConstraints', { middle: { pc: raw(oids.policyConstraints, true, '3000') } }, 'profile@1'],
  [
    'a policy twice',
    { leaf: { cp: raw(oids.certificatePolicies, false, '300e3005060329010130050603290101') } },
    'profile@0',
  ],
  [
    'a distribution point that is no point',
    { leaf: { dp: raw(oids.crlDistributionPoints, false, '30063004810206c0') } },
    'profile@0',
  ],
  [
    'inhibitAnyPolicy that is not critical',
    { middle: { ia: raw(oids.inhibitAnyPolicy, false, '020105') } },
    'profile@1',
  ],
  [
    'a critical AIA',
    {
      leaf: {
        aia: flipped(
          encodeExtension('authority_info_access', [
            { method: oids.accessOcsp, location: { kind: 'uri', value: 'http://o.example/' } },
          ]),
        ),
      },
    },
    'profile@0',
  ],
  [
    'an AIA that cannot be read',
    { leaf: { aia: raw('1.3.6.1.5.5.7.1.1', false, '30050403616263') } },
    'malformed_extension@0',
  ],
  [
    'an unknown critical extension in the root',
    { root: { x: raw('1.3.6.1.4.1.99999.1', true, '0500') } },
    'unknown_critical_extension@2',
  ],
  [
    'an unknown critical extension in the intermediate',
    { middle: { x: raw('1.3.6.1.4.1.99999.1', true, '0500') } },
    'unknown_critical_extension@1',
  ],
  [
    'an unknown critical extension in the leaf',
    { leaf: { x: raw('1.3.6.1.4.1.99999.1', true, '0500') } },
    'unknown_critical_extension@0',
  ],
  ['an unknown extension', { leaf: { x: raw('1.3.6.1.4.1.99999.1', false, '0500') } }, 'valid'],
  ['a serial number of 20 octets', { serialNumber: `7f${'ab'.repeat(19)}` }, 'valid'],
  ['a leaf that lives too early', { life: [-10, -1] }, 'expired@0'],
  ['no subjectAltName', { leaf: { san: undefined } }, 'name_mismatch@0 profile@0'],
  [
    'no subjectAltName, but the name as CN',
    { leaf: { san: undefined }, subject: common('a.example.com') },
    'name_mismatch@0 profile@0',
  ],
  ['a SAN that is not critical with no subject', { leaf: { san: besideSubject('a.example.com') } }, 'profile@0'],
  ['a critical SAN beside a subject', { subject: common('a.example.com') }, 'profile@0'],
  [
    'a CN that is in the SAN',
    { leaf: { san: besideSubject('a.example.com') }, subject: common('a.example.com') },
    'valid',
  ],
  [
    'a CN in other letters',
    { leaf: { san: besideSubject('a.example.com') }, subject: common('A.example.com') },
    'profile@0',
  ],
  [
    'a CN that is not in the SAN',
    { leaf: { san: besideSubject('a.example.com') }, subject: common('b.example.org') },
    'profile@0',
  ],
  [
    'two CNs',
    {
      leaf: { san: besideSubject('a.example.com') },
      subject: [...common('a.example.com'), ...common('a.example.com')],
    },
    'profile@0',
  ],
  ['an empty SAN', { leaf: { san: raw(oids.subjectAltName, true, '3000') } }, 'malformed_extension@0 name_mismatch@0'],
  ['a wildcard', { leaf: { san: dns('*.example.com') } }, 'valid'],
  [
    'a wildcard over a top-level domain',
    { leaf: { san: dns('*.com') }, name: { kind: 'dns', value: 'example.com' } },
    'name_mismatch@0 profile@0',
  ],
  [
    'a wildcard within a label',
    { leaf: { san: dns('a*.example.com') }, name: { kind: 'dns', value: 'ab.example.com' } },
    'name_mismatch@0 profile@0',
  ],
  [
    'a wildcard that is not leftmost',
    { leaf: { san: dns('a.*.com') }, name: { kind: 'dns', value: 'a.example.com' } },
    'name_mismatch@0 profile@0',
  ],
  ['two wildcards', { leaf: { san: dns('*.*.com') } }, 'name_mismatch@0 profile@0'],
  ['a wildcard alone', { leaf: { san: dns('*') } }, 'name_mismatch@0 profile@0'],
  ['a name with a dot at the end', { leaf: { san: dns('a.example.com.') } }, 'name_mismatch@0 profile@0'],
  ['a name with a dot in front', { leaf: { san: dns('.example.com') } }, 'name_mismatch@0 profile@0'],
  [
    'a name with an underscore',
    { leaf: { san: dns('a_b.example.com') }, name: { kind: 'dns', value: 'a_b.example.com' } },
    'valid',
  ],
  [
    'an address as dNSName',
    { leaf: { san: dns('10.0.0.1') }, name: { kind: 'ip', value: '10.0.0.1' } },
    'name_mismatch@0 profile@0',
  ],
  [
    'an AKI that names a certificate',
    { leaf: { aki: raw(oids.authorityKeyIdentifier, false, akiWithIssuer()) } },
    'profile@0',
  ],
];

function akiWithIssuer(): string {
  const identifier = Buffer.concat([Buffer.of(0x80, 20), keyId(people.middle)]);
  const issuer = Buffer.concat([Buffer.of(0xa1, issuerName.length + 2, 0xa4, issuerName.length), issuerName]);
  const body = Buffer.concat([identifier, issuer, Buffer.of(0x82, 1, 1)]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]).toString('hex');
}

test('each rule of the profile web_pki, broken by itself, is found where it is broken', async () => {
  const wrong: string[] = [];
  for (const [what, change, expected] of cases) {
    const found = await judge(change);
    if (found !== expected) wrong.push(`${what}: ${found}, expected ${expected}`);
  }
  assert.deepEqual(wrong, []);
});

/** An RSA key of so many bits that nobody has the private half of. */
function rsaKey(bits: number, exponent: number): Buffer {
  const modulus = Buffer.alloc(bits / 8, 0xab);
  modulus[modulus.length - 1] = 0xad;
  const algorithm = sequence([oid('1.2.840.113549.1.1.1'), nullValue()]);
  return sequence([algorithm, bitString(sequence([unsignedInteger(modulus), integer(exponent)]))]);
}

test('an RSA exponent of 1, or an even one, is refused at every size', async () => {
  const { leaf } = people;
  for (const bits of [4096, 4104, 8192])
    for (const exponent of [1, 2, 65_536])
      for (const profile of ['web_pki', 'rfc5280'] as const) {
        const named = { san: sound(leaf, people.middle)['san'], ski: undefined };
        const found = await judge({ leaf: named, spki: rsaKey(bits, exponent), more: { profile } });
        assert.equal(found, 'weak_key@0', `${bits} bits, ${exponent}`);
      }
});

test('what the profile asks of CRLs, each demand by itself', async () => {
  const { root, middle } = people;
  const both = (fields: Parameters<typeof crlOf>[1]) => [crlOf(root), crlOf(middle, fields)];
  const under = (crls: readonly Buffer[]) => judge({ more: { crls, checkRevocation: 'hard' } });
  assert.equal(await under(both({})), 'valid');
  assert.equal(await under([crlOf(root)]), 'revocation_unknown@0');
  assert.equal(await under([crlOf(middle)]), 'revocation_unknown@1');
  assert.equal(await under(both({ thisUpdate: at - 3 * day, nextUpdate: at - day })), 'revocation_unknown@0');
  assert.equal(await under(both({ thisUpdate: at + day, nextUpdate: at + 2 * day })), 'revocation_unknown@0');
  assert.equal(await under(both({ entries: [{ serialNumber: '1234', revokedAt: at - day }] })), 'revoked@0');
  assert.equal(await under(both({ entries: [{ serialNumber: '1235', revokedAt: at - day }] })), 'valid');
  const upper = crlOf(root, { entries: [{ serialNumber: '1234', revokedAt: at - day }] });
  assert.equal(await under([upper, crlOf(middle)]), 'revoked@1');
  const silent = { middle: { ku: encodeExtension('key_usage', ['key_cert_sign']) } };
  assert.equal(await judge({ ...silent, more: { crls: both({}), checkRevocation: 'hard' } }), 'revocation_unknown@0');
});
