import type { Principal } from './principal.ts';

declare const granted: unique symbol;

/** What a policy leaves of what was asked. */
export interface Limits {
  /** Longest life in seconds of anything that is issued; absent: the role decides. */
  readonly maxTtl?: number | undefined;
  /** Milliseconds after which nothing issued may still be valid. */
  readonly notAfter?: number | undefined;
}

/**
 * Proof that a principal may run one operation on one resource. Only `makeGrant` makes one, and only the policy's
 * `authorize` calls it (the linter holds everyone else off), so an operation that was not authorized cannot be run.
 */
export interface Grant {
  readonly [granted]: true;
  readonly principal: Principal;
  readonly namespace: string;
  readonly operation: string;
  readonly resource: string;
  readonly purpose: string | undefined;
  readonly limits: Limits;
  readonly requestId: string;
  /** Where the request came from; null for background work. */
  readonly sourceAddress: string | null;
  /** Milliseconds: the one `now` of this request, so that all its parts agree. */
  readonly now: number;
  /** Aborted when nobody waits for the answer any more, where the transport can tell. */
  readonly signal?: AbortSignal | undefined;
}

/** For `src/policy/authorize.ts` alone. */
export function makeGrant(fields: Omit<Grant, typeof granted>): Grant {
  return Object.freeze({ ...fields }) as Grant;
}
