import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { RecordKeeper } from './records.ts';

export interface RecordKeeperParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly outbound: GuardedFetch;
}

/** Records by way of the providers of their namespaces. */
export function createRecordKeeper(_parts: RecordKeeperParts): RecordKeeper {
  return {
    publish: () => Promise.reject(new Error('none')),
    withdraw: () => Promise.reject(new Error('none')),
    isVisible: () => Promise.resolve(undefined),
  };
}
