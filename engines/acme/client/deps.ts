import type { Clock } from '#core/clock.ts';
import type { Delegation } from '#policy/delegation.ts';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { RecordKeeper } from './order/records.ts';
import type { Connections } from './wire/connections.ts';

/** What the operations and acts of the client work with. */
export interface ClientDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly connections: Connections;
  /** For hooks and for providers of DNS. */
  readonly outbound: GuardedFetch;
  /** Whether who ordered may still order. */
  readonly delegation: Pick<Delegation, 'limitsOf' | 'assertMayItself'>;
  readonly records: RecordKeeper;
  /** Whether this installation answers tls-alpn-01. */
  readonly answersTlsAlpn: boolean;
  /** Something is due now. */
  readonly wake: () => void;
}
