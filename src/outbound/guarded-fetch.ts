import { lookup } from 'node:dns/promises';
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { allowedRanges, isPublicAddress } from './address-rules.ts';

/**
 * HTTP to places that someone else names: responders in certificates, challenges of ACME. The name is resolved once and
 * the connection made to the address that was checked, so that a second answer of the DNS changes nothing. Redirects are
 * not followed, and neither time nor body is unbounded.
 */

export interface OutboundRequest {
  readonly url: string;
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  /** Ends the exchange before its time is over; the fault is then `timeout`. */
  readonly signal?: AbortSignal | undefined;
}

export interface OutboundResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface OutboundOptions {
  /** Addresses beside those of the public Internet: none, all (`true`), or CIDR ranges. */
  readonly allowPrivate: boolean | readonly string[];
  /** For the whole exchange, name resolution included. */
  readonly timeoutMs: number;
  /** Of the body of the answer. */
  readonly maxBytes: number;
  /** PEM: the only roots trusted for https; default those of Node. */
  readonly ca?: string | undefined;
  /** Resolves names; default the system's resolver. */
  readonly resolve?: ((host: string, signal: AbortSignal) => Promise<readonly string[]>) | undefined;
  /** Redirects are refused; with `answer` they are answers like any other, for a caller that judges each hop itself. */
  readonly redirects?: 'answer' | undefined;
  /** `false`: any certificate of an https server will do, where what it says is proof enough of who it is. */
  readonly verifyCertificate?: false | undefined;
  /** How many of the addresses that are allowed are tried, in their order, until one connects; default one. */
  readonly addressesTried?: number | undefined;
}

export const outboundFaults = [
  'bad_url',
  'unresolved',
  'refused_address',
  'connection_failed',
  'timeout',
  'redirected',
  'too_large',
] as const;
export type OutboundFault = (typeof outboundFaults)[number];

/**
 * Why there is no answer. The message names the host, never the path, which may hold a secret; the cause says more than
 * whoever named the place should hear.
 */
export class OutboundError extends Error {
  readonly fault: OutboundFault;

  constructor(fault: OutboundFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'OutboundError';
    this.fault = fault;
  }
}

/** Nothing was sent yet: another address may do. */
class NotConnected extends OutboundError {}

/** Throws `OutboundError`, also for redirects; any other status is an answer. */
export type GuardedFetch = (request: OutboundRequest) => Promise<OutboundResponse>;

export function createGuardedFetch(options: OutboundOptions): GuardedFetch {
  const { allowPrivate, resolve = resolveBySystem } = options;
  const isAllowed = typeof allowPrivate === 'boolean' ? () => allowPrivate : allowedRanges(allowPrivate);
  return async (request) => {
    const url = readUrl(request.url);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const timeout = AbortSignal.timeout(options.timeoutMs);
    const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
    const found = isIP(host) === 0 ? await withinTime(resolveName(host, resolve, signal), signal, host) : [host];
    const addresses = found.filter((each) => isPublicAddress(each) || isAllowed(each));
    if (addresses.length === 0)
      throw new OutboundError('refused_address', `${host} is at no address of the public Internet`);
    const tried = addresses.slice(0, options.addressesTried ?? 1);
    return withinTime(exchangeWithAny(request, { url, host, signal, options }, tried), signal, host);
  };
}

/** While there are other addresses to try, one that does not answer the handshake has only its share of the time. */
async function exchangeWithAny(
  request: OutboundRequest,
  given: Omit<Exchange, 'address' | 'connectMs'>,
  addresses: readonly string[],
): Promise<OutboundResponse> {
  const connectMs = Math.ceil(given.options.timeoutMs / (addresses.length + 1));
  for (const [index, address] of addresses.entries()) {
    const isLast = index === addresses.length - 1;
    try {
      return await exchange(request, { ...given, address, connectMs: isLast ? undefined : connectMs });
    } catch (thrown) {
      if (isLast || !(thrown instanceof NotConnected)) throw thrown;
    }
  }
  throw new OutboundError('refused_address', `${given.host} has no address`);
}

const maxUrl = 2048;

