import type { AnyOperation } from '#core/operation.ts';
import type { AuthDeps } from './deps.ts';
import { purgeExpired } from './housekeeping.ts';
import { keyOperations } from './key-operations.ts';
import { namespaceOperations } from './namespace-operations.ts';
import { principalOperations } from './principal-operations.ts';
import { tokenOperations } from './token-operations.ts';

export type { AuthDeps } from './deps.ts';

/** Who there is, and by what they are known: principals, keys, tokens, namespaces. */
export const authOperations: readonly AnyOperation<AuthDeps>[] = [
  ...tokenOperations,
  ...principalOperations,
  ...keyOperations,
  ...namespaceOperations,
  purgeExpired,
];
