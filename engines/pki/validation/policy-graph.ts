import type { CertificatePolicy, PolicyMapping } from '#pki/x509/policy-extensions.ts';
import { oids } from '#pki/x509/oid.ts';
import { type Finding, finding } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** The policy inputs of RFC 5280 §6.1.1 (c) to (g). */
export interface PolicyInputs {
  /** Dotted identifiers that are acceptable; default: any policy. */
  readonly initialSet?: readonly string[] | undefined;
  readonly requireExplicit?: boolean | undefined;
  readonly inhibitMapping?: boolean | undefined;
  readonly inhibitAny?: boolean | undefined;
}

/** A node of the valid_policy_graph (RFC 9618 §5.1): one per policy and depth, which keeps the graph polynomial. */
interface Node {
  readonly policy: string;
  expected: ReadonlySet<string>;
  readonly parents: ReadonlySet<Node>;
}
type Level = Map<string, Node>;

interface State {
  /** By depth; undefined once the graph is NULL. */
  levels: Level[] | undefined;
  explicit: number;
  mapping: number;
  inhibitAny: number;
}

/**
 * Policy processing of RFC 5280 §6.1 with the graph of RFC 9618. `path` goes from the leaf to the trust anchor. Returns
 * what is wrong with where; undefined when the policies allow the path.
 */
export function policyFinding(
  path: readonly ParsedCertificate[],
  inputs: PolicyInputs = {},
): { readonly index: number; readonly finding: Finding } | undefined {
  const count = path.length - 1;
  const state = initialState(count, inputs);
  for (let index = count - 1; index >= 0; index--) {
    const parsed = path[index] as ParsedCertificate;
    processPolicies(state, parsed, index === 0);
    if (state.explicit === 0 && state.levels === undefined) return { index, finding: noPolicy() };
    if (index === 0) break;
    const problem = prepareNext(state, parsed);
    if (problem !== undefined) return { index, finding: problem };
  }
  return wrapUp(state, path[0] as ParsedCertificate, inputs) ? undefined : { index: 0, finding: noPolicy() };
}

function noPolicy(): Finding {
  return finding(
    'policy',
    'no certificate policy that is valid along the whole path',
    'at least one, because the path or the request requires an explicit policy',
    'RFC 5280 §6.1.5 (g), RFC 9618',
    'Have the certificates issued under a policy that their issuers assert and that is accepted.',
  );
}

function initialState(count: number, inputs: PolicyInputs): State {
  const anyNode: Node = { policy: oids.anyPolicy, expected: new Set([oids.anyPolicy]), parents: new Set() };
  return {
    levels: [new Map([[oids.anyPolicy, anyNode]])],
    explicit: inputs.requireExplicit ? 0 : count + 1,
    mapping: inputs.inhibitMapping ? 0 : count + 1,
    inhibitAny: inputs.inhibitAny ? 0 : count + 1,
  };
}

/** RFC 9618 §5.3: §6.1.3 (d) and (e). */
function processPolicies(state: State, parsed: ParsedCertificate, isLast: boolean): void {
  const policies = parsed.value('certificate_policies');
  if (policies === undefined) state.levels = undefined;
  if (policies === undefined || state.levels === undefined) return;
  const above = state.levels.at(-1) as Level;
  const level = matchPolicies(above, policies);
  const hasAny = policies.some((policy) => policy.oid === oids.anyPolicy);
  if (hasAny && (state.inhibitAny > 0 || (!isLast && parsed.selfIssued))) inheritAny(above, level);
  state.levels.push(level);
  prune(state);
}

function matchPolicies(above: Level, policies: readonly CertificatePolicy[]): Level {
  const byExpected = indexExpected(above);
  const level: Level = new Map();
  const anyAbove = above.get(oids.anyPolicy);
  for (const { oid } of policies) {
    if (oid === oids.anyPolicy) continue;
    const parents = byExpected.get(oid) ?? (anyAbove && new Set([anyAbove]));
    if (parents !== undefined) level.set(oid, { policy: oid, expected: new Set([oid]), parents });
  }
  return level;
}

/** §6.1.3 (d)(2): what is expected above and not named here is inherited through anyPolicy. */
function inheritAny(above: Level, level: Level): void {
  for (const [policy, parents] of indexExpected(above))
    if (!level.has(policy)) level.set(policy, { policy, expected: new Set([policy]), parents });
}

