import { oids } from '#pki/x509/oid.ts';
import type { CertificateView, PublicKeyView } from './certificate-view.ts';
import { policiesOf } from './constraints.ts';
import { usage } from './extension-values.ts';
import { has } from './extensions.ts';
import { nameTag } from './names-view.ts';
import { must, repeated, type Rule, should } from './rule.ts';
import { isWebPkiScheme } from './signature-algorithm.ts';
import { hasPolicy, reservedPolicy, subjectRules } from './web-pki-subject.ts';

/** Baseline Requirements §6 and §7.1: validity, keys, extensions of subscribers and of responders. */

type CertificateRule = Rule<CertificateView>;

const curves: ReadonlySet<string> = new Set([oids.p256, oids.p384, oids.p521]);
const keys = 'Baseline Requirements §6.1.5';
const exponents = 'Baseline Requirements §6.1.6';

/** Every certificate. */
export const webPkiRules: readonly CertificateRule[] = [
  should(
    'web_pki_serial_short',
    'Baseline Requirements §7.1.2.7',
    'the serial number has fewer than the 64 random bits that it needs',
    ({ serial }) => serial.length < 8,
  ),
  must(
    'web_pki_signature_algorithm',
    'Baseline Requirements §7.1.3.2',
    'the signature algorithm is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512',
    ({ signature }) => !isWebPkiScheme(signature) && signature.oid,
  ),
  must('web_pki_key_algorithm', keys, 'the public key is neither RSA nor EC', ({ key: { algorithm } }) => {
    return algorithm.oid !== oids.rsaEncryption && algorithm.oid !== oids.ecPublicKey && algorithm.oid;
  }),
  must('web_pki_curve', keys, 'the curve is none of P-256, P-384 and P-521', ({ key: { algorithm, curve } }) => {
    return algorithm.oid === oids.ecPublicKey && !curves.has(curve ?? '');
  }),
  must(
    'web_pki_rsa_size',
    keys,
    'the RSA modulus has fewer than 2048 bits or is no whole number of octets',
    ({ key }) => {
      const bits = modulusBits(key);
      return bits !== undefined && (bits < 2048 || bits % 8 !== 0) && `${bits} bits`;
    },
  ),
  should('web_pki_rsa_exponent', exponents, 'the RSA exponent is not from 65537 to 2^256 - 1', ({ key: { rsa } }) => {
    return rsa !== undefined && !isUsualExponent(rsa.exponent);
  }),
  must(
    'web_pki_authority_key_identifier',
    'Baseline Requirements §7.1.2.11.1',
    'the authorityKeyIdentifier has authorityCertIssuer or authorityCertSerialNumber',
    ({ values: { authorityKeyIdentifier } }) => {
      const value = authorityKeyIdentifier?.value;
      return value !== undefined && (value.hasSerial || value.issuer !== undefined);
    },
  ),
  must(
    'web_pki_distribution_point_parts',
    'Baseline Requirements §7.1.2.11.2',
    'a DistributionPoint has reasons or a cRLIssuer',
    ({ values: { crlDistributionPoints } }) =>
      crlDistributionPoints?.value?.points.some(({ hasReasons, issuer }) => hasReasons || issuer !== undefined) ??
      false,
  ),
  must(
    'web_pki_distribution_point_http',
    'Baseline Requirements §7.1.2.11.2',
    'a name of the cRLDistributionPoints is no http URI',
    ({ values: { crlDistributionPoints } }) =>
      crlDistributionPoints?.value?.names.some(({ tag, text }) => !isHttp(tag, text)) ?? false,
  ),
  must(
    'web_pki_distribution_point_critical',
    'Baseline Requirements §7.1.2.11.2',
    'the cRLDistributionPoints are critical',
    ({ values }) => values.crlDistributionPoints?.critical === true,
  ),
  must(
    'web_pki_policy_qualifier',
    'Baseline Requirements §7.1.2.7.9',
    'a policy has a qualifier other than an http or https CPS pointer',
    (view) => policiesOf(view).some(({ qualifiers }) => qualifiers.some(({ cps }) => !/^https?:/i.test(cps ?? ''))),
  ),
  should(
    'web_pki_policies_critical',
    'Baseline Requirements §7.1.2.7.6',
    'the certificatePolicies are critical',
    ({ values }) => values.certificatePolicies?.critical === true,
  ),
  ...subjectRules,
];

export function isHttp(tag: number, text: string): boolean {
  return tag === nameTag.uri && /^http:/i.test(text);
}

function modulusBits({ rsa }: PublicKeyView): number | undefined {
  if (rsa === undefined) return undefined;
  const magnitude = rsa.modulus[0] === 0 ? rsa.modulus.subarray(1) : rsa.modulus;
  return magnitude.length * 8 - (Math.clz32(magnitude[0] ?? 0) - 24);
}

