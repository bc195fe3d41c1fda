import { toRfc3339 } from '#core/clock.ts';
import { extensionKindOf, type ExtensionKind } from '#pki/x509/extension.ts';
import type { KeyUsage } from '#pki/x509/key-extensions.ts';
import { oidName, oids } from '#pki/x509/oid.ts';
import { checkPublicKey, type KeyFaultCode } from '#pki/x509/weak-key.ts';
import { type Finding, finding, type Profile } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** What a certificate must satisfy by itself, whatever path it stands in: the parts of RFC 5280 §6.1.3 to §6.1.5. */

export const purposes = ['server_auth', 'client_auth', 'code_signing', 'email_protection', 'any'] as const;
/** What the leaf is to be used for; `any` asks nothing of extendedKeyUsage. */
export type Purpose = (typeof purposes)[number];

const purposeOids: Readonly<Record<Exclude<Purpose, 'any'>, string>> = {
  server_auth: oids.serverAuth,
  client_auth: oids.clientAuth,
  code_signing: oids.codeSigning,
  email_protection: oids.emailProtection,
};

/** Rules for every certificate of a path, the trust anchor included. `at` in milliseconds. */
export function commonFindings(parsed: ParsedCertificate, at: number, profile: Profile): Finding[] {
  return [
    ...versionFindings(parsed),
    ...validityFindings(parsed, at),
    ...extensionFindings(parsed, profile),
    ...qualifierFindings(parsed),
    ...keyFindings(parsed, profile),
    ...algorithmFindings(parsed),
  ];
}

/** RFC 5280 §4.1: extensions are of version 3. What reads versions would not see them in another. */
function versionFindings({ certificate }: ParsedCertificate): Finding[] {
  const { version, extensions } = certificate;
  if (version === 3 || extensions.size === 0) return [];
  const found = `extensions in a certificate of version ${version}`;
  const fix = 'Have the certificate reissued.';
  return [finding('malformed_certificate', found, 'version 3', 'RFC 5280 §4.1.2.1, §4.1.2.9', fix)];
}

/** RFC 5280 §4.1.2.5: both ends belong to the validity, which counts whole seconds. */
function validityFindings({ certificate }: ParsedCertificate, at: number): Finding[] {
  const second = Math.floor(at / 1000) * 1000;
  const { notBefore, notAfter } = certificate;
  if (second >= notBefore && second <= notAfter) return [];
  const expected = `a time from ${toRfc3339(notBefore)} to ${toRfc3339(notAfter)}`;
  const section = 'RFC 5280 §6.1.3 (a)(2)';
  if (second < notBefore)
    return [finding('not_yet_valid', toRfc3339(at), expected, section, 'Wait, or correct the clock of the authority.')];
  return [finding('expired', toRfc3339(at), expected, section, 'Replace the certificate by a newer one.')];
}

/** Extensions that the algorithm of RFC 5280 §6.1 reads: none of them may be unreadable. */
const processed: ReadonlySet<ExtensionKind> = new Set([
  'basic_constraints',
  'key_usage',
  'extended_key_usage',
  'subject_alt_name',
  'name_constraints',
  'certificate_policies',
  'policy_mappings',
  'policy_constraints',
  'inhibit_any_policy',
  'crl_distribution_points',
]);

function extensionFindings({ certificate, malformed }: ParsedCertificate, profile: Profile): Finding[] {
  const findings: Finding[] = [];
  for (const { kind, critical, reason } of malformed) {
    if (profile === 'rfc5280' && !critical && !processed.has(kind)) continue;
    const expected = 'an extension as its ASN.1 says, in DER';
    findings.push(finding('malformed_extension', reason, expected, 'RFC 5280 §4.2', 'Have the certificate reissued.'));
  }
  for (const { oid, critical } of certificate.extensions.values())
    if (critical && extensionKindOf(oid) === undefined)
      findings.push(notUnderstood(`the critical extension ${oidName(oid)}`, 'RFC 5280 §4.2'));
  return findings;
}

function notUnderstood(found: string, section: string): Finding {
  const fix = 'Have it reissued with the extension not critical, or validate with software that understands it.';
  return finding('unknown_critical_extension', found, 'critical extensions that are understood', section, fix);
}

const knownQualifiers: readonly string[] = [oids.policyCps, oids.policyUserNotice];

/** RFC 5280 §4.2.1.4: a critical extension must be understood with its qualifiers. */
function qualifierFindings(parsed: ParsedCertificate): Finding[] {
  if (parsed.isCritical('certificate_policies') !== true) return [];
  const qualifiers = (parsed.value('certificate_policies') ?? []).flatMap((policy) => policy.qualifiers);
  const unknown = qualifiers.find(({ id }) => !knownQualifiers.includes(id));
  if (unknown === undefined) return [];
  const found = `critical certificatePolicies with the qualifier ${oidName(unknown.id)}`;
  return [notUnderstood(found, 'RFC 5280 §4.2.1.4')];
}

/** Faults by which keys are not certified here, but which do no harm in a certificate of another authority. */
const tolerated: ReadonlySet<KeyFaultCode> = new Set(['rsa_exponent']);
const minRsaBits = 2048;

function keyFindings({ key, keyFault }: ParsedCertificate, profile: Profile): Finding[] {
  const fix = 'Replace key and certificate.';
  if (key === undefined) {
    const section = 'RFC 5280 §4.1.2.7, RFC 5480 §2.1.1';
    return [finding('malformed_key', keyFault ?? '', 'a public key of a known form', section, fix)];
  }
  if (key.algorithm === 'ed448') return [];
  if (key.rsa !== undefined && key.bits >= minRsaBits && isUncommonRsa(key.algorithm, key.bits, profile))
    return exponentFindings(key.rsa.exponent, fix);
  return checkPublicKey(key)
    .faults.filter(({ code }) => !tolerated.has(code))
    .map(({ message }) => {
      const expected = 'RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519 or ML-DSA';
      return finding('weak_key', message, expected, 'Baseline Requirements §6.1.5, §6.1.6', fix);
    });
}

