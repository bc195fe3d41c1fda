import { oidName, oids } from '#pki/x509/oid.ts';
import { type CertificateView, describeExtension, type ExtensionKey, isUnderstood } from './certificate-view.ts';
import { usage } from './extension-values.ts';
import { must, repeated, type Rule, should } from './rule.ts';

/** RFC 5280 §4.2: which extensions are there, critical or not, and what stands in those about keys. */

type CertificateRule = Rule<CertificateView>;

function criticality(key: ExtensionKey, code: string, wanted: boolean, rule: typeof must | typeof should) {
  const { label, section } = describeExtension(key);
  const is = wanted ? 'is not critical' : 'is critical';
  return rule<CertificateView>(
    `${code}_${wanted ? 'not_critical' : 'critical'}`,
    section,
    `the ${label} ${is}`,
    (view) => {
      const value = view.values[key];
      return value !== undefined && value.critical !== wanted;
    },
  );
}

const criticalityRules: readonly CertificateRule[] = [
  criticality('authorityKeyIdentifier', 'authority_key_identifier', false, must),
  criticality('subjectKeyIdentifier', 'subject_key_identifier', false, must),
  criticality('keyUsage', 'key_usage', true, should),
  criticality('policyMappings', 'policy_mappings', true, should),
  criticality('issuerAltName', 'issuer_alt_name', false, should),
  criticality('subjectDirectoryAttributes', 'subject_directory_attributes', false, must),
  criticality('nameConstraints', 'name_constraints', true, must),
  criticality('policyConstraints', 'policy_constraints', true, must),
  criticality('crlDistributionPoints', 'crl_distribution_points', false, should),
  criticality('inhibitAnyPolicy', 'inhibit_any_policy', true, must),
  criticality('freshestCrl', 'freshest_crl', false, must),
  criticality('authorityInfoAccess', 'authority_info_access', false, must),
  criticality('subjectInfoAccess', 'subject_info_access', false, must),
  criticality('ocspNoCheck', 'ocsp_no_check', false, should),
  criticality('noRevAvail', 'no_rev_avail', false, must),
  criticality('tlsFeature', 'tls_feature', false, should),
  criticality('acmeIdentifier', 'acme_identifier', true, must),
  criticality('ctPoison', 'ct_poison', true, must),
];

const keyIdentifierRules: readonly CertificateRule[] = [
  must(
    'authority_key_identifier_missing',
    'RFC 5280 §4.2.1.1',
    'there is no authorityKeyIdentifier with a keyIdentifier',
    (view) => {
      const identifier = view.values.authorityKeyIdentifier;
      if (identifier === undefined) return !isSelfIssuedAuthority(view);
      return identifier.value !== undefined && !identifier.value.keyIdentifier?.length;
    },
  ),
  must(
    'authority_key_identifier_incomplete',
    'RFC 5280 appendix A.2',
    'the authorityKeyIdentifier has one of authorityCertIssuer and authorityCertSerialNumber without the other',
    ({ values }) => {
      const identifier = values.authorityKeyIdentifier?.value;
      return identifier !== undefined && (identifier.issuer !== undefined) !== identifier.hasSerial;
    },
  ),
  must(
    'subject_key_identifier_empty',
    'RFC 5280 §4.2.1.2',
    'the subjectKeyIdentifier is empty',
    ({ values }) => values.subjectKeyIdentifier?.value?.length === 0,
  ),
];

/** A certificate by which an authority gives out its own key needs no authorityKeyIdentifier (RFC 5280 §4.2.1.1). */
export function isSelfIssuedAuthority({ issuer, subject, values }: CertificateView): boolean {
  const { basicConstraints } = values;
  return basicConstraints !== undefined && basicConstraints.value?.ca !== false && issuer.der.equals(subject.der);
}

const usageRules: readonly CertificateRule[] = [
  must('key_usage_empty', 'RFC 5280 §4.2.1.3', 'the keyUsage has no bit set', ({ values }) => {
    return values.keyUsage?.value === 0;
  }),
  must('key_usage_unknown', 'RFC 5280 §4.2.1.3', 'the keyUsage has more than nine bits', ({ values }) => {
    return (values.keyUsage?.value ?? 0) > 0x1ff;
  }),
  should(
    'key_usage_without_agreement',
    'RFC 5280 §4.2.1.3',
    'the keyUsage has encipherOnly or decipherOnly, which mean nothing without keyAgreement',
    ({ values }) => {
      const bits = values.keyUsage?.value ?? 0;
      return (bits & (usage.encipherOnly | usage.decipherOnly)) !== 0 && (bits & usage.keyAgreement) === 0;
    },
  ),
  must(
    'basic_constraints_not_critical',
    'RFC 5280 §4.2.1.9',
    'the basicConstraints of an authority are not critical',
    ({ values: { basicConstraints } }) => basicConstraints?.value?.ca === true && !basicConstraints.critical,
  ),
  must(
    'path_length_without_ca',
    'RFC 5280 §4.2.1.9',
    'the basicConstraints have a pathLenConstraint without cA and keyCertSign',
    ({ values: { keyUsage, basicConstraints } }) => {
      const constraints = basicConstraints?.value;
      if (constraints?.pathLength === undefined) return false;
      // A missing keyUsage allows everything; that an authority lacks it is a finding of its own.
      const signs = keyUsage?.value === undefined || (keyUsage.value & usage.keyCertSign) !== 0;
      return !constraints.ca || !signs;
    },
  ),
];

