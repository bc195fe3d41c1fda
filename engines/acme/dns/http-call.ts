import { type GuardedFetch, OutboundError, type OutboundResponse } from '#outbound/guarded-fetch.ts';
import { DnsProviderError } from './contract.ts';

/** Calls of the HTTP APIs of providers: every failure is a `DnsProviderError` with a sentence for the operator. */

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

const maxAnswer = 1_048_576;

/** Throws for what is no answer. Whatever status is an answer. */
export async function callApi(outbound: GuardedFetch, provider: string, call: ApiCall): Promise<OutboundResponse> {
  try {
    const body = call.body === undefined ? undefined : Buffer.from(call.body);
    const response = await outbound({ ...call, body });
    if (response.body.length <= maxAnswer) return response;
  } catch (thrown) {
    if (!(thrown instanceof OutboundError)) throw thrown;
    const isTemporary = thrown.fault !== 'refused_address' && thrown.fault !== 'bad_url';
    const hint = thrown.fault === 'refused_address' ? ' (CHANCERY_OUTBOUND_ALLOW)' : '';
    throw new DnsProviderError(`${provider} cannot be reached: ${thrown.message}${hint}.`, isTemporary);
  }
  throw new DnsProviderError(`${provider} answers with more than ${maxAnswer} bytes.`, true);
}

/** A refusal in the provider's own words, which are cut and without control characters. */
export function refusedBy(provider: string, status: number, words: string): DnsProviderError {
  const said = words
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 200)
    .trim();
  const isTemporary = status === 429 || status >= 500;
  return new DnsProviderError(
    `${provider} refuses with status ${status}${said === '' ? '' : `: ${said}`}.`,
    isTemporary,
  );
}

/** The JSON object of an answer; an empty one for anything else. */
export function jsonOf(response: OutboundResponse): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(response.body.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}
