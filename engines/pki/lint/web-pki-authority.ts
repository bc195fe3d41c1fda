import { oids } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import { policiesOf } from './constraints.ts';
import { usage } from './extension-values.ts';
import { has, isSelfIssuedAuthority } from './extensions.ts';
import { hasReservedAddress } from './reserved-addresses.ts';
import { must, type Rule, should } from './rule.ts';
import { isHttp } from './web-pki.ts';
import { authoritySubjectRules, hasPolicy, reservedPolicy } from './web-pki-subject.ts';

/** Baseline Requirements §7.1.2.1 and §7.1.2.6, §7.1.2.10: certificates of roots, and of authorities below them. */

type CertificateRule = Rule<CertificateView>;

const root = 'Baseline Requirements §7.1.2.1.2';
const below = 'Baseline Requirements §7.1.2.6.1';
const common = 'Baseline Requirements §7.1.2.10.7';

function isRoot(view: CertificateView): boolean {
  return isSelfIssuedAuthority(view);
}

function onlyRoots(rule: CertificateRule): CertificateRule {
  return { finding: rule.finding, broken: (view) => isRoot(view) && rule.broken(view) };
}

function onlyBelow(rule: CertificateRule): CertificateRule {
  return { finding: rule.finding, broken: (view) => !isRoot(view) && rule.broken(view) };
}

const day = 86_400_000;

const rootRules: readonly CertificateRule[] = [
  must<CertificateView>('web_pki_root_purpose', root, 'a root has an extKeyUsage', ({ values }) => {
    return values.extendedKeyUsage !== undefined;
  }),
  should<CertificateView>('web_pki_root_policies', root, 'a root has certificatePolicies', ({ values }) => {
    return values.certificatePolicies !== undefined;
  }),
  should<CertificateView>('web_pki_root_path_length', root, 'a root has a pathLenConstraint', ({ values }) => {
    return values.basicConstraints?.value?.pathLength !== undefined;
  }),
  should<CertificateView>(
    'web_pki_root_validity',
    'Baseline Requirements §7.1.2.1.1',
    'a root is valid for less than 2922 or more than 9132 days',
    ({ notBefore, notAfter }) => {
      const days = (notAfter - notBefore + 1000) / day;
      return days < 2922 || days > 9132;
    },
  ),
].map(onlyRoots);

const purposesBeside: readonly string[] = [oids.codeSigning, oids.emailProtection, oids.timeStamping, oids.ocspSigning];

const belowRules: readonly CertificateRule[] = [
  must<CertificateView>(
    'web_pki_authority_policies',
    below,
    'an authority has no certificatePolicies',
    ({ values }) => {
      return values.certificatePolicies === undefined;
    },
  ),
  must<CertificateView>(
    'web_pki_authority_policy',
    'Baseline Requirements §7.1.2.10.5',
    'the certificatePolicies of an authority have neither anyPolicy alone nor exactly one reserved policy',
    (view) => view.values.certificatePolicies?.value !== undefined && !hasAllowedPolicies(view),
  ),
  must<CertificateView>('web_pki_authority_crl', below, 'an authority has no cRLDistributionPoints', ({ values }) => {
    return values.crlDistributionPoints === undefined;
  }),
  should<CertificateView>('web_pki_authority_info_access', below, 'an authority has no authorityInfoAccess', (view) => {
    return view.values.authorityInfoAccess === undefined;
  }),
  must<CertificateView>(
    'web_pki_authority_info_access_http',
    'Baseline Requirements §7.1.2.10.3',
    'a location of the authorityInfoAccess of an authority is no http URI',
    ({ values: { authorityInfoAccess } }) =>
      authorityInfoAccess?.value?.names.some(({ tag, text }) => !isHttp(tag, text)) ?? false,
  ),
  should<CertificateView>('web_pki_authority_purpose', below, 'an authority has no extKeyUsage', ({ values }) => {
    return values.extendedKeyUsage === undefined;
  }),
  must<CertificateView>(
    'web_pki_authority_purposes',
    'Baseline Requirements §7.1.2.10.6',
    'the extKeyUsage of an authority has a purpose that goes with neither serverAuth nor anyExtendedKeyUsage',
    ({ values: { extendedKeyUsage } }) => hasRefusedPurposes(extendedKeyUsage?.value),
  ),
].map(onlyBelow);

function hasAllowedPolicies(view: CertificateView): boolean {
  const isAny = hasPolicy(view, oids.anyPolicy);
  if (isAny) return policiesOf(view).length === 1;
  return Object.values(reservedPolicy).filter((policy) => hasPolicy(view, policy)).length === 1;
}

function hasRefusedPurposes(purposes: readonly string[] | undefined): boolean {
  if (purposes === undefined) return false;
  if (has(purposes, oids.anyExtendedKeyUsage)) return purposes.length > 1;
  return purposes.some((purpose) => purposesBeside.includes(purpose));
}

/** Certificates of authorities. */
export const webPkiAuthorityRules: readonly CertificateRule[] = [
  ...authoritySubjectRules,
  ...rootRules,
  ...belowRules,
  must('web_pki_authority_usage_critical', common, 'the keyUsage of an authority is not critical', ({ values }) => {
    return values.keyUsage?.critical === false;
  }),
  must('web_pki_authority_crl_sign', common, 'the keyUsage of an authority has no cRLSign', ({ values }) => {
    const bits = values.keyUsage?.value;
    return bits !== undefined && bits !== 0 && (bits & usage.crlSign) === 0;
  }),
  must(
    'web_pki_authority_reserved_range',
    'Baseline Requirements §7.1.2.10.8',
    'a permitted subtree has reserved addresses',
    ({ values: { nameConstraints } }) =>
      nameConstraints?.value?.permitted.some(({ octets, flaws }) => {
        return octets !== undefined && flaws === 0 && hasReservedAddress(octets);
      }) ?? false,
  ),
];
