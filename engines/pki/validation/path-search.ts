import { formatName } from '#pki/x509/name.ts';
import { type Budget, limits } from './budget.ts';
import { authorityFindings, commonFindings, type Purpose, purposeFindings } from './certificate-rules.ts';
import { conformanceFindings } from './conformance-rules.ts';
import { type Finding, finding, locate, type LocatedFinding, type Profile } from './finding.ts';
import { constraintFindings, constraintSyntaxFindings } from './name-constraints.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import { type SignatureVerifier, signatureAlgorithmFindings, signatureInvalid } from './signature.ts';

/** What the search works with. */
export interface SearchContext {
  readonly anchors: readonly ParsedCertificate[];
  readonly intermediates: readonly ParsedCertificate[];
  /** Milliseconds. */
  readonly at: number;
  readonly purpose: Purpose;
  readonly profile: Profile;
  /** Most certificates between leaf and trust anchor that are not self-issued. */
  readonly maxDepth: number;
  readonly budget: Budget;
  readonly signatures: SignatureVerifier;
}

/** Certificates from the leaf upwards; when `complete`, the last one is a trust anchor. */
export interface CandidatePath {
  readonly certificates: readonly ParsedCertificate[];
  readonly findings: readonly LocatedFinding[];
  readonly complete: boolean;
}

interface Graph {
  /** Certificates by subject; where only sound paths are wanted, those from which a trust anchor can be reached. */
  readonly bySubject: ReadonlyMap<string, readonly ParsedCertificate[]>;
  readonly anchors: ReadonlySet<string>;
  /** Fewest certificates from an issuer of this name to a trust anchor. */
  readonly distance: ReadonlyMap<string, number>;
}

/**
 * The paths from `leaf` to trust anchors, likeliest first. With `lenient` false only paths that break no rule above the
 * leaf; with true also others, and dead ends, each with all that is wrong with it, for telling why there is none.
 *
 * The search is depth first with backtracking (RFC 4158 §2.4). A key that stands in a path under the same name is never
 * visited again in it (§5.2), so cycles of cross-certificates end; the budget bounds meshes.
 */
export function* candidatePaths(
  leaf: ParsedCertificate,
  context: SearchContext,
  lenient: boolean,
): Generator<CandidatePath> {
  const graph = buildGraph(context, lenient);
  if (graph.anchors.has(leaf.sha256)) yield { certificates: [leaf], findings: [], complete: true };
  yield* extend([leaf], [], { context, graph, lenient, own: new Map() });
}

interface Search {
  readonly context: SearchContext;
  readonly graph: Graph;
  readonly lenient: boolean;
  /** What is wrong with an issuer whatever the path, by its SHA-256: it may be visited many times. */
  readonly own: Map<string, readonly Finding[]>;
}

function* extend(
  path: readonly ParsedCertificate[],
  findings: readonly LocatedFinding[],
  search: Search,
): Generator<CandidatePath> {
  const { context, graph, lenient } = search;
  const child = path.at(-1) as ParsedCertificate;
  const issuers = issuersOf(child, path, graph);
  if (issuers.length === 0 && lenient) yield deadEnd(path, findings, child, search);
  for (const issuer of issuers) {
    if (!context.budget.take('nodes')) return;
    const isAnchor = graph.anchors.has(issuer.sha256);
    const added = stepFindings(issuer, isAnchor, path, search);
    if (added.length > 0 && !lenient) continue;
    const certificates = [...path, issuer];
    const all = [...findings, ...added];
    const isSigned = context.signatures.verify(child.certificate, issuer);
    if (context.budget.exhausted !== undefined) {
      if (lenient) yield { certificates, findings: all, complete: false };
      return;
    }
    if (!isSigned) {
      const broken = locate(path.length - 1, [signatureInvalid(formatName(issuer.certificate.subject).slice(0, 1000))]);
      if (lenient) yield { certificates, findings: [...all, ...broken], complete: false };
    } else if (isAnchor) yield { certificates, findings: all, complete: true };
    else if (path.length <= limits.depth) yield* extend(certificates, all, search);
    else if (lenient) yield { certificates, findings: [...all, ...tooDeep(all, path.length)], complete: false };
  }
}

/** Self-issued certificates, which no length counts, have their end as well. */
function tooDeep(findings: readonly LocatedFinding[], index: number): LocatedFinding[] {
  if (findings.some(({ code }) => code === 'path_depth')) return [];
  const found = 'a path that goes on';
  const fix = 'Trust an authority nearer to the leaf.';
  return locate(index, [finding('path_depth', found, `at most ${index} certificates below`, 'RFC 4158 §2.4', fix)]);
}

function deadEnd(
  path: readonly ParsedCertificate[],
  findings: readonly LocatedFinding[],
  child: ParsedCertificate,
  { graph }: Search,
): CandidatePath {
  const issuer = formatName(child.certificate.issuer).slice(0, 1000);
  const isKnown = graph.bySubject.has(child.issuerKey);
  const missing = finding(
    'issuer_not_found',
    child.selfIssued
      ? `a self-signed certificate that is no trust anchor`
      : `no certificate of ${issuer || '(no name)'}`,
    isKnown ? 'an issuer that leads to a trust anchor without a cycle' : 'a chain of issuers up to a trust anchor',
    'RFC 5280 §6.1',
    'Give the missing intermediates, or trust the root of this chain.',
  );
  return { certificates: path, findings: [...findings, ...locate(path.length - 1, [missing])], complete: false };
}

