import { setTimeout as sleep } from 'node:timers/promises';
import { type ExternalAccountKey, type SigningKey, signJws } from '#acme/jose/sign.ts';
import { type GuardedFetch, OutboundError, type OutboundResponse } from '#outbound/guarded-fetch.ts';
import { headerOf, linksOf, retryAfterOf } from './headers.ts';
import { type Directory, directorySchema, readObject } from './objects.ts';
import { AcmeProblem, isTemporary, MalformedAnswer, readProblem } from './problem.ts';

/**
 * Requests to one authority (RFC 8555 §6). Every try of a request is signed anew, since a nonce that was sent may have
 * been used, whatever came back.
 */
export interface Connection {
  directory(): Promise<Directory>;
  /** A payload of `''` is a POST-as-GET. Throws `AcmeProblem`, `MalformedAnswer` and `OutboundError`. */
  post(signer: Signer, url: string, payload: object | '', signal?: AbortSignal): Promise<Answer>;
  /** Unsigned: directory, renewal information. */
  get(url: string, signal?: AbortSignal): Promise<Answer>;
}

export interface Signer {
  readonly key: SigningKey;
  /** The account URL; absent: the request shows the key (newAccount). */
  readonly kid?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly location: string | undefined;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  links(relation: string): string[];
}

export type { ExternalAccountKey };

export interface ConnectionParts {
  readonly directoryUrl: string;
  readonly fetch: GuardedFetch;
  /** Milliseconds that never jump. */
  readonly monotonic: () => number;
  readonly now: () => number;
}

/** Ends an exchange before its time. */
type Ending = AbortSignal | undefined;

const directoryAge = 600_000;
const mostNonces = 32;
/** Nonces may be refused for reasons of the authority (RFC 8555 §6.5): Pebble does so at random. */
const mostBadNonces = 10;
/** Waits before another try of what failed on the way or at the authority; what lasts longer is tried by the next step. */
const pauses = [200, 1000];
/** Seconds: an authority that wants a longer pause is not waited for here. */
const longestPause = 3;

export function createConnection(parts: ConnectionParts): Connection {
  const nonces: string[] = [];
  let directory: { readonly at: number; readonly value: Promise<Directory> } | undefined;

  const exchange = async (url: string, signal: Ending, body?: string): Promise<OutboundResponse> => {
    requireHttps(url);
    const reply = await parts.fetch({
      url,
      signal,
      ...(body === undefined
        ? {}
        : { method: 'POST', headers: { 'content-type': 'application/jose+json' }, body: Buffer.from(body) }),
    });
    const nonce = headerOf(reply.headers, 'replay-nonce');
    if (nonce !== undefined && /^[A-Za-z0-9_-]{1,512}$/.test(nonce) && nonces.length < mostNonces) nonces.push(nonce);
    return reply;
  };
  const get: Connection['get'] = (url, signal) =>
    insisting(signal, async () => toAnswer(await exchange(url, signal), url, parts.now()));
  const readDirectory = async (): Promise<Directory> =>
    readObject(directorySchema, (await get(parts.directoryUrl)).body, 'directory');
  const currentDirectory = (): Promise<Directory> => {
    if (directory === undefined || parts.monotonic() - directory.at > directoryAge) {
      const reading = { at: parts.monotonic(), value: readDirectory() };
      directory = reading;
      reading.value.catch(() => {
        if (directory === reading) directory = undefined;
      });
    }
    return directory.value;
  };
  const takeNonce = async (signal: Ending): Promise<string> => {
    const kept = nonces.pop();
    if (kept !== undefined) return kept;
    const { newNonce } = await currentDirectory();
    await exchange(newNonce, signal);
    const fresh = nonces.pop();
    if (fresh === undefined) throw new MalformedAnswer('The authority gives no nonce (RFC 8555 section 6.5).');
    return fresh;
  };
  const send = async ({ key, kid }: Signer, url: string, payload: object | '', signal: Ending): Promise<Answer> => {
    const header = { url, nonce: await takeNonce(signal), ...(kid === undefined ? {} : { kid }) };
    const body = JSON.stringify(signJws(key, header, payload));
    return toAnswer(await exchange(url, signal, body), url, parts.now());
  };
  const post: Connection['post'] = async (signer, url, payload, signal) => {
    for (let refused = 0; ; refused++) {
      try {
        return await insisting(signal, () => send(signer, url, payload, signal));
      } catch (error) {
        if (!(error instanceof AcmeProblem && error.type === 'badNonce') || refused === mostBadNonces) throw error;
        // Those of before may be as stale; what came with the refusal is not.
        nonces.splice(0, nonces.length - 1);
      }
    }
  };
  return { directory: currentDirectory, post, get };
}

function requireHttps(url: string): void {
  if (!url.startsWith('https://')) throw new OutboundError('bad_url', 'the authority names a URL that is not of https');
}

/** Tries again what failed on the way, or inside the authority. */
async function insisting(signal: Ending, work: () => Promise<Answer>): Promise<Answer> {
  for (const pause of pauses) {
    try {
      return await work();
    } catch (error) {
      if (!worthAnotherTry(error)) throw error;
      const asked = error instanceof AcmeProblem ? (error.facts.retryAfter ?? 0) * 1000 : 0;
      await sleep(Math.max(pause, asked), undefined, { ref: false, ...(signal === undefined ? {} : { signal }) });
    }
  }
  return work();
}

function worthAnotherTry(error: unknown): boolean {
  if (error instanceof OutboundError) return isTemporary(error) && error.fault !== 'timeout';
  if (!(error instanceof AcmeProblem)) return false;
  const { type, status, retryAfter = 0 } = error.facts;
  return status >= 500 && status !== 501 && type !== 'badNonce' && retryAfter <= longestPause;
}

function toAnswer(reply: OutboundResponse, url: string, now: number): Answer {
  const retryAfter = retryAfterOf(reply.headers, now);
  if (reply.status >= 400) throw readProblem(parse(reply.body), reply.status, retryAfter);
  const location = headerOf(reply.headers, 'location');
  return {
    status: reply.status,
    body: reply.body,
    location: location !== undefined && URL.canParse(location, url) ? new URL(location, url).href : undefined,
    retryAfter,
    links: (relation) => linksOf(reply.headers, relation, url),
  };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
