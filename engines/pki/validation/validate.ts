import { formatName, type Name } from '#pki/x509/name.ts';
import { type Budget, createBudget, limits, type Work } from './budget.ts';
import { commonFindings, leafUsageFindings, type Purpose, purposeFindings } from './certificate-rules.ts';
import { conformanceFindings } from './conformance-rules.ts';
import { readCrls } from './crl-check.ts';
import { type Finding, finding, locate, type LocatedFinding, type Profile } from './finding.ts';
import { readOcspResponses } from './ocsp-check.ts';
import { type ParsedCertificate, parseCertificate } from './parsed-certificate.ts';
import { type CandidatePath, candidatePaths, type SearchContext, workLimitFinding } from './path-search.ts';
import { type PeerName, peerNameFindings } from './peer-name.ts';
import { type PolicyInputs, policyFinding } from './policy-graph.ts';
import {
  checkRevocation,
  type EvidenceSource,
  type RevocationInputs,
  type RevocationMode,
  type RevocationSource,
  type RevocationStatus,
} from './revocation.ts';
import { createSignatureVerifier } from './signature.ts';

export interface ValidationRequest {
  /** DER, as all certificates and CRLs here. */
  readonly leaf: Uint8Array;
  /** In any order; what does not belong is passed over. */
  readonly intermediates: readonly Uint8Array[];
  /** Trusted as they are; they need not be self-signed. */
  readonly anchors: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[] | undefined;
  readonly ocspResponses?: readonly Uint8Array[] | undefined;
  /** Milliseconds: the time for which the answer holds. */
  readonly at: number;
  /** Whom the leaf must name; undefined: its names are not looked at. */
  readonly name?: PeerName | undefined;
  /** Default `any`. */
  readonly purpose?: Purpose | undefined;
  /** Most certificates between leaf and trust anchor, self-issued ones not counted; default and most 10. */
  readonly maxDepth?: number | undefined;
  readonly profile: Profile;
  readonly policies?: PolicyInputs | undefined;
  readonly revocation?: RevocationSource | undefined;
  /** Where what is not known of a revocation is asked for; only for paths that break no rule. */
  readonly askForEvidence?: EvidenceSource | undefined;
  readonly checkRevocation: RevocationMode;
}

/** A certificate of a path, from the leaf upwards. */
export interface PathEntry {
  readonly role: 'leaf' | 'intermediate' | 'trust_anchor';
  /** RFC 4514. */
  readonly subject: string;
  readonly issuer: string;
  /** Lower-case hex. */
  readonly serialNumber: string;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256 of the certificate, hex. */
  readonly sha256: string;
  readonly revocation: RevocationStatus;
}

export interface Reason extends Finding {
  /** Its place in the path (0 is the leaf) and its subject; null when the reason lies in no certificate of the path. */
  readonly certificate: { readonly index: number; readonly subject: string } | null;
}

export interface JudgedPath {
  readonly path: readonly PathEntry[];
  readonly reasons: readonly Reason[];
}

export interface ValidationResult extends JudgedPath {
  readonly valid: boolean;
  readonly profile: Profile;
  /** Other paths that were looked at, with what was against them; the nearest to being valid first. */
  readonly rejectedPaths: readonly JudgedPath[];
  /** What it took; at most twice the `limits`, since a rejection is explained in a search of its own. */
  readonly work: Work;
}

const maxRejectedPaths = 8;
const maxReasons = 50;

/** A candidate after everything was asked. */
interface Judged {
  readonly candidate: CandidatePath;
  readonly statuses: readonly RevocationStatus[];
  readonly findings: readonly LocatedFinding[];
}

/**
 * Builds and validates certification paths (RFC 5280 §6, RFC 4158) and answers with the first that is valid, or with the
 * one that comes nearest and what is against it. Work is bounded (`limits`); malformed input gives a verdict, never an
 * exception. What `revocation` throws passes through.
 */
export async function validateCertificate(request: ValidationRequest): Promise<ValidationResult> {
  const budgets: [Budget, Budget] = [createBudget(), createBudget()];
  const decided = await decide(request, ...budgets);
  return { ...decided, work: addWork(budgets.map(({ spent }) => spent)) };
}

function addWork(parts: readonly Work[]): Work {
  const sum = (resource: keyof Work) => parts.reduce((total, part) => total + part[resource], 0);
  return {
    signatureChecks: sum('signatureChecks'),
    nodes: sum('nodes'),
    nameComparisons: sum('nameComparisons'),
  };
}