const purposeRules: readonly CertificateRule[] = [
  must(
    'extended_key_usage_repeated',
    'RFC 5280 §4.2.1.12',
    'the extKeyUsage has a purpose twice',
    ({ values: { extendedKeyUsage } }) => repeated(extendedKeyUsage?.value ?? none) ?? false,
  ),
  should(
    'extended_key_usage_any_critical',
    'RFC 5280 §4.2.1.12',
    'the extKeyUsage has anyExtendedKeyUsage and is critical',
    ({ values: { extendedKeyUsage } }) =>
      extendedKeyUsage?.critical === true && has(extendedKeyUsage.value, oids.anyExtendedKeyUsage),
  ),
  must(
    'time_stamping_not_alone',
    'RFC 3161 §2.3',
    'the extKeyUsage has timeStamping beside others, or is not critical',
    ({ values: { extendedKeyUsage } }) =>
      has(extendedKeyUsage?.value, oids.timeStamping) &&
      (extendedKeyUsage?.value?.length !== 1 || !extendedKeyUsage.critical),
  ),
];

const none: readonly string[] = [];

export function has(list: readonly string[] | undefined, item: string): boolean {
  return list?.includes(item) === true;
}

const otherRules: readonly CertificateRule[] = [
  should(
    'extension_unknown_critical',
    'RFC 5280 §4.2',
    'an extension is critical that only few can know',
    ({ extensions }) => extensions.find(({ oid, critical }) => critical && !isUnderstood(oid))?.oid ?? false,
  ),
  must(
    'no_rev_avail_with_pointer',
    'RFC 9608 §3',
    'there is a noRevAvail, and a place to ask for the revocation that there will not be',
    ({ values: { noRevAvail, crlDistributionPoints, freshestCrl, authorityInfoAccess } }) => {
      if (noRevAvail === undefined) return false;
      const accesses = authorityInfoAccess?.value?.accesses ?? [];
      const asksResponder = accesses.some(({ method }) => method === oids.accessOcsp);
      return crlDistributionPoints !== undefined || freshestCrl !== undefined || asksResponder;
    },
  ),
  must('ct_poison_with_sct', 'RFC 6962 §3.1', 'a precertificate holds signed certificate timestamps', ({ values }) => {
    return values.ctPoison !== undefined && values.sctList !== undefined;
  }),
  must('sct_list_empty', 'RFC 6962 §3.3', 'the list of signed certificate timestamps is empty', ({ values }) => {
    const list = values.sctList?.value;
    return list !== undefined && list.length <= 2;
  }),
  must('acme_identifier_length', 'RFC 8737 §3', 'the acmeIdentifier is no SHA-256 digest', ({ values }) => {
    const digest = values.acmeIdentifier?.value;
    return digest !== undefined && digest.length !== 32;
  }),
];

export const extensionRules: readonly CertificateRule[] = [
  ...criticalityRules,
  ...keyIdentifierRules,
  ...usageRules,
  ...purposeRules,
  ...otherRules,
];

/** Certificates of authorities only. */
export const authorityExtensionRules: readonly CertificateRule[] = [
  must(
    'basic_constraints_missing',
    'RFC 5280 §4.2.1.9',
    'an authority has no basicConstraints that say so',
    ({ values: { basicConstraints } }) =>
      basicConstraints === undefined || (basicConstraints.value !== undefined && !basicConstraints.value.ca),
  ),
  must('key_usage_missing', 'RFC 5280 §4.2.1.3', 'an authority has no keyUsage', ({ values }) => {
    return values.keyUsage === undefined;
  }),
  must(
    'key_cert_sign_missing',
    'RFC 5280 §4.2.1.3',
    'the keyUsage of an authority has no keyCertSign',
    ({ values }) => {
      const bits = values.keyUsage?.value;
      return bits !== undefined && bits !== 0 && (bits & usage.keyCertSign) === 0;
    },
  ),
  must('subject_key_identifier_missing', 'RFC 5280 §4.2.1.2', 'an authority has no subjectKeyIdentifier', (view) => {
    return view.values.subjectKeyIdentifier === undefined;
  }),
  must('no_rev_avail_in_ca', 'RFC 9608 §2', 'the certificate of an authority has a noRevAvail', ({ values }) => {
    return values.noRevAvail !== undefined;
  }),
  must(
    'authority_key_identifier_differs',
    'RFC 5280 §4.2.1.1',
    'the key identifiers of a root are not the same',
    rootIdentifiersDiffer,
  ),
];

