import { formatSerial } from '#pki/x509/serial.ts';
import type { ExtensionKind } from '#pki/x509/extension.ts';
import { oidName, oids } from '#pki/x509/oid.ts';
import { isAuthority } from './certificate-rules.ts';
import { type Finding, finding } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import { subscriberNameFindings } from './subscriber-names.ts';

/**
 * What RFC 5280 §4 demands of conforming authorities and the Baseline Requirements of public ones. RFC 5280 §6 lets
 * validators pass most of it; the profile `web_pki` does not.
 */

export type Role = 'leaf' | 'intermediate' | 'anchor';

/** A rule that is broken: what was found, what is expected, where it is written. */
type Breach = readonly [found: string, expected: string, section: string];

export function conformanceFindings(parsed: ParsedCertificate, role: Role): Finding[] {
  const breaches = [
    ...fieldBreaches(parsed),
    ...(role === 'anchor' ? [] : signatureBreaches(parsed)),
    ...criticalityBreaches(parsed),
    ...contentBreaches(parsed),
    ...keyIdentifierBreaches(parsed, role),
    ...(role === 'leaf' ? leafBreaches(parsed) : authorityBreaches(parsed, role)),
  ];
  return breaches.map(([found, expected, section]) =>
    finding('profile', found, expected, section, 'Have the certificate reissued by an authority that conforms.'),
  );
}

const maxSerialOctets = 20;

function fieldBreaches({ certificate, key }: ParsedCertificate): Breach[] {
  const breaches: Breach[] = [];
  if (key !== undefined && key.algorithm !== 'rsa' && key.algorithm !== 'ec')
    breaches.push([`a key of ${oidName(key.algorithmOid)}`, 'RSA or ECDSA', 'Baseline Requirements §7.1.3.1']);
  const { version, serialOctets, serialNumber, issuer } = certificate;
  if (version !== 3) breaches.push([`version ${version}`, 'version 3', 'RFC 5280 §4.1.2.1']);
  if (serialNumber.startsWith('-') || serialOctets.every((octet) => octet === 0))
    breaches.push([`the serial number ${serialNumber}`, 'a positive serial number', 'RFC 5280 §4.1.2.2']);
  if (serialOctets.length > maxSerialOctets)
    breaches.push([
      `a serial number of ${serialOctets.length} octets (${formatSerial(serialOctets.subarray(0, 4))}…)`,
      `at most ${maxSerialOctets} octets`,
      'RFC 5280 §4.1.2.2',
    ]);
  if (issuer.rdns.length === 0) breaches.push(['an empty issuer', 'a distinguished name', 'RFC 5280 §4.1.2.4']);
  if (certificate.hasUniqueIdentifiers) breaches.push(['unique identifiers', 'none', 'RFC 5280 §4.1.2.8']);
  if (certificate.hasEarlyGeneralizedTime)
    breaches.push(['a GeneralizedTime before 2050', 'UTCTime through 2049', 'RFC 5280 §4.1.2.5']);
  return breaches;
}

/** Baseline Requirements §7.1.3.2: the AlgorithmIdentifiers, octet for octet. */
const signatureAlgorithms: ReadonlySet<string> = new Set([
  ...['0b', '0c', '0d'].map((hash) => `300d06092a864886f70d0101${hash}0500`),
  ...['02', '03', '04'].map((hash) => `300a06082a8648ce3d0403${hash}`),
  ...[
    ['01', '20'],
    ['02', '30'],
    ['03', '40'],
  ].map(([hash, salt]) => {
    const identifier = `300d06096086480165030402${hash}0500`;
    return `304106092a864886f70d01010a3034a00f${identifier}a11c301a06092a864886f70d010108${identifier}a2030201${salt}`;
  }),
]);

function signatureBreaches({ certificate }: ParsedCertificate): Breach[] {
  const { der, oid } = certificate.signatureAlgorithm;
  if (signatureAlgorithms.has(der.toString('hex'))) return [];
  const found = `a signature algorithm (${oidName(oid)}) that is written otherwise`;
  return [[found, 'one of the nine of the section', 'Baseline Requirements §7.1.3.2']];
}

const mustNotBeCritical: readonly (readonly [ExtensionKind, string])[] = [
  ['authority_key_identifier', 'RFC 5280 §4.2.1.1'],
  ['subject_key_identifier', 'RFC 5280 §4.2.1.2'],
  ['authority_info_access', 'RFC 5280 §4.2.2.1'],
  ['subject_info_access', 'RFC 5280 §4.2.2.2'],
  ['freshest_crl', 'RFC 5280 §4.2.1.15'],
];
const mustBeCritical: readonly (readonly [ExtensionKind, string])[] = [
  ['policy_constraints', 'RFC 5280 §4.2.1.11'],
  ['inhibit_any_policy', 'RFC 5280 §4.2.1.14'],
];

function criticalityBreaches(parsed: ParsedCertificate): Breach[] {
  const wrongly = (critical: boolean) => (entry: readonly [ExtensionKind, string]) =>
    parsed.isCritical(entry[0]) === critical;
  return [
    ...mustNotBeCritical.filter(wrongly(true)).map(([kind, section]) => breachOf(kind, 'critical', section)),
    ...mustBeCritical.filter(wrongly(false)).map(([kind, section]) => breachOf(kind, 'not critical', section)),
  ];
}

