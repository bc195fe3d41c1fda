import { oids } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import type { DistributionPointsView, InfoAccessView } from './extension-values.ts';
import { type GeneralNameView, nameTag } from './names-view.ts';
import { must, quoted, type Rule, should } from './rule.ts';

/** RFC 5280 §4.2.1.13, §4.2.1.15 and §4.2.2: where CRLs, responders and certificates of issuers are. */

type CertificateRule = Rule<CertificateView>;

const distributionPoints = 'RFC 5280 §4.2.1.13';
const infoAccess = 'RFC 5280 §4.2.2.1';

export const pointerRules: readonly CertificateRule[] = [
  must(
    'distribution_point_incomplete',
    distributionPoints,
    'a DistributionPoint has neither a name nor a cRLIssuer',
    (view) => pointsOf(view).some(({ fullName, hasRelativeName, issuer }) => !fullName && !hasRelativeName && !issuer),
  ),
  must(
    'distribution_point_relative_name_ambiguous',
    distributionPoints,
    'a DistributionPoint has a relative name and more than one cRLIssuer',
    (view) => pointsOf(view).some((point) => point.hasRelativeName && (point.issuer?.names.length ?? 0) > 1),
  ),
  should(
    'distribution_point_relative_name',
    distributionPoints,
    'a DistributionPoint has a name relative to the issuer',
    (view) => pointsOf(view).some(({ hasRelativeName }) => hasRelativeName),
  ),
  must(
    'distribution_point_issuer',
    distributionPoints,
    'the cRLIssuer of a DistributionPoint holds no directoryName',
    (view) => pointsOf(view).some(({ issuer }) => issuer?.names.every(({ tag }) => tag !== nameTag.directory) === true),
  ),
  should(
    'distribution_point_without_uri',
    distributionPoints,
    'no DistributionPoint has an HTTP or LDAP URI',
    ({ values: { crlDistributionPoints } }) => hasNoPlainUri(crlDistributionPoints?.value),
  ),
  should(
    'authority_info_without_uri',
    infoAccess,
    'no caIssuers is an HTTP or LDAP URI',
    ({ values: { authorityInfoAccess } }) => {
      const issuers = authorityInfoAccess?.value?.accesses.filter(({ method }) => method === oids.accessCaIssuers);
      return issuers !== undefined && issuers.length > 0 && !issuers.some(({ location }) => isPlainUri(location));
    },
  ),
  must('authority_info_ocsp', infoAccess, 'the location of an OCSP responder is no URI', (view) => {
    const accesses = view.values.authorityInfoAccess?.value?.accesses ?? [];
    return accesses.some(({ method, location }) => method === oids.accessOcsp && location.tag !== nameTag.uri);
  }),
  should(
    'pointer_https',
    'RFC 5280 §8',
    'a CRL or the information of the issuer is behind TLS, whose certificate would have to be checked first',
    ({ values }) => {
      const pointers = [values.crlDistributionPoints, values.freshestCrl, values.authorityInfoAccess];
      const found = pointers.map((pointer) => secureUri(pointer?.value)).find((uri) => uri !== undefined);
      return found !== undefined && quoted(found);
    },
  ),
];

const noPoints: DistributionPointsView['points'] = [];

function pointsOf({ values: { crlDistributionPoints, freshestCrl } }: CertificateView) {
  const points = crlDistributionPoints?.value?.points ?? noPoints;
  return freshestCrl?.value === undefined ? points : [...points, ...freshestCrl.value.points];
}

/** Points without names at all are told by another rule, or mean the directory entry of a cRLIssuer. */
function hasNoPlainUri(value: DistributionPointsView | undefined): boolean {
  return value !== undefined && value.names.length > 0 && !value.names.some(isPlainUri);
}

const plainUri = /^(?:http|ldap):/i;
const secure = /^(?:https|ldaps):/i;

export function isPlainUri({ tag, text }: GeneralNameView): boolean {
  return tag === nameTag.uri && plainUri.test(text);
}

function secureUri(value: DistributionPointsView | InfoAccessView | undefined): string | undefined {
  return value?.names.find(({ tag, text }) => tag === nameTag.uri && secure.test(text))?.text;
}
