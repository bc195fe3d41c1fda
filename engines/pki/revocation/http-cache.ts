import type { PublicReply, PublicRequest } from '#core/engine.ts';

/**
 * HTTP caching of CRLs and OCSP answers (RFC 5019 §6.2, RFC 9111). They could be kept until nextUpdate, but then a cache
 * would hide a revocation for as long; a few minutes take the load as well, and asking again costs a 304.
 */
export const maxAge = 300;

export interface Cached {
  readonly body: Uint8Array;
  readonly mediaType: string;
  /** With its quotes. */
  readonly etag: string;
  /** Milliseconds. */
  readonly madeAt: number;
  readonly nextUpdate: number;
}

export function cacheHeaders(cached: Cached, now: number): Record<string, string> {
  const left = Math.max(0, Math.min(maxAge, Math.floor((cached.nextUpdate - now) / 1000)));
  return {
    'content-type': cached.mediaType,
    etag: cached.etag,
    'last-modified': httpDate(cached.madeAt),
    expires: httpDate(now + left * 1000),
    'cache-control': `max-age=${left}, public, no-transform, must-revalidate`,
  };
}

/** 304 where the client has this very answer already, else the answer. */
export function replyCached(request: Pick<PublicRequest, 'headers'>, cached: Cached, now: number): PublicReply {
  const headers = cacheHeaders(cached, now);
  if (isUnchanged(request.headers, cached)) return { status: 304, headers, body: '' };
  return { status: 200, headers, body: cached.body };
}

/** RFC 9110 §13.2.2: If-None-Match decides where it is given. */
function isUnchanged(headers: PublicRequest['headers'], { etag, madeAt }: Cached): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined)
    return tags.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
  const since = headers['if-modified-since'];
  if (since === undefined) return false;
  const time = Date.parse(since);
  // Last-Modified is cut to whole seconds, and two CRLs can be made within one: then nothing is said to be unchanged.
  return Number.isFinite(time) && time > madeAt;
}

function httpDate(milliseconds: number): string {
  return new Date(milliseconds).toUTCString();
}