function indexExpected(level: Level): Map<string, Set<Node>> {
  const byExpected = new Map<string, Set<Node>>();
  for (const node of level.values())
    for (const policy of node.expected) {
      const nodes = byExpected.get(policy);
      if (nodes === undefined) byExpected.set(policy, new Set([node]));
      else nodes.add(node);
    }
  return byExpected;
}

/** §6.1.3 (d)(3): removes nodes without children, from the lowest depth upwards. */
function prune(state: State): void {
  const levels = state.levels as Level[];
  for (let depth = levels.length - 2; depth >= 0; depth--) {
    const used = new Set<Node>();
    for (const node of (levels[depth + 1] as Level).values()) for (const parent of node.parents) used.add(parent);
    for (const [policy, node] of levels[depth] as Level) if (!used.has(node)) (levels[depth] as Level).delete(policy);
  }
  if (levels[0]?.size === 0 || levels.at(-1)?.size === 0) state.levels = undefined;
}

/** §6.1.4 (a), (b), (h), (i), (j). */
function prepareNext(state: State, parsed: ParsedCertificate): Finding | undefined {
  const mappings = parsed.value('policy_mappings') ?? [];
  if (mappings.some((pair) => Object.values(pair).includes(oids.anyPolicy)))
    return finding(
      'policy',
      'a policy mapping from or to anyPolicy',
      'mappings between policies that are named',
      'RFC 5280 §6.1.4 (a)',
      'Have the authority certified without this mapping.',
    );
  if (mappings.length > 0 && state.levels !== undefined) applyMappings(state, mappings);
  if (!parsed.selfIssued) {
    state.explicit = Math.max(0, state.explicit - 1);
    state.mapping = Math.max(0, state.mapping - 1);
    state.inhibitAny = Math.max(0, state.inhibitAny - 1);
  }
  const constraints = parsed.value('policy_constraints');
  state.explicit = Math.min(state.explicit, constraints?.requireExplicitPolicy ?? state.explicit);
  state.mapping = Math.min(state.mapping, constraints?.inhibitPolicyMapping ?? state.mapping);
  state.inhibitAny = Math.min(state.inhibitAny, parsed.value('inhibit_any_policy') ?? state.inhibitAny);
  return undefined;
}

/** RFC 9618 §5.4: §6.1.4 (b). */
function applyMappings(state: State, mappings: readonly PolicyMapping[]): void {
  const levels = state.levels as Level[];
  const level = levels.at(-1) as Level;
  const targets = new Map<string, Set<string>>();
  for (const { issuerDomainPolicy, subjectDomainPolicy } of mappings) {
    const known = targets.get(issuerDomainPolicy);
    if (known === undefined) targets.set(issuerDomainPolicy, new Set([subjectDomainPolicy]));
    else known.add(subjectDomainPolicy);
  }
  const anyNode = level.get(oids.anyPolicy);
  for (const [policy, expected] of targets) {
    const node = level.get(policy);
    if (state.mapping === 0) level.delete(policy);
    else if (node !== undefined) node.expected = expected;
    else if (anyNode !== undefined) level.set(policy, { policy, expected, parents: anyNode.parents });
  }
  prune(state);
}

/** §6.1.5 (a), (b) and (g), with RFC 9618 §5.5. */
function wrapUp(state: State, leaf: ParsedCertificate, { initialSet }: PolicyInputs): boolean {
  const required = leaf.value('policy_constraints')?.requireExplicitPolicy;
  const explicit = required === 0 ? 0 : Math.max(0, state.explicit - 1);
  return explicit > 0 || isAccepted(state.levels, initialSet);
}

/** Whether the user-constrained policy set holds anything. */
function isAccepted(levels: readonly Level[] | undefined, initialSet: readonly string[] | undefined): boolean {
  if (levels === undefined) return false;
  if (initialSet === undefined || initialSet.includes(oids.anyPolicy)) return true;
  if (levels.at(-1)?.has(oids.anyPolicy)) return true;
  const accepted = new Set(initialSet);
  for (const level of levels)
    for (const node of level.values()) {
      const isRootOfDomain =
        node.parents.size > 0 && [...node.parents].every(({ policy }) => policy === oids.anyPolicy);
      if (isRootOfDomain && node.policy !== oids.anyPolicy && accepted.has(node.policy)) return true;
    }
  return false;
}
