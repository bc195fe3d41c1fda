import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { Gates } from './gates.ts';
import { finish, type Metrics } from './metrics.ts';
import { boundReading, sendError } from './reply.ts';
import { sourceAddressOf } from './request.ts';

/** A CSR, a JWS and an OCSP request are all far below this. */
const defaultBodyLimit = 65_536;
const noBody = Buffer.alloc(0);

export interface PublicRouteDeps {
  readonly gates: Gates;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/**
 * Routes that speak a protocol of their own (CRL, OCSP, ACME). They get the body as bytes, never parsed; every GET
 * answers HEAD as well, unless the engine has a HEAD of its own there.
 */
export function registerPublicRoutes(
  app: FastifyInstance,
  routes: readonly PublicRoute[],
  deps: PublicRouteDeps,
): void {
  const ownHead = new Set(routes.filter(({ method }) => method === 'HEAD').map(({ path }) => path));
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    for (const route of routes) {
      scope.route({
        method: route.method === 'GET' && !ownHead.has(route.path) ? ['GET', 'HEAD'] : route.method,
        url: route.path,
        bodyLimit: route.bodyLimit ?? defaultBodyLimit,
        handler: publicHandler(route, deps),
      });
    }
  });
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

function publicHandler(route: PublicRoute, deps: PublicRouteDeps): Handler {
  const meter = deps.metrics.meter(`${route.method} ${route.path}`);
  return async (request, reply) => {
    const started = performance.now();
    meter.inFlight += 1;
    let status = 500;
    try {
      status = await answer(route, deps, request, reply);
    } catch (thrown) {
      status = sendError(reply, thrown, deps.log, route.path);
    }
    finish(meter, started, status);
  };
}

async function answer(
  route: PublicRoute,
  deps: PublicRouteDeps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<number> {
  const sourceAddress = sourceAddressOf(request);
  deps.gates.open(sourceAddress);
  const result = await route.handle({
    params: request.params as Readonly<Record<string, string>>,
    url: request.raw.url ?? '',
    headers: request.headers as Readonly<Record<string, string | undefined>>,
    body: bodyOf(route, request),
    sourceAddress,
    requestId: request.id,
  });
  boundReading(reply.raw, result.body.length);
  reply
    .code(result.status)
    .header('x-request-id', request.id)
    .header('x-content-type-options', 'nosniff')
    .headers(result.headers)
    .send(result.body);
  return result.status;
}

/** The bytes of the body, once its media type is one that the route takes. */
function bodyOf(route: PublicRoute, request: FastifyRequest): Buffer {
  const body = Buffer.isBuffer(request.body) ? request.body : noBody;
  if (route.method !== 'POST') return body;
  const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (route.consumes === undefined && body.length === 0) return body;
  if (route.consumes?.includes(mediaType)) return body;
  throw new AppError('unsupported_media_type', 'The body has a media type that is not accepted here.', {
    hint: `Accepted: ${route.consumes?.join(', ') ?? 'no body'}.`,
  });
}
