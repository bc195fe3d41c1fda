import { type DistributionPoint, type DistributionPointName, reasonFlags } from '#pki/x509/access-extensions.ts';
import type { CertificateList } from '#pki/x509/crl.ts';
import { encodeGeneralName, type GeneralName } from '#pki/x509/general-name.ts';
import type { IssuingDistributionPoint } from '#pki/x509/issuing-distribution-point.ts';
import { appendRelativeName, nameKey } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** For which certificates and reasons a CRL speaks (RFC 5280 §6.3.3 (b) and (d)). */

/** All bits of ReasonFlags. */
export const allReasons = Object.values(reasonFlags).reduce((bits, flag) => bits | flag, 0);

export type Scope =
  /** Bits of `reasonFlags` for which the CRL speaks of the certificate. */
  | { readonly reasons: number }
  /** The CRL is of the right issuer, yet of other certificates. */
  | { readonly problem: string }
  /** The CRL has nothing to do with the certificate. */
  | undefined;

/** Distribution points of one certificate that are looked at; real ones have one, or one for each shard of a few. */
const maxPoints = 64;

export function scopeOf(crl: CertificateList, parsed: ParsedCertificate): Scope {
  const crlIssuer = nameKey(crl.issuer);
  const all = parsed.value('crl_distribution_points') ?? [];
  const points = all.slice(0, maxPoints).filter((point) => names(point, crl, parsed));
  const isDirect = crlIssuer === parsed.issuerKey;
  if (!isDirect && points.length === 0) return undefined;
  const scope = crl.issuingDistributionPoint;
  const problem = scope && kindProblem(scope, parsed);
  if (problem !== undefined) return { problem };
  let reasons = 0;
  for (const point of points)
    if (scope === undefined || isSamePoint(scope, point, crl, parsed)) reasons |= point.reasons ?? allReasons;
  // §6.3.3, at the end: CRLs of the issuer that no distribution point names speak of all of its certificates.
  if (isDirect && isNamedForIssuer(scope, crl, parsed)) reasons = allReasons;
  if (reasons === 0) return { problem: 'a CRL is of another distribution point' };
  return { reasons: reasons & (scope?.onlySomeReasons ?? allReasons) };
}

/** (b)(1): the CRL is of the issuer that the point names, and then it must be indirect, or of the certificate's own. */
function names({ crlIssuer }: DistributionPoint, crl: CertificateList, parsed: ParsedCertificate): boolean {
  const key = nameKey(crl.issuer);
  if (crlIssuer === undefined) return key === parsed.issuerKey;
  const isNamed = crlIssuer.some((name) => name.kind === 'directory' && nameKey(name.name) === key);
  return isNamed && (crl.issuingDistributionPoint?.indirectCrl === true || key === parsed.issuerKey);
}

/** (b)(2)(ii) to (iv). */
function kindProblem(scope: IssuingDistributionPoint, parsed: ParsedCertificate): string | undefined {
  const isCa = parsed.value('basic_constraints')?.ca === true;
  if (scope.onlyContainsAttributeCerts) return 'a CRL is for attribute certificates only';
  if (scope.onlyContainsUserCerts && isCa) return 'a CRL is for end entities only';
  if (scope.onlyContainsCaCerts && !isCa) return 'a CRL is for authorities only';
  return undefined;
}

/** (b)(2)(i): one name of the CRL's point is one of the certificate's, or of the issuer where the latter has none. */
function isSamePoint(
  scope: IssuingDistributionPoint,
  point: DistributionPoint,
  crl: CertificateList,
  parsed: ParsedCertificate,
): boolean {
  const own = pointKeys(scope, crl);
  if (own === undefined) return true;
  if (point.name?.fullName) return point.name.fullName.slice(0, maxPoints).some((name) => own.has(nameToKey(name)));
  const relativeTo = point.crlIssuer?.find((name) => name.kind === 'directory')?.name ?? parsed.certificate.issuer;
  const { relativeName } = point.name ?? {};
  const theirs: readonly GeneralName[] = relativeName
    ? [{ kind: 'directory', name: appendRelativeName(relativeTo, relativeName) }]
    : (point.crlIssuer ?? []);
  return theirs.slice(0, maxPoints).some((name) => own.has(nameToKey(name)));
}

function isNamedForIssuer(
  scope: IssuingDistributionPoint | undefined,
  crl: CertificateList,
  { certificate }: ParsedCertificate,
): boolean {
  const own = scope && pointKeys(scope, crl);
  return own === undefined || own.has(nameToKey({ kind: 'directory', name: certificate.issuer }));
}

/** The names of a CRL's distribution point; undefined when it has none, which is to speak of all. */
function pointKeys({ name }: IssuingDistributionPoint, crl: CertificateList): ReadonlySet<string> | undefined {
  if (name === undefined) return undefined;
  let keys = keysOfPoint.get(name);
  if (keys === undefined) {
    const all: readonly GeneralName[] = name.relativeName
      ? [{ kind: 'directory', name: appendRelativeName(crl.issuer, name.relativeName) }]
      : (name.fullName ?? []);
    keysOfPoint.set(name, (keys = new Set(all.map(nameToKey))));
  }
  return keys;
}

const keysOfPoint = new WeakMap<DistributionPointName, ReadonlySet<string>>();

function nameToKey(name: GeneralName): string {
  return name.kind === 'directory' ? `directory:${nameKey(name.name)}` : encodeGeneralName(name).toString('latin1');
}

/** Equal for CRLs that follow one another: same issuer, same distribution point, same reasons. */
export function scopeKey(crl: CertificateList): string {
  const point = crl.extensions.get(oids.issuingDistributionPoint)?.value.toString('hex') ?? '';
  return `${point} ${nameKey(crl.issuer)}`;
}