/** Everything that `issuer`, put on top of `path`, breaks, but for the signature. */
function stepFindings(
  issuer: ParsedCertificate,
  isAnchor: boolean,
  path: readonly ParsedCertificate[],
  search: Search,
): LocatedFinding[] {
  const child = path.at(-1) as ParsedCertificate;
  const own = [...ownFindings(issuer, isAnchor, search), ...lengthFindings(issuer, isAnchor, path, search.context)];
  return [
    ...locate(path.length - 1, signatureAlgorithmFindings(child.certificate.signatureAlgorithm)),
    ...locate(path.length, own),
    ...constraintFindings(issuer, path, search.context.budget),
  ];
}

function ownFindings(issuer: ParsedCertificate, isAnchor: boolean, { context, own }: Search): readonly Finding[] {
  const known = own.get(issuer.sha256);
  if (known !== undefined) return known;
  const { profile, purpose, at } = context;
  const findings = [
    ...commonFindings(issuer, at, profile),
    ...authorityFindings(issuer, isAnchor),
    ...(profile === 'web_pki' ? conformanceFindings(issuer, isAnchor ? 'anchor' : 'intermediate') : []),
    ...constraintSyntaxFindings(issuer, profile),
    ...purposeFindings(issuer, purpose),
  ];
  own.set(issuer.sha256, findings);
  return findings;
}

/** RFC 5280 §4.2.1.9 and §6.1.4 (l): self-issued certificates and the leaf are not counted. */
function lengthFindings(
  issuer: ParsedCertificate,
  isAnchor: boolean,
  path: readonly ParsedCertificate[],
  { maxDepth }: SearchContext,
): Finding[] {
  const below = path.filter((parsed, index) => index > 0 && !parsed.selfIssued).length;
  const allowed = issuer.value('basic_constraints')?.pathLength;
  const findings: Finding[] = [];
  if (allowed !== undefined && below > allowed) {
    const fix = 'Use an issuer higher up, or have the authority certified with a longer path.';
    const found = `${below} authorities below it`;
    findings.push(finding('path_length', found, `at most ${allowed}`, 'RFC 5280 §4.2.1.9', fix));
  }
  const depth = below + (isAnchor || issuer.selfIssued ? 0 : 1);
  if (depth > maxDepth) {
    const fix = 'Allow a deeper path, or use an authority nearer to the trust anchor.';
    findings.push(finding('path_depth', `${depth} intermediates`, `at most ${maxDepth}`, 'the request', fix));
  }
  return findings;
}

/** The certificates that may have issued `child`, likeliest first. */
function issuersOf(
  child: ParsedCertificate,
  path: readonly ParsedCertificate[],
  { bySubject, anchors, distance }: Graph,
): ParsedCertificate[] {
  const keyIdentifier = child.value('authority_key_identifier')?.keyIdentifier;
  const rank = (issuer: ParsedCertificate) => {
    const own = issuer.value('subject_key_identifier');
    const fits =
      keyIdentifier === undefined || own === undefined ? 1 : Buffer.compare(own, keyIdentifier) === 0 ? 0 : 2;
    const away = anchors.has(issuer.sha256) ? 0 : 1 + (distance.get(issuer.issuerKey) ?? limits.depth);
    return fits * 100 + Math.min(away, 99);
  };
  return (bySubject.get(child.issuerKey) ?? [])
    .filter(
      (issuer) => !path.some((each) => each.spkiSha256 === issuer.spkiSha256 && each.subjectKey === issuer.subjectKey),
    )
    .map((issuer) => ({ issuer, rank: rank(issuer) }))
    .sort(
      (left, right) => left.rank - right.rank || right.issuer.certificate.notAfter - left.issuer.certificate.notAfter,
    )
    .map(({ issuer }) => issuer);
}

function buildGraph({ anchors, intermediates }: SearchContext, keepUnreachable: boolean): Graph {
  const trusted = new Set(anchors.map((anchor) => anchor.sha256));
  const all = [...anchors, ...intermediates.filter(({ sha256 }) => !trusted.has(sha256))];
  const byIssuer = Map.groupBy(all, (parsed) => parsed.issuerKey);
  const distance = new Map<string, number>(anchors.map((anchor) => [anchor.subjectKey, 0]));
  // A Map is walked in the order of insertion, entries added meanwhile included: breadth first from the anchors down.
  for (const [subject, steps] of distance)
    for (const below of byIssuer.get(subject) ?? [])
      if (!distance.has(below.subjectKey)) distance.set(below.subjectKey, steps + 1);
  const useful = (parsed: ParsedCertificate) => trusted.has(parsed.sha256) || distance.has(parsed.issuerKey);
  const kept = keepUnreachable ? all : all.filter(useful);
  return { bySubject: Map.groupBy(kept, (parsed) => parsed.subjectKey), anchors: trusted, distance };
}

/** Told when the search was cut off: the verdict is "no", but it might be another with more work. */
export function workLimitFinding(exhausted: string): Finding {
  return finding(
    'work_limit',
    `more work than the limit on ${exhausted} allows`,
    'a path that can be found and judged within the limits',
    'RFC 4158 §2.4, CVE-2023-0464',
    'Give fewer certificates, names and constraints: those of one chain are enough.',
  );
}
