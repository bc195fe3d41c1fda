import type { Principal } from './principal.ts';

declare const granted: unique symbol;

/** What a policy leaves of what was asked. */
export interface Limits {
  /** Longest life in seconds of anything that is issued; absent: the role decides. */
  readonly maxTtl?: number | undefined;
  /** Milliseconds after which nothing issued may still be valid. */
  readonly notAfter?: number | undefined;
}

/** What the operator of a face leaves of its calls, whoever makes them. Both throw `denied`. */
export interface Guard {
  /** Tells guards apart: a kept answer is told under the guard alone under which it was kept. */
  readonly id: string;
  /** For what the policies are asked about: not denied, and among the allowed where only some are. */
  readonly touch: (resource: string) => void;
  /** For what is reached by way of that: not denied. */
  readonly reach: (resource: string) => void;
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
  /** By what it was allowed: a rule of a policy, or without one, since it is about the principal or what it owns. */
  readonly standing: 'rule' | 'self' | 'owner';
  /** Of the face that the call came by. */
  readonly guard?: Guard | undefined;
  /**
   * Every operation asks it for each resource that it finds behind its own (the connection of a role, the role of a lease)
   * before it uses or tells it. Throws `denied` for what guard or token deny; whether a policy allows it is not asked here.
   */
  readonly reach: (resource: string) => void;
}

/** For `src/policy/authorize.ts` alone. */
export function makeGrant(fields: Omit<Grant, typeof granted | Defaulted> & Partial<Pick<Grant, Defaulted>>): Grant {
  return Object.freeze({ reach: everywhere, standing: 'rule', ...fields }) as Grant;
}

type Defaulted = 'reach' | 'standing';

const everywhere = (): void => undefined;
