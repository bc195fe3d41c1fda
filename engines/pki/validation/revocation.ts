import { toRfc3339 } from '#core/clock.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { checkCrls, type CrlContext } from './crl-check.ts';
import { type Finding, finding, locate, type LocatedFinding } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

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

export interface RevocationResult {
  /** One per certificate of the path. */
  readonly statuses: readonly RevocationStatus[];
  readonly findings: readonly LocatedFinding[];
}

/** Checks every certificate of a path but the trust anchor. */
export async function checkRevocation(
  path: readonly ParsedCertificate[],
  mode: RevocationMode,
  source: RevocationSource | undefined,
  crlContext: CrlContext,
): Promise<RevocationResult> {
  if (mode === 'none') return { statuses: path.map(() => 'not_checked'), findings: [] };
  const statuses: RevocationStatus[] = [];
  const findings: LocatedFinding[] = [];
  for (const [index, parsed] of path.entries()) {
    const issuer = path[index + 1];
    if (issuer === undefined) statuses.push('not_checked');
    else {
      const verdict = await judge(parsed, issuer, source, crlContext);
      statuses.push(verdict.status);
      findings.push(...locate(index, verdictFindings(verdict, mode)));
    }
  }
  return { statuses, findings };
}

/** The worst that either source says; what one does not know the other may. */
async function judge(
  parsed: ParsedCertificate,
  issuer: ParsedCertificate,
  source: RevocationSource | undefined,
  crlContext: CrlContext,
): Promise<RevocationVerdict> {
  const fromCrls = checkCrls(parsed, issuer, crlContext);
  if (fromCrls.status === 'revoked') return fromCrls;
  const fromSource = await source?.(parsed.certificate, issuer.certificate);
  if (fromSource === undefined) return fromCrls;
  return severity[fromSource.status] >= severity[fromCrls.status] ? fromSource : fromCrls;
}

const severity: Readonly<Record<RevocationVerdict['status'], number>> = { unknown: 0, good: 1, held: 2, revoked: 3 };

function verdictFindings({ status, reason, at, problem }: RevocationVerdict, mode: RevocationMode): Finding[] {
  const when = at === undefined ? '' : ` since ${toRfc3339(at)}`;
  if (status === 'revoked') {
    const found = `revoked${when} (${reason ?? 'unspecified'})`;
    return [finding('revoked', found, 'a certificate that is not revoked', 'RFC 5280 §6.1.3 (a)(3)', replace)];
  }
  if (status === 'held') {
    const fix = 'Release the hold, or replace the certificate.';
    return [finding('on_hold', `on hold${when}`, 'a certificate that is not on hold', 'RFC 5280 §5.3.1', fix)];
  }
  if (status === 'good' || mode === 'soft') return [];
  const expected = 'a current CRL of its issuer that covers it, or the answer of an authority of ours';
  const fix = 'Give the current CRLs of every issuer in the path.';
  return [finding('revocation_unknown', problem ?? 'no answer', expected, 'RFC 5280 §6.3.3', fix)];
}

const replace = 'Replace the certificate; a revocation is final.';
