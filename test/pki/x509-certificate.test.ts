import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { before, test } from 'node:test';
import type { KeyUsageFlags } from '@peculiar/x509';
import * as fc from 'fast-check';
import { DerError } from '#pki/asn1/der-error.ts';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import { formatIp, parseIpAddress } from '#pki/identifier/ip-address.ts';
import { signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import {
  assembleCertificate,
  decodeCertificate,
  encodeTbsCertificate,
  readCertificate,
  type TbsCertificateFields,
} from '#pki/x509/certificate.ts';
import { encodeExtension, encodeRawExtension, type ExtensionKind, getExtension } from '#pki/x509/extension.ts';
import { formatGeneralName, type GeneralNameInput } from '#pki/x509/general-name.ts';
import { type KeyUsage, keyUsages } from '#pki/x509/key-extensions.ts';
import { encodeName, formatName, type NameAttributeInput } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { randomSerial, serialOctets } from '#pki/x509/serial.ts';
import { compileTemplate } from '#pki/x509/template.ts';
import { peculiar } from './x509-peculiar.ts';

const second = 1000;
const spki = write.sequence([
  write.sequence([write.oid(oids.ecPublicKey), write.oid(oids.p256)]),
  write.bitString(Buffer.concat([Buffer.of(4), Buffer.alloc(64, 7)])),
]);

/** What a certificate is asked to say, in terms that our encoder and another one both understand. */
interface Wanted {
  readonly serialNumber: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: readonly NameAttributeInput[];
  readonly ca: boolean;
  readonly usages: readonly KeyUsage[];
  readonly extendedUsages: readonly string[];
  readonly keyId: Buffer;
  readonly names: readonly GeneralNameInput[];
  readonly crlUrls: readonly string[];
  readonly ocspUrl: string;
  readonly policies: readonly string[];
}

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/);
const dnsName = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const url = dnsName.map((host) => `http://${host}/x`);
const octets = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((each) => Buffer.from(each));
const generalName: fc.Arbitrary<GeneralNameInput> = fc.oneof(
  dnsName.map((value) => ({ kind: 'dns', value }) as const),
  url.map((value) => ({ kind: 'uri', value }) as const),
  dnsName.map((host) => ({ kind: 'email', value: `a@${host}` }) as const),
  fc.oneof(octets(4), octets(16)).map((bytes) => ({ kind: 'ip', bytes }) as const),
);
const moment = fc
  .integer({ min: Date.UTC(1970, 0, 1) / second, max: Date.UTC(2120, 0, 1) / second })
  .map((seconds) => seconds * second);
const subjectText = fc.stringMatching(/^[A-Za-z0-9äöüß€.-]{1,40}$/);
const subject = fc
  .tuple(fc.constantFrom('DE', 'US'), subjectText, subjectText)
  .map(([country, organization, commonName]) => [
    { type: 'country', value: country },
    { type: 'organization', value: organization },
    { type: 'common_name', value: commonName },
  ]);
const wanted: fc.Arbitrary<Wanted> = fc.record({
  serialNumber: fc
    .uint8Array({ minLength: 1, maxLength: 20 })
    .filter((bytes) => (bytes[0] ?? 0) > 0 && (bytes[0] ?? 0) < 0x80)
    .map((bytes) => Buffer.from(bytes).toString('hex')),
  notBefore: moment,
  notAfter: moment,
  subject,
  ca: fc.boolean(),
  usages: fc.subarray([...keyUsages], { minLength: 1 }),
  extendedUsages: fc.subarray([oids.serverAuth, oids.clientAuth, oids.codeSigning, '1.2.3.4'], { minLength: 1 }),
  keyId: octets(20),
  names: fc.array(generalName, { minLength: 1, maxLength: 6 }),
  crlUrls: fc.array(url, { minLength: 1, maxLength: 2 }),
  ocspUrl: url,
  policies: fc.uniqueArray(fc.constantFrom('1.2.3', '2.999.1', '2.23.140.1.2.1'), { minLength: 1 }),
});

const issuerAttributes = [
  { type: 'organization', value: 'Ausstellerin' },
  { type: 'common_name', value: 'CA 1' },
];
const issuer = encodeName(issuerAttributes);
const signatureAlgorithm = signatureAlgorithmOf('ec-p256');

