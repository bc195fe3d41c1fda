import { randomOctets } from '#core/random.ts';

/** Milliseconds for which a node that validates is left alone with it; longer than any one try takes. */
export const validationClaim = 30_000;

/** The same for issuing: what is tried twice is issued once all the same, so that clients need not wait for long. */
export const issuanceClaim = 15_000;

/** A fencing token: what a node writes after its claim has ended matches nothing. */
export function newClaim(): string {
  return randomOctets(16).toString('hex');
}