type Verdict = Omit<ValidationResult, 'work'>;

async function decide(request: ValidationRequest, budget: Budget, budgetToExplain: Budget): Promise<Verdict> {
  const leaf = parseCertificate(request.leaf);
  if ('reason' in leaf) return refusal(request, malformed('the certificate', leaf.reason));
  const excess = excessFinding(request);
  if (excess !== undefined) return refusal(request, excess);
  const inputs = readInputs(request);
  const context = createContext(request, inputs, budget);
  const leafFindings = locate(0, findingsOfLeaf(leaf, request));
  const judge = createJudge(request, context, leafFindings);
  const rejected: Judged[] = [];
  let exhausted: string | undefined;
  for (const candidate of candidatePaths(leaf, context, false)) {
    // Another path would not mend the leaf.
    if (leafFindings.length > 0 && rejected.length >= maxRejectedPaths) break;
    if (rejected.length >= limits.paths) {
      exhausted = `${limits.paths} paths`;
      break;
    }
    const judged = await judge(candidate);
    if (isSound(judged) && context.budget.exhausted === undefined) return acceptance(request, judged, rejected);
    rejected.push(judged);
  }
  exhausted ??= context.budget.exhausted;
  if (rejected.length === 0) rejected.push(...(await explain(leaf, request, inputs, leafFindings, budgetToExplain)));
  const [best, ...others] = rejected.toSorted(nearestFirst);
  if (best === undefined) return refusal(request, workLimitFinding(exhausted ?? 'depth'));
  const cutOff = exhausted ?? budgetToExplain.exhausted;
  const extra = [...inputs.problems, ...(cutOff === undefined ? [] : [workLimitFinding(cutOff)])];
  return rejection(request, best, others, extra);
}

function isSound({ candidate, findings }: Judged): boolean {
  return candidate.complete && findings.length === 0;
}

/** What is wrong with the certificates that were given beside the leaf. */
interface Inputs {
  readonly anchors: readonly ParsedCertificate[];
  readonly intermediates: readonly ParsedCertificate[];
  readonly problems: readonly Finding[];
}

function readInputs({ anchors, intermediates }: ValidationRequest): Inputs {
  const problems: Finding[] = [];
  const read = (ders: readonly Uint8Array[], what: string) =>
    ders.flatMap((der, index) => {
      const parsed = parseCertificate(der);
      if (!('reason' in parsed)) return [parsed];
      problems.push(malformed(`${what} ${index + 1}`, parsed.reason));
      return [];
    });
  return {
    anchors: distinct(read(anchors, 'trust anchor')),
    intermediates: distinct(read(intermediates, 'intermediate')),
    problems,
  };
}

/** What is given twice makes no second path. */
function distinct(certificates: readonly ParsedCertificate[]): ParsedCertificate[] {
  return [...new Map(certificates.map((parsed) => [parsed.sha256, parsed])).values()];
}

function malformed(what: string, reason: string): Finding {
  const fix = 'Send it as it was issued; only strict DER is read.';
  return finding('malformed_certificate', `${what}: ${reason}`, 'a certificate in DER', 'RFC 5280 §4.1', fix);
}

function excessFinding({
  anchors,
  intermediates,
  crls = [],
  ocspResponses = [],
}: ValidationRequest): Finding | undefined {
  if (intermediates.length > limits.intermediates) return workLimitFinding(`${limits.intermediates} intermediates`);
  if (anchors.length > limits.anchors) return workLimitFinding(`${limits.anchors} trust anchors`);
  if (ocspResponses.length > limits.ocspResponses) return workLimitFinding(`${limits.ocspResponses} OCSP responses`);
  return crls.length > limits.crls ? workLimitFinding(`${limits.crls} CRLs`) : undefined;
}

function createContext(request: ValidationRequest, { anchors, intermediates }: Inputs, budget: Budget): SearchContext {
  const { at, purpose = 'any', profile } = request;
  const maxDepth = Math.min(request.maxDepth ?? limits.depth, limits.depth);
  return {
    anchors,
    intermediates,
    at,
    purpose,
    profile,
    maxDepth,
    budget,
    signatures: createSignatureVerifier(budget),
  };
}

function findingsOfLeaf(leaf: ParsedCertificate, { at, profile, purpose = 'any', name }: ValidationRequest): Finding[] {
  return [
    ...commonFindings(leaf, at, profile),
    ...purposeFindings(leaf, purpose),
    ...leafUsageFindings(leaf, purpose),
    ...(name === undefined ? [] : peerNameFindings(leaf, name)),
    ...(profile === 'web_pki' ? conformanceFindings(leaf, 'leaf') : []),
  ];
}

