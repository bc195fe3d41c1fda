import { createHash } from 'node:crypto';
import { DnsError } from '#acme/dns/exchange.ts';
import type { Perspective } from '#acme/dns/perspective.ts';
import type { ChallengeAttempt, ChallengeResult } from './contract.ts';
import { dnsFailed, failed, passed, refused } from './outcome.ts';

/** The name that holds the TXT record for a DNS name, which is the base of a wildcard (RFC 8555 §8.4). */
export function dnsChallengeName(dnsName: string): string {
  return `_acme-challenge.${dnsName}`;
}

/** What the TXT record holds: base64url of the SHA-256 of the key authorization. */
export function dnsChallengeValue(keyAuthorization: string): string {
  return createHash('sha256').update(keyAuthorization).digest('base64url');
}

/** Any one of several TXT records may be it: two orders for a name and its wildcard need two (RFC 8555 §8.4). */
export async function validateDns(
  attempt: ChallengeAttempt,
  perspective: Perspective,
  signal: AbortSignal,
): Promise<ChallengeResult> {
  if (attempt.identifier.type !== 'dns')
    return refused('malformed', 'The challenge dns-01 is for DNS names only (RFC 8738 section 7).');
  const name = dnsChallengeName(attempt.identifier.value);
  try {
    const texts = await perspective.texts(name, signal);
    if (texts.includes(dnsChallengeValue(attempt.keyAuthorization))) return passed;
    if (texts.length === 0) return failed('dns', `There is no TXT record at ${name}.`);
    return failed('incorrectResponse', `None of the ${texts.length} TXT records at ${name} is for this challenge.`);
  } catch (thrown) {
    if (thrown instanceof DnsError) return dnsFailed(`${name} (TXT)`, thrown);
    throw thrown;
  }
}