/** Values that can be read and that no conforming authority writes. */
function contentBreaches(parsed: ParsedCertificate): Breach[] {
  const breaches: Breach[] = [];
  const constraints = parsed.value('policy_constraints');
  if (constraints && constraints.requireExplicitPolicy === undefined && constraints.inhibitPolicyMapping === undefined)
    breaches.push(['empty policyConstraints', 'one of its two fields', 'RFC 5280 §4.2.1.11']);
  const policies = (parsed.value('certificate_policies') ?? []).map(({ oid }) => oid);
  if (new Set(policies).size < policies.length)
    breaches.push(['a certificate policy twice', 'each policy once', 'RFC 5280 §4.2.1.4']);
  for (const kind of ['crl_distribution_points', 'freshest_crl'] as const)
    if (parsed.value(kind)?.some(({ name, crlIssuer }) => name === undefined && crlIssuer === undefined))
      breaches.push(['a distribution point without name and CRL issuer', 'one of them', 'RFC 5280 §4.2.1.13']);
  return breaches;
}

function breachOf(kind: ExtensionKind, state: 'critical' | 'not critical', section: string): Breach {
  const other = state === 'critical' ? 'not critical' : 'critical';
  return [`${kind}, ${state}`, `the extension ${other}`, section];
}

function keyIdentifierBreaches(parsed: ParsedCertificate, role: Role): Breach[] {
  const authority = parsed.value('authority_key_identifier');
  const subject = parsed.value('subject_key_identifier');
  const breaches: Breach[] = [];
  if (role !== 'leaf' && parsed.isCritical('subject_key_identifier') === undefined)
    breaches.push(['no subjectKeyIdentifier', 'one in every CA certificate', 'RFC 5280 §4.2.1.2']);
  if (authority === undefined) {
    // It serves to find the issuer, and nobody looks for that of a trust anchor.
    if (!parsed.selfIssued && role !== 'anchor')
      breaches.push(['no authorityKeyIdentifier', 'its keyIdentifier', 'RFC 5280 §4.2.1.1']);
    return breaches;
  }
  const section = 'RFC 5280 §4.2.1.1, Baseline Requirements §7.1.2.11.1';
  const { keyIdentifier, authorityCertIssuer, authorityCertSerialNumber } = authority;
  if (keyIdentifier === undefined)
    breaches.push(['an authorityKeyIdentifier without keyIdentifier', 'a keyIdentifier', section]);
  if (authorityCertIssuer !== undefined || authorityCertSerialNumber !== undefined)
    breaches.push(['an authorityKeyIdentifier that names a certificate', 'a keyIdentifier alone', section]);
  if (role === 'anchor' && parsed.selfIssued && keyIdentifier && subject && !subject.equals(keyIdentifier))
    breaches.push(['an authorityKeyIdentifier other than its own', 'its subjectKeyIdentifier', 'RFC 5280 §4.2.1.1']);
  return breaches;
}

function authorityBreaches(parsed: ParsedCertificate, role: Role): Breach[] {
  const breaches: Breach[] = [];
  const usages = parsed.value('key_usage');
  if (parsed.certificate.subject.rdns.length === 0)
    breaches.push(['an empty subject', 'a distinguished name', 'RFC 5280 §4.1.2.6']);
  if (parsed.isCritical('basic_constraints') === undefined)
    breaches.push(['no basicConstraints', 'cA TRUE, critical', 'RFC 5280 §4.2.1.9']);
  if (parsed.isCritical('basic_constraints') === false)
    breaches.push(['basicConstraints, not critical', 'the extension critical', 'RFC 5280 §4.2.1.9']);
  if (usages === undefined) breaches.push(['no keyUsage', 'keyCertSign', 'RFC 5280 §4.2.1.3']);
  if (role === 'anchor' && parsed.selfIssued && parsed.isCritical('extended_key_usage') !== undefined)
    breaches.push(['extendedKeyUsage in a root', 'none', 'Baseline Requirements §7.1.2.1.2']);
  return breaches;
}

function leafBreaches(parsed: ParsedCertificate): Breach[] {
  const constraints = parsed.value('basic_constraints');
  const usages = parsed.value('key_usage');
  const breaches: Breach[] = [...leafPurposeBreaches(parsed), ...subscriberNameFindings(parsed)];
  const signs = usages === undefined || usages.includes('key_cert_sign');
  if (constraints?.ca === true && !signs)
    breaches.push(['cA TRUE without keyCertSign', 'both or neither', 'Baseline Requirements §7.1.2.7.8']);
  if (constraints?.ca !== true && usages !== undefined && signs)
    breaches.push(['keyCertSign without cA', 'both or neither', 'RFC 5280 §4.2.1.3']);
  if (constraints?.pathLength !== undefined && !(constraints.ca && signs))
    breaches.push(['a pathLenConstraint', 'none but in CA certificates', 'RFC 5280 §4.2.1.9']);
  if (usages?.length === 0) breaches.push(['an empty keyUsage', 'at least one usage', 'RFC 5280 §4.2.1.3']);
  if (constraints?.ca !== true && parsed.isCritical('name_constraints') !== undefined)
    breaches.push(['nameConstraints', 'none but in CA certificates', 'RFC 5280 §4.2.1.10']);
  return breaches;
}

function leafPurposeBreaches(parsed: ParsedCertificate): Breach[] {
  const purposes = parsed.value('extended_key_usage');
  const section = 'Baseline Requirements §7.1.2.7.10';
  // An authority in the place of the leaf is no subscriber, of whom alone the section speaks.
  if (purposes === undefined)
    return isAuthority(parsed) ? [] : [['no extendedKeyUsage', 'the purposes of the certificate', section]];
  const breaches: Breach[] = [];
  if (purposes.includes(oids.anyExtendedKeyUsage))
    breaches.push(['anyExtendedKeyUsage', 'the purposes by name', section]);
  if (parsed.isCritical('extended_key_usage') === true)
    breaches.push(['extendedKeyUsage, critical', 'the extension not critical', section]);
  return breaches;
}
