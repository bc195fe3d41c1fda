import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Job, PublicRoute } from '#core/engine.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { Directory } from '#pki/directory.ts';
import { createCrlService } from './crl-service.ts';
import { createOcspResponder } from './ocsp-responder.ts';
import { createOcspSigners } from './ocsp-signer.ts';
import { ocspSignerJob } from './ocsp-signer-job.ts';
import { pkiPublicRoutes } from './public-routes.ts';
import { createSystemCall } from './system-call.ts';

/** Everything by which relying parties learn of a status: CRLs, OCSP, and the jobs that keep both in force. */
export interface Publication {
  readonly publicRoutes: readonly PublicRoute[];
  readonly jobs: readonly Job[];
  close(): Promise<void>;
}

export interface PublicationParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly directory: Directory;
  readonly dispatch: Dispatch;
  /** Those of the engine: the jobs run some of them. */
  readonly operations: readonly BoundOperation[];
}

export function createPublication(parts: PublicationParts): Publication {
  const { store, sealer, clock, directory } = parts;
  const call = createSystemCall(parts);
  const crls = createCrlService({ store, clock, call });
  const signers = createOcspSigners({ store, sealer, clock, call });
  const responder = createOcspResponder({ store, clock, directory, signers });
  return {
    publicRoutes: pkiPublicRoutes({ store, clock, directory, crls, responder }),
    jobs: [crls.job, ocspSignerJob({ store, clock, call })],
    async close() {
      responder.close();
      signers.close();
      await crls.close();
    },
  };
}
