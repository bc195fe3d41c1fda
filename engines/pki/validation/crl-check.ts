import { toRfc3339 } from '#core/clock.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { type CertificateList, decodeCrl } from '#pki/x509/crl.ts';
import type { RevokedCertificate } from '#pki/x509/crl-entry.ts';
import { nameKey } from '#pki/x509/name.ts';
import { oidName, oids } from '#pki/x509/oid.ts';
import { allReasons, scopeKey, scopeOf } from './crl-scope.ts';
import { type SignerContext, signerPaths } from './crl-signer.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import { isRevokedAt, maxSkew } from './revocation-time.ts';
import type { RevocationMode, RevocationVerdict } from './revocation.ts';
import { signatureAlgorithmFindings } from './signature.ts';

/** Checking a certificate against CRLs: complete, delta, indirect and divided ones (RFC 5280 §6.3). */

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

export interface CrlContext extends SignerContext {
  readonly crls: GivenCrls;
  readonly mode: RevocationMode;
  /** Keys (SHA-256 of the SPKI) whose own revocation is being looked up: no CRL of theirs may vouch for them. */
  readonly pending: ReadonlySet<string>;
}

/** A CRL that may be relied on, and the reasons for which it speaks of the certificate. */
interface Usable {
  readonly crl: CertificateList;
  readonly reasons: number;
}

/** What the CRLs say of the certificate at `index`; with `unknown`, why they do not say more. */
export function checkCrls(context: CrlContext): RevocationVerdict {
  const parsed = context.path[context.index] as ParsedCertificate;
  const problems = [...context.crls.malformed];
  const current: Usable[] = [];
  for (const crl of context.crls.lists) {
    const scope = scopeOf(crl, parsed);
    if (scope === undefined) continue;
    const problem = 'problem' in scope ? scope.problem : soundnessProblem(crl, context);
    if ('problem' in scope || problem !== undefined) {
      problems.push(problem ?? '');
      continue;
    }
    // Nobody is unrevoked by time: also an old list, or a delta alone, tells of a final revocation.
    const { at } = context.search;
    const entry = find(crl, parsed);
    if (entry !== undefined && isFinal(entry) && (!isLater(crl, at) || isRevokedAt(entry, at))) return revoked(entry);
    const stale = freshnessProblem(crl, at);
    if (stale === undefined) current.push({ crl, reasons: scope.reasons });
    else problems.push(stale);
  }
  return decide(parsed, current, problems.length > 0 ? problems : ['no CRL of its issuer']);
}

function decide(parsed: ParsedCertificate, current: readonly Usable[], problems: readonly string[]): RevocationVerdict {
  let covered = 0;
  const bases = Map.groupBy(
    current.filter(({ crl }) => crl.deltaBase === undefined),
    ({ crl }) => scopeKey(crl),
  );
  for (const group of bases.values()) {
    const newest = group.reduce((left, right) => (isNewer(right.crl, left.crl) ? right : left));
    // Of two that are equally new, and should not be two, the worse counts.
    for (const base of group.filter(({ crl }) => !isNewer(newest.crl, crl))) {
      const delta = newestDelta(base.crl, current);
      const entry = (delta && find(delta, parsed)) ?? find(base.crl, parsed);
      if (entry !== undefined && entry.reason !== 'remove_from_crl') return revoked(entry);
      covered |= base.reasons;
    }
  }
  if ((covered & allReasons) === allReasons) return { status: 'good' };
  if (covered !== 0) return { status: 'unknown', problem: 'the CRLs do not cover all reasons for revocation' };
  return { status: 'unknown', problem: problems.slice(0, 3).join('; ') };
}

function isNewer(left: CertificateList, right: CertificateList): boolean {
  const [ours, theirs] = [left.crlNumber, right.crlNumber];
  if (ours !== undefined && theirs !== undefined && ours !== theirs) return ours > theirs;
  return left.thisUpdate > right.thisUpdate;
}

/** RFC 5280 §5.2.4 and §6.3.3 (c): a delta of the same scope and key that builds on this base or an older one. */
function newestDelta(base: CertificateList, current: readonly Usable[]): CertificateList | undefined {
  const number = base.crlNumber;
  if (number === undefined) return undefined;
  const scope = scopeKey(base);
  return current
    .map(({ crl }) => crl)
    .filter(
      (crl) =>
        crl.deltaBase !== undefined &&
        crl.crlNumber !== undefined &&
        crl.deltaBase <= number &&
        crl.crlNumber >= number &&
        scopeKey(crl) === scope &&
        hasSameKey(crl, base),
    )
    .reduce<CertificateList | undefined>(
      (newest, crl) => (newest && (newest.crlNumber ?? 0n) >= (crl.crlNumber ?? 0n) ? newest : crl),
      undefined,
    );
}

/** §6.3.3 (c)(3). */
function hasSameKey(left: CertificateList, right: CertificateList): boolean {
  const [ours, theirs] = [left, right].map((crl) => crl.authorityKeyIdentifier?.keyIdentifier);
  if (ours === undefined || theirs === undefined) return ours === theirs;
  return Buffer.compare(ours, theirs) === 0;
}

