import type { DnsError } from '#acme/dns/exchange.ts';
import type { ChallengeProblemType, ChallengeResult } from './contract.ts';

/** What every check of a challenge works with: until when, how, and how it ends. */

export const passed: ChallengeResult = { ok: true };

/** Hosts of redirects are as long as a responder likes, and details are kept and shown. */
const maxDetail = 400;

function cut(detail: string): string {
  return detail.length <= maxDetail ? detail : `${detail.slice(0, maxDetail)}….`;
}

/** Another attempt may succeed: names and responders take their time to appear (RFC 8555 §8.2). */
export function failed(type: ChallengeProblemType, detail: string): ChallengeResult {
  return { ok: false, problem: { type, detail: cut(detail) }, retry: true };
}

/** Another attempt would end the same. */
export function refused(type: ChallengeProblemType, detail: string): ChallengeResult {
  return { ok: false, problem: { type, detail: cut(detail) }, retry: false };
}

export function dnsFailed(name: string, error: DnsError): ChallengeResult {
  return failed('dns', `The DNS lookup of ${name} failed: ${error.message}.`);
}