function isUsualExponent(exponent: Buffer): boolean {
  const octets = exponent[0] === 0 ? exponent.length - 1 : exponent.length;
  return octets > 3 ? octets <= 32 : octets === 3 && exponent.readUIntBE(exponent.length - 3, 3) >= 65_537;
}

const day = 86_400_000;

/** Longest validity of subscribers in days, by when it begins (§6.3.2). */
const longestValidity = [
  { from: Date.UTC(2029, 2, 15), days: 47 },
  { from: Date.UTC(2027, 2, 15), days: 100 },
  { from: Date.UTC(2026, 2, 15), days: 200 },
  { from: Date.UTC(2020, 8, 1), days: 398 },
  { from: Date.UTC(2018, 2, 1), days: 825 },
  { from: Number.NEGATIVE_INFINITY, days: 1188 },
] as const;

function isLongerThan(view: CertificateView, less: number): boolean {
  const limit = longestValidity.find(({ from }) => view.notBefore >= from)?.days ?? 0;
  return lifeOf(view) > (limit - less) * day;
}

/** Both ends belong to the validity (§1.6.1, "Validity Period"). */
function lifeOf({ notBefore, notAfter }: CertificateView): number {
  return notAfter - notBefore + 1000;
}

/** Certificates that need not be on a CRL (§1.6.1, "Short-lived Subscriber Certificate"). */
function isShortLived(view: CertificateView): boolean {
  return lifeOf(view) <= (view.notBefore >= Date.UTC(2026, 2, 15) ? 7 : 10) * day;
}

const extensions = 'Baseline Requirements §7.1.2.7.6';
const purposes = 'Baseline Requirements §7.1.2.7.10';
const access = 'Baseline Requirements §7.1.2.7.7';
const usages = 'Baseline Requirements §7.1.2.7.11';

const otherPurposes: ReadonlySet<string> = new Set([
  oids.anyExtendedKeyUsage,
  oids.codeSigning,
  oids.emailProtection,
  oids.timeStamping,
  oids.ocspSigning,
  '1.3.6.1.4.1.11129.2.4.4',
]);

function accessesOf({ values: { authorityInfoAccess } }: CertificateView) {
  return authorityInfoAccess?.value?.accesses ?? [];
}