function extensionsOf(want: Wanted): [ExtensionKind, Buffer][] {
  const uri = (value: string) => ({ kind: 'uri', value }) as const;
  return [
    ['basic_constraints', encodeExtension('basic_constraints', { ca: want.ca })],
    ['key_usage', encodeExtension('key_usage', want.usages)],
    ['extended_key_usage', encodeExtension('extended_key_usage', want.extendedUsages)],
    ['subject_key_identifier', encodeExtension('subject_key_identifier', want.keyId)],
    ['authority_key_identifier', encodeExtension('authority_key_identifier', { keyIdentifier: want.keyId })],
    ['subject_alt_name', encodeExtension('subject_alt_name', want.names)],
    [
      'crl_distribution_points',
      encodeExtension(
        'crl_distribution_points',
        want.crlUrls.map((each) => ({ fullName: [uri(each)] })),
      ),
    ],
    [
      'authority_info_access',
      encodeExtension('authority_info_access', [{ method: oids.accessOcsp, location: uri(want.ocspUrl) }]),
    ],
    [
      'certificate_policies',
      encodeExtension(
        'certificate_policies',
        want.policies.map((oid) => ({ oid })),
      ),
    ],
  ];
}

function fieldsOf(want: Wanted): TbsCertificateFields {
  return {
    serialNumber: want.serialNumber,
    signatureAlgorithm,
    issuer,
    notBefore: want.notBefore,
    notAfter: want.notAfter,
    subject: encodeName(want.subject),
    spki,
    extensions: extensionsOf(want).map(([, extension]) => extension),
  };
}

let keys: webcrypto.CryptoKeyPair;
before(async () => {
  keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
});

function flagsOf(usages: readonly KeyUsage[]): KeyUsageFlags {
  let bits = 0;
  for (const usage of usages) bits |= 1 << keyUsages.indexOf(usage);
  return bits;
}

/** The same certificate by `@peculiar/x509`. Names are given with their string types, since its own choice differs. */
async function encodeByPeculiar(want: Wanted): Promise<Buffer> {
  const keyword: Record<string, string> = { country: 'C', organization: 'O', common_name: 'CN' };
  const nameOf = (attributes: readonly NameAttributeInput[]) =>
    new peculiar.Name(
      attributes.map(({ type, value }) => ({
        [keyword[type] ?? type]: [type === 'country' ? { printableString: value } : { utf8String: value }],
      })),
    );
  const type = { dns: 'dns', uri: 'url', email: 'email', ip: 'ip' } as const;
  const keyId = want.keyId.toString('hex');
  const certificate = await peculiar.X509CertificateGenerator.create({
    serialNumber: want.serialNumber,
    notBefore: new Date(want.notBefore),
    notAfter: new Date(want.notAfter),
    issuer: nameOf(issuerAttributes),
    subject: nameOf(want.subject),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new peculiar.BasicConstraintsExtension(want.ca, undefined, true),
      new peculiar.KeyUsagesExtension(flagsOf(want.usages), true),
      new peculiar.ExtendedKeyUsageExtension([...want.extendedUsages]),
      new peculiar.SubjectKeyIdentifierExtension(keyId),
      new peculiar.AuthorityKeyIdentifierExtension(keyId),
      new peculiar.SubjectAlternativeNameExtension(
        want.names.map((name) => {
          if (name.kind === 'ip') return { type: 'ip', value: formatIp(name.bytes) };
          assert.ok(name.kind === 'dns' || name.kind === 'uri' || name.kind === 'email');
          return { type: type[name.kind], value: name.value };
        }),
      ),
      new peculiar.CRLDistributionPointsExtension([...want.crlUrls]),
      new peculiar.AuthorityInfoAccessExtension({ ocsp: want.ocspUrl }),
      new peculiar.CertificatePolicyExtension([...want.policies]),
    ],
  });
  return Buffer.from(certificate.rawData);
}

test('our TBSCertificate equals that of another library, byte for byte', async () => {
  const publicKey = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  await fc.assert(
    fc.asyncProperty(wanted, async (want) => {
      const theirs = decodeCertificate(await encodeByPeculiar(want));
      const ours = encodeTbsCertificate({ ...fieldsOf(want), spki: publicKey });
      assert.equal(ours.toString('hex'), theirs.tbs.toString('hex'));
    }),
    { numRuns: 100 },
  );
});

