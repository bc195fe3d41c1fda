import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { Breakers } from './breaker.ts';
import type { LeaseEngine } from './contract.ts';
import type { RevocationParts } from './revocation.ts';
import type { LeaseRow } from './tables.ts';

export interface LeaseDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly monotonic: () => number;
  readonly log: StoreLog;
  readonly engines: ReadonlyMap<string, LeaseEngine>;
  readonly breakers: Breakers;
  readonly revocation: RevocationParts;
  /** Tells the sweeper that something is due. */
  readonly wake: () => void;
  /** Tells the sweeper that something comes due then. */
  readonly expect: (at: number) => void;
}

export function readLease(store: Store, namespace: string, id: string): Promise<LeaseRow | undefined> {
  return store.first<LeaseRow>('SELECT * FROM leases WHERE id = ? AND namespace = ?', [id, namespace]);
}

/** For operations on leases: what stands behind one must be within reach. Throws `denied`. */
export function reachLease(grant: Grant, { role, target }: Pick<LeaseRow, 'role' | 'target'>): void {
  grant.reach(role);
  grant.reach(target);
}

/** Throws `not_found`, for a lease of another namespace as for none; `denied` for one of a role or target out of reach. */
export async function findLease({ store }: LeaseDeps, grant: Grant, id: string): Promise<LeaseRow> {
  const row = await readLease(store, grant.namespace, id);
  if (row !== undefined) {
    reachLease(grant, row);
    return row;
  }
  throw new AppError('not_found', 'There is no such lease in this namespace.', {
    hint: 'lease.list_leases lists them; revoked ones are kept for 30 days.',
  });
}

/** For operations on one lease: whoever minted it. */
export async function ownerOf(
  namespace: string,
  { lease_id: id }: { readonly lease_id: string },
  { store }: LeaseDeps,
): Promise<string | undefined> {
  const row = await store.first<{ principal: string }>('SELECT principal FROM leases WHERE id = ? AND namespace = ?', [
    id,
    namespace,
  ]);
  return row?.principal;
}

/** The engine that can do something for a lease. Throws `unavailable` when this server does not have it. */
export function engineOf({ engines }: LeaseDeps, lease: LeaseRow): LeaseEngine {
  const engine = engines.get(lease.engine);
  if (engine !== undefined) return engine;
  throw new AppError('unavailable', `This server has no engine ${lease.engine}.`, {
    hint: 'Ask a node that runs the same version as the one that made the lease.',
  });
}
