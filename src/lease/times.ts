/** The times of a lease, in milliseconds. */

/** A minting that takes longer has failed or was never finished: then its row comes due. */
export const mintDeadline = 60_000;
/** How long a claim holds without a sign of life of the node that has it. */
export const claimTime = 60_000;
/** How often a node says that it still works on what it has claimed. */
export const claimRefresh = 20_000;
/** The longest that one revocation may take; the target's own time limits end it long before. */
export const revocationLimit = 600_000;
/** From this failure on, somebody must look. */
export const stuckAfter = 10;
/** Revoked leases are kept this long. */
export const keepRevoked = 30 * 86_400_000;

const firstRetry = 5_000;
const longestRetry = 900_000;
/** A target that is away is watched by the breaker, which lets one through; the others must not sleep on when it is back. */
const longestRetryOfUnavailable = 60_000;

/** How long to wait after the n-th failure (1, 2 …): 5 s doubling to 15 min, 20 % more or less so that they spread. */
export function retryDelay(attempts: number, unavailable: boolean): number {
  const longest = unavailable ? longestRetryOfUnavailable : longestRetry;
  const delay = Math.min(firstRetry * 2 ** Math.min(attempts - 1, 20), longest);
  return Math.round(delay * (0.8 + 0.4 * Math.random()));
}
