import type { Limits } from '#core/grant.ts';
import type { CompiledPolicy, CompiledRule } from './compile.ts';
import type { Circumstances } from './conditions.ts';
import { applies, areMet } from './conditions.ts';
import { isNormalResource } from './glob.ts';

/** What is judged. */
export interface PolicyRequest {
  /** An operation id: `pki.issue_certificate`. */
  readonly operation: string;
  readonly resource: string;
  /** Life that is asked for, in seconds. */
  readonly ttl?: number | undefined;
  /** End that is asked for, in milliseconds. */
  readonly notAfter?: number | undefined;
  readonly purpose?: string | undefined;
  readonly sourceAddress: string | null;
  /** Whether somebody else has approved exactly this request. */
  readonly approved: boolean;
  /** Milliseconds. */
  readonly now: number;
}

export type Decision =
  | { readonly outcome: 'allowed'; readonly rule: CompiledRule; readonly limits: Limits }
  /** Would be allowed, had somebody approved it; `rule` is the one that wants the approval. */
  | { readonly outcome: 'approval_required'; readonly rule: CompiledRule }
  /** `rule` is the deny that decided; undefined when nothing allows it. */
  | { readonly outcome: 'denied'; readonly rule: CompiledRule | undefined };

/**
 * Judges a request by all policies of a principal. Pure. One deny that applies decides, whatever allows; what nothing
 * allows is denied; a resource that is not in normal form is denied unread.
 *
 * `limits`: of the allows that hold, the one that lets things live longest bounds what is issued (absent: unbounded),
 * lowered by denies that would apply to a longer life. One allow is taken whole: `max_ttl` of one and `not_after` of
 * another together would be wider than either.
 */
export function decide(policies: readonly CompiledPolicy[], request: PolicyRequest): Decision {
  if (!isNormalResource(request.resource)) return { outcome: 'denied', rule: undefined };
  const asked = circumstances(request);
  const decision = judge(policies, request, asked);
  if (decision.outcome === 'allowed' || asked.approved || !policies.some((policy) => policy.usesApproval))
    return decision;
  const approved = judge(policies, request, { ...asked, approved: true });
  if (approved.outcome !== 'allowed') return decision;
  return { outcome: 'approval_required', rule: decision.rule ?? approved.rule };
}

/** A request that states both a life and an end is held to the later of the two. */
export function circumstances(request: PolicyRequest): Circumstances {
  const { ttl, notAfter, now } = request;
  const end =
    ttl === undefined ? notAfter : notAfter === undefined ? now + ttl * 1000 : Math.max(now + ttl * 1000, notAfter);
  return {
    now,
    life: end === undefined ? undefined : (end - now) / 1000,
    end,
    hasPurpose: request.purpose !== undefined && request.purpose.trim() !== '',
    approved: request.approved,
    sourceAddress: request.sourceAddress,
  };
}

const unlimited: Limits = Object.freeze({});

type Judgement = Exclude<Decision, { outcome: 'approval_required' }>;

function judge(policies: readonly CompiledPolicy[], request: PolicyRequest, asked: Circumstances): Judgement {
  let latestEnd = Infinity;
  for (const policy of policies) {
    for (const rule of policy.rulesFor(request.operation).denies) {
      if (!rule.matchesResource(request.resource)) continue;
      const verdict = rule.conditions === undefined || applies(rule.conditions, asked);
      if (verdict === true) return { outcome: 'denied', rule };
      if (verdict !== false && verdict < latestEnd) latestEnd = verdict;
    }
  }
  const rule = widestAllow(policies, request, asked);
  if (rule === undefined) return { outcome: 'denied', rule };
  return { outcome: 'allowed', rule, limits: limitsOf(rule, latestEnd, asked.now) };
}

/** Of the allows that hold, the one under which things may live longest; the first of equals. */
function widestAllow(
  policies: readonly CompiledPolicy[],
  request: PolicyRequest,
  asked: Circumstances,
): CompiledRule | undefined {
  let widest: CompiledRule | undefined;
  let widestEnd = 0;
  for (const policy of policies) {
    for (const rule of policy.rulesFor(request.operation).allows) {
      if (!rule.matchesResource(request.resource)) continue;
      if (rule.conditions !== undefined && !areMet(rule.conditions, asked)) continue;
      const end = endUnder(rule, asked.now);
      if (end === Infinity) return rule;
      if (end > widestEnd) {
        widest = rule;
        widestEnd = end;
      }
    }
  }
  return widest;
}

function endUnder(rule: CompiledRule, now: number): number {
  const { maxTtl, notAfter } = rule.conditions ?? {};
  return Math.min(maxTtl === undefined ? Infinity : now + maxTtl * 1000, notAfter ?? Infinity);
}

function limitsOf(rule: CompiledRule, latestEnd: number, now: number): Limits {
  const { maxTtl, notAfter } = rule.conditions ?? {};
  if (latestEnd === Infinity) return maxTtl === undefined && notAfter === undefined ? unlimited : { maxTtl, notAfter };
  const ttl = (latestEnd - now) / 1000;
  return { maxTtl: Math.floor(maxTtl === undefined ? ttl : Math.min(maxTtl, ttl)), notAfter };
}
