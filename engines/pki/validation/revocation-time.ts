/** What a revocation says of a time. */

/** Clocks of issuers and responders may be ahead by this much, in milliseconds. */
export const maxSkew = 60_000;

/**
 * Whether a revocation counts at `at` (milliseconds). A key that was compromised was so before anyone knew: only other
 * reasons leave the time before them untouched.
 */
export function isRevokedAt(
  { reason, revokedAt }: { readonly reason?: string | undefined; readonly revokedAt: number },
  at: number,
): boolean {
  return revokedAt <= at || reason === 'key_compromise' || reason === 'ca_compromise';
}
