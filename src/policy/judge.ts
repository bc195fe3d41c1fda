import type { Limits } from '#core/grant.ts';
import type { Access } from '#core/operation.ts';
import type { Narrowing, Principal } from '#core/principal.ts';
import type { PolicyBook } from './book.ts';
import { type CompiledPolicy, type CompiledRule, compileGlobs } from './compile.ts';
import { decide, type PolicyRequest } from './decide.ts';
import { type Glob, isNormalResource } from './glob.ts';

/**
 * Everything that decides about a request, in one order: spelling of the resource, namespace, background job, token,
 * policies. `authorize` acts on the verdict and `policies/test` shows it, so that the two cannot differ.
 */

export type Subject = Pick<Principal, 'name' | 'namespace' | 'kind' | 'policies' | 'narrowings'>;

export interface Question {
  readonly subject: Subject;
  readonly access: Access;
  /** The operation touches the installation, not one tenant. */
  readonly installation: boolean;
  /** The subject owns what is touched, so that no rule need allow it; one that denies holds all the same. */
  readonly owned: boolean;
  readonly request: PolicyRequest;
}

export type Verdict =
  | { readonly outcome: 'allowed'; readonly rule: CompiledRule | undefined; readonly limits: Limits }
  | { readonly outcome: 'approval_required'; readonly rule: CompiledRule }
  | Denial;

export type Denial =
  | { readonly outcome: 'denied'; readonly reason: 'resource' | 'namespace' | 'job' }
  | { readonly outcome: 'denied'; readonly reason: 'narrowed'; readonly narrowing: Narrowing }
  | { readonly outcome: 'denied'; readonly reason: 'missing_policy'; readonly policy: string }
  | { readonly outcome: 'denied'; readonly reason: 'rule'; readonly rule: CompiledRule }
  | { readonly outcome: 'denied'; readonly reason: 'no_rule'; readonly policies: readonly CompiledPolicy[] };

/** What each background job may do, by the name of the job. */
export type Jobs = Readonly<Record<string, Narrowing>>;

export interface Judge {
  judge(question: Question): Promise<Verdict>;
}

/**
 * Operations on the shown credential itself: they show it and what it may do, or make and revoke what is narrower than
 * it. A narrowed token keeps them, since nothing wider can come of them.
 */
const ofTheCredential = new Set([
  'auth.whoami',
  'auth.create_token',
  'auth.list_tokens',
  'auth.revoke_token',
  'policy.test_policy',
  // Gives only what the token could have asked for itself (src/claim/operations.ts).
  'claim.redeem_claim',
]);

const withoutLimits: Limits = Object.freeze({});

export function createJudge(book: PolicyBook, jobs: Jobs): Judge {
  const jobScopes = new Map(Object.entries(jobs).map(([name, scope]) => [name, compileNarrowing(scope)]));
  return {
    async judge({ subject, access, installation, owned, request }) {
      if (!isNormalResource(request.resource)) return { outcome: 'denied', reason: 'resource' };
      if (installation && subject.namespace !== 'root') return { outcome: 'denied', reason: 'namespace' };
      if (subject.kind === 'system') return judgeJob(jobScopes.get(subject.name), request);
      const isSelf = access === 'self';
      if (!(isSelf && ofTheCredential.has(request.operation))) {
        const narrowing = subject.narrowings.find((left) => !isWithin(left, request));
        if (narrowing !== undefined) return { outcome: 'denied', reason: 'narrowed', narrowing };
      }
      if (isSelf) return { outcome: 'allowed', rule: undefined, limits: withoutLimits };
      return judgeByPolicies(book, subject, owned, request);
    },
  };
}

function judgeJob(scope: CompiledNarrowing | undefined, request: PolicyRequest): Verdict {
  if (scope === undefined || !scope.operation(request.operation) || !scope.resource(request.resource))
    return { outcome: 'denied', reason: 'job' };
  return { outcome: 'allowed', rule: undefined, limits: withoutLimits };
}

async function judgeByPolicies(
  book: PolicyBook,
  subject: Subject,
  owned: boolean,
  request: PolicyRequest,
): Promise<Verdict> {
  const policies: CompiledPolicy[] = [];
  for (const name of subject.policies) {
    const policy = book.peek(subject.namespace, name) ?? (await book.find(subject.namespace, name));
    // It may have held the deny that matters, so going on without it could allow what it forbade.
    if (policy === null) return { outcome: 'denied', reason: 'missing_policy', policy: name };
    policies.push(policy);
  }
  const decision = decide(policies, request);
  if (decision.outcome !== 'denied') return decision;
  if (decision.rule === undefined)
    return owned
      ? { outcome: 'allowed', rule: undefined, limits: withoutLimits }
      : { outcome: 'denied', reason: 'no_rule', policies };
  return { outcome: 'denied', reason: 'rule', rule: decision.rule };
}

/** Whether what is left to a narrowed token includes an operation at all; on which resources is asked when it is called. */
export function mayReach(narrowings: readonly Narrowing[], operation: string): boolean {
  return ofTheCredential.has(operation) || narrowings.every((left) => compiledOf(left).operation(operation));
}

/**
 * What narrowings keep off all that is reached by way of a resource that is left (Grant.reach): the first of them that
 * denies it by name. That something is only not among what is left does not count: a token for a role uses its connection.
 */
export function denierOf(narrowings: readonly Narrowing[], resource: string): Narrowing | undefined {
  return narrowings.find((narrowing) => compiledOf(narrowing).denied(resource));
}

/** Whether all of them leave the operation on the resource. */
export function areWithin(
  narrowings: readonly Narrowing[],
  request: Pick<PolicyRequest, 'operation' | 'resource'>,
): boolean {
  return narrowings.every((left) => isWithin(left, request));
}

interface CompiledNarrowing {
  readonly operation: Glob;
  readonly resource: Glob;
  readonly denied: Glob;
}

/** Narrowings live as long as the cached principal that holds them, and so does what they were compiled to. */
const compiledNarrowings = new WeakMap<Narrowing, CompiledNarrowing>();

function isWithin(narrowing: Narrowing, request: Pick<PolicyRequest, 'operation' | 'resource'>): boolean {
  const { operation, resource, denied } = compiledOf(narrowing);
  return operation(request.operation) && resource(request.resource) && !denied(request.resource);
}

function compiledOf(narrowing: Narrowing): CompiledNarrowing {
  let compiled = compiledNarrowings.get(narrowing);
  if (compiled === undefined) {
    compiled = compileNarrowing(narrowing);
    compiledNarrowings.set(narrowing, compiled);
  }
  return compiled;
}

/** Throws TypeError for a glob that could not have been written. */
function compileNarrowing({ operations, resources, denied = [] }: Narrowing): CompiledNarrowing {
  return {
    operation: compileGlobs('operation', operations),
    resource: compileGlobs('resource', resources),
    denied: compileGlobs('resource', denied),
  };
}
