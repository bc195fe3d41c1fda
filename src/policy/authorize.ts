import type { AccessRequest, Authorization, DispatchDeps } from '#core/dispatch.ts';
import { type Grant, type Limits, makeGrant } from '#core/grant.ts';
import { AppError } from '#core/errors.ts';
import type { Change } from '#core/change.ts';
import type { BoundAct } from '#core/operation.ts';
import type { Store } from '#storage/store.ts';
import { type Approvals, createApprovals } from './approvals.ts';
import { createPolicyBook, type PolicyBook } from './book.ts';
import { denied, deniedBehind } from './explain.ts';
import { createJudge, denierOf, type Jobs, type Judge, type Question, type Verdict } from './judge.ts';

export interface AuthorizeDeps {
  readonly store: Store;
  readonly commit: DispatchDeps['commit'];
  /** What each background job may do, by the name in its system credentials. A job that is not here may do nothing. */
  readonly jobs: Jobs;
  /** Shared with the operations of policies; made here when absent. */
  readonly policies?: PolicyBook | undefined;
}

/**
 * The step of dispatch that makes grants, and the only place that does. Throws `denied` with the rule that decided or
 * the nearest one, or `approval_required` with the approval that waits. Whatever else it throws, dispatch denies.
 */
export function createAuthorize(deps: AuthorizeDeps): DispatchDeps['authorize'] {
  const judge = createJudge(deps.policies ?? createPolicyBook(deps.store), deps.jobs);
  const approvals = createApprovals(deps);
  return (request) => authorize(judge, approvals, request);
}

/** Whether the principal of a grant may still do something else, as when a lease is renewed: may it still mint one? */
export type Recheck = (grant: Grant, also: AlsoAsked) => Promise<Limits>;

export interface AlsoAsked {
  readonly operation: string;
  readonly resource: string;
  readonly ttl?: number | undefined;
  /** It was allowed before, after an approval where one is wanted, and goes on: as when a lease is renewed. */
  readonly approvedBefore?: boolean | undefined;
  /** The principal owns what is touched, so that no rule need allow it; one that denies holds all the same. */
  readonly owned?: boolean | undefined;
  /** Instead of that of the grant. */
  readonly purpose?: string | undefined;
}

/**
 * Asks the policies about another operation by the same principal, and returns the limits that they set. Makes no
 * grant. Throws `denied`, with the rule, and also where only an approval would do: it can be asked for by nothing but
 * that operation itself.
 */
export function createRecheck(deps: Pick<AuthorizeDeps, 'store' | 'jobs' | 'policies'>): Recheck {
  const judge = createJudge(deps.policies ?? createPolicyBook(deps.store), deps.jobs);
  return async (grant, also) => {
    const { operation, resource, ttl, approvedBefore: approved = false, owned = false, purpose = grant.purpose } = also;
    const { principal, sourceAddress, now } = grant;
    grant.guard?.touch(resource);
    const request = { operation, resource, ttl, notAfter: undefined, purpose, sourceAddress, approved, now };
    const question = { subject: principal, access: 'policy', installation: false, owned, request } as const;
    const verdict = await judge.judge(question);
    if (verdict.outcome === 'allowed') return verdict.limits;
    if (verdict.outcome === 'denied') throw denied(verdict, principal, request);
    throw new AppError(
      'denied',
      `${operation} on ${resource} needs an approval, which cannot be given for more than itself.`,
      {
        hint: 'Ask somebody who may do it without one.',
      },
    );
  };
}

async function authorize(judge: Judge, approvals: Approvals, request: AccessRequest): Promise<Authorization> {
  const question = questionOf(request);
  const verdict = await judge.judge(question);
  if (verdict.outcome === 'allowed') return grantTo(request, verdict, []);
  if (verdict.outcome === 'denied') throw denied(verdict, request.principal, question.request);
  const approved = () => judge.judge({ ...question, request: { ...question.request, approved: true } });
  // What somebody approved and was done, is not done again by telling the answer again: nobody is asked for that.
  if (await request.answered()) {
    const again = await approved();
    if (again.outcome === 'allowed') return { ...grantTo(request, again, []), replayOnly: true };
  }
  if (request.approvalId === undefined) throw await approvals.ask(request, verdict.rule);
  const spent = await approvals.redeem(request, request.approvalId);
  const second = await approved();
  if (second.outcome === 'allowed') return grantTo(request, second, [spent]);
  throw new AppError('denied', 'The policies changed meanwhile and no longer allow this request, approved or not.');
}

function questionOf(request: AccessRequest): Question {
  const { principal, operation, facts } = request;
  return {
    subject: principal,
    access: accessOf(operation, request.input),
    installation: operation.installation ?? false,
    owned: request.owned,
    request: {
      operation: operation.id,
      resource: request.resource,
      ttl: facts.ttl,
      notAfter: facts.notAfter,
      purpose: facts.purpose ?? principal.purpose,
      sourceAddress: request.sourceAddress,
      approved: false,
      now: request.now,
    },
  };
}

type Allowed = Extract<Verdict, { outcome: 'allowed' }>;

function accessOf({ access = 'policy' }: BoundAct, input: unknown): 'policy' | 'self' {
  return typeof access === 'function' ? access(input) : access;
}

function grantTo(request: AccessRequest, { rule, limits }: Allowed, changes: readonly Change[]): Authorization {
  const { principal, operation, facts } = request;
  const grant = makeGrant({
    principal,
    namespace: principal.namespace,
    operation: operation.id,
    resource: request.resource,
    purpose: facts.purpose ?? principal.purpose,
    limits,
    requestId: request.requestId,
    sourceAddress: request.sourceAddress,
    now: request.now,
    signal: request.signal,
    guard: request.guard,
    standing: rule !== undefined ? 'rule' : accessOf(operation, request.input) === 'self' ? 'self' : 'owner',
    ...reachOf(request),
  });
  return { grant, changes };
}

/** Most calls have neither guard nor narrowing, and make nothing here. */
function reachOf({ principal, operation, guard }: AccessRequest): Partial<Pick<Grant, 'reach'>> {
  const narrowings = principal.narrowings.filter(({ denied: globs = [] }) => globs.length > 0);
  if (guard === undefined && narrowings.length === 0) return {};
  return {
    reach(resource) {
      guard?.reach(resource);
      const narrowing = denierOf(narrowings, resource);
      if (narrowing !== undefined) throw deniedBehind(narrowing, operation.id, resource);
    },
  };
}
