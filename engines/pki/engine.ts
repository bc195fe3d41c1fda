import type { Dispatch } from '#core/dispatch.ts';
import type { Clock } from '#core/clock.ts';
import type { Engine } from '#core/engine.ts';
import { bind } from '#core/operation.ts';
import type { OutsideCertificates } from '#core/outside-certificates.ts';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import { createCrlShards } from './crl-shards.ts';
import type { PkiDeps } from './deps.ts';
import { createDirectory } from './directory.ts';
import { createSigner } from './signer/signer.ts';
import { pkiOperations } from './operations/all.ts';
import { createPublication } from './revocation/publication.ts';

export interface PkiOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** Origin of the public routes, without a slash at the end. */
  readonly baseUrl: string;
  readonly dispatch: Dispatch;
  /** For the OCSP responders and CRLs of authorities that are not ours. */
  readonly outbound: GuardedFetch;
  /** What other authorities issued for us. */
  readonly outside?: OutsideCertificates | undefined;
}

/** Certificates from authorities of our own. */
export function createPki({ store, sealer, clock, baseUrl, dispatch, outbound, outside }: PkiOptions): Engine {
  const directory = createDirectory({ store, sealer, baseUrl });
  const signer = createSigner();
  const deps: PkiDeps = {
    store,
    sealer,
    clock,
    baseUrl,
    directory,
    crlShards: createCrlShards({ store, clock, baseUrl }),
    signer,
    outbound,
    outside,
  };
  const operations = bind(pkiOperations, deps);
  const publication = createPublication({ store, sealer, clock, directory, dispatch, operations });
  return {
    name: 'pki',
    operations,
    publicRoutes: publication.publicRoutes,
    jobs: publication.jobs,
    namespacedTables: ['pki_authorities', 'pki_roles', 'pki_certificates', 'pki_blocked_keys'],
    sealedColumns: [
      { table: 'pki_issuers', key: 'id', column: 'private_key' },
      { table: 'pki_ocsp_signers', key: 'id', column: 'private_key' },
    ],
    async close() {
      await publication.close();
      directory.close();
      await signer.close();
    },
  };
}