/** What holds for keys of every size: an exponent of 1 signs everything. */
function exponentFindings(exponent: Uint8Array, fix: string): Finding[] {
  const last = exponent.at(-1) ?? 0;
  if (last % 2 === 1 && (exponent.length > 1 || last > 1)) return [];
  const section = 'Baseline Requirements §6.1.6';
  return [finding('weak_key', 'an RSA public exponent that is 1 or even', 'an odd one of 3 or more', section, fix)];
}

/** Above 4096 bits; outside the web also bound to PSS or of a size that is no multiple of 8: unusual, not weak. */
function isUncommonRsa(algorithm: string, bits: number, profile: Profile): boolean {
  if (bits % 8 !== 0 || algorithm === 'rsa-pss') return profile !== 'web_pki';
  return bits > 4096;
}

function algorithmFindings({ certificate }: ParsedCertificate): Finding[] {
  if (certificate.tbsSignature.der.equals(certificate.signatureAlgorithm.der)) return [];
  return [
    finding(
      'signature_algorithm_mismatch',
      `${oidName(certificate.signatureAlgorithm.oid)} outside, ${oidName(certificate.tbsSignature.oid)} inside`,
      'the same algorithm identifier in both places',
      'RFC 5280 §4.1.1.2',
      'Have the certificate reissued.',
    ),
  ];
}

/**
 * RFC 5280 §6.1.4 (k) to (n): what issues certificates must be an authority. A trust anchor without basicConstraints is
 * one by being trusted (RFC 5280 §6.1.1 (d)), unless it says otherwise itself.
 */
export function authorityFindings(parsed: ParsedCertificate, isAnchor: boolean): Finding[] {
  const constraints = parsed.value('basic_constraints');
  const usages = parsed.value('key_usage');
  const findings: Finding[] = [];
  const trustedAsSuch = isAnchor && constraints === undefined && parsed.isCritical('basic_constraints') === undefined;
  if (constraints?.ca !== true && !trustedAsSuch) {
    const found = constraints === undefined ? 'no basicConstraints' : 'basicConstraints without cA';
    const fix = 'Have the authority certified with basicConstraints cA TRUE, or use another issuer.';
    findings.push(finding('not_a_ca', found, 'cA TRUE', 'RFC 5280 §6.1.4 (k)', fix));
  }
  if (usages !== undefined && !usages.includes('key_cert_sign')) {
    const found = `the key usages ${usages.join(', ') || 'none'}`;
    const fix = 'Have the authority certified with keyCertSign.';
    findings.push(finding('key_usage', found, 'keyCertSign', 'RFC 5280 §6.1.4 (n)', fix));
  }
  return findings;
}

/**
 * The purpose must be allowed by every certificate of the path that names purposes: an authority's list bounds what lies
 * below it, as all validators read it (Baseline Requirements §7.1.2.5.1; RFC 5280 §4.2.1.12 leaves it open).
 */
export function purposeFindings(parsed: ParsedCertificate, purpose: Purpose): Finding[] {
  if (purpose === 'any') return [];
  const usages = parsed.value('extended_key_usage');
  if (usages === undefined || usages.includes(purposeOids[purpose]) || usages.includes(oids.anyExtendedKeyUsage))
    return [];
  return [
    finding(
      'extended_key_usage',
      `for ${usages.map(oidName).join(', ')} only`,
      oidName(purposeOids[purpose]),
      'RFC 5280 §4.2.1.12',
      `Use a certificate for ${purpose}, or validate for the purpose that it has.`,
    ),
  ];
}

/** Whether the certificate says in both places that it is one of an authority. */
export function isAuthority(parsed: ParsedCertificate): boolean {
  return (
    parsed.value('basic_constraints')?.ca === true && parsed.value('key_usage')?.includes('key_cert_sign') === true
  );
}

/** RFC 5280 §4.2.1.12: the key usages that are consistent with a purpose, of which the leaf needs one. */
const usagesOfPurpose: Readonly<Record<Exclude<Purpose, 'any'>, readonly KeyUsage[]>> = {
  server_auth: ['digital_signature', 'key_encipherment', 'key_agreement'],
  client_auth: ['digital_signature', 'key_agreement'],
  code_signing: ['digital_signature'],
  email_protection: ['digital_signature', 'content_commitment', 'key_encipherment', 'key_agreement'],
};

/**
 * What the leaf's key may be used for must be consistent with the purpose. An authority that stands in the place of the
 * leaf without a word on purposes is let pass: RFC 5280 says nothing of authorities as leaves.
 */
export function leafUsageFindings(leaf: ParsedCertificate, purpose: Purpose): Finding[] {
  const usages = leaf.value('key_usage');
  const isPlainAuthority = isAuthority(leaf) && leaf.isCritical('extended_key_usage') === undefined;
  if (purpose === 'any' || usages === undefined || isPlainAuthority) return [];
  const consistent = usagesOfPurpose[purpose];
  if (usages.some((usage) => consistent.includes(usage))) return [];
  const found = `the key usages ${usages.join(', ') || 'none'}`;
  const fix = `Use a certificate for ${purpose}, or validate for the purpose that it has.`;
  return [finding('key_usage', found, `one of ${consistent.join(', ')}`, 'RFC 5280 §4.2.1.3, §4.2.1.12', fix)];
}
