import type { AnyOperation } from '#core/operation.ts';
import type { LeaseDeps } from '#lease/deps.ts';
import { forgetLeases } from './forget.ts';
import { getLease, getStatus, listLeases } from './read.ts';
import { renewLease } from './renew.ts';
import { endLease, revokeLease, revokeLeases } from './revoke.ts';
import { applyBrake, purgeRevoked, releaseBrake } from './upkeep.ts';

export const leaseOperations: readonly AnyOperation<LeaseDeps>[] = [
  listLeases,
  getLease,
  renewLease,
  revokeLease,
  revokeLeases,
  forgetLeases,
  getStatus,
  releaseBrake,
  applyBrake,
  endLease,
  purgeRevoked,
];
