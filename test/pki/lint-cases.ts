import { tag } from '#pki/asn1/tag.ts';
import {
  bitString,
  boolean,
  context,
  contextOctets,
  element,
  generalizedTime,
  ia5String,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  time,
  utf8String,
} from '#pki/asn1/writer.ts';
import { oids } from '#pki/x509/oid.ts';
import {
  algorithm,
  altName,
  authority,
  basicConstraints,
  type Change,
  crlUri,
  directoryName,
  distributionPoints,
  dns,
  ecKey,
  email,
  extension,
  from,
  infoAccess,
  ip,
  key,
  keyIdentifier,
  keyUsage,
  leaf,
  nameOf,
  odd,
  policies,
  purposes,
  registeredId,
  responder,
  root,
  rsaKey,
  rsaLeaf,
  type Sample,
  subjectKeyIdentifier,
  uri,
} from './lint-fixture.ts';

/** A fault that is to be found, and nothing else but what cannot be had without it. */
export interface FaultCase {
  readonly code: string;
  readonly sample: Sample;
  readonly change: Change;
  /** Codes of the findings that this fault brings with it. */
  readonly also?: readonly string[];
}

export function fault(code: string, sample: Sample, change: Change, also: readonly string[] = []): FaultCase {
  return { code, sample, change, also };
}

/** A fault in one extension alone. */
export function inExtension(
  code: string,
  sample: Sample,
  slot: string,
  value: Buffer | undefined,
  also: readonly string[] = [],
): FaultCase {
  return fault(code, sample, { extensions: { [slot]: value } }, also);
}

const noNames = { names: undefined };
const plainNames = { names: altName([dns('a.example.com')], false) };
const longLabel = 'a'.repeat(60);

const pss = (...fields: Buffer[]) => sequence([oid(oids.rsassaPss), sequence(fields)]);
const mgf1 = (hash: string) => sequence([oid(oids.mgf1), sequence([oid(hash), nullValue()])]);

const structure: readonly FaultCase[] = [
  fault('version_not_3', leaf, { version: context(0, [integer(1)]) }),
  fault('malformed_version', leaf, { version: context(0, [integer(0)]) }),
  fault('malformed_version', leaf, { version: context(0, [integer(3)]) }),
  fault('serial_zero', leaf, { serial: integer(0) }),
  fault('serial_negative', leaf, { serial: integer(-7) }),
  fault('serial_too_long', leaf, { serial: element(tag.integer, [Buffer.alloc(21, 7)]) }),
  fault('malformed_serial_number', leaf, { serial: element(tag.integer, [Buffer.of(0, 7)]) }),
  fault('signature_algorithm_unknown', leaf, { signature: sequence([oid('1.2.3.4')]) }),
  fault('signature_algorithm_broken', leaf, { signature: sequence([oid(oids.sha1WithRsa), nullValue()]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.sha256WithRsa)]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.sha384WithRsa), octetString()]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.ecdsaWithSha256), nullValue()]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.ed25519), nullValue()]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.mlDsa65), nullValue()]) }),
  fault('signature_parameters', leaf, { signature: sequence([oid(oids.rsassaPss)]) }),
  fault('signature_parameters', leaf, { signature: pss(context(2, [integer(20)])) }),
  fault('signature_parameters', leaf, { signature: pss(context(0, [sequence([oid(oids.sha256), nullValue()])])) }),
  fault('signature_parameters', leaf, {
    signature: pss(context(0, [sequence([oid(oids.sha256), nullValue()])]), context(1, [mgf1(oids.sha512)])),
  }),
  fault('unique_identifiers', leaf, { uniqueIdentifier: bitString(Buffer.of(1), 0x81) }),
  inExtension('extension_repeated', leaf, 'again', subjectKeyIdentifier),
  inExtension('malformed_extension', leaf, 'other', extension('1.2.3.4', Buffer.of(0x30, 0x05, 0x00))),
  inExtension('malformed_extension', leaf, 'names', altName([], true)),
  inExtension('malformed_extension', leaf, 'names', altName([element(0x82, [Buffer.from('ä.example', 'utf8')])], true)),
  inExtension('malformed_extension', leaf, 'purposes', purposes([])),
  inExtension(
    'malformed_extension',
    leaf,
    'keyUsage',
    extension(oids.keyUsage, Buffer.of(0x03, 0x02, 0x00, 0x80), true),
  ),
  fault('malformed_extensions', leaf, {
    extensions: { other: sequence([oid('1.2.3.4'), boolean(false), octetString(nullValue())]) },
  }),
];

