import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { DerError } from '#pki/asn1/der-error.ts';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import { reasonFlags } from '#pki/x509/access-extensions.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import {
  decodeExtensionValue,
  encodeExtension,
  encodeRawExtension,
  extensionKindOf,
  type ExtensionInput,
  type ExtensionKind,
  extensionValue,
  getExtension,
  readExtensions,
} from '#pki/x509/extension.ts';
import { formatGeneralName } from '#pki/x509/general-name.ts';
import { keyUsages } from '#pki/x509/key-extensions.ts';
import { decodeName, encodeName } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import { opensslIn } from './x509-openssl.ts';

const configuration = `
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = every extension
[ext]
basicConstraints = critical, CA:TRUE, pathlen:3
keyUsage = critical, digitalSignature, keyCertSign, cRLSign, decipherOnly
extendedKeyUsage = serverAuth, 1.2.3.4
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always, issuer:always
subjectAltName = DNS:a.example, IP:10.0.0.1, IP:2001:db8::1, URI:spiffe://a.example/b, email:a@b.example, RID:1.2.3, dirName:dir, otherName:1.3.6.1.4.1.311.20.2.3;UTF8:u@c.example
issuerAltName = DNS:ca.example
crlDistributionPoints = crldp1, crldp2
freshestCRL = URI:http://crl.example/delta.crl
authorityInfoAccess = OCSP;URI:http://ocsp.example/, caIssuers;URI:http://ca.example/ca.cer
subjectInfoAccess = caRepository;URI:http://repo.example/
certificatePolicies = 1.2.3.5, @policy
nameConstraints = critical, permitted;DNS:.example, permitted;IP:10.0.0.0/255.0.0.0, permitted;IP:2001:db8::/ffff:ffff::, permitted;email:.b.example, permitted;URI:.example, permitted;dirName:dir, excluded;DNS:bad.example
policyMappings = 1.2.3.5:1.2.3.6
policyConstraints = critical, requireExplicitPolicy:2, inhibitPolicyMapping:0
inhibitAnyPolicy = critical, 4
noCheck = ignored
[dir]
C = DE
O = Example
[crldp1]
fullname = URI:http://crl.example/1.crl, URI:ldap://ldap.example/cn=x
reasons = keyCompromise, CACompromise
CRLissuer = dirName:dir
[crldp2]
relativename = relative
[relative]
CN = relative
[policy]
policyIdentifier = 1.2.3.6
CPS.1 = http://cps.example/
userNotice.1 = @notice
[notice]
explicitText = UTF8:Grüße
organization = Example
noticeNumbers = 1, 2
`;

