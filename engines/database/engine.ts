import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Engine } from '#core/engine.ts';
import type { Issuer } from '#core/issuer.ts';
import { bind } from '#core/operation.ts';
import type { Leases } from '#lease/contract.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { DatabaseDeps, Recheck } from './deps.ts';
import { createDirectory } from './directory.ts';
import { databaseJobs } from './jobs.ts';
import { createLeaseEngine } from './lease-engine.ts';
import { databaseOperations } from './operations/all.ts';
import { createPools } from './pools.ts';
import { mysql } from './targets/mysql.ts';
import { postgresql } from './targets/postgresql.ts';

export interface DatabaseOptions {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly dispatch: Dispatch;
  readonly leases: Leases;
  readonly recheck: Recheck;
  readonly issuer: Issuer;
}

/** Database users that exist only while they are needed. */
export function createDatabase(options: DatabaseOptions): Engine {
  const { store, sealer, clock, dispatch, leases, recheck, issuer } = options;
  const kinds = { postgresql, mysql };
  const directory = createDirectory({ store });
  const pools = createPools({ store, sealer, kinds });
  const deps: DatabaseDeps = { store, sealer, clock, kinds, directory, pools, leases, issuer, recheck };
  const operations = bind(databaseOperations, deps);
  leases.attach(createLeaseEngine(deps, recheck));
  // A drain makes leases due in the commit that marks the role or connection.
  const unwatch = store.watch(['database_roles', 'database_connections'], () => leases.wake());
  return {
    name: 'database',
    operations,
    publicRoutes: [],
    jobs: databaseJobs({ store, clock, dispatch, operations, leases }),
    namespacedTables: ['database_connections', 'database_roles', 'database_static_roles'],
    sealedColumns: ['database_connections', 'database_static_roles'].flatMap((table) => [
      { table, key: 'id', column: 'password' },
      { table, key: 'id', column: 'next_password' },
    ]),
    async close() {
      unwatch();
      directory.close();
      await pools.close();
    },
  };
}
