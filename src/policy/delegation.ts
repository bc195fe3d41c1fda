import { AppError } from '#core/errors.ts';
import type { Grant, Limits } from '#core/grant.ts';
import type { PrincipalRow } from '#storage/core-tables.ts';
import { type AlsoAsked, type AuthorizeDeps, createRecheck } from './authorize.ts';
import { createPolicyBook } from './book.ts';
import { denied } from './explain.ts';
import { assertMayGive } from './granting.ts';
import { createJudge } from './judge.ts';

/**
 * Acting in the name of a principal that shows no token of ours, but a key of another protocol that was bound to it (an
 * ACME account). Whether it still may is asked anew each time, since nothing else would hear that it was disabled.
 */
export interface Delegation {
  /**
   * The principal to whom a key may be bound. Throws `not_found`, or `denied` where the caller could not make an API key
   * for it either (granting.ts): whoever has the bound key acts as that principal.
   */
  bindTo(grant: Grant, principal: string): Promise<BoundPrincipal>;
  /** Throws `denied` unless the caller may do by itself what it is about to let others do. */
  assertMayItself(grant: Grant, also: AlsoAsked): Promise<void>;
  /**
   * The limits that the policies set. Throws `denied` when the principal is gone, disabled or not allowed, or when only
   * an approval would do: nobody is there to ask for one.
   */
  limitsOf(principal: BoundPrincipal & { readonly namespace: string }, asked: DelegatedRequest): Promise<Limits>;
}

/** By id as well: another principal of the same name is another one. */
export interface BoundPrincipal {
  readonly id: string;
  readonly name: string;
}

export interface DelegatedRequest extends AlsoAsked {
  readonly sourceAddress: string | null;
  readonly purpose: string;
  /** Milliseconds. */
  readonly now: number;
}

export function createDelegation(deps: Pick<AuthorizeDeps, 'store' | 'jobs' | 'policies'>): Delegation {
  const { store, policies = createPolicyBook(deps.store) } = deps;
  const judge = createJudge(policies, deps.jobs);
  const recheck = createRecheck({ ...deps, policies });
  return {
    async bindTo(grant, name) {
      const row = await store.first<PrincipalRow>('SELECT * FROM principals WHERE namespace = ? AND name = ?', [
        grant.namespace,
        name,
      ]);
      if (row === undefined) throw new AppError('not_found', `There is no principal ${name} in this namespace.`);
      await assertMayGive(policies, grant.principal, JSON.parse(row.policies) as string[]);
      return { id: row.id, name: row.name };
    },
    assertMayItself: async (grant, also) => void (await recheck(grant, also)),
    async limitsOf(principal, asked) {
      const { operation, resource, ttl, purpose, sourceAddress, approvedBefore: approved = false, now } = asked;
      const row = await store.first<PrincipalRow>('SELECT * FROM principals WHERE namespace = ? AND id = ?', [
        principal.namespace,
        principal.id,
      ]);
      if (row === undefined || row.disabled !== 0)
        throw new AppError('denied', `The principal ${principal.name} does not exist any more, or is disabled.`);
      const subject = { ...row, policies: JSON.parse(row.policies) as string[], narrowings: [] };
      const request = { operation, resource, ttl, notAfter: undefined, purpose, sourceAddress, approved, now };
      const verdict = await judge.judge({ subject, access: 'policy', installation: false, owned: false, request });
      if (verdict.outcome === 'allowed') return verdict.limits;
      if (verdict.outcome === 'denied') throw denied(verdict, subject, request);
      throw new AppError('denied', `${operation} on ${resource} needs an approval, which cannot be asked for here.`);
    },
  };
}
