import {
  contextOctets,
  context,
  element,
  ia5String,
  namedBits,
  oid,
  printableString,
  sequence,
  setOf,
  utf8String,
} from '#pki/asn1/writer.ts';
import { tag } from '#pki/asn1/tag.ts';
import { oids } from '#pki/x509/oid.ts';
import { type FaultCase, fault, inExtension } from './lint-cases.ts';
import {
  algorithm,
  altName,
  attributeOf,
  basicConstraints,
  crlUri,
  directoryName,
  distributionPoints,
  dns,
  domainValidated,
  ecKey,
  email,
  extension,
  infoAccess,
  ip,
  key,
  keyIdentifier,
  keyUsage,
  nameOf,
  odd,
  organizationLeaf,
  organizationSubject,
  policies,
  purposes,
  registeredId,
  rsaKey,
  subjectKeyIdentifier,
  uri,
  validity,
  webAuthority,
  webLeaf,
  webNames,
  webResponder,
  webRoot,
  webRsaLeaf,
} from './lint-fixture.ts';

/** Faults by the Baseline Requirements alone. */

const issuerAndSerial = sequence([
  contextOctets(0, keyIdentifier),
  element(0xa1, [directoryName(nameOf([oids.commonName, 'CA']))]),
  contextOctets(2, Buffer.of(7)),
]);
const secp256k1 = oid('1.3.132.0.10');
const point = Buffer.concat([Buffer.of(4), Buffer.alloc(64, 7)]);
const ldap = uri('ldap://ldap.example.com/cn=ca');
const good = uri(crlUri);

const everyCertificate: readonly FaultCase[] = [
  fault('web_pki_serial_short', webLeaf, { serial: element(tag.integer, [Buffer.alloc(7, 7)]) }),
  fault('web_pki_signature_algorithm', webLeaf, { signature: algorithm.ed25519 }),
  fault('web_pki_key_algorithm', webLeaf, { spki: key.ed25519 }),
  fault('web_pki_curve', webLeaf, { spki: ecKey(point, secp256k1) }),
  fault('web_pki_rsa_size', webLeaf, { spki: rsaKey(odd(1024), 65_537) }),
  fault('web_pki_rsa_exponent', webLeaf, { spki: rsaKey(odd(2048), 3) }),
  inExtension(
    'web_pki_authority_key_identifier',
    webLeaf,
    'authorityKeyIdentifier',
    extension(oids.authorityKeyIdentifier, issuerAndSerial),
  ),
  inExtension('web_pki_distribution_point_parts', webLeaf, 'crl', distributionPoints([good], namedBits(2, 0x81))),
  inExtension('web_pki_distribution_point_http', webLeaf, 'crl', distributionPoints([ldap])),
  inExtension(
    'web_pki_distribution_point_critical',
    webLeaf,
    'crl',
    extension(oids.crlDistributionPoints, sequence([sequence([context(0, [element(0xa0, [good])])])]), true),
    ['crl_distribution_points_critical'],
  ),
  inExtension(
    'web_pki_policy_qualifier',
    webLeaf,
    'policies',
    policies([domainValidated, sequence([oid(oids.policyUserNotice), sequence([utf8String('x')])])]),
  ),
  inExtension(
    'web_pki_policy_qualifier',
    webLeaf,
    'policies',
    policies([domainValidated, sequence([oid(oids.policyCps), ia5String('ldap://ldap.example.com/')])]),
  ),
  inExtension(
    'web_pki_policies_critical',
    webLeaf,
    'policies',
    extension(oids.certificatePolicies, sequence([sequence([oid(domainValidated)])]), true),
  ),
];

const [country, locality, organization] = organizationSubject;

const subjects: readonly FaultCase[] = [
  fault('web_pki_multiple_attributes', organizationLeaf, {
    subject: sequence([setOf([attributeOf(country), attributeOf(locality)]), setOf([attributeOf(organization)])]),
  }),
  fault('web_pki_attribute_repeated', organizationLeaf, {
    subject: nameOf(country, locality, organization, organization),
  }),
  fault('web_pki_country', organizationLeaf, {
    subject: nameOf([oids.countryName, printableString('QQ')], locality, organization),
  }),
  fault('web_pki_country', organizationLeaf, {
    subject: nameOf([oids.countryName, printableString('de')], locality, organization),
  }),
  fault('web_pki_attribute_says_nothing', organizationLeaf, {
    subject: nameOf(country, [oids.localityName, '-'], organization),
  }),
  fault('web_pki_unit', organizationLeaf, {
    subject: nameOf(country, locality, organization, [oids.organizationalUnitName, 'IT']),
  }),
  fault('web_pki_attribute_order', organizationLeaf, { subject: nameOf(country, organization, locality) }),
  fault('web_pki_domain_validated', webLeaf, {
    subject: nameOf([oids.businessCategory, 'Private Organization']),
    extensions: { names: webNames },
  }),
  fault('web_pki_organization_name', organizationLeaf, { subject: nameOf(country) }),
  fault('web_pki_individual_name', organizationLeaf, {
    subject: nameOf(country, locality, [oids.givenName, 'Ada']),
    extensions: { policies: policies(['2.23.140.1.2.3']) },
  }),
  fault('web_pki_person_policy', organizationLeaf, {
    subject: nameOf(country, locality, organization, [oids.surname, 'Lovelace'], [oids.givenName, 'Ada']),
  }),
  fault('web_pki_identity_place', organizationLeaf, { subject: nameOf(country, organization) }),
  fault('web_pki_identity_place', organizationLeaf, { subject: nameOf(locality, organization) }),
  fault('web_pki_place_of_nobody', organizationLeaf, {
    subject: nameOf(country, locality),
    extensions: { policies: policies(['2.23.140.1.1']) },
  }),
];

