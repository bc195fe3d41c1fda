import { randomBytes } from 'node:crypto';
import { update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { LeaseRow } from './tables.ts';
import { claimRefresh, claimTime } from './times.ts';

/**
 * The claims that this node holds. It says every 20 s that it still works on them; a node that died does not, and its
 * claims come due like everything else.
 */
export interface Claims {
  readonly size: () => number;
  hold(leases: readonly LeaseRow[]): void;
  drop(lease: LeaseRow): void;
  /** Gives back what was claimed and not begun. */
  release(leases: readonly LeaseRow[]): Promise<void>;
  close(): void;
}

export function newClaim(): string {
  return randomBytes(16).toString('hex');
}

export interface ClaimsParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: StoreLog;
  /** Milliseconds; default `claimRefresh`. */
  readonly refreshEvery?: number;
}

export function createClaims({ store, clock, log, refreshEvery = claimRefresh }: ClaimsParts): Claims {
  const held = new Set<LeaseRow>();
  const refresh = (): void => {
    if (held.size === 0) return;
    // A claim that ended meanwhile matches nothing.
    const change = update('leases', { next_action_at: clock.now() + claimTime }, claimed([...held]));
    store.commit([change]).catch((error: unknown) => log.warn({ err: error }, 'claims of leases were not renewed'));
  };
  const timer = setInterval(refresh, refreshEvery);
  timer.unref();
  return {
    size: () => held.size,
    hold: (leases) => leases.forEach((lease) => held.add(lease)),
    drop: (lease) => void held.delete(lease),
    async release(leases) {
      for (const lease of leases) held.delete(lease);
      if (leases.length === 0) return;
      const set = { claim: null, next_action_at: clock.now() };
      await store.commit([update('leases', set, claimed(leases))]);
    },
    close: () => clearInterval(timer),
  };
}

function claimed(leases: readonly LeaseRow[]) {
  return {
    id: leases.map(({ id }) => id),
    claim: [...new Set(leases.map(({ claim }) => claim))].filter((claim) => claim !== null),
  };
}
