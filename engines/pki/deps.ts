import type { Clock } from '#core/clock.ts';
import type { OutsideCertificates } from '#core/outside-certificates.ts';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { CrlShards } from './crl-shards.ts';
import type { Directory } from './directory.ts';
import type { Signer } from './signer/signer.ts';

/** What the operations of the PKI engine work with. */
export interface PkiDeps {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** Where clients reach the public routes, without a slash at the end. It is written into certificates. */
  readonly baseUrl: string;
  readonly directory: Directory;
  readonly crlShards: CrlShards;
  readonly signer: Signer;
  /** For addresses that certificates name. */
  readonly outbound: GuardedFetch;
  /** What other authorities issued for us, shown in lists beside our own. */
  readonly outside?: OutsideCertificates | undefined;
}