const validity: readonly FaultCase[] = [
  fault('validity_reversed', leaf, { validity: sequence([time(from), time(from - 1000)]) }),
  fault('validity_generalized_time', leaf, { validity: sequence([time(from), generalizedTime(from + 1000)]) }),
  fault('malformed_validity', leaf, {
    validity: sequence([element(tag.utcTime, [Buffer.from('2611210000Z')]), time(from + 1000)]),
  }),
  fault('malformed_validity', leaf, {
    validity: sequence([time(from), element(tag.utcTime, [Buffer.from('270101000000+0100')])]),
  }),
];

const faultyAttributes = [
  ['empty_attribute', [oids.commonName, '']],
  ['too_long', [oids.commonName, 'a'.repeat(65)]],
  ['string_type', [oids.subjectSerialNumber, utf8String('7')]],
  ['control_character', [oids.commonName, 'a\u0001']],
  ['country', [oids.countryName, printableString('DEU')]],
] as const;

const teletex = element(tag.teletexString, [Buffer.from('Mueller')]);

const names: readonly FaultCase[] = [
  fault('issuer_empty', leaf, { issuer: nameOf() }),
  fault('subject_empty_without_names', leaf, { extensions: noNames }),
  fault('subject_email_not_in_names', leaf, {
    subject: nameOf([oids.emailAddress, ia5String('b@example.com')]),
    extensions: { names: altName([email('a@example.com')], false) },
  }),
  ...faultyAttributes.map(([code, attribute]) =>
    fault(`subject_${code}`, leaf, { subject: nameOf(attribute), extensions: plainNames }),
  ),
  ...faultyAttributes.map(([code, attribute]) => fault(`issuer_${code}`, leaf, { issuer: nameOf(attribute) })),
  fault('subject_string_type', leaf, {
    subject: nameOf([oids.countryName, utf8String('DE')]),
    extensions: plainNames,
  }),
  fault('subject_string_type', leaf, {
    subject: nameOf([oids.organizationName, ia5String('Ltd')]),
    extensions: plainNames,
  }),
  fault('subject_old_string_type', leaf, { subject: nameOf([oids.commonName, teletex]), extensions: plainNames }),
  fault('subject_old_string_type', authority, { subject: nameOf([oids.commonName, teletex]) }),
  fault('authority_subject_empty', authority, {
    subject: nameOf(),
    extensions: { names: altName([dns('ca.example.com')], true) },
  }),
  fault('malformed_subject', leaf, { subject: sequence([setOf([])]) }),
  fault('malformed_issuer', leaf, {
    issuer: nameOf([oids.commonName, element(tag.printableString, [Buffer.from('@')])]),
  }),
];

const octets32 = Buffer.alloc(32, 7);
const keyOf = (type: string, bits: Buffer, parameters?: Buffer) => sequence([sequence([oid(type), parameters]), bits]);

