import { isIP } from 'node:net';
import { DnsError } from '#acme/dns/exchange.ts';
import type { Perspective } from '#acme/dns/perspective.ts';
import { allowedRanges, isPublicAddress } from '#outbound/address-rules.ts';
import type { ChallengeResult, Identifier } from './contract.ts';
import { dnsFailed, failed, refused } from './outcome.ts';

/** Two of each family: a name may have any number of addresses, and each costs time. */
export const maxAddresses = 4;

/** IPv6 first, then IPv4, by turns, so that addresses of one family that are dead do not hide the other. */
export function inTurns(addresses: readonly string[]): readonly string[] {
  const [six, four] = [6, 4].map((family) => addresses.filter((address) => isIP(address) === family));
  const turns = Array.from({ length: addresses.length }, (_, index) => [six?.[index], four?.[index]]);
  return turns.flat().filter((address) => address !== undefined);
}

/** Where an identifier may be connected to, in the order to try, or why nowhere. */
export async function reachableAddresses(
  { type, value }: Identifier,
  ranges: readonly string[],
  perspective: Perspective,
  signal: AbortSignal,
): Promise<readonly string[] | ChallengeResult> {
  try {
    const found = type === 'ip' ? [value] : await perspective.addresses(value, signal);
    if (found.length === 0) return failed('dns', `The name ${value} has neither an A nor an AAAA record.`);
    const isAllowed = allowedRanges(ranges);
    const allowed = found.filter((address) => isPublicAddress(address) || isAllowed(address));
    return allowed.length === 0 ? addressRefused(value) : inTurns(allowed).slice(0, maxAddresses);
  } catch (thrown) {
    if (thrown instanceof DnsError) return dnsFailed(value, thrown);
    throw thrown;
  }
}

export function addressRefused(host: string): ChallengeResult {
  return refused(
    'connection',
    `The host ${host} is at no address that this server may connect to: none is public, or in a range that is allowed here.`,
  );
}
