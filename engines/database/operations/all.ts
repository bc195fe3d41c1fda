import type { AnyOperation } from '#core/operation.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { checkOperations } from './checks.ts';
import { connectionOperations } from './connections.ts';
import { credentialOperations } from './credentials.ts';
import { runQuery } from './query.ts';
import { reconcileConnection } from './reconcile.ts';
import { roleOperations } from './roles.ts';
import { rotateRoot } from './root-rotation.ts';
import { staticCredentialOperations } from './static-credentials.ts';
import { staticRoleOperations } from './static-roles.ts';

/** Every operation of the database engine. */
export const databaseOperations: readonly AnyOperation<DatabaseDeps>[] = [
  ...connectionOperations,
  ...checkOperations,
  rotateRoot,
  reconcileConnection,
  ...roleOperations,
  ...credentialOperations,
  runQuery,
  ...staticRoleOperations,
  ...staticCredentialOperations,
];