const keys: readonly FaultCase[] = [
  fault('public_key_algorithm_unknown', leaf, { spki: keyOf('1.2.3.4', bitString(octets32)) }),
  fault('public_key_parameters', leaf, { spki: sequence([sequence([oid(oids.rsaEncryption)]), rsaBits()]) }),
  fault('public_key_parameters', leaf, {
    spki: ecKey(Buffer.concat([Buffer.of(4), octets32, octets32]), sequence([])),
  }),
  fault('public_key_parameters', leaf, { spki: keyOf(oids.ed25519, bitString(octets32), nullValue()) }),
  fault('public_key_parameters', leaf, { spki: keyOf(oids.mlDsa44, bitString(Buffer.alloc(1312)), nullValue()) }),
  fault('public_key_unused_bits', leaf, {
    spki: keyOf(oids.ed25519, element(tag.bitString, [Buffer.of(1), Buffer.alloc(32)])),
  }),
  fault('public_key_size', leaf, { spki: keyOf(oids.ed25519, bitString(Buffer.alloc(31))) }),
  fault('public_key_size', leaf, { spki: keyOf(oids.mlDsa65, bitString(Buffer.alloc(1951))) }),
  fault('ec_point', leaf, { spki: ecKey(Buffer.concat([Buffer.of(6), octets32, octets32])) }),
  fault('ec_point', leaf, { spki: ecKey(Buffer.concat([Buffer.of(4), octets32])) }),
  fault('rsa_modulus', leaf, { spki: rsaKey(Buffer.alloc(256, 0x42), 65_537) }),
  fault('rsa_exponent', leaf, { spki: rsaKey(odd(2048), 1) }),
  fault('rsa_exponent', leaf, { spki: rsaKey(odd(2048), 2) }),
  fault('malformed_public_key', leaf, { spki: keyOf(oids.rsaEncryption, bitString(octets32), nullValue()) }),
  inExtension('key_usage_of_algorithm', leaf, 'keyUsage', keyUsage(0, 2)),
  fault('key_usage_of_algorithm', leaf, { spki: key.ed25519, extensions: { keyUsage: keyUsage(0, 4) } }),
  fault('key_usage_of_algorithm', rsaLeaf, { extensions: { keyUsage: keyUsage(0, 4) } }),
];

function rsaBits(): Buffer {
  return bitString(sequence([element(tag.integer, [odd(2048)]), integer(65_537)]));
}

const mapping = sequence([sequence([oid('1.2.3.4'), oid('1.2.3.5')])]);
const subtree = (base: Buffer, ...rest: Buffer[]) => sequence([context(0, [sequence([base, ...rest])])]);
const constraints = (value: Buffer) => extension(oids.nameConstraints, value, true);
const explicitPolicy = sequence([integer(0, 0x80)]);
const attributes = sequence([sequence([oid(oids.title), setOf([utf8String('x')])])]);
const repository = '1.3.6.1.5.5.7.48.5';

const criticality: readonly FaultCase[] = [
  inExtension(
    'authority_key_identifier_critical',
    leaf,
    'authorityKeyIdentifier',
    extension(oids.authorityKeyIdentifier, sequence([contextOctets(0, keyIdentifier)]), true),
  ),
  inExtension(
    'subject_key_identifier_critical',
    leaf,
    'subjectKeyIdentifier',
    extension(oids.subjectKeyIdentifier, octetString(keyIdentifier), true),
  ),
  inExtension('key_usage_not_critical', leaf, 'keyUsage', extension(oids.keyUsage, namedBits(1))),
  fault('policy_mappings_not_critical', authority, {
    extensions: { policies: policies(['1.2.3.4']), mappings: extension(oids.policyMappings, mapping) },
  }),
  inExtension('issuer_alt_name_critical', leaf, 'issuerNames', altName([dns('ca.example')], true, oids.issuerAltName)),
  inExtension(
    'subject_directory_attributes_critical',
    leaf,
    'attributes',
    extension(oids.subjectDirectoryAttributes, attributes, true),
  ),
  inExtension(
    'name_constraints_not_critical',
    authority,
    'constraints',
    extension(oids.nameConstraints, subtree(dns('example.com'))),
  ),
  inExtension(
    'policy_constraints_not_critical',
    authority,
    'constraints',
    extension(oids.policyConstraints, explicitPolicy),
  ),
  inExtension(
    'crl_distribution_points_critical',
    leaf,
    'crl',
    extension(oids.crlDistributionPoints, pointsOf(uri(crlUri)), true),
  ),
  inExtension('inhibit_any_policy_not_critical', authority, 'inhibit', extension(oids.inhibitAnyPolicy, integer(0))),
  inExtension('freshest_crl_critical', leaf, 'freshest', extension(oids.freshestCrl, pointsOf(uri(crlUri)), true)),
  inExtension(
    'authority_info_access_critical',
    leaf,
    'access',
    extension(oids.authorityInfoAccess, accessOf(oids.accessOcsp, uri(crlUri)), true),
  ),
  inExtension(
    'subject_info_access_critical',
    leaf,
    'access',
    extension(oids.subjectInfoAccess, accessOf(repository, uri(crlUri)), true),
  ),
  inExtension('ocsp_no_check_critical', responder, 'noCheck', extension(oids.ocspNoCheck, nullValue(), true)),
  inExtension('no_rev_avail_critical', leaf, 'none', extension(oids.noRevAvail, nullValue(), true)),
  inExtension('tls_feature_critical', leaf, 'feature', extension(oids.tlsFeature, sequence([integer(5)]), true)),
  inExtension('acme_identifier_not_critical', leaf, 'acme', extension(oids.acmeIdentifier, octetString(octets32))),
  inExtension('ct_poison_not_critical', leaf, 'poison', extension(oids.ctPoison, nullValue())),
  inExtension('extension_unknown_critical', leaf, 'other', extension('1.2.3.4', nullValue(), true)),
];

