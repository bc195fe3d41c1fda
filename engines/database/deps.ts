import type { Clock } from '#core/clock.ts';
import type { Grant, Limits } from '#core/grant.ts';
import type { Issuer } from '#core/issuer.ts';
import type { Leases } from '#lease/contract.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { Directory } from './directory.ts';
import type { Pools } from './pools.ts';
import type { EngineName, TargetKind } from './target.ts';

/** Asks the policies whether the principal of a grant may do something else as well; gives the limits that they set. */
export type Recheck = (
  grant: Grant,
  also: {
    readonly operation: string;
    readonly resource: string;
    readonly ttl?: number | undefined;
    /** It was allowed before, and goes on. */
    readonly approvedBefore?: boolean | undefined;
  },
) => Promise<Limits>;

/** What the operations of the database engine work with. */
export interface DatabaseDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly kinds: Readonly<Record<EngineName, TargetKind>>;
  readonly directory: Directory;
  readonly pools: Pools;
  readonly leases: Leases;
  /** For users that log in by certificate. */
  readonly issuer: Issuer;
  readonly recheck: Recheck;
}