/** A root, unlike a certificate for a new key under the old one, names its own key where it names the issuer's at all. */
function rootIdentifiersDiffer({ issuer, subject, values }: CertificateView): boolean {
  const own = values.subjectKeyIdentifier?.value;
  const above = values.authorityKeyIdentifier?.value?.keyIdentifier;
  const isRoot = issuer.der.equals(subject.der) && values.crlDistributionPoints === undefined;
  return isRoot && own !== undefined && above !== undefined && !own.equals(above);
}

/** Which key usages can serve each purpose (RFC 5280 §4.2.1.12). */
const usagesOf: ReadonlyMap<string, number> = new Map([
  [oids.serverAuth, usage.digitalSignature | usage.keyEncipherment | usage.keyAgreement],
  [oids.clientAuth, usage.digitalSignature | usage.keyAgreement],
  [oids.codeSigning, usage.digitalSignature],
  [oids.emailProtection, usage.digitalSignature | usage.contentCommitment | usage.keyEncipherment | usage.keyAgreement],
  [oids.timeStamping, usage.digitalSignature | usage.contentCommitment],
  [oids.ocspSigning, usage.digitalSignature | usage.contentCommitment],
]);

/** Bits that say how keyAgreement is used, not what for. */
const agreementDetails = usage.encipherOnly | usage.decipherOnly;

/** Everything but certificates of authorities. */
export const endEntityExtensionRules: readonly CertificateRule[] = [
  must('is_authority', 'RFC 5280 §4.2.1.9', 'the basicConstraints make the subject an authority', ({ values }) => {
    return values.basicConstraints?.value?.ca === true;
  }),
  must(
    'key_cert_sign_without_ca',
    'RFC 5280 §4.2.1.9',
    'the keyUsage has keyCertSign and the basicConstraints do not say that the subject is an authority',
    ({ values: { keyUsage, basicConstraints } }) => {
      const isMalformed = basicConstraints !== undefined && basicConstraints.value === undefined;
      return ((keyUsage?.value ?? 0) & usage.keyCertSign) !== 0 && !isMalformed && basicConstraints?.value?.ca !== true;
    },
  ),
  must(
    'key_usage_inconsistent',
    'RFC 5280 §4.2.1.12',
    'the keyUsage does not fit the purposes of the extKeyUsage',
    usageFitsNoPurpose,
  ),
];

/** Every bit must serve a purpose and every purpose needs a bit, as far as the purposes are known. */
function usageFitsNoPurpose({ values: { keyUsage, extendedKeyUsage } }: CertificateView): boolean | string {
  const bits = keyUsage?.value;
  const purposes = extendedKeyUsage?.value;
  if (bits === undefined || bits === 0 || purposes === undefined) return false;
  let useful = agreementDetails;
  for (const purpose of purposes) {
    const usages = usagesOf.get(purpose);
    if (usages === undefined) return false;
    if ((bits & usages) === 0) return `none of its bits serves ${oidName(purpose)}`;
    useful |= usages;
  }
  const useless = bits & allUsages & ~useful;
  return useless !== 0 && `${usageNames(useless)} serves none of them`;
}

const allUsages = 0x1ff;

function usageNames(bits: number): string {
  const names = Object.entries(usage).filter(([, bit]) => (bits & bit) !== 0);
  return names.map(([name]) => name).join(', ');
}

/** RFC 6960 §4.2.2.2. */
export const ocspSignerRules: readonly CertificateRule[] = [
  must(
    'ocsp_signing_missing',
    'RFC 6960 §4.2.2.2',
    'the certificate of an OCSP responder has no extKeyUsage with OCSPSigning',
    ({ values: { extendedKeyUsage } }) =>
      extendedKeyUsage === undefined ||
      (extendedKeyUsage.value !== undefined && !has(extendedKeyUsage.value, oids.ocspSigning)),
  ),
  should(
    'ocsp_signer_revocation',
    'RFC 6960 §4.2.2.2.1',
    'the certificate of an OCSP responder has neither ocsp-nocheck nor a place to check it at',
    ({ values }) =>
      values.ocspNoCheck === undefined &&
      values.crlDistributionPoints === undefined &&
      values.authorityInfoAccess === undefined,
  ),
];

/** Leaves of closed systems: RFC 5280 would have them identify their key, the Baseline Requirements would not. */
export const subjectKeyIdentifierRules: readonly CertificateRule[] = [
  should('subject_key_identifier_absent', 'RFC 5280 §4.2.1.2', 'there is no subjectKeyIdentifier', ({ values }) => {
    return values.subjectKeyIdentifier === undefined;
  }),
];
