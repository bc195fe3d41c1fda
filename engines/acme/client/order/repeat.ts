import { type ProblemFacts, readProblem } from '#acme/client/wire/problem.ts';
import type { AuthorizationObject, OrderObject } from '#acme/client/wire/objects.ts';
import type { StepContext } from './context.ts';
import type { OrderDefinition, OrderProgress } from './definition.ts';
import { endOfPatience } from './new-order.ts';
import type { StepOutcome } from './outcome.ts';

/**
 * What an authority has made invalid stays so (RFC 8555 §7.1.6). Where the reason may have been ours or may pass, as when
 * this server was down just when it looked, another order is made. Few: public authorities take about five failed
 * validations of a name in an hour.
 */

export const mostOrders = 3;
/** Milliseconds before the second and the third. */
const pauses = [5000, 90_000];

/** What the network did, or the authority itself (RFC 8555 §6.7). CAA, refused names and bad requests stay as they are. */
const passing: ReadonlySet<string> = new Set(['connection', 'dns', 'tls', 'timeout', 'serverInternal']);
/** The answer was there, and was another one. */
const wrongAnswer: ReadonlySet<string> = new Set(['unauthorized', 'incorrectResponse']);
/** As Boulder, Pebble and our own server tell of a proxy whose server is away; there is no type for it. */
const gatewayStatus = /(?:: |returned |status(?: code)? )"?5\d\d\b/;

/** Why an authority made something invalid. */
export interface Failure {
  readonly reason: string;
  readonly mayPass: boolean;
}

export function failedAuthorization(
  { status, identifier, challenges }: AuthorizationObject,
  definition: OrderDefinition,
): Failure {
  const failed = challenges.find(({ error }) => error !== undefined);
  const what = `The authorization of ${identifier.value} is ${status}`;
  if (failed === undefined) return { reason: what, mayPass: false };
  const problem = readProblem(failed.error, 0);
  return { reason: `${what}: ${failed.type}: ${problem.message}`, mayPass: mayPass(problem.facts, definition) };
}

export function failedOrder({ error }: OrderObject, definition: OrderDefinition): Failure {
  if (error === undefined)
    return { reason: 'The authority made the order invalid and does not say why.', mayPass: false };
  const problem = readProblem(error, 0);
  return {
    reason: `The authority made the order invalid: ${problem.message}`,
    mayPass: mayPass(problem.facts, definition),
  };
}

/** Of several reasons all must be such that they may pass. */
export function mayPass(problem: ProblemFacts, definition: OrderDefinition): boolean {
  const reasons = problem.subproblems.length === 0 ? [problem] : problem.subproblems;
  return reasons.every(({ type, detail }) => {
    if (passing.has(type)) return true;
    if (!wrongAnswer.has(type)) return false;
    // A record that was seen here before it was seen everywhere.
    if (definition.challenge === 'dns-01') return definition.dns_provider !== undefined;
    return definition.challenge === 'http-01' && gatewayStatus.test(detail);
  });
}

/** Another order where that may help and there were not too many; else the end. */
export function repeatOrFail(
  { deps, row, steps: { restarts = 0, failed } }: StepContext,
  { reason, mayPass: worthAnother }: Failure,
): StepOutcome {
  const orders = (failed?.orders ?? 0) + 1;
  const steps: OrderProgress = { restarts, failed: { orders, reason } };
  const pause = worthAnother ? pauses[orders - 1] : undefined;
  if (pause === undefined)
    return { kind: 'fail', reason: orders === 1 ? reason : `${reason}; it was ordered ${orders} times`, steps };
  const until = deps.clock.now() + Math.round(pause * (0.8 + 0.4 * Math.random()));
  const set = { state: 'created', url: null, steps, give_up_at: endOfPatience(row) } as const;
  return { kind: 'repeat', reason, order: orders + 1, set, until };
}
