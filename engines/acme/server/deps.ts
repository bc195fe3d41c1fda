import type { Clock } from '#core/clock.ts';
import type { Issuer } from '#core/issuer.ts';
import type { Delegation } from '#policy/delegation.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { ChallengeValidator } from '#acme/challenge/contract.ts';
import type { Directories } from './directories.ts';
import type { Places } from './rates.ts';

/** What the operations and acts of the ACME server work with. */
export interface ServerDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly issuer: Issuer;
  readonly delegation: Delegation;
  readonly validator: Pick<ChallengeValidator, 'checkCaa'>;
  readonly directories: Directories;
  readonly places: Places;
  /** Origin without a slash at the end. */
  readonly baseUrl: string;
}
