import { toRfc3339 } from '#core/clock.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { type ExtensionKind, extensionValue } from '#pki/x509/extension.ts';
import { oidName, oids } from '#pki/x509/oid.ts';
import { createBudget, limits } from './budget.ts';
import { authorityFindings, commonFindings } from './certificate-rules.ts';
import { type Finding, finding } from './finding.ts';
import { constraintFindings } from './name-constraints.ts';
import { describeCertificate, type ParsedCertificate, parseCertificate } from './parsed-certificate.ts';
import { candidatePaths, workLimitFinding } from './path-search.ts';
import { policyFinding } from './policy-graph.ts';
import { createSignatureVerifier } from './signature.ts';

/**
 * The validator, as a guard of our own issuance: whether a certificate that was just signed is valid under the chain that
 * is handed out with it. The chain is validated once; of each certificate remains to be asked what it has to do with it.
 */
export interface IssuanceGuard {
  /**
   * What stands against the certificate, whose form, key and signature were checked before. An OCSP signer speaks for
   * the issuer and need not have a purpose that the chain allows.
   */
  check(certificate: Certificate, kind: 'leaf' | 'authority' | 'ocsp_signer'): Finding[];
}

/** `chain`: DER, from the issuer upwards, as far as it is known; the last one is taken for trusted. */
export function createIssuanceGuard(chain: readonly Uint8Array[]): IssuanceGuard {
  const parsed = chain.map(parseCertificate);
  const above = parsed.filter((each): each is ParsedCertificate => !('reason' in each));
  const chainFindings = above.length === parsed.length ? findingsOfChain(above) : [unreadable()];
  const asks = questionsOf(above);
  return {
    check(certificate, kind) {
      if (chainFindings.length > 0) return [...chainFindings];
      const findings = [...lifeFindings(certificate, above), ...issuerFindings(certificate, above)];
      // The rest takes three times as long, and most chains ask nothing of it.
      if (kind !== 'authority' && !asks.names && !asks.policies && !(asks.purposes && kind === 'leaf')) return findings;
      const leaf = describeCertificate(certificate);
      const policy = asks.policies ? policyFinding([leaf, ...above]) : undefined;
      return [
        ...findings,
        ...(policy === undefined ? [] : [policy.finding]),
        ...(asks.names ? nameFindings(leaf, above) : []),
        ...(asks.purposes && kind === 'leaf' ? purposesWithin(leaf, above) : []),
        ...(kind === 'authority' ? lengthFindings(leaf, above) : []),
      ];
    },
  };
}

/** What a chain asks of the certificates below it. */
function questionsOf(above: readonly ParsedCertificate[]) {
  const some = (kind: ExtensionKind) => above.some((each) => each.isCritical(kind) !== undefined);
  return {
    names: some('name_constraints'),
    purposes: some('extended_key_usage'),
    policies: some('policy_constraints') || some('policy_mappings'),
  };
}

function unreadable(): Finding {
  const fix = 'Replace the authority.';
  return finding('malformed_certificate', 'a certificate above it that cannot be read', 'DER', 'RFC 5280 §4.1', fix);
}

/** The chain by itself, from the issuer to its top, by the search that judges the certificates of others. */
function findingsOfChain(above: readonly ParsedCertificate[]): readonly Finding[] {
  const [issuer, top] = [above[0], above.at(-1)];
  if (issuer === undefined || top === undefined) return [unreadable()];
  const at = latestStart(above);
  const budget = createBudget();
  const context = {
    anchors: [top],
    intermediates: above.slice(1, -1),
    at,
    purpose: 'any' as const,
    profile: 'rfc5280' as const,
    maxDepth: limits.depth,
    budget,
    signatures: createSignatureVerifier(budget),
  };
  const own = [...commonFindings(issuer, at, 'rfc5280'), ...authorityFindings(issuer, above.length === 1)];
  if (own.length > 0) return own;
  for (const { complete } of candidatePaths(issuer, context, false)) if (complete) return [];
  const findings = [...candidatePaths(issuer, context, true)].flatMap((candidate) => candidate.findings);
  return findings.length > 0 ? findings.slice(0, 5) : [workLimitFinding(budget.exhausted ?? 'depth')];
}

