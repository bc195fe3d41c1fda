import type { AnyOperation } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { subscriberOperations } from './accounts.ts';
import { directoryOperations } from './directories.ts';
import { externalKeyOperations } from './external-keys.ts';

/** What operators do with the ACME server. */
export const serverOperations: readonly AnyOperation<ServerDeps>[] = [
  ...directoryOperations,
  ...externalKeyOperations,
  ...subscriberOperations,
];
