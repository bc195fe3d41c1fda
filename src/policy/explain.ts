import type { Narrowing } from '#core/principal.ts';
import { AppError, type ErrorDetail } from '#core/errors.ts';
import type { CompiledPolicy, CompiledRule } from './compile.ts';
import { type Conditions, type Lack, unmet } from './conditions.ts';
import { circumstances, type PolicyRequest } from './decide.ts';
import type { Denial, Subject, Verdict } from './judge.ts';
import { type RuleConditions, type ShownConditions, showRule } from './rules.ts';

/** A refusal teaches (design §1.5): which rule decided, what the request lacks, and which request would pass. */
export interface Explanation {
  /** One sentence: what was found. */
  readonly message: string;
  /** One sentence: the next step. */
  readonly hint: string;
  readonly findings: readonly ErrorDetail[];
  /** The rule that decided, or the nearest one that did not allow it. */
  readonly rule: CompiledRule | undefined;
}

/** Explains why a request is not simply allowed. Slow; only for refusals. */
export function explain(
  verdict: Exclude<Verdict, { outcome: 'allowed' }>,
  subject: Subject,
  request: PolicyRequest,
): Explanation {
  if (verdict.outcome === 'approval_required') {
    return {
      message: `${titleOf(verdict.rule)} wants somebody else to approve ${request.operation} on ${request.resource} first.`,
      hint: 'Make the request; it is kept for approval, and passes once when it is repeated with the approval.',
      findings: [{ at: pointer(verdict.rule, 'conditions/approval'), message: 'nobody has approved this request' }],
      rule: verdict.rule,
    };
  }
  return explainDenial(verdict, subject, request);
}

/** The error that tells a denial. */
export function denied(denial: Denial, subject: Subject, request: PolicyRequest): AppError {
  const { message, hint, findings, rule } = explainDenial(denial, subject, request);
  return new AppError('denied', message, {
    hint,
    details: findings,
    ...(rule === undefined ? {} : { members: { policy: rule.policy, rule: rule.number } }),
  });
}

function explainDenial(denial: Denial, subject: Subject, request: PolicyRequest): Explanation {
  const what = `${request.operation} on ${request.resource}`;
  if (denial.reason === 'rule') return explainDeny(denial.rule, what);
  if (denial.reason === 'no_rule') return explainNoRule(denial.policies, subject, request, what);
  if (denial.reason === 'narrowed') return explainNarrowing(denial.narrowing, what);
  if (denial.reason === 'resource') {
    return plain(
      `The resource ${JSON.stringify(request.resource.slice(0, 80))} is not in normal form.`,
      'Write segments of a-z, 0-9, -, _ and . with one / between them; nothing is folded, unescaped or resolved.',
    );
  }
  if (denial.reason === 'namespace') {
    return plain(
      `${request.operation} touches the whole installation, and ${subject.name} is not of the namespace root.`,
      'Use a principal of the namespace root.',
    );
  }
  if (denial.reason === 'missing_policy') {
    return plain(
      `${subject.name} has the policy ${denial.policy}, which does not exist.`,
      'An administrator must make the policy again or take it from the principal; until then everything is denied.',
    );
  }
  return plain(
    `The background job ${subject.name} may not call ${what}.`,
    'What each job may do is part of the program.',
  );
}

function plain(message: string, hint: string): Explanation {
  return { message, hint, findings: [], rule: undefined };
}

const lessNarrowed = 'Use a token that was narrowed less, or the key that it came from.';

function explainNarrowing({ operations, resources, denied: globs = [] }: Narrowing, what: string): Explanation {
  return {
    message: `The token is narrowed, and may not call ${what}.`,
    hint: lessNarrowed,
    findings: [
      { at: 'token/operations', message: `it may call ${list(operations)}` },
      { at: 'token/resources', message: `on ${list(resources)}` },
      ...deniedFinding(globs),
    ],
    rule: undefined,
  };
}

function deniedFinding(globs: readonly string[]): ErrorDetail[] {
  return globs.length === 0 ? [] : [{ at: 'token/denied_resources', message: `and not on ${list(globs)}` }];
}

/** The error for what a token denies and an operation would reach by way of its own resource. */
export function deniedBehind({ denied: globs = [] }: Narrowing, operation: string, resource: string): AppError {
  return new AppError('denied', `The token is narrowed, and ${operation} would reach ${resource}, which it denies.`, {
    hint: lessNarrowed,
    details: deniedFinding(globs),
  });
}

function explainDeny(rule: CompiledRule, what: string): Explanation {
  const escapes = rule.conditions === undefined ? [] : waysOut(rule.conditions);
  return {
    message: `${titleOf(rule)} denies ${what}.`,
    hint:
      escapes.length === 0
        ? 'A deny wins over every allow; only a change of this rule by an administrator would help.'
        : `The rule does not apply to a request with ${escapes.join(' or ')}.`,
    findings: [
      { at: pointer(rule), message: `denies ${list(rule.source.operations)} on ${list(rule.source.resources)}` },
    ],
    rule,
  };
}