function latestStart(above: readonly ParsedCertificate[]): number {
  return Math.max(...above.map(({ certificate }) => certificate.notBefore));
}

/** There must be a time at which all of the path lives; whether it is now, the caller's clock decided. */
function lifeFindings(certificate: Certificate, above: readonly ParsedCertificate[]): Finding[] {
  let [start, end] = [certificate.notBefore, certificate.notAfter];
  for (const { certificate: issuer } of above) {
    start = Math.max(start, issuer.notBefore);
    end = Math.min(end, issuer.notAfter);
  }
  if (start <= end) return [];
  const found = `${toRfc3339(certificate.notBefore)} to ${toRfc3339(certificate.notAfter)}`;
  const fix = 'Ask for a time in which the authorities above it are valid, or rotate them.';
  return [finding('expired', found, 'a life within that of its chain', 'RFC 5280 §6.1.3 (a)(2)', fix)];
}

function issuerFindings(certificate: Certificate, above: readonly ParsedCertificate[]): Finding[] {
  const issuer = above[0] as ParsedCertificate;
  const named = extensionValue(certificate.extensions, 'authority_key_identifier')?.keyIdentifier;
  const own = issuer.value('subject_key_identifier');
  const isNamed = named === undefined || own === undefined || Buffer.compare(named, own) === 0;
  if (isNamed && certificate.issuer.der.equals(issuer.certificate.subject.der)) return [];
  const fix = 'The certificate was made for another issuer than the one that signed it.';
  return [finding('issuer_not_found', 'another issuer', 'the issuer that signed it', 'RFC 5280 §6.1.3 (a)(4)', fix)];
}

function nameFindings(leaf: ParsedCertificate, above: readonly ParsedCertificate[]): Finding[] {
  const budget = createBudget();
  const findings = above.flatMap((issuer) => constraintFindings(issuer, [leaf], budget));
  return budget.exhausted === undefined ? findings : [...findings, workLimitFinding(budget.exhausted)];
}

/** Every purpose must be one that all authorities above it allow (Baseline Requirements §7.1.2.5.1). */
function purposesWithin(leaf: ParsedCertificate, above: readonly ParsedCertificate[]): Finding[] {
  const purposes = leaf.value('extended_key_usage') ?? [];
  return above.flatMap((issuer) => {
    const allowed = issuer.value('extended_key_usage');
    if (allowed === undefined || allowed.includes(oids.anyExtendedKeyUsage)) return [];
    const missing = purposes.filter((purpose) => !allowed.includes(purpose));
    if (missing.length === 0) return [];
    const expected = `for ${allowed.map(oidName).join(', ')} only`;
    const fix = 'Leave the purpose out of the role, or use another authority.';
    return [finding('extended_key_usage', missing.map(oidName).join(', '), expected, 'RFC 5280 §4.2.1.12', fix)];
  });
}

/** RFC 5280 §6.1.4 (l) and (m): self-issued certificates are not counted. */
function lengthFindings(authority: ParsedCertificate, above: readonly ParsedCertificate[]): Finding[] {
  let below = authority.selfIssued ? 0 : 1;
  for (const issuer of above) {
    const allowed = issuer.value('basic_constraints')?.pathLength;
    if (allowed !== undefined && below > allowed) {
      const fix = 'Use an issuer higher up.';
      const found = `${below} authorities below an authority`;
      return [finding('path_length', found, `at most ${allowed}`, 'RFC 5280 §4.2.1.9', fix)];
    }
    if (!issuer.selfIssued) below += 1;
  }
  return [];
}
