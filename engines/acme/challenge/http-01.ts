import { DnsError } from '#acme/dns/exchange.ts';
import type { Perspective } from '#acme/dns/perspective.ts';
import {
  createGuardedFetch,
  type GuardedFetch,
  OutboundError,
  type OutboundResponse,
} from '#outbound/guarded-fetch.ts';
import type { ChallengeAttempt, ChallengeResult } from './contract.ts';
import { dnsFailed, failed, passed, refused } from './outcome.ts';
import { addressRefused, inTurns, maxAddresses } from './reach.ts';

/** Where responders listen. By RFC 8555 §8.3 and RFC 8737 §3 these are 80 and 443. */
export interface ChallengePorts {
  readonly http: number;
  readonly tls: number;
}

const maxRedirects = 10;
const maxBytes = 65_536;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * RFC 8555 §8.3. Redirects are followed, over http and https, to the ports of challenges only; the address of every hop
 * is resolved and judged anew. Certificates are not checked: a client that asks for its first one has none.
 */
export async function validateHttp(
  attempt: ChallengeAttempt,
  ports: ChallengePorts,
  perspective: Perspective,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<ChallengeResult> {
  let dnsError: DnsError | undefined;
  const fetch = createGuardedFetch({
    allowPrivate: attempt.allowedAddressRanges,
    timeoutMs,
    maxBytes,
    redirects: 'answer',
    verifyCertificate: false,
    addressesTried: maxAddresses,
    resolve: async (host, hopSignal) => {
      try {
        const found = await perspective.addresses(host, hopSignal);
        if (found.length === 0) throw new DnsError('failed', 'it has neither an A nor an AAAA record');
        return inTurns(found);
      } catch (thrown) {
        if (thrown instanceof DnsError) dnsError = thrown;
        throw thrown;
      }
    },
  });
  const host = hostOf(attempt);
  let url = `http://${host}${portSuffix(ports.http, 80)}/.well-known/acme-challenge/${attempt.token}`;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const answer = await ask(fetch, url, signal);
    if (answer instanceof OutboundError) return outboundFailed(answer, url, dnsError);
    if (!redirectStatuses.has(answer.status)) return judge(answer, attempt.keyAuthorization, url);
    const next = redirectTarget(answer, url, ports);
    if (typeof next !== 'string') return next;
    url = next;
  }
  return refused('connection', `The host ${host} redirects more than ${maxRedirects} times.`);
}

/** IPv6 in brackets (RFC 3986 §3.2.2). */
function hostOf({ identifier: { value } }: ChallengeAttempt): string {
  return value.includes(':') ? `[${value}]` : value;
}

function portSuffix(port: number, usual: number): string {
  return port === usual ? '' : `:${port}`;
}

function portOf(url: string): string {
  const { port = '', protocol } = URL.parse(url) ?? {};
  return port === '' ? (protocol === 'https:' ? '443' : '80') : port;
}

async function ask(fetch: GuardedFetch, url: string, signal: AbortSignal): Promise<OutboundResponse | OutboundError> {
  try {
    return await fetch({ url, signal });
  } catch (thrown) {
    if (thrown instanceof OutboundError) return thrown;
    throw thrown;
  }
}

/** Trailing whitespace is ignored. What else was found is not repeated: it may come from an inner server. */
function judge({ status, body }: OutboundResponse, keyAuthorization: string, url: string): ChallengeResult {
  const { host } = new URL(url);
  if (status !== 200)
    return failed('incorrectResponse', `The host ${host} answers with status ${status} instead of 200.`);
  if (body.toString('latin1').trimEnd() === keyAuthorization) return passed;
  return failed(
    'incorrectResponse',
    `The host ${host} answers with ${body.length} bytes that are not the key authorization.`,
  );
}

/** A port that is not named is that of challenges; any other is refused, so that nobody has this server scan ports. */
function redirectTarget({ headers }: OutboundResponse, from: string, ports: ChallengePorts): string | ChallengeResult {
  const { location } = headers;
  const url = typeof location === 'string' ? URL.parse(location, from) : null;
  const { host } = new URL(from);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    return failed('incorrectResponse', `The host ${host} redirects to no URL of http or https.`);
  if (url.username !== '' || url.password !== '')
    return failed('incorrectResponse', `The host ${host} redirects to a URL with a user name.`);
  if (url.port === '') url.port = String(url.protocol === 'http:' ? ports.http : ports.tls);
  const port = Number(url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : url.port);
  if (port !== ports.http && port !== ports.tls)
    return refused(
      'connection',
      `The host ${host} redirects to port ${port}; only ${ports.http} and ${ports.tls} are followed.`,
    );
  url.hash = '';
  return url.href;
}

function outboundFailed(error: OutboundError, url: string, dnsError: DnsError | undefined): ChallengeResult {
  const host = URL.parse(url)?.hostname ?? 'the responder';
  switch (error.fault) {
    case 'unresolved':
      return dnsFailed(host, dnsError ?? new DnsError('failed', 'it cannot be resolved'));
    case 'refused_address':
      return addressRefused(host);
    case 'too_large':
      return failed('incorrectResponse', `The host ${host} answers with more than ${maxBytes} bytes.`);
    case 'bad_url':
      return failed('incorrectResponse', `The URL at ${host} that is redirected to cannot be used.`);
    case 'connection_failed':
    case 'timeout':
    case 'redirected':
      return failed('connection', `The request to port ${portOf(url)} of ${host} failed: ${error.message}.`);
  }
}