function pointsOf(...found: Buffer[]): Buffer {
  return sequence([sequence([context(0, [element(0xa0, found)])])]);
}

function accessOf(method: string, location: Buffer): Buffer {
  return sequence([sequence([oid(method), location])]);
}

const authorityKey = (...fields: Buffer[]) => extension(oids.authorityKeyIdentifier, sequence(fields));

const keyExtensions: readonly FaultCase[] = [
  inExtension('authority_key_identifier_missing', leaf, 'authorityKeyIdentifier', undefined),
  inExtension('authority_key_identifier_missing', authority, 'authorityKeyIdentifier', undefined),
  inExtension(
    'authority_key_identifier_missing',
    leaf,
    'authorityKeyIdentifier',
    authorityKey(contextOctets(0, Buffer.alloc(0))),
  ),
  inExtension(
    'authority_key_identifier_incomplete',
    leaf,
    'authorityKeyIdentifier',
    authorityKey(contextOctets(0, keyIdentifier), contextOctets(2, Buffer.of(7))),
  ),
  inExtension(
    'authority_key_identifier_differs',
    root,
    'authorityKeyIdentifier',
    authorityKey(contextOctets(0, octets32)),
  ),
  inExtension(
    'subject_key_identifier_empty',
    leaf,
    'subjectKeyIdentifier',
    extension(oids.subjectKeyIdentifier, octetString()),
  ),
  inExtension('subject_key_identifier_absent', leaf, 'subjectKeyIdentifier', undefined),
  inExtension('subject_key_identifier_missing', root, 'subjectKeyIdentifier', undefined),
  inExtension('key_usage_empty', leaf, 'keyUsage', keyUsage()),
  inExtension('key_usage_unknown', leaf, 'keyUsage', keyUsage(0, 9)),
  inExtension('key_usage_without_agreement', leaf, 'keyUsage', keyUsage(0, 7)),
  inExtension('key_usage_missing', root, 'keyUsage', undefined),
  inExtension('key_cert_sign_missing', root, 'keyUsage', keyUsage(6)),
  fault('key_cert_sign_without_ca', leaf, { extensions: { keyUsage: keyUsage(0, 5), purposes: undefined } }),
  inExtension('basic_constraints_not_critical', root, 'basicConstraints', basicConstraints(true, undefined, false)),
  inExtension('basic_constraints_missing', authority, 'basicConstraints', undefined),
  inExtension('basic_constraints_missing', authority, 'basicConstraints', basicConstraints(false)),
  inExtension('path_length_without_ca', leaf, 'basicConstraints', basicConstraints(false, 0)),
  inExtension('is_authority', leaf, 'basicConstraints', basicConstraints(true)),
  inExtension('malformed_extension', root, 'basicConstraints', basicConstraints(true, -1)),
  inExtension('extended_key_usage_repeated', leaf, 'purposes', purposes([oids.serverAuth, oids.serverAuth])),
  inExtension('extended_key_usage_any_critical', leaf, 'purposes', purposes([oids.anyExtendedKeyUsage], true)),
  inExtension('time_stamping_not_alone', leaf, 'purposes', purposes([oids.timeStamping])),
  inExtension('time_stamping_not_alone', leaf, 'purposes', purposes([oids.timeStamping, '1.2.3.4'], true)),
  fault('key_usage_inconsistent', leaf, {
    extensions: { keyUsage: keyUsage(0, 1), purposes: purposes([oids.codeSigning]) },
  }),
  fault('key_usage_inconsistent', rsaLeaf, {
    extensions: { keyUsage: keyUsage(2), purposes: purposes([oids.serverAuth, oids.clientAuth]) },
  }),
  inExtension('ocsp_signing_missing', responder, 'purposes', purposes([oids.serverAuth])),
  inExtension('ocsp_signing_missing', responder, 'purposes', undefined),
  inExtension('ocsp_signer_revocation', responder, 'noCheck', undefined),
  fault('ct_poison_with_sct', leaf, {
    extensions: {
      poison: extension(oids.ctPoison, nullValue(), true),
      timestamps: extension(oids.sctList, octetString(Buffer.from('0003000101', 'hex'))),
    },
  }),
  inExtension('no_rev_avail_in_ca', root, 'none', extension(oids.noRevAvail, nullValue())),
  ...[
    { crl: distributionPoints([uri(crlUri)]) },
    { freshest: extension(oids.freshestCrl, pointsOf(uri(crlUri))) },
    { access: infoAccess([oids.accessOcsp, uri(crlUri)]) },
  ].map((pointer) =>
    fault('no_rev_avail_with_pointer', leaf, {
      extensions: { ...pointer, none: extension(oids.noRevAvail, nullValue()) },
    }),
  ),
  inExtension('sct_list_empty', leaf, 'timestamps', extension(oids.sctList, octetString(Buffer.of(0, 0)))),
  inExtension(
    'acme_identifier_length',
    leaf,
    'acme',
    extension(oids.acmeIdentifier, octetString(Buffer.alloc(31)), true),
  ),
];

