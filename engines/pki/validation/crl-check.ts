import { toRfc3339 } from '#core/clock.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { reasonFlags } from '#pki/x509/access-extensions.ts';
import { type CertificateList, decodeCrl } from '#pki/x509/crl.ts';
import type { RevokedCertificate } from '#pki/x509/crl-entry.ts';
import { encodeGeneralName, type GeneralName } from '#pki/x509/general-name.ts';
import { appendRelativeName, nameKey } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import type { Profile } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import type { RevocationVerdict } from './revocation.ts';
import type { SignatureVerifier } from './signature.ts';

/** Checking a certificate against CRLs that were given (RFC 5280 §6.3). Direct CRLs only: issuer and CRL have one key. */

export interface GivenCrls {
  readonly lists: readonly CertificateList[];
  /** Why a CRL that was given could not be read. */
  readonly malformed: readonly string[];
}

export function readCrls(ders: readonly Uint8Array[]): GivenCrls {
  const lists: CertificateList[] = [];
  const malformed: string[] = [];
  for (const der of ders) {
    try {
      lists.push(decodeCrl(der));
    } catch (thrown) {
      if (!(thrown instanceof DerError)) throw thrown;
      malformed.push(`a CRL is malformed: ${thrown.message}`);
    }
  }
  return { lists, malformed };
}

export interface CrlContext {
  readonly crls: GivenCrls;
  /** Milliseconds. */
  readonly at: number;
  readonly profile: Profile;
  readonly signatures: SignatureVerifier;
}

/** The verdict, and why the CRLs that are there do not give another one. */
export function checkCrls(
  parsed: ParsedCertificate,
  issuer: ParsedCertificate,
  context: CrlContext,
): RevocationVerdict {
  const problems = [...context.crls.malformed];
  const current: CertificateList[] = [];
  const own = context.crls.lists.filter((crl) => nameKey(crl.issuer) === parsed.issuerKey);
  for (const crl of own) {
    const problem = soundnessProblem(crl, issuer, context) ?? scopeProblem(crl, parsed);
    const entry = problem === undefined ? find(crl, parsed) : undefined;
    const stale = problem ?? freshnessProblem(crl, context.at);
    // Nobody is unrevoked for good by time alone: an old list still tells of a final revocation.
    if (entry !== undefined && stale !== undefined && isFinal(entry)) return revoked(entry);
    if (stale === undefined) current.push(crl);
    else problems.push(stale);
  }
  return decide(parsed, current, problems.length > 0 ? problems : ['no CRL of its issuer']);
}

function decide(
  parsed: ParsedCertificate,
  current: readonly CertificateList[],
  problems: readonly string[],
): RevocationVerdict {
  let covered = 0;
  const bases = current.filter((crl) => crl.deltaBase === undefined);
  for (const base of bases) {
    const delta = newestDelta(base, current);
    const entry = (delta && find(delta, parsed)) ?? find(base, parsed);
    if (entry !== undefined && entry.reason !== 'remove_from_crl') return revoked(entry);
    covered |= base.issuingDistributionPoint?.onlySomeReasons ?? allReasons;
  }
  if ((covered & allReasons) === allReasons) return { status: 'good' };
  if (covered !== 0) return { status: 'unknown', problem: 'the CRLs do not cover all reasons for revocation' };
  return { status: 'unknown', problem: problems.slice(0, 3).join('; ') };
}

const allReasons = Object.values(reasonFlags).reduce((bits, flag) => bits | flag, 0);

/** RFC 5280 §5.2.4 and §6.3.3 (c): a delta of the same scope that builds on this base or an older one. */
function newestDelta(base: CertificateList, lists: readonly CertificateList[]): CertificateList | undefined {
  const number = base.crlNumber;
  if (number === undefined) return undefined;
  const scope = scopeKey(base);
  return lists
    .filter((crl) => crl.deltaBase !== undefined && crl.deltaBase <= number && (crl.crlNumber ?? 0n) > number)
    .filter((crl) => scopeKey(crl) === scope)
    .reduce<CertificateList | undefined>(
      (newest, crl) => (newest && (newest.crlNumber ?? 0n) >= (crl.crlNumber ?? 0n) ? newest : crl),
      undefined,
    );
}

function scopeKey(crl: CertificateList): string {
  return crl.extensions.get(oids.issuingDistributionPoint)?.value.toString('hex') ?? '';
}

function find(crl: CertificateList, { certificate }: ParsedCertificate): RevokedCertificate | undefined {
  return crl.index().find(certificate.serialNumber)[0];
}

