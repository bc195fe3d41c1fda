import { auditOperations } from '#audit/operations.ts';
import { authOperations } from '#auth/operations.ts';
import { claimOperations } from '#claim/operations.ts';
import type { AnyOperation } from '#core/operation.ts';
import { acmeClientOperations } from '#engines/acme/client/operations/all.ts';
import { serverOperations as acmeServerOperations } from '#engines/acme/server/operations/all.ts';
import { databaseOperations } from '#engines/database/operations/all.ts';
import { pkiOperations } from '#engines/pki/operations/all.ts';
import { readMetrics } from '#http/metrics-operation.ts';
import { leaseOperations } from '#lease/operations/all.ts';
import { policyOperations } from '#policy/operations.ts';
import { sealOperations } from '#seal/operations.ts';
import { systemOperations } from './system/operations.ts';

/** Every operation there is, as definitions: for what is generated from them. To run them, main.ts gives them what they need. */
export const allOperations: readonly AnyOperation<never>[] = [
  ...authOperations,
  ...policyOperations,
  ...pkiOperations,
  ...databaseOperations,
  ...leaseOperations,
  ...acmeClientOperations,
  ...acmeServerOperations,
  ...claimOperations,
  ...auditOperations,
  ...sealOperations,
  ...systemOperations,
  readMetrics,
];