/** What takes a request out of the reach of a deny: breaking one of its conditions is enough. */
function waysOut({ source }: Conditions): string[] {
  const shown = showRule({ effect: 'deny', operations: [], resources: [], conditions: source }).conditions ?? {};
  const { source_cidrs: cidrs } = shown;
  const ways = {
    ...wanted(shown),
    ...(cidrs === undefined ? {} : { source_cidrs: `a source address outside ${list(cidrs)}` }),
  };
  return Object.values(ways);
}

/** What each condition wants of a request, in words that follow "with". */
function wanted(shown: ShownConditions): Partial<Record<keyof RuleConditions, string>> {
  return {
    ...(shown.max_ttl === undefined ? {} : { max_ttl: `a ttl of at most ${shown.max_ttl}` }),
    ...(shown.not_after === undefined ? {} : { not_after: `an end not after ${shown.not_after}` }),
    ...(shown.purpose_required ? { purpose_required: 'a stated purpose' } : {}),
    ...(shown.approval ? { approval: 'an approval' } : {}),
    ...(shown.source_cidrs === undefined ? {} : { source_cidrs: `a source address in ${list(shown.source_cidrs)}` }),
  };
}

function explainNoRule(
  policies: readonly CompiledPolicy[],
  subject: Subject,
  request: PolicyRequest,
  what: string,
): Explanation {
  const message = `No rule allows ${subject.name} to call ${what}.`;
  const nearest = findNearest(policies, request);
  if (nearest === undefined) {
    const held =
      policies.length === 0 ? 'it has no policies' : `none of its policies (${list(subject.policies)}) comes near`;
    return plain(message, `An administrator can allow it with a rule for this operation and resource; ${held}.`);
  }
  const { rule, miss, lacks } = nearest;
  if (miss === undefined) return explainLacks(message, rule, lacks);
  const asked = miss === 'operations' ? request.operation : request.resource;
  return {
    message,
    hint: `The nearest is ${lowerTitleOf(rule)}: it allows ${list(rule.source.operations)} on ${list(rule.source.resources)}.`,
    findings: [{ at: pointer(rule, miss), message: `${asked} is not matched by ${list(rule.source[miss])}` }],
    rule,
  };
}

function explainLacks(message: string, rule: CompiledRule, lacks: readonly Lack[]): Explanation {
  const words = wanted(showRule(rule.source).conditions ?? {});
  return {
    message,
    hint: `${titleOf(rule)} would allow it with ${lacks.map((lack) => words[lack.condition]).join(' and ')}.`,
    findings: lacks.map((lack) => ({ at: pointer(rule, `conditions/${lack.condition}`), message: lack.message })),
    rule,
  };
}

interface Nearest {
  readonly rule: CompiledRule;
  /** The list of globs that does not match; undefined when only conditions are in the way. */
  readonly miss: 'operations' | 'resources' | undefined;
  readonly lacks: readonly Lack[];
}

/**
 * The allow that a request comes nearest to: first one that lacks only conditions (the fewer the nearer), then one for
 * the operation on another resource, then one for another operation on the resource (the longer the common beginning
 * the nearer). The first of equals.
 */
function findNearest(policies: readonly CompiledPolicy[], request: PolicyRequest): Nearest | undefined {
  let nearest: Nearest | undefined;
  let best = 0;
  for (const policy of policies) {
    for (const rule of policy.rules) {
      if (rule.source.effect !== 'allow') continue;
      const [candidate, score] = rate(rule, request);
      if (score > best) [nearest, best] = [candidate, score];
    }
  }
  return nearest;
}

function rate(rule: CompiledRule, request: PolicyRequest): [Nearest, number] {
  const onOperation = rule.matchesOperation(request.operation);
  const onResource = rule.matchesResource(request.resource);
  if (onOperation && onResource) {
    const lacks = rule.conditions === undefined ? [] : unmet(rule.conditions, circumstances(request));
    return [{ rule, miss: undefined, lacks }, 3000 - lacks.length];
  }
  if (onOperation)
    return [{ rule, miss: 'resources', lacks: [] }, 2000 + closeness(rule.source.resources, request.resource)];
  const score = onResource ? 1 + closeness(rule.source.operations, request.operation) : 0;
  return [{ rule, miss: 'operations', lacks: [] }, score];
}

function closeness(globs: readonly string[], text: string): number {
  return Math.max(...globs.map((glob) => commonStart(glob, text)));
}

function commonStart(left: string, right: string): number {
  let length = 0;
  while (length < left.length && length < right.length && left[length] === right[length]) length++;
  return length;
}

function titleOf(rule: CompiledRule): string {
  return `Rule ${rule.number} of policy ${rule.policy}`;
}

function lowerTitleOf(rule: CompiledRule): string {
  return `rule ${rule.number} of policy ${rule.policy}`;
}

function pointer(rule: CompiledRule, part?: string): string {
  const at = `policies/${rule.policy}/rules/${rule.number}`;
  return part === undefined ? at : `${at}/${part}`;
}

const shownAtMost = 5;

function list(items: readonly string[]): string {
  const shown = items.slice(0, shownAtMost).join(', ');
  return items.length > shownAtMost ? `${shown} and ${items.length - shownAtMost} more` : shown;
}