const faultyUris = [
  ['uri_relative', uri('/path')],
  ['uri_nothing', uri('http:')],
  ['uri_character', uri('http://example.com/a b')],
  ['uri_character', uri('http://example.com/%zz')],
  ['uri_host', uri('http:///path')],
  ['uri_host', uri('http://exa_mple.com/')],
  ['uri_host', uri('http://256.1.1.1/')],
  ['uri_host', uri('http://[::1/')],
  ['uri_unqualified', uri('http://localhost/')],
] as const;

const faultyNames = [
  ['empty', dns('')],
  ['empty', email('')],
  ['empty', uri('')],
  ['empty', ip()],
  ['empty', directoryName(nameOf())],
  ['space', dns(' ')],
  ['dns_too_long', dns(`${`${longLabel}.`.repeat(4)}example.com`)],
  ['dns_empty_label', dns('a..example.com')],
  ['dns_empty_label', dns('a.example.com.')],
  ['dns_label_too_long', dns(`${'a'.repeat(64)}.example.com`)],
  ['dns_character', dns('a b.example.com')],
  ['dns_underscore', dns('_a.example.com')],
  ['dns_hyphen', dns('a-.example.com')],
  ['dns_wildcard', dns('a.*.example.com')],
  ['dns_wildcard', dns('f*.example.com')],
  ['dns_address', dns('10.0.0.1')],
  ['dns_a_label', dns('xn--0.example.com')],
  ['dns_a_label', dns('xn--u-ccb.example.com')],
  ['email_mailbox', email('<a@example.com>')],
  ['email_mailbox', email('a@example.com (comment)')],
  ['email_mailbox', email('a.example.com')],
  ['email_mailbox', email('a..b@example.com')],
  ['ip_length', ip(10, 0, 0, 0, 8)],
  ...faultyUris,
] as const;

