import type { Certificate } from '#pki/x509/certificate.ts';
import { oidName, oids } from '#pki/x509/oid.ts';
import { createBudget, limits } from './budget.ts';
import { authorityFindings, commonFindings, formFindings } from './certificate-rules.ts';
import { type Finding, finding } from './finding.ts';
import { constraintFindings } from './name-constraints.ts';
import { describeCertificate, type ParsedCertificate, parseCertificate } from './parsed-certificate.ts';
import { candidatePaths } from './path-search.ts';
import { policyFinding } from './policy-graph.ts';
import { createSignatureVerifier } from './signature.ts';

/**
 * The validator, as a guard of our own issuance: whether a certificate that was just signed is valid under the chain that
 * is handed out with it. The chain is validated once; of each certificate remains to be asked what it has to do with it.
 */
export interface IssuanceGuard {
  /**
   * What stands against the certificate, whose key and signature were checked before. An OCSP signer speaks for the
   * issuer and need not have a purpose that the chain allows.
   */
  check(certificate: Certificate, kind: 'leaf' | 'authority' | 'ocsp_signer'): Finding[];
}

/** `chain`: DER, from the issuer upwards, as far as it is known; the last one is taken for trusted. */
export function createIssuanceGuard(chain: readonly Uint8Array[]): IssuanceGuard {
  const parsed = chain.map(parseCertificate);
  const above = parsed.filter((each): each is ParsedCertificate => !('reason' in each));
  const latestStart = Math.max(...above.map(({ certificate }) => certificate.notBefore));
  const chainFindings = above.length === parsed.length ? findingsOfChain(above, latestStart) : [unreadable()];
  return {
    check(certificate, kind) {
      if (chainFindings.length > 0) return [...chainFindings];
      const leaf = describeCertificate(certificate);
      // Asked for a time at which all of them live; that there is none is one of the findings.
      const at = Math.max(certificate.notBefore, latestStart);
      const policy = policyFinding([leaf, ...above]);
      return [
        ...formFindings(leaf, at, 'rfc5280'),
        ...above.flatMap((each) => (at > each.certificate.notAfter ? formFindings(each, at, 'rfc5280') : [])),
        ...issuerFindings(leaf, above),
        ...(policy === undefined ? [] : [policy.finding]),
        ...nameFindings(leaf, above),
        ...(kind === 'leaf' ? purposesWithin(leaf, above) : []),
        ...(kind === 'authority' ? lengthFindings(leaf, above) : []),
      ];
    },
  };
}

function unreadable(): Finding {
  const fix = 'Replace the authority.';
  return finding('malformed_certificate', 'a certificate above it that cannot be read', 'DER', 'RFC 5280 §4.1', fix);
}

/** The chain by itself, from the issuer to its top, by the search that judges the certificates of others. */
function findingsOfChain(above: readonly ParsedCertificate[], at: number): readonly Finding[] {
  const [issuer, top] = [above[0], above.at(-1)];
  if (issuer === undefined || top === undefined) return [unreadable()];
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
  return [...candidatePaths(issuer, context, true)].flatMap(({ findings }) => findings).slice(0, 5);
}

function issuerFindings(leaf: ParsedCertificate, above: readonly ParsedCertificate[]): Finding[] {
  const issuer = above[0] as ParsedCertificate;
  const fix = 'The certificate was made for another issuer than the one that signed it.';
  const named = leaf.value('authority_key_identifier')?.keyIdentifier;
  const own = issuer.value('subject_key_identifier');
  const isNamed = named === undefined || own === undefined || Buffer.compare(named, own) === 0;
  if (isNamed && leaf.certificate.issuer.der.equals(issuer.certificate.subject.der)) return [];
  return [finding('issuer_not_found', 'another issuer', 'the issuer that signed it', 'RFC 5280 §6.1.3 (a)(4)', fix)];
}

function nameFindings(leaf: ParsedCertificate, above: readonly ParsedCertificate[]): Finding[] {
  if (above.every((issuer) => issuer.value('name_constraints') === undefined)) return [];
  const budget = createBudget();
  return above.flatMap((issuer) => constraintFindings(issuer, [leaf], budget));
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
