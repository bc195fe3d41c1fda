import type { AnyOperation } from '#core/operation.ts';
import { approveRequest, getApproval, listApprovals, rejectRequest } from './approval-operations.ts';
import {
  createPolicy,
  deletePolicy,
  getPolicy,
  listPolicies,
  type PolicyDeps,
  putPolicy,
} from './policy-operations.ts';
import { testPolicy } from './test-operation.ts';

export type { PolicyDeps } from './policy-operations.ts';

/** What principals may do, and requests that wait for somebody else. */
export const policyOperations: readonly AnyOperation<PolicyDeps>[] = [
  createPolicy,
  putPolicy,
  listPolicies,
  getPolicy,
  deletePolicy,
  testPolicy,
  listApprovals,
  getApproval,
  approveRequest,
  rejectRequest,
];