function readUrl(text: string): URL {
  const url = text.length <= maxUrl && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '')
    throw new OutboundError('bad_url', 'what was named is no URL of http or https');
  if (url.username !== '' || url.password !== '')
    throw new OutboundError('bad_url', `the URL of ${url.hostname} holds a user name`);
  return url;
}

async function resolveBySystem(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
}

async function resolveName(
  host: string,
  resolve: (host: string, signal: AbortSignal) => Promise<readonly string[]>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return await resolve(host, signal);
  } catch {
    throw new OutboundError('unresolved', `${host} cannot be resolved`);
  }
}

/** The work itself may not be stoppable, as the resolver of the system is not; it is then waited for no longer. */
async function withinTime<T>(work: Promise<T>, signal: AbortSignal, host: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(new OutboundError('timeout', `${host} did not answer in time`));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

interface Exchange {
  readonly url: URL;
  readonly host: string;
  readonly address: string;
  /** The time to connect in, where that is less than all there is. */
  readonly connectMs: number | undefined;
  readonly signal: AbortSignal;
  readonly options: OutboundOptions;
}

function exchange(outgoing: OutboundRequest, given: Exchange): Promise<OutboundResponse> {
  const { url, host, options } = given;
  return new Promise((resolve, reject) => {
    const onAnswer = (answer: IncomingMessage) => {
      readAnswer(answer, host, options).then(resolve, reject);
    };
    const sent = open(url, requestOptions(outgoing, given), onAnswer);
    const connection = watchConnection(sent, given.connectMs);
    sent.on('error', (cause) => {
      const Kind = connection.isMade() ? OutboundError : NotConnected;
      reject(new Kind('connection_failed', `no connection to ${host}, or it broke`, cause));
    });
    sent.end(outgoing.body);
  });
}

/** Whether the connection was made; a request that is not connected after `connectMs` is given up. */
function watchConnection(sent: ClientRequest, connectMs: number | undefined): { isMade: () => boolean } {
  let isMade = false;
  const timer = connectMs === undefined ? undefined : setTimeout(() => sent.destroy(new Error('slow')), connectMs);
  sent.on('close', () => clearTimeout(timer));
  sent.on('socket', (socket) => {
    socket.on('connect', () => {
      isMade = true;
      clearTimeout(timer);
    });
  });
  return { isMade: () => isMade };
}

function open(url: URL, options: RequestOptions, onAnswer: (answer: IncomingMessage) => void): ClientRequest {
  return url.protocol === 'https:' ? requestHttps(options, onAnswer) : requestHttp(options, onAnswer);
}

function requestOptions(
  { method = 'GET', headers = {}, body }: OutboundRequest,
  { url, host, address, signal, options }: Exchange,
): RequestOptions {
  return {
    // The address is connected to; the name is what Host, SNI and the check of the certificate go by.
    host: address,
    port: url.port === '' ? undefined : Number(url.port),
    path: `${url.pathname}${url.search}`,
    method,
    headers: {
      'user-agent': 'chancery',
      accept: '*/*',
      'accept-encoding': 'identity',
      ...headers,
      host: url.host,
      ...(body === undefined ? {} : { 'content-length': String(body.length) }),
    },
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.verifyCertificate === false ? { rejectUnauthorized: false } : {}),
    agent: false,
    maxHeaderSize: 16_384,
    signal,
  };
}

async function readAnswer(answer: IncomingMessage, host: string, options: OutboundOptions): Promise<OutboundResponse> {
  const { statusCode: status = 0, headers } = answer;
  const { maxBytes, redirects } = options;
  const isRedirect = status >= 300 && status < 400;
  try {
    if (isRedirect && redirects === 'answer') return { status, headers, body: Buffer.alloc(0) };
    if (isRedirect) throw new OutboundError('redirected', `${host} points elsewhere (${status})`);
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) throw new OutboundError('too_large', `${host} answers with more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return { status, headers, body: Buffer.concat(chunks) };
  } catch (thrown) {
    if (thrown instanceof OutboundError) throw thrown;
    throw new OutboundError('connection_failed', `the answer of ${host} broke off`);
  } finally {
    answer.destroy();
  }
}