const otherName = context(0, [oid('1.2.3.4'), context(0, [utf8String('x')])]);

const names: readonly FaultCase[] = [
  fault('web_pki_names_missing', webLeaf, { subject: nameOf(country), extensions: { names: undefined } }),
  ...(
    [
      ['other_name', otherName],
      ['email_name', email('a@example.com')],
      ['x400_name', context(3, [])],
      ['directory_name', directoryName(nameOf([oids.commonName, 'a person']))],
      ['edi_party_name', context(5, [context(1, [utf8String('x')])])],
      ['uri_name', uri('https://example.com/')],
      ['registered_id_name', registeredId],
      ['reserved_address', ip(10, 0, 0, 1)],
      ['reserved_address', ip(198, 18, 7, 7)],
      ['reserved_address', ip(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
      ['reserved_address', ip(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
      ['reserved_label', dns('ab--c.example.com')],
      ['internal_name', dns('host.internal')],
      ['internal_name', dns('localhost')],
      ['bare_domain', dns('com')],
      ['wildcard_domain', dns('*.com')],
      ['reverse_zone', dns('7.2.0.192.in-addr.arpa')],
      ['onion', dns('short.onion')],
    ] as const
  ).map(([code, name]) =>
    inExtension(`web_pki_${code}`, webLeaf, 'names', altName([dns('a.example.com'), name], true)),
  ),
  fault(
    'web_pki_common_name',
    webLeaf,
    { subject: nameOf([oids.commonName, 'b.example.com']), extensions: { names: webNames } },
    ['web_pki_common_name_present'],
  ),
  fault(
    'web_pki_common_name',
    webLeaf,
    { subject: nameOf([oids.commonName, 'A.example.com']), extensions: { names: webNames } },
    ['web_pki_common_name_present'],
  ),
  fault('web_pki_common_name_present', webLeaf, {
    subject: nameOf([oids.commonName, 'a.example.com']),
    extensions: { names: webNames },
  }),
  fault('web_pki_common_name_present', webLeaf, {
    subject: nameOf([oids.commonName, '2a00:1450::7']),
    extensions: { names: altName([ip(0x2a, 0x00, 0x14, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7)], false) },
  }),
];

const ocsp = uri('http://ca.example.com/ocsp');
const issuers = uri('http://ca.example.com/ca.cer');

const subscribers: readonly FaultCase[] = [
  fault('web_pki_validity', webLeaf, { validity: validity(201) }),
  fault('web_pki_validity_edge', webLeaf, { validity: validity(200) }),
  inExtension('web_pki_policies_missing', webLeaf, 'policies', undefined),
  inExtension('web_pki_reserved_policy', webLeaf, 'policies', policies(['1.2.3.4'])),
  inExtension('web_pki_reserved_policy', webLeaf, 'policies', policies([domainValidated], ['2.23.140.1.1'])),
  inExtension('web_pki_info_access_missing', webLeaf, 'access', undefined),
  inExtension(
    'web_pki_info_access_method',
    webLeaf,
    'access',
    infoAccess([oids.accessCaIssuers, issuers], ['1.2.3.4', ocsp]),
  ),
  inExtension('web_pki_info_access_http', webLeaf, 'access', infoAccess([oids.accessCaIssuers, ldap])),
  inExtension(
    'web_pki_info_access_repeated',
    webLeaf,
    'access',
    infoAccess([oids.accessCaIssuers, issuers], [oids.accessOcsp, ocsp], [oids.accessOcsp, ocsp]),
  ),
  inExtension('web_pki_ca_issuers_missing', webLeaf, 'access', infoAccess([oids.accessOcsp, ocsp])),
  fault('web_pki_no_revocation', webLeaf, {
    extensions: { crl: undefined, access: infoAccess([oids.accessCaIssuers, issuers]) },
  }),
  inExtension('web_pki_purpose_missing', webLeaf, 'purposes', undefined),
  inExtension('web_pki_purpose_missing', webLeaf, 'purposes', purposes([oids.clientAuth])),
  inExtension('web_pki_purpose_critical', webLeaf, 'purposes', purposes([oids.serverAuth], true)),
  inExtension('web_pki_purpose_refused', webLeaf, 'purposes', purposes([oids.serverAuth, oids.codeSigning])),
  inExtension('web_pki_purpose_other', webLeaf, 'purposes', purposes([oids.serverAuth, '1.2.3.4'])),
  inExtension(
    'web_pki_basic_constraints_critical',
    webLeaf,
    'basicConstraints',
    basicConstraints(false, undefined, false),
  ),
  inExtension('web_pki_ec_usage', webLeaf, 'keyUsage', keyUsage(4)),
  inExtension('web_pki_key_agreement', webLeaf, 'keyUsage', keyUsage(0, 4)),
  inExtension('web_pki_rsa_usage', webRsaLeaf, 'keyUsage', keyUsage(2)),
  inExtension('web_pki_subject_key_identifier', webLeaf, 'subjectKeyIdentifier', subjectKeyIdentifier),
];

const [commonName, organizationName, countryName] = [
  [oids.commonName, 'Lint Issuing'],
  [oids.organizationName, 'Lint Test'],
  [oids.countryName, printableString('DE')],
] as const;
const permitted = sequence([context(0, [sequence([ip(10, 1, 0, 0, 255, 255, 0, 0)])])]);

const authorities: readonly FaultCase[] = [
  fault('web_pki_authority_common_name', webAuthority, { subject: nameOf(countryName, organizationName) }),
  fault('web_pki_authority_country', webAuthority, { subject: nameOf(organizationName, commonName) }),
  fault('web_pki_authority_organization', webAuthority, { subject: nameOf(countryName, commonName) }),
  inExtension('web_pki_root_purpose', webRoot, 'purposes', purposes([oids.serverAuth])),
  inExtension('web_pki_root_policies', webRoot, 'policies', policies([oids.anyPolicy])),
  inExtension('web_pki_root_path_length', webRoot, 'basicConstraints', basicConstraints(true, 1)),
  fault('web_pki_root_validity', webRoot, { validity: validity(365) }),
  fault('web_pki_root_validity', webRoot, { validity: validity(9133) }),
  inExtension('web_pki_authority_policies', webAuthority, 'policies', undefined),
  inExtension('web_pki_authority_policy', webAuthority, 'policies', policies([oids.anyPolicy], [domainValidated])),
  inExtension('web_pki_authority_policy', webAuthority, 'policies', policies(['1.2.3.4'])),
  inExtension('web_pki_authority_crl', webAuthority, 'crl', undefined),
  inExtension('web_pki_authority_info_access', webAuthority, 'access', undefined),
  inExtension('web_pki_authority_info_access_http', webAuthority, 'access', infoAccess([oids.accessCaIssuers, ldap])),
  inExtension('web_pki_authority_purpose', webAuthority, 'purposes', undefined),
  inExtension('web_pki_authority_purposes', webAuthority, 'purposes', purposes([oids.serverAuth, oids.codeSigning])),
  inExtension(
    'web_pki_authority_purposes',
    webAuthority,
    'purposes',
    purposes([oids.anyExtendedKeyUsage, oids.serverAuth]),
  ),
  inExtension(
    'web_pki_authority_usage_critical',
    webAuthority,
    'keyUsage',
    extension(oids.keyUsage, namedBits((1 << 5) | (1 << 6))),
    ['key_usage_not_critical'],
  ),
  inExtension('web_pki_authority_crl_sign', webAuthority, 'keyUsage', keyUsage(5)),
  inExtension(
    'web_pki_authority_reserved_range',
    webAuthority,
    'constraints',
    extension(oids.nameConstraints, permitted, true),
  ),
];

const responders: readonly FaultCase[] = [
  fault('web_pki_responder_no_check', webResponder, {
    extensions: { noCheck: undefined, access: infoAccess([oids.accessCaIssuers, issuers]) },
  }),
  inExtension('web_pki_responder_purpose', webResponder, 'purposes', purposes([oids.ocspSigning, '1.2.3.4'])),
  inExtension('web_pki_responder_usage', webResponder, 'keyUsage', keyUsage(0, 1)),
  inExtension('web_pki_responder_crl', webResponder, 'crl', distributionPoints([good])),
  inExtension('web_pki_responder_policies', webResponder, 'policies', policies([domainValidated])),
];

export const webPkiCases: readonly FaultCase[] = [
  ...everyCertificate,
  ...subjects,
  ...names,
  ...subscribers,
  ...authorities,
  ...responders,
];
