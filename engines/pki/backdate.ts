/**
 * Certificates and CRLs begin this much before they are made, in milliseconds: a client whose clock is late by a minute must
 * not refuse what was just made for it.
 */
export const backdate = 60_000;

/** The beginning of what is made at `now`: backdated, but not before its issuer is valid. All in milliseconds. */
export function backdated(now: number, issuerNotBefore: number): number {
  return Math.min(now, Math.max(now - backdate, issuerNotBefore));
}
