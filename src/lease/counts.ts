import { type Change, insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import type { LeaseScope } from './contract.ts';
import type { LeaseRow } from './tables.ts';

/**
 * Live leases are counted in rows of their own, in the unit that makes or ends one. The cap is a guard of the change, so
 * that of any number of mintings at once exactly as many pass as there is room for.
 */

type Counted = Pick<LeaseRow, 'namespace' | 'role' | 'target' | 'principal'>;

export interface Caps {
  readonly role?: number | undefined;
  readonly target?: number | undefined;
  readonly principal?: number | undefined;
}

/** The key under which a scope is counted: a resource. */
export function scopeKey(scope: LeaseScope): string {
  if ('role' in scope) return scope.role;
  return 'target' in scope ? scope.target : `principals/${scope.principal}`;
}

const kinds = ['role', 'target', 'principal'] as const;

/** Counts a new lease. Throws `rate_limited` when a cap is reached already; the commit does when it is by then. */
export async function countUp(store: Store, lease: Counted, caps: Caps): Promise<Change[]> {
  const { namespace, role, target, principal } = lease;
  const scopes = { role, target, principal: scopeKey({ principal }) };
  const rows = await store.all<{ scope: string; live: number }>(
    'SELECT scope, live FROM lease_counts WHERE namespace = ? AND scope IN (?, ?, ?)',
    [namespace, scopes.role, scopes.target, scopes.principal],
  );
  const live = new Map(rows.map((row) => [row.scope, row.live]));
  return kinds.map((kind) => {
    const scope = scopes[kind];
    const cap = caps[kind];
    const count = live.get(scope);
    const full = (): AppError => capReached(kind, scope, cap ?? 0);
    if (cap !== undefined && (count ?? 0) >= cap) throw full();
    if (count === undefined) return insert('lease_counts', { namespace, scope, live: 1 });
    if (cap === undefined) return update('lease_counts', {}, { namespace, scope }, { add: { live: 1 }, expect: 1 });
    return update(
      'lease_counts',
      {},
      { namespace, scope, live: { lt: cap } },
      { add: { live: 1 }, expect: 1, otherwise: full },
    );
  });
}

/** Counts a lease that ended. */
export function countDown(lease: Counted): Change[] {
  return addToAll(lease, -1);
}

/** Counts one more after `countUp` of another one of the same scopes in the same unit. */
export function countAgain(lease: Counted): Change[] {
  return addToAll(lease, 1);
}

function addToAll({ namespace, role, target, principal }: Counted, live: number): Change[] {
  return [role, target, scopeKey({ principal })].map((scope) =>
    update('lease_counts', {}, { namespace, scope }, { add: { live }, expect: 1 }),
  );
}

export async function countLive(store: Store, namespace: string, scope: LeaseScope): Promise<number> {
  const row = await store.first<{ live: number }>('SELECT live FROM lease_counts WHERE namespace = ? AND scope = ?', [
    namespace,
    scopeKey(scope),
  ]);
  return row?.live ?? 0;
}

/** Seconds; when another lease will end is not looked up for a request that is refused. */
const retryAfter = 10;

function capReached(kind: (typeof kinds)[number], scope: string, cap: number): AppError {
  return new AppError('rate_limited', `The ${kind} ${scope} has ${cap} live leases, which is the most it may have.`, {
    hint: 'Revoke leases that are not needed any more, or wait until some expire.',
    members: { scope, max_leases: cap },
    retryAfter,
  });
}
