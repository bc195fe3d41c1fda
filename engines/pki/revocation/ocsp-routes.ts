import { hash } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import type { PublicReply, PublicRequest, PublicRoute } from '#core/engine.ts';
import { maxOcspRequestBytes } from '#pki/x509/ocsp-request.ts';
import { replyCached } from './http-cache.ts';
import type { OcspAnswer, OcspResponder } from './ocsp-responder.ts';

/** OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5): the request in the body, or in the path in base64. */

const mediaType = 'application/ocsp-response';
/** RFC 5019 §5 wants GET below 255 octets; a nonce and SHA-512 need more. */
const maxPathLength = 2048;

export function ocspRoutes(responder: OcspResponder, clock: Clock): PublicRoute[] {
  return [
    {
      method: 'POST',
      path: '/pki/:authority/ocsp',
      summary: 'Status of certificates by OCSP (RFC 6960), request in the body.',
      bodyLimit: maxOcspRequestBytes,
      consumes: ['application/ocsp-request'],
      handle: async (request) => {
        const authority = authorityOf(request);
        const key = request.body.toString('latin1');
        const known = responder.peek(authority, key);
        return reply(known ?? (await responder.answer(authority, request.body, key)), request, clock.now());
      },
    },
    {
      method: 'GET',
      path: '/pki/:authority/ocsp/*',
      summary: 'Status of certificates by OCSP (RFC 6960 appendix A.1), request in the path in base64.',
      handle: async (request) => {
        const authority = authorityOf(request);
        const path = requestPart(request.url);
        const known = responder.peek(authority, path);
        if (known) return reply(known, request, clock.now());
        const der = path.length <= maxPathLength ? decodePath(path) : undefined;
        const answer = der ? await responder.answer(authority, der, path) : responder.refuse('malformed_request');
        return reply(answer, request, clock.now());
      },
    },
  ];
}

function authorityOf({ params }: PublicRequest): string {
  return params['authority'] ?? '';
}

/** What follows `/ocsp/`, undecoded. The name before it holds no slash, so the first occurrence is the one. */
function requestPart(url: string): string {
  const end = url.indexOf('?');
  const path = end === -1 ? url : url.slice(0, end);
  return path.slice(path.indexOf('/ocsp/') + '/ocsp/'.length);
}

const base64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** The base64 of either alphabet, escaped or not, since clients differ; undefined when it is neither. */
function decodePath(path: string): Buffer | undefined {
  try {
    // Some clients put a slash too many before the request, none can begin with one: DER begins with `M`.
    const text = decodeURIComponent(path).replace(/^\/+/, '');
    return base64.test(text) ? Buffer.from(text, 'base64') : undefined;
  } catch {
    return undefined;
  }
}

const etags = new WeakMap<OcspAnswer, string>();

function etagOf(answer: OcspAnswer): string {
  const known = etags.get(answer);
  if (known !== undefined) return known;
  const made = `"${hash('sha256', answer.body).slice(0, 32)}"`;
  etags.set(answer, made);
  return made;
}

function reply(answer: OcspAnswer, request: PublicRequest, now: number): PublicReply {
  const { body, cacheable } = answer;
  if (!cacheable) return { status: 200, headers: { 'content-type': mediaType, 'cache-control': 'no-store' }, body };
  return replyCached(
    request,
    { body, mediaType, etag: etagOf(answer), madeAt: cacheable.thisUpdate, nextUpdate: cacheable.nextUpdate },
    now,
  );
}