type Judge = (candidate: CandidatePath) => Promise<Judged>;

/** Asks of a path what can be asked only once it is whole: policies and revocation. */
function createJudge(
  request: ValidationRequest,
  search: SearchContext,
  leafFindings: readonly LocatedFinding[],
): Judge {
  const inputs = revocationInputs(request);
  return async (candidate) => {
    const { certificates, complete } = candidate;
    const found = [...leafFindings, ...candidate.findings];
    if (!complete) return { candidate, statuses: certificates.map(() => 'not_checked'), findings: found };
    const policy = policyFinding(certificates, request.policies);
    if (policy !== undefined) found.push(...locate(policy.index, [policy.finding]));
    const ask = found.length === 0 ? inputs.ask : undefined;
    const { statuses, findings } = await checkRevocation(certificates, { ...inputs, ask }, search);
    return { candidate, statuses, findings: [...found, ...findings] };
  };
}

function revocationInputs(request: ValidationRequest): RevocationInputs {
  return {
    mode: request.checkRevocation,
    given: { crls: readCrls(request.crls ?? []), ocsp: readOcspResponses(request.ocspResponses ?? []) },
    source: request.revocation,
    ask: request.askForEvidence,
  };
}

/** Looks again, with a budget of its own, at paths that break rules, in order to say which. */
async function explain(
  leaf: ParsedCertificate,
  request: ValidationRequest,
  inputs: Inputs,
  leafFindings: readonly LocatedFinding[],
  budget: Budget,
): Promise<Judged[]> {
  const context = createContext(request, inputs, budget);
  const judge = createJudge(request, context, leafFindings);
  const judged: Judged[] = [];
  for (const candidate of candidatePaths(leaf, context, true)) {
    judged.push(await judge(candidate));
    if (judged.length >= maxRejectedPaths) break;
  }
  return judged;
}

/** Whole paths before dead ends, then those with the least against them, then the longer. */
function nearestFirst(left: Judged, right: Judged): number {
  return (
    Number(right.candidate.complete) - Number(left.candidate.complete) ||
    left.findings.length - right.findings.length ||
    right.candidate.certificates.length - left.candidate.certificates.length
  );
}

function acceptance({ profile }: ValidationRequest, chosen: Judged, others: readonly Judged[]): Verdict {
  return { valid: true, profile, ...describe(chosen), rejectedPaths: describeAll(others) };
}

/** `extra`: what speaks against all paths. A path that was not followed to its end may have nothing against it itself. */
function rejection(
  { profile }: ValidationRequest,
  best: Judged,
  others: readonly Judged[],
  extra: readonly Finding[],
): Verdict {
  const { path, reasons } = describe(best);
  const all = [...reasons, ...extra.slice(0, maxReasons).map((each) => ({ ...each, certificate: null }))];
  return { valid: false, profile, path, reasons: all, rejectedPaths: describeAll(others) };
}

function describeAll(judged: readonly Judged[]): JudgedPath[] {
  return judged.toSorted(nearestFirst).slice(0, maxRejectedPaths).map(describe);
}

function refusal({ profile }: ValidationRequest, reason: Finding): Verdict {
  return { valid: false, profile, path: [], reasons: [{ ...reason, certificate: null }], rejectedPaths: [] };
}

function describe({ candidate, statuses, findings }: Judged): JudgedPath {
  const { certificates, complete } = candidate;
  const path = certificates.map(({ certificate, sha256 }, index) => ({
    role: roleAt(index, certificates.length, complete),
    subject: nameText(certificate.subject),
    issuer: nameText(certificate.issuer),
    serialNumber: certificate.serialNumber,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    sha256,
    revocation: statuses[index] ?? 'not_checked',
  }));
  const reasons = findings.slice(0, maxReasons).map(({ index, ...each }) => ({
    ...each,
    certificate: { index, subject: path[index]?.subject ?? '' },
  }));
  return { path, reasons };
}

const maxNameText = 1000;

/** A name may be as large as a certificate, and stands in the answer once for every path. */
function nameText(name: Name): string {
  const text = formatName(name);
  return text.length > maxNameText ? `${text.slice(0, maxNameText)}…` : text;
}

function roleAt(index: number, length: number, complete: boolean): PathEntry['role'] {
  if (complete && index === length - 1) return 'trust_anchor';
  return index === 0 ? 'leaf' : 'intermediate';
}