const good = uri(crlUri);

const alternativeNames: readonly FaultCase[] = [
  ...faultyNames.map(([code, name]) => inExtension(`subject_alt_name_${code}`, leaf, 'names', altName([name], true))),
  ...faultyNames.map(([code, name]) =>
    inExtension(`issuer_alt_name_${code}`, leaf, 'issuerNames', altName([name], false, oids.issuerAltName)),
  ),
  ...faultyUris.map(([code, name]) =>
    inExtension(`distribution_point_${code}`, leaf, 'crl', distributionPoints([name, good])),
  ),
  ...faultyUris.map(([code, name]) =>
    inExtension(`freshest_crl_${code}`, leaf, 'freshest', extension(oids.freshestCrl, pointsOf(name, good))),
  ),
  ...faultyUris.map(([code, name]) =>
    inExtension(`authority_info_${code}`, leaf, 'access', infoAccess([oids.accessOcsp, name])),
  ),
  ...faultyUris.map(([code, name]) =>
    inExtension(`subject_info_${code}`, leaf, 'access', extension(oids.subjectInfoAccess, accessOf(repository, name))),
  ),
  inExtension('subject_alt_name_not_critical', leaf, 'names', altName([dns('a.example.com')], false)),
  fault('subject_alt_name_critical', leaf, { subject: nameOf([oids.commonName, 'a']) }),
];

const constraintCases: readonly FaultCase[] = [
  ['name_constraints_empty', sequence([])],
  ['name_constraints_minimum', subtree(dns('example.com'), integer(1, 0x80))],
  ['name_constraints_maximum', subtree(dns('example.com'), integer(1, 0x81))],
  ['name_constraints_dns', subtree(dns('a..example.com'))],
  ['name_constraints_dns', subtree(dns('*.example.com'))],
  ['name_constraints_uri', subtree(uri('http://example.com/'))],
  ['name_constraints_uri', subtree(uri(''))],
  ['name_constraints_email', subtree(email('a b@example.com'))],
  ['name_constraints_ip', subtree(ip(10, 0, 0, 0, 255, 0, 255, 0))],
  ['name_constraints_ip', subtree(ip(10, 0, 0, 0))],
  ['name_constraints_dns_dot', subtree(dns('.example.com'))],
  ['name_constraints_kind', subtree(registeredId)],
].map(([code, value]) => inExtension(code as string, authority, 'constraints', constraints(value as Buffer)));

const notice = (...fields: Buffer[]) => sequence([oid(oids.policyUserNotice), sequence(fields)]);
const noticeText = (text: Buffer) => policies(['1.2.3.4', notice(text)]);
const reference = sequence([utf8String('Lint Test'), sequence([integer(1)])]);