function isFinal(entry: RevokedCertificate): boolean {
  return entry.reason !== 'certificate_hold' && entry.reason !== 'remove_from_crl';
}

function revoked({ reason = 'unspecified', revokedAt }: RevokedCertificate): RevocationVerdict {
  return { status: reason === 'certificate_hold' ? 'held' : 'revoked', reason, at: revokedAt };
}

/** Why the CRL cannot be relied on at all. */
function soundnessProblem(crl: CertificateList, issuer: ParsedCertificate, context: CrlContext): string | undefined {
  const usages = issuer.value('key_usage');
  if (usages !== undefined && !usages.includes('crl_sign')) return 'the issuer may not sign CRLs (no cRLSign)';
  if (crl.thisUpdate > context.at) return `a CRL is of ${toRfc3339(crl.thisUpdate)}, later than the time asked about`;
  if (context.profile === 'web_pki') {
    const problem = conformanceProblem(crl);
    if (problem !== undefined) return problem;
  }
  if (!context.signatures.verify(crl, issuer)) return 'a CRL is not signed by the key of the issuer';
  const entryProblem = readEntries(crl);
  const [critical] = crl.unknownCritical;
  if (critical !== undefined) return `a CRL has the critical extension ${critical}, which is not understood`;
  return entryProblem;
}

function readEntries(crl: CertificateList): string | undefined {
  try {
    const [critical] = crl.index().unknownCritical;
    return critical && `a CRL has entries with the critical extension ${critical}, which is not understood`;
  } catch (thrown) {
    if (thrown instanceof DerError) return `a CRL is malformed: ${thrown.message}`;
    throw thrown;
  }
}

/** RFC 5280 §5.2.1, §5.2.3: conforming issuers put both in, the number not critical. */
function conformanceProblem(crl: CertificateList): string | undefined {
  if (crl.crlNumber === undefined) return 'a CRL has no CRL number (RFC 5280 §5.2.3)';
  if (crl.extensions.get(oids.crlNumber)?.critical) return 'a CRL has a critical CRL number (RFC 5280 §5.2.3)';
  if (crl.authorityKeyIdentifier === undefined) return 'a CRL has no authorityKeyIdentifier (RFC 5280 §5.2.1)';
  return undefined;
}

function freshnessProblem({ nextUpdate }: CertificateList, at: number): string | undefined {
  if (nextUpdate === undefined) return 'a CRL does not say when the next one comes';
  return nextUpdate < at ? `a CRL is stale: the next one was due ${toRfc3339(nextUpdate)}` : undefined;
}

/** RFC 5280 §6.3.3 (b)(2): whether the CRL speaks of this certificate at all. */
function scopeProblem(crl: CertificateList, parsed: ParsedCertificate): string | undefined {
  const scope = crl.issuingDistributionPoint;
  if (scope === undefined) return undefined;
  if (scope.indirectCrl) return 'a CRL is indirect, which is not supported';
  const isCa = parsed.value('basic_constraints')?.ca === true;
  if (scope.onlyContainsAttributeCerts) return 'a CRL is for attribute certificates only';
  if (scope.onlyContainsUserCerts && isCa) return 'a CRL is for end entities only';
  if (scope.onlyContainsCaCerts && !isCa) return 'a CRL is for authorities only';
  if (scope.name === undefined) return undefined;
  const names = scope.name.relativeName
    ? [nameToKey({ kind: 'directory', name: appendRelativeName(crl.issuer, scope.name.relativeName) })]
    : (scope.name.fullName ?? []).map(nameToKey);
  const points = distributionPointKeys(parsed);
  return names.some((name) => points.has(name)) ? undefined : 'a CRL is of another distribution point';
}

/** The names of the distribution points of a certificate; the issuer where it has none (§6.3.3, step 1 at the end). */
function distributionPointKeys(parsed: ParsedCertificate): ReadonlySet<string> {
  const { issuer } = parsed.certificate;
  const points = parsed.value('crl_distribution_points');
  if (points === undefined) return new Set([nameToKey({ kind: 'directory', name: issuer })]);
  const keys = points.flatMap(({ name, crlIssuer }) => {
    if (name?.relativeName)
      return [nameToKey({ kind: 'directory', name: appendRelativeName(issuer, name.relativeName) })];
    return (name?.fullName ?? crlIssuer ?? []).map(nameToKey);
  });
  return new Set(keys);
}

function nameToKey(name: GeneralName): string {
  return name.kind === 'directory' ? `directory:${nameKey(name.name)}` : encodeGeneralName(name).toString('latin1');
}