test('a certificate says what was asked for', () => {
  fc.assert(
    fc.property(wanted, (want) => {
      const tbs = encodeTbsCertificate(fieldsOf(want));
      const certificate = decodeCertificate(assembleCertificate(tbs, signatureAlgorithm, Buffer.of(1, 2, 3)));
      assert.deepEqual(certificate.tbs, tbs);
      assert.equal(certificate.version, 3);
      assert.equal(certificate.serialNumber, want.serialNumber);
      assert.deepEqual([certificate.notBefore, certificate.notAfter], [want.notBefore, want.notAfter]);
      assert.equal(certificate.hasEarlyGeneralizedTime, false);
      assert.deepEqual(certificate.issuer.der, issuer);
      assert.equal(formatName(certificate.issuer), 'CN=CA 1,O=Ausstellerin');
      assert.deepEqual(certificate.subject.der, encodeName(want.subject));
      assert.deepEqual(certificate.spki, spki);
      assert.deepEqual(certificate.signatureAlgorithm.der, signatureAlgorithm);
      assert.deepEqual(certificate.tbsSignature.der, signatureAlgorithm);
      assert.deepEqual(certificate.signature, Buffer.of(1, 2, 3));
      assert.equal(certificate.hasUniqueIdentifiers, false);
      assert.equal(getExtension(certificate.extensions, 'basic_constraints')?.value.ca, want.ca);
      assert.deepEqual(getExtension(certificate.extensions, 'key_usage')?.value, [...want.usages]);
      assert.equal(getExtension(certificate.extensions, 'subject_alt_name')?.value.length, want.names.length);
      for (const name of getExtension(certificate.extensions, 'subject_alt_name')?.value ?? [])
        if (name.kind === 'ip') {
          const parsed = parseIpAddress(name.value);
          if (parsed.kind === 'ip') assert.deepEqual(Buffer.from(parsed.bytes), name.bytes, formatGeneralName(name));
        }
    }),
    { numRuns: 200 },
  );
});

test('a template renders the same bytes as the encoder, whatever it leaves open', () => {
  const kinds = extensionsOf(fc.sample(wanted, 1)[0]!).map(([kind]) => kind);
  fc.assert(
    fc.property(wanted, fc.subarray(kinds), fc.subarray(kinds, { maxLength: 8 }), (want, open, omitted) => {
      const all = extensionsOf(want);
      const template = compileTemplate({
        signatureAlgorithm,
        issuer,
        extensions: all.map(([kind, extension]) => (open.includes(kind) ? kind : extension)),
      });
      const isLeftOut = (kind: ExtensionKind) => open.includes(kind) && omitted.includes(kind);
      const given = all.filter(([kind]) => open.includes(kind) && !isLeftOut(kind));
      const fields = fieldsOf(want);
      assert.deepEqual(
        template.render({ ...fields, extensions: Object.fromEntries(given) }),
        encodeTbsCertificate({
          ...fields,
          extensions: all.filter(([kind]) => !isLeftOut(kind)).map(([, extension]) => extension),
        }),
      );
    }),
    { numRuns: 300 },
  );
});

test('a template takes no extension twice, none that it does not leave open, and does not keep the bytes it was given', () => {
  const basic = encodeExtension('basic_constraints', { ca: false });
  const parts = { signatureAlgorithm, issuer };
  assert.throws(() => compileTemplate({ ...parts, extensions: [basic, basic] }), RangeError);
  assert.throws(() => compileTemplate({ ...parts, extensions: [basic, 'basic_constraints'] }), RangeError);
  assert.throws(() => compileTemplate({ ...parts, extensions: ['key_usage', 'key_usage'] }), RangeError);
  assert.throws(() => compileTemplate({ ...parts, extensions: [Buffer.from('3000', 'hex')] }), DerError);
  assert.throws(() => compileTemplate({ ...parts, extensions: [Buffer.concat([basic, basic])] }), DerError);
  const given = Buffer.from(basic);
  const template = compileTemplate({ ...parts, extensions: [given, 'key_usage'] });
  given.fill(0);
  const fields = { serialNumber: '01', notBefore: 0, notAfter: 0, subject: issuer, spki };
  const rendered = template.render({ ...fields, extensions: {} });
  assert.deepEqual(rendered, encodeTbsCertificate({ ...fields, ...parts, extensions: [basic] }));
  assert.throws(() => template.render({ ...fields, extensions: { subject_alt_name: basic } }), RangeError);
  const open = compileTemplate({ ...parts, extensions: ['key_usage'] });
  assert.throws(() => open.render({ ...fields, extensions: {} }), RangeError);
});

