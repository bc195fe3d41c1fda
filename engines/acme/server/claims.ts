import { randomOctets } from '#core/random.ts';

/** Milliseconds for which a node that took something up is left alone with it; longer than any one try takes. */
export const claimTime = 180_000;

/** A fencing token: what a node writes after its claim has ended matches nothing. */
export function newClaim(): string {
  return randomOctets(16).toString('hex');
}
