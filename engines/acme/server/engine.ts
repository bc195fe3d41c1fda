import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import type { Issuer } from '#core/issuer.ts';
import { bind } from '#core/operation.ts';
import type { ChallengeValidator } from '#acme/challenge/contract.ts';
import type { Delegation } from '#policy/delegation.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { createAccountKeys } from './account-keys.ts';
import { serverActs } from './acts/all.ts';
import type { ServerDeps } from './deps.ts';
import { createDirectories } from './directories.ts';
import { acmeServerGauges } from './gauges.ts';
import { namespacedTables } from './namespaced-tables.ts';
import { createNonces } from './nonces.ts';
import { serverOperations } from './operations/all.ts';
import { backgroundOf, createPerform, serveJob } from './perform.ts';
import { createBucket, createPlaces } from './rates.ts';
import { serverRoutes } from './routes.ts';
import { createWork } from './work.ts';

export interface AcmeServerOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly dispatch: Dispatch;
  readonly issuer: Issuer;
  readonly delegation: Delegation;
  readonly validator: ChallengeValidator;
  /** Origin under which clients reach the server, without a slash at the end: every URL begins with it. */
  readonly publicUrl: string;
  /** Validations at once, shared by all accounts (acme/shares.ts). Default 128. */
  readonly places?: number;
}

/** For src/job-scopes.ts: the acts that clients ask for. */
export const acmeServerScopes = {
  [serveJob]: { operations: serverActs.map(({ id }) => id), resources: ['acme/**'] },
};

const sweepJob = 'acme.sweep_challenges_and_orders';
const purgeJob = 'acme.purge_served';

/** An ACME server (RFC 8555) in front of the roles of the PKI: one directory for each. */
export function createAcmeServer(options: AcmeServerOptions): Engine {
  const { store, sealer, clock, log, dispatch, issuer, delegation, validator, publicUrl, places = 128 } = options;
  const directories = createDirectories({ store, issuer, baseUrl: publicUrl });
  const deps: ServerDeps = {
    store,
    sealer,
    clock,
    log,
    issuer,
    delegation,
    validator,
    directories,
    places: createPlaces(),
    baseUrl: publicUrl,
  };
  const perform = createPerform(dispatch, bind(serverActs, deps), clock);
  const work = createWork({ store, clock, log, validator, directories, perform, places });
  const nonces = createNonces({ store, sealer, clock });
  const bucket = createBucket(clock, 50, 5000);
  const purge = async (): Promise<void> => {
    while ((await perform<{ more: boolean }>('acme.purge_served', {}, backgroundOf('root'))).more);
  };
  return {
    name: 'acme_server',
    operations: bind(serverOperations, deps),
    publicRoutes: serverRoutes({ ...deps, nonces, bucket, accountKeys: createAccountKeys(), perform, work }),
    jobs: [
      // Nobody waits for what it takes up: it says itself what goes wrong.
      { name: sweepJob, schedule: '*/3 * * * * *', run: async () => void work.sweep() },
      { name: purgeJob, schedule: '*/10 * * * *', run: purge },
    ],
    sealedColumns: [
      { table: 'acme_server_keys', key: 'id', column: 'secret' },
      { table: 'acme_server_external_keys', key: 'id', column: 'mac_key' },
    ],
    namespacedTables,
    gauges: acmeServerGauges(store),
    async close() {
      await work.close();
      directories.close();
    },
  };
}