test('serial numbers are positive, at most 20 octets and minimal', () => {
  assert.equal(serialOctets('0001').toString('hex'), '01');
  assert.equal(serialOctets('80').toString('hex'), '0080');
  assert.equal(serialOctets(`7f${'ff'.repeat(19)}`).length, 20);
  assert.equal(serialOctets(`0000${'ff'.repeat(19)}`).length, 20);
  for (const bad of ['', '0', '00', '0000', 'xy', '1', `80${'00'.repeat(19)}`, `01${'00'.repeat(20)}`, '-01', '0g'])
    assert.throws(() => serialOctets(bad), RangeError, bad);
  const drawn = Array.from({ length: 1000 }, randomSerial);
  assert.equal(new Set(drawn).size, drawn.length);
  for (const serial of drawn) assert.deepEqual(serialOctets(serial), Buffer.from(serial, 'hex'));
  for (const serial of drawn) assert.match(serial, /^(?!00)[0-7][0-9a-f]{39}$/);
});

/** A certificate put together by hand, so that single parts can be wrong. */
function certificateWith(change: Partial<Record<'version' | 'serial' | 'validity' | 'tail', Buffer>>): Buffer {
  const extension = encodeExtension('basic_constraints', { ca: false });
  const tbs = write.sequence([
    change.version ?? write.context(0, [write.integer(2)]),
    change.serial ?? write.integer(1),
    signatureAlgorithm,
    issuer,
    change.validity ?? write.sequence([write.time(0), write.time(0)]),
    issuer,
    spki,
    change.tail ?? write.context(3, [write.sequence([extension])]),
  ]);
  return assembleCertificate(tbs, signatureAlgorithm, Buffer.of(0));
}

test('what DER can say but RFC 5280 forbids is read and shown', () => {
  const nothing = Buffer.alloc(0);
  assert.equal(decodeCertificate(certificateWith({ version: nothing, tail: nothing })).version, 1);
  assert.equal(decodeCertificate(certificateWith({ version: write.context(0, [write.integer(1)]) })).version, 2);
  assert.equal(decodeCertificate(certificateWith({ serial: write.integer(-1) })).serialNumber, '-01');
  assert.equal(decodeCertificate(certificateWith({ serial: write.integer(-256) })).serialNumber, '-0100');
  assert.equal(decodeCertificate(certificateWith({ serial: write.integer(0) })).serialNumber, '00');
  assert.equal(decodeCertificate(certificateWith({ serial: write.integer(0x80) })).serialNumber, '80');
  assert.equal(decodeCertificate(certificateWith({ tail: nothing })).extensions.size, 0);
  const unique = Buffer.from('81020001', 'hex');
  assert.equal(decodeCertificate(certificateWith({ tail: unique })).hasUniqueIdentifiers, true);
  for (const [validity, early] of [
    [[write.generalizedTime(0), write.time(0)], true],
    [[write.time(0), write.generalizedTime(Date.UTC(2049, 11, 31, 23, 59, 59))], true],
    [[write.time(0), write.generalizedTime(Date.UTC(2050, 0, 1))], false],
  ] as const)
    assert.equal(
      decodeCertificate(certificateWith({ validity: write.sequence(validity) })).hasEarlyGeneralizedTime,
      early,
    );
});

test('what is not the structure of a certificate is refused', () => {
  const cases: Parameters<typeof certificateWith>[0][] = [
    { version: write.context(0, [write.integer(0)]) },
    { version: write.context(0, [write.integer(3)]) },
    { version: write.context(0, []) },
    { serial: write.octetString(Buffer.of(1)) },
    { validity: write.sequence([write.time(0)]) },
    { validity: write.sequence([write.time(0), write.time(0), write.time(0)]) },
    { tail: write.context(3, []) },
    { tail: write.context(3, [write.sequence([])]) },
    { tail: write.context(4, []) },
    {
      tail: Buffer.concat([
        write.context(3, [write.sequence([encodeRawExtension('1.2.3', true, Buffer.of())])]),
        write.nullValue(),
      ]),
    },
    { tail: Buffer.from('82020001810200 01'.replace(' ', ''), 'hex') },
  ];
  for (const change of cases) assert.throws(() => decodeCertificate(certificateWith(change)), DerError);
  const sound = certificateWith({});
  assert.throws(() => decodeCertificate(sound, sound.length - 1), /larger than/);
  assert.throws(() => decodeCertificate(Buffer.concat([sound, Buffer.of(0)])), DerError);
  const two = Buffer.concat([sound, sound]);
  const both = readDer(write.sequence([two]), 10_000, (reader) => reader.readSequenceOf(readCertificate));
  assert.deepEqual(
    both.map((each) => each.der),
    [sound, sound],
  );
});