test('every extension that openssl writes is decoded to what its configuration says', async (context) => {
  const { openssl, file } = await opensslIn(context);
  const config = await file('openssl.cnf', configuration);
  const pem = await openssl(
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -config ${config} -days 1 -set_serial 0x80aabb`,
  );
  const { extensions, subject } = decodeCertificate(decodeOnePem(pem, 'CERTIFICATE', 65_536));
  const value = <Kind extends ExtensionKind>(kind: Kind) => extensionValue(extensions, kind);
  assert.deepEqual(getExtension(extensions, 'basic_constraints'), {
    critical: true,
    value: { ca: true, pathLength: 3 },
  });
  assert.deepEqual(value('key_usage'), ['digital_signature', 'key_cert_sign', 'crl_sign', 'decipher_only']);
  assert.deepEqual(value('extended_key_usage'), [oids.serverAuth, '1.2.3.4']);
  const aki = value('authority_key_identifier');
  assert.deepEqual(aki?.keyIdentifier, value('subject_key_identifier'));
  assert.deepEqual(aki?.authorityCertIssuer?.map(formatGeneralName), ['directory:CN=every extension']);
  assert.equal(aki?.authorityCertSerialNumber, '80aabb');
  assert.equal(subject.rdns.length, 1);
  assert.deepEqual(value('subject_alt_name')?.map(formatGeneralName), [
    'dns:a.example',
    'ip:10.0.0.1',
    'ip:2001:db8::1',
    'uri:spiffe://a.example/b',
    'email:a@b.example',
    'registered_id:1.2.3',
    'directory:O=Example,C=DE',
    `other:${oids.userPrincipalName}:u@c.example`,
  ]);
  assert.deepEqual(value('issuer_alt_name')?.map(formatGeneralName), ['dns:ca.example']);
  const [full, relative] = value('crl_distribution_points') ?? [];
  assert.deepEqual(full?.name?.fullName?.map(formatGeneralName), [
    'uri:http://crl.example/1.crl',
    'uri:ldap://ldap.example/cn=x',
  ]);
  assert.equal(full?.reasons, reasonFlags.key_compromise | reasonFlags.ca_compromise);
  assert.deepEqual(full?.crlIssuer?.map(formatGeneralName), ['directory:O=Example,C=DE']);
  assert.deepEqual(
    relative?.name?.relativeName?.attributes.map((each) => each.value),
    ['relative'],
  );
  assert.deepEqual(
    value('freshest_crl')?.flatMap((point) => point.name?.fullName?.map(formatGeneralName)),
    ['uri:http://crl.example/delta.crl'],
  );
  assert.deepEqual(
    value('authority_info_access')?.map(({ method, location }) => [method, formatGeneralName(location)]),
    [
      [oids.accessOcsp, 'uri:http://ocsp.example/'],
      [oids.accessCaIssuers, 'uri:http://ca.example/ca.cer'],
    ],
  );
  assert.equal(value('subject_info_access')?.length, 1);
  const [plain, qualified] = value('certificate_policies') ?? [];
  assert.deepEqual(plain, { oid: '1.2.3.5', qualifiers: [] });
  assert.deepEqual(
    qualified?.qualifiers.map(({ id, cps, noticeText }) => ({ id, cps, noticeText })),
    [
      { id: oids.policyCps, cps: 'http://cps.example/', noticeText: undefined },
      { id: oids.policyUserNotice, cps: undefined, noticeText: 'Grüße' },
    ],
  );
  const constraints = value('name_constraints');
  assert.deepEqual(
    constraints?.permitted?.map(({ base }) => (base.kind === 'ip' ? base.value : formatGeneralName(base))),
    ['dns:.example', '10.0.0.0/8', '2001:db8::/32', 'email:.b.example', 'uri:.example', 'directory:O=Example,C=DE'],
  );
  assert.deepEqual(
    constraints?.excluded?.map(({ base }) => base.kind),
    ['dns'],
  );
  assert.deepEqual(value('policy_mappings'), [{ issuerDomainPolicy: '1.2.3.5', subjectDomainPolicy: '1.2.3.6' }]);
  assert.deepEqual(value('policy_constraints'), { requireExplicitPolicy: 2, inhibitPolicyMapping: 0 });
  assert.equal(value('inhibit_any_policy'), 4);
  assert.equal(value('ocsp_no_check'), true);
});

const directory = decodeName(
  encodeName([
    { type: 'country', value: 'DE' },
    { type: 'organization', value: 'Example' },
  ]),
);
const uri = (value: string) => ({ kind: 'uri', value }) as const;
const dns = (value: string) => ({ kind: 'dns', value }) as const;

/** One input for every kind, with every field in use. */
const inputs: { readonly [Kind in ExtensionKind]: ExtensionInput<Kind> } = {
  basic_constraints: { ca: true, pathLength: 0 },
  key_usage: keyUsages,
  extended_key_usage: [oids.serverAuth, oids.clientAuth],
  subject_key_identifier: Buffer.alloc(20, 1),
  authority_key_identifier: {
    keyIdentifier: Buffer.alloc(20, 2),
    authorityCertIssuer: [{ kind: 'directory', name: directory }],
    authorityCertSerialNumber: 'aabb',
  },
  subject_alt_name: [dns('a.example'), { kind: 'ip', bytes: Buffer.of(10, 0, 0, 1) }],
  issuer_alt_name: [uri('https://ca.example/')],
  name_constraints: {
    permitted: [
      dns('a.example'),
      { kind: 'range', bytes: Buffer.of(10, 1, 2, 3), prefix: 9 },
      { kind: 'directory', name: directory },
    ],
    excluded: [{ kind: 'ip', bytes: Buffer.alloc(16), prefix: 128 }],
  },
  crl_distribution_points: [
    { fullName: [uri('http://a.example/1.crl')], reasons: reasonFlags.aa_compromise },
    { crlIssuer: [{ kind: 'directory', name: directory }] },
  ],
  freshest_crl: [{ fullName: [uri('http://a.example/delta.crl')] }],
  authority_info_access: [{ method: oids.accessOcsp, location: uri('http://a.example/ocsp') }],
  subject_info_access: [{ method: '1.3.6.1.5.5.7.48.5', location: uri('http://a.example/repo') }],
  certificate_policies: [{ oid: oids.anyPolicy }, { oid: '1.2.3', cps: 'http://a.example/cps', noticeText: 'Grüße' }],
  policy_mappings: [{ issuerDomainPolicy: '1.2.3', subjectDomainPolicy: '1.2.4' }],
  policy_constraints: { requireExplicitPolicy: 0, inhibitPolicyMapping: 300 },
  inhibit_any_policy: 0,
  ocsp_no_check: true,
};

const kinds = Object.keys(inputs) as ExtensionKind[];

test('every kind of extension that is written reads back as the same value', () => {
  const list = write.sequence(kinds.map((kind) => encodeExtension(kind, inputs[kind])));
  const extensions = readDer(list, 10_000, readExtensions);
  assert.equal(extensions.size, kinds.length);
  assert.deepEqual(extensionValue(extensions, 'basic_constraints'), inputs.basic_constraints);
  assert.deepEqual(extensionValue(extensions, 'key_usage'), [...keyUsages]);
  assert.deepEqual(extensionValue(extensions, 'extended_key_usage'), inputs.extended_key_usage);
  assert.deepEqual(extensionValue(extensions, 'policy_mappings'), inputs.policy_mappings);
  assert.deepEqual(extensionValue(extensions, 'policy_constraints'), inputs.policy_constraints);
  assert.equal(extensionValue(extensions, 'authority_key_identifier')?.authorityCertSerialNumber, 'aabb');
  const constraints = extensionValue(extensions, 'name_constraints');
  assert.deepEqual(
    [...(constraints?.permitted ?? []), ...(constraints?.excluded ?? [])].map(({ base, minimum, maximum }) => [
      'value' in base ? base.value : base.kind,
      minimum,
      maximum,
    ]),
    [
      ['a.example', 0, undefined],
      ['10.0.0.0/9', 0, undefined],
      ['directory', 0, undefined],
      ['::/128', 0, undefined],
    ],
  );
  assert.equal(extensionValue(extensions, 'certificate_policies')?.[1]?.qualifiers[1]?.noticeText, 'Grüße');
  for (const kind of kinds) assert.equal(getExtension(extensions, kind)?.critical, criticalByDefault.has(kind), kind);
});

/** RFC 5280 §4.2.1.3, .5, .9, .10, .11, .14. */
const criticalByDefault = new Set<ExtensionKind>([
  'key_usage',
  'policy_mappings',
  'basic_constraints',
  'name_constraints',
  'policy_constraints',
  'inhibit_any_policy',
]);

test('the extensions of the roots that Node trusts are written again byte for byte', () => {
  let compared = 0;
  for (const pem of rootCertificates) {
    const { extensions } = decodeCertificate(decodeOnePem(pem, 'CERTIFICATE', 65_536));
    for (const { oid, critical, value } of extensions.values()) {
      const kind = extensionKindOf(oid);
      if (kind === undefined || kind === 'certificate_policies' || kind === 'crl_distribution_points') continue;
      const decoded = decodeExtensionValue(kind, value) as ExtensionInput<typeof kind>;
      assert.deepEqual(encodeExtension(kind, decoded, critical), encodeRawExtension(oid, critical, value));
      compared += 1;
    }
  }
  assert.ok(compared > 300);
});

test('an extension that stands twice is refused, and so is an empty list', () => {
  const extension = encodeExtension('inhibit_any_policy', 1);
  assert.throws(
    () => readDer(write.sequence([extension, extension]), 1000, readExtensions),
    (error) => error instanceof DerError && /2\.5\.29\.54 stands twice/.test(error.reason),
  );
  assert.throws(() => readDer(write.sequence([]), 1000, readExtensions), DerError);
});

test('extensions with a wrong value are refused', () => {
  const cases: readonly [ExtensionKind, string][] = [
    ['basic_constraints', '3003010100'],
    ['basic_constraints', '30060101ff0201ff'],
    ['basic_constraints', '30060201000101ff'],
    ['basic_constraints', '30000500'],
    ['key_usage', '03020080'],
    ['key_usage', '0401ff'],
    ['extended_key_usage', '3000'],
    ['extended_key_usage', '30020500'],
    ['subject_key_identifier', '0300'],
    ['authority_key_identifier', '3006820101800100'],
    ['authority_key_identifier', '3002a100'],
    ['subject_alt_name', '3000'],
    ['name_constraints', '3002a000'],
    ['name_constraints', '3010a10ea00c3008820161 800100'.replace(' ', '')],
    ['name_constraints', '300ea00c300a87080a000000ff00ff00'],
    ['name_constraints', '300aa0083006870400000000'],
    ['name_constraints', '300aa0083006820161800100'],
    ['crl_distribution_points', '3000'],
    ['crl_distribution_points', '30043002a000'],
    ['crl_distribution_points', '300430028100'],
    ['authority_info_access', '3000'],
    ['certificate_policies', '3000'],
    ['certificate_policies', '30083006 06022a033000'.replace(' ', '')],
    ['policy_mappings', '3000'],
    ['policy_constraints', '30038001ff'],
    ['inhibit_any_policy', '0201ff'],
    ['ocsp_no_check', '050100'],
    ['ocsp_no_check', ''],
  ];
  for (const [kind, hex] of cases)
    assert.throws(() => decodeExtensionValue(kind, Buffer.from(hex, 'hex')), DerError, `${kind} ${hex}`);
});

test('values that RFC 5280 forbids but DER can say are read, for the linter and the validator to judge', () => {
  assert.deepEqual(decodeExtensionValue('key_usage', Buffer.from('030100', 'hex')), []);
  assert.deepEqual(decodeExtensionValue('basic_constraints', Buffer.from('3003020105', 'hex')), {
    ca: false,
    pathLength: 5,
  });
  assert.deepEqual(decodeExtensionValue('name_constraints', Buffer.from('3000', 'hex')), {
    permitted: undefined,
    excluded: undefined,
  });
  const [subtree] =
    decodeExtensionValue('name_constraints', Buffer.from('300da00b3009820161800101810102', 'hex')).permitted ?? [];
  assert.deepEqual([subtree?.minimum, subtree?.maximum], [1, 2]);
  assert.equal(
    decodeExtensionValue('authority_key_identifier', Buffer.from('30038201ff', 'hex')).authorityCertSerialNumber,
    '-01',
  );
});