const policyCases: readonly FaultCase[] = [
  inExtension('policy_repeated', leaf, 'policies', policies(['1.2.3.4'], ['1.2.3.4'])),
  inExtension(
    'any_policy_qualifier',
    authority,
    'policies',
    policies([oids.anyPolicy, sequence([oid('1.2.3.4'), nullValue()])]),
  ),
  inExtension(
    'policy_cps',
    leaf,
    'policies',
    policies(['1.2.3.4', sequence([oid(oids.policyCps), ia5String('nonsense')])]),
  ),
  inExtension('policy_notice_reference', leaf, 'policies', policies(['1.2.3.4', notice(reference)])),
  inExtension('policy_notice_too_long', leaf, 'policies', noticeText(utf8String('a'.repeat(201)))),
  inExtension('policy_notice_string_type', leaf, 'policies', noticeText(ia5String('a'))),
  inExtension('policy_notice_not_utf8', leaf, 'policies', noticeText(element(tag.visibleString, [Buffer.from('a')]))),
  inExtension('policy_notice_control_character', leaf, 'policies', noticeText(utf8String('a\u0007'))),
  inExtension('policy_notice_normalization', leaf, 'policies', noticeText(utf8String('e\u0301'))),
  fault('policy_mappings_any_policy', authority, {
    extensions: {
      mappings: extension(oids.policyMappings, sequence([sequence([oid(oids.anyPolicy), oid('1.2.3.4')])]), true),
    },
  }),
  inExtension('policy_mappings_not_asserted', authority, 'mappings', extension(oids.policyMappings, mapping, true)),
  inExtension(
    'policy_constraints_empty',
    authority,
    'constraints',
    extension(oids.policyConstraints, sequence([]), true),
  ),
  inExtension('name_constraints_not_in_ca', leaf, 'constraints', constraints(subtree(dns('example.com')))),
  fault('policy_mappings_not_in_ca', leaf, {
    extensions: { policies: policies(['1.2.3.4']), mappings: extension(oids.policyMappings, mapping, true) },
  }),
  inExtension(
    'policy_constraints_not_in_ca',
    leaf,
    'constraints',
    extension(oids.policyConstraints, explicitPolicy, true),
  ),
  inExtension('inhibit_any_policy_not_in_ca', leaf, 'inhibit', extension(oids.inhibitAnyPolicy, integer(0), true)),
];

const reasons = namedBits(1 << 1, 0x81);
const crlIssuer = (...found: Buffer[]) => element(0xa2, found);
const caName = directoryName(nameOf([oids.commonName, 'CA']));
const relativeName = context(0, [element(0xa1, [sequence([oid(oids.commonName), utf8String('1')])])]);
const relativePoint = (...rest: Buffer[]) =>
  extension(oids.crlDistributionPoints, sequence([sequence([relativeName, ...rest])]));

const pointerCases: readonly FaultCase[] = [
  inExtension('distribution_point_incomplete', leaf, 'crl', distributionPoints([], reasons)),
  inExtension('distribution_point_relative_name_ambiguous', leaf, 'crl', relativePoint(crlIssuer(caName, caName)), [
    'distribution_point_relative_name',
  ]),
  inExtension('distribution_point_relative_name', leaf, 'crl', relativePoint()),
  inExtension('distribution_point_issuer', leaf, 'crl', distributionPoints([good], crlIssuer(dns('ca.example.com')))),
  inExtension('distribution_point_without_uri', leaf, 'crl', distributionPoints([caName])),
  inExtension('authority_info_without_uri', leaf, 'access', infoAccess([oids.accessCaIssuers, caName])),
  inExtension('authority_info_ocsp', leaf, 'access', infoAccess([oids.accessOcsp, caName])),
  inExtension('pointer_https', leaf, 'crl', distributionPoints([uri('https://ca.example.com/1.crl'), good])),
];

export const certificateCases: readonly FaultCase[] = [
  ...structure,
  ...validity,
  ...names,
  ...keys,
  ...criticality,
  ...keyExtensions,
  ...alternativeNames,
  ...constraintCases,
  ...policyCases,
  ...pointerCases,
  fault('signature_algorithm_broken', root, { signature: sequence([oid(oids.ecdsaWithSha1)]) }),
  fault('malformed_signature', root, { signature: sequence([]) }),
  fault('malformed_unique_identifiers', root, { uniqueIdentifier: element(0x81, [Buffer.of(9)]) }),
  fault('public_key_parameters', root, {
    spki: keyOf(oids.rsassaPss, rsaBits(), sequence([context(2, [integer(20)])])),
  }),
  fault('signature_parameters', root, { signature: sequence([oid(oids.ecdsaWithSha384), sequence([algorithm.rsa])]) }),
];
