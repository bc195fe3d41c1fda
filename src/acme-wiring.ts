import { createChallengeValidator } from '#engines/acme/challenge/validator.ts';
import { createPerspectives } from '#engines/acme/dns/perspective.ts';
import { createAcmeServer } from '#engines/acme/server/engine.ts';
import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createDelegation } from '#policy/delegation.ts';
import type { PolicyBook } from '#policy/book.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { Config } from './config.ts';
import { createIssuer } from './issuer.ts';
import { jobScopes } from './job-scopes.ts';

export interface AcmeParts {
  readonly config: Config;
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly dispatch: Dispatch;
  readonly policies: PolicyBook;
  readonly pki: Engine & { readonly operations: readonly BoundOperation[] };
}

/** The ACME server with what it asks: the PKI, the policies, the network. */
export function wireAcmeServer({ config, store, sealer, clock, log, dispatch, policies, pki }: AcmeParts): Engine {
  const { ports, resolvers } = config.acme;
  return createAcmeServer({
    store,
    sealer,
    clock,
    log,
    dispatch,
    issuer: createIssuer({ dispatch, operations: pki.operations, clock, store, engine: 'acme' }),
    delegation: createDelegation({ store, jobs: jobScopes, policies }),
    validator: createChallengeValidator({ perspectives: createPerspectives(resolvers), ports }),
    publicUrl: config.publicUrl,
  });
}