/** The entry for the certificate; on an indirect CRL its issuer must be the one that the entry names (§5.3.3). */
function find(crl: CertificateList, parsed: ParsedCertificate): RevokedCertificate | undefined {
  return crl
    .index()
    .find(parsed.certificate.serialNumber)
    .find(({ certificateIssuer }) =>
      certificateIssuer === undefined
        ? nameKey(crl.issuer) === parsed.issuerKey
        : certificateIssuer.some((name) => name.kind === 'directory' && nameKey(name.name) === parsed.issuerKey),
    );
}

function isLater({ thisUpdate }: CertificateList, at: number): boolean {
  return thisUpdate > at + maxSkew;
}

function isFinal(entry: RevokedCertificate): boolean {
  return entry.reason !== 'certificate_hold' && entry.reason !== 'remove_from_crl';
}

function revoked({ reason = 'unspecified', revokedAt }: RevokedCertificate): RevocationVerdict {
  return { status: reason === 'certificate_hold' ? 'held' : 'revoked', reason, at: revokedAt };
}

/** Why the CRL cannot be relied on at all. */
function soundnessProblem(crl: CertificateList, context: CrlContext): string | undefined {
  const { profile } = context.search;
  if (profile === 'web_pki') {
    const problem = conformanceProblem(crl);
    if (problem !== undefined) return problem;
  }
  const [weak] = signatureAlgorithmFindings(crl.signatureAlgorithm);
  if (weak !== undefined) return `a CRL is signed with ${weak.found}`;
  const signer = signerProblem(crl, context);
  if (signer !== undefined) return signer;
  const entryProblem = readEntries(crl);
  const [critical] = crl.unknownCritical;
  if (critical !== undefined) return `a CRL has the critical extension ${critical}, which is not understood`;
  return entryProblem;
}

/** Why nobody who may speak for the issuer signed the CRL. */
function signerProblem(crl: CertificateList, context: CrlContext): string | undefined {
  let problem: string | undefined;
  for (const [signer, ...above] of signerPaths(crl, nameKey(crl.issuer), context)) {
    if (signer === undefined) continue;
    if (context.pending.has(signer.spkiSha256)) problem ??= 'a CRL is signed by the key that is in question itself';
    else if (context.path.some(({ sha256 }) => sha256 === signer.sha256)) return undefined;
    else {
      const found = delegateProblem([signer, ...above], context);
      if (found === undefined) return undefined;
      problem ??= found;
    }
  }
  return problem ?? unsignedProblem(crl, context);
}

function unsignedProblem(crl: CertificateList, { path, index }: CrlContext): string {
  const issuer = path.slice(index + 1).find(({ subjectKey }) => subjectKey === nameKey(crl.issuer));
  const usages = issuer?.value('key_usage');
  if (usages !== undefined && !usages.includes('crl_sign')) return 'the issuer may not sign CRLs (no cRLSign)';
  return 'a CRL is not signed by a key of its issuer that may sign it';
}

/** A certificate beside the path that signs CRLs may itself be revoked. */
function delegateProblem(path: readonly ParsedCertificate[], context: CrlContext): string | undefined {
  const [signer] = path;
  if (signer === undefined) return 'a CRL has no signer';
  const pending = new Set([...context.pending, signer.spkiSha256]);
  const { status, problem = '' } = checkCrls({ ...context, path, index: 0, pending });
  if (status === 'good' || (status === 'unknown' && context.mode !== 'hard')) return undefined;
  return status === 'unknown'
    ? `whether the signer of a CRL is revoked is not known: ${problem}`.slice(0, 300)
    : 'the certificate of the signer of a CRL is revoked';
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

/** RFC 5280 §5.2.1, §5.2.3 to §5.2.5: what conforming issuers put in, and how critical it is. */
function conformanceProblem(crl: CertificateList): string | undefined {
  if (crl.crlNumber === undefined) return 'a CRL has no CRL number (RFC 5280 §5.2.3)';
  if (crl.extensions.get(oids.crlNumber)?.critical) return 'a CRL has a critical CRL number (RFC 5280 §5.2.3)';
  if (crl.authorityKeyIdentifier === undefined) return 'a CRL has no authorityKeyIdentifier (RFC 5280 §5.2.1)';
  for (const oid of [oids.issuingDistributionPoint, oids.deltaCrlIndicator])
    if (crl.extensions.get(oid)?.critical === false) return `a CRL has ${oidName(oid)}, not critical (RFC 5280 §5.2)`;
  return undefined;
}

function freshnessProblem(crl: CertificateList, at: number): string | undefined {
  if (isLater(crl, at)) return `a CRL is of ${toRfc3339(crl.thisUpdate)}, later than the time asked about`;
  const { nextUpdate } = crl;
  if (nextUpdate === undefined) return 'a CRL does not say when the next one comes';
  return nextUpdate < at ? `a CRL is stale: the next one was due ${toRfc3339(nextUpdate)}` : undefined;
}