/** Certificates of subscribers. */
export const webPkiSubscriberRules: readonly CertificateRule[] = [
  must(
    'web_pki_validity',
    'Baseline Requirements §6.3.2',
    'the certificate is valid for longer than is allowed',
    (view) => {
      return isLongerThan(view, 0) && `${Math.ceil(lifeOf(view) / day)} days`;
    },
  ),
  should(
    'web_pki_validity_edge',
    'Baseline Requirements §6.3.2',
    'the certificate is valid for the very longest time that is allowed, with no day to spare',
    (view) => isLongerThan(view, 1) && !isLongerThan(view, 0),
  ),
  must('web_pki_policies_missing', extensions, 'there are no certificatePolicies', ({ values }) => {
    return values.certificatePolicies === undefined;
  }),
  must(
    'web_pki_reserved_policy',
    'Baseline Requirements §7.1.2.7.9',
    'the certificatePolicies do not have exactly one of the reserved policies 2.23.140.1.1 and 2.23.140.1.2.1 to .3',
    (view) => view.values.certificatePolicies?.value !== undefined && reservedPolicies(view) !== 1,
  ),
  must('web_pki_info_access_missing', extensions, 'there is no authorityInfoAccess', ({ values }) => {
    return values.authorityInfoAccess === undefined;
  }),
  must(
    'web_pki_info_access_method',
    access,
    'the authorityInfoAccess has something other than a URI for OCSP or caIssuers',
    (view) =>
      accessesOf(view).some(({ method, location }) => !accessMethods.has(method) || location.tag !== nameTag.uri),
  ),
  must('web_pki_info_access_http', access, 'a URI of the authorityInfoAccess is not http', (view) => {
    return accessesOf(view).some(({ location: { tag, text } }) => tag === nameTag.uri && !isHttp(tag, text));
  }),
  must('web_pki_info_access_repeated', access, 'a location of the authorityInfoAccess stands twice', (view) => {
    const accesses = accessesOf(view);
    return repeated(accesses.map(({ method, location }) => `${method} ${location.text.toLowerCase()}`)) !== undefined;
  }),
  should('web_pki_ca_issuers_missing', access, 'the authorityInfoAccess does not say where the issuer is', (view) => {
    const { authorityInfoAccess } = view.values;
    return (
      authorityInfoAccess?.value !== undefined &&
      !accessesOf(view).some(({ method }) => method === oids.accessCaIssuers)
    );
  }),
  must(
    'web_pki_no_revocation',
    'Baseline Requirements §7.1.2.11.2',
    'the certificate is not short-lived and has neither cRLDistributionPoints nor the URI of a responder',
    (view) =>
      view.values.crlDistributionPoints === undefined &&
      !accessesOf(view).some(({ method }) => method === oids.accessOcsp) &&
      !isShortLived(view),
  ),
  must('web_pki_purpose_missing', purposes, 'there is no extKeyUsage with serverAuth', ({ values }) => {
    const { extendedKeyUsage } = values;
    return extendedKeyUsage === undefined || (extendedKeyUsage.value !== undefined && !isForServers(values));
  }),
  must('web_pki_purpose_critical', extensions, 'the extKeyUsage is critical', ({ values }) => {
    return values.extendedKeyUsage?.critical === true;
  }),
  must('web_pki_purpose_refused', purposes, 'the extKeyUsage has a purpose that subscribers must not have', (view) => {
    return view.values.extendedKeyUsage?.value?.find((purpose) => otherPurposes.has(purpose)) ?? false;
  }),
  should('web_pki_purpose_other', purposes, 'the extKeyUsage has more than serverAuth and clientAuth', ({ values }) => {
    const others = values.extendedKeyUsage?.value?.filter((purpose) => !otherPurposes.has(purpose)) ?? [];
    return others.find((purpose) => purpose !== oids.serverAuth && purpose !== oids.clientAuth) ?? false;
  }),
  must('web_pki_basic_constraints_critical', extensions, 'the basicConstraints are not critical', ({ values }) => {
    return values.basicConstraints?.critical === false;
  }),
  must('web_pki_ec_usage', usages, 'the keyUsage of an EC key is not digitalSignature', ({ key, values }) => {
    const bits = values.keyUsage?.value;
    const isEc = key.algorithm.oid === oids.ecPublicKey;
    return isEc && bits !== undefined && (bits & ~usage.keyAgreement) !== usage.digitalSignature;
  }),
  should('web_pki_key_agreement', usages, 'the keyUsage of an EC key has keyAgreement', ({ key, values }) => {
    const both = usage.digitalSignature | usage.keyAgreement;
    return key.algorithm.oid === oids.ecPublicKey && ((values.keyUsage?.value ?? 0) & both) === both;
  }),
  should(
    'web_pki_rsa_usage',
    usages,
    'the keyUsage of an RSA key has dataEncipherment, or no digitalSignature',
    (view) => {
      const bits = view.values.keyUsage?.value;
      if (bits === undefined || view.key.rsa === undefined) return false;
      return (bits & usage.dataEncipherment) !== 0 || (bits & usage.digitalSignature) === 0;
    },
  ),
  should(
    'web_pki_subject_key_identifier',
    extensions,
    'there is a subjectKeyIdentifier, which is not recommended',
    (view) => {
      return view.values.subjectKeyIdentifier !== undefined;
    },
  ),
];

const accessMethods: ReadonlySet<string> = new Set([oids.accessOcsp, oids.accessCaIssuers]);

function isForServers({ extendedKeyUsage }: CertificateView['values']): boolean {
  return has(extendedKeyUsage?.value, oids.serverAuth);
}

function reservedPolicies(view: CertificateView): number {
  return Object.values(reservedPolicy).filter((policy) => hasPolicy(view, policy)).length;
}

const responders = 'Baseline Requirements §7.1.2.8';

/** Certificates of OCSP responders. */
export const webPkiResponderRules: readonly CertificateRule[] = [
  must('web_pki_responder_no_check', responders, 'the certificate of a responder has no ocsp-nocheck', ({ values }) => {
    return values.ocspNoCheck === undefined;
  }),
  must('web_pki_responder_purpose', responders, 'the extKeyUsage of a responder has more than OCSPSigning', (view) => {
    return (view.values.extendedKeyUsage?.value?.length ?? 0) > 1;
  }),
  must('web_pki_responder_usage', responders, 'the keyUsage of a responder is not digitalSignature alone', (view) => {
    const bits = view.values.keyUsage?.value;
    return bits !== undefined && bits !== usage.digitalSignature;
  }),
  must(
    'web_pki_responder_crl',
    responders,
    'the certificate of a responder has cRLDistributionPoints',
    ({ values }) => {
      return values.crlDistributionPoints !== undefined;
    },
  ),
  must('web_pki_responder_policies', responders, 'the certificate of a responder has certificatePolicies', (view) => {
    return view.values.certificatePolicies !== undefined;
  }),
];
