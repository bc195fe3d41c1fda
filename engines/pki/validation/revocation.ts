import { toRfc3339 } from '#core/clock.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { checkCrls, type CrlContext, type GivenCrls } from './crl-check.ts';
import { type Finding, finding, locate, type LocatedFinding } from './finding.ts';
import { checkOcsp, type GivenResponses } from './ocsp-check.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import type { SearchContext } from './path-search.ts';

/** What is known of a certificate's revocation. */
export interface RevocationVerdict {
  readonly status: 'good' | 'revoked' | 'held' | 'unknown';
  /** CRLReason in snake_case. */
  readonly reason?: string | undefined;
  /** When it was revoked, milliseconds. */
  readonly at?: number | undefined;
  /** Why nothing better than `unknown` can be said. */
  readonly problem?: string | undefined;
}

/** Answers for certificates of authorities that the caller knows of; undefined for all others. */
export type RevocationSource = (
  certificate: Certificate,
  issuer: Certificate,
) => Promise<RevocationVerdict | undefined>;

/** `none`: not looked at. `soft`: unknown passes. `hard`: unknown does not. */
export const revocationModes = ['none', 'soft', 'hard'] as const;
export type RevocationMode = (typeof revocationModes)[number];

export type RevocationStatus = RevocationVerdict['status'] | 'not_checked';

/** What was given, or asked for, about revocations. */
export interface Evidence {
  readonly crls: GivenCrls;
  readonly ocsp: GivenResponses;
}

/**
 * Asks for what is missing, from where the certificate says: more evidence about it, or undefined when there is no more.
 * It is called again until then, and only for paths that break no rule, so that nobody's URL is asked for nothing.
 */
export type EvidenceSource = (
  parsed: ParsedCertificate,
  issuer: ParsedCertificate,
  round: number,
) => Promise<Evidence | undefined>;

export interface RevocationInputs {
  readonly mode: RevocationMode;
  readonly given: Evidence;
  readonly source: RevocationSource | undefined;
  readonly ask: EvidenceSource | undefined;
}

export interface RevocationResult {
  /** One per certificate of the path. */
  readonly statuses: readonly RevocationStatus[];
  readonly findings: readonly LocatedFinding[];
}

/** Checks every certificate of a path but the trust anchor. */
export async function checkRevocation(
  path: readonly ParsedCertificate[],
  inputs: RevocationInputs,
  search: SearchContext,
): Promise<RevocationResult> {
  if (inputs.mode === 'none') return { statuses: path.map(() => 'not_checked'), findings: [] };
  const statuses: RevocationStatus[] = [];
  const findings: LocatedFinding[] = [];
  for (const index of path.keys()) {
    if (index === path.length - 1) statuses.push('not_checked');
    else {
      const verdict = await judge(path, index, inputs, search);
      statuses.push(verdict.status);
      findings.push(...locate(index, verdictFindings(verdict, inputs)));
    }
  }
  return { statuses, findings };
}

const maxRounds = 4;

async function judge(
  path: readonly ParsedCertificate[],
  index: number,
  inputs: RevocationInputs,
  search: SearchContext,
): Promise<RevocationVerdict> {
  const [parsed, issuer] = [path[index] as ParsedCertificate, path[index + 1] as ParsedCertificate];
  const context = { search, path, index, mode: inputs.mode, pending: new Set<string>() };
  let evidence = inputs.given;
  let verdict = judgeEvidence(evidence, { ...context, crls: evidence.crls });
  if (verdict.status === 'revoked') return verdict;
  const known = await inputs.source?.(parsed.certificate, issuer.certificate);
  if (known !== undefined) verdict = severity[known.status] >= severity[verdict.status] ? known : verdict;
  for (let round = 0; verdict.status === 'unknown' && inputs.ask !== undefined && round < maxRounds; round++) {
    const more = await inputs.ask(parsed, issuer, round);
    if (more === undefined) break;
    evidence = join(evidence, more);
    verdict = judgeEvidence(evidence, { ...context, crls: evidence.crls });
  }
  return verdict;
}

/** The worst that CRLs and OCSP say; what one does not know the other may. */
function judgeEvidence({ ocsp }: Evidence, context: CrlContext): RevocationVerdict {
  const fromCrls = checkCrls(context);
  if (fromCrls.status === 'revoked') return fromCrls;
  const fromOcsp = checkOcsp(ocsp, context);
  if (fromOcsp === undefined) return fromCrls;
  if (fromOcsp.status === 'unknown' && fromCrls.status === 'unknown') {
    const hasCrls = context.crls.lists.length + context.crls.malformed.length > 0;
    const problem = [fromOcsp.problem, ...(hasCrls ? [fromCrls.problem] : [])].join('; ');
    return { status: 'unknown', problem };
  }
  return severity[fromOcsp.status] > severity[fromCrls.status] ? fromOcsp : fromCrls;
}

function join(left: Evidence, right: Evidence): Evidence {
  return {
    crls: {
      lists: [...left.crls.lists, ...right.crls.lists],
      malformed: [...left.crls.malformed, ...right.crls.malformed],
    },
    ocsp: {
      responses: [...left.ocsp.responses, ...right.ocsp.responses],
      problems: [...left.ocsp.problems, ...right.ocsp.problems],
    },
  };
}

const severity: Readonly<Record<RevocationVerdict['status'], number>> = { unknown: 0, good: 1, held: 2, revoked: 3 };

function verdictFindings({ status, reason, at, problem }: RevocationVerdict, inputs: RevocationInputs): Finding[] {
  const when = at === undefined ? '' : ` since ${toRfc3339(at)}`;
  if (status === 'revoked') {
    const found = `revoked${when} (${reason ?? 'unspecified'})`;
    return [finding('revoked', found, 'a certificate that is not revoked', 'RFC 5280 §6.1.3 (a)(3)', replace)];
  }
  if (status === 'held') {
    const fix = 'Release the hold, or replace the certificate.';
    return [finding('on_hold', `on hold${when}`, 'a certificate that is not on hold', 'RFC 5280 §5.3.1', fix)];
  }
  if (status === 'good' || inputs.mode === 'soft') return [];
  const expected = 'a current CRL or OCSP response that covers it, or the answer of an authority of ours';
  const fix =
    inputs.ask === undefined
      ? 'Give the current CRLs or OCSP responses of every issuer in the path, or have them fetched.'
      : 'Give the current CRLs or OCSP responses of every issuer in the path.';
  return [finding('revocation_unknown', problem ?? 'no answer', expected, 'RFC 5280 §6.3.3, RFC 6960 §3.2', fix)];
}

const replace = 'Replace the certificate; a revocation is final.';
