import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { PublicReply, PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { Gates } from './gates.ts';
import { finish, type Metrics } from './metrics.ts';
import { describeError, knownError } from './problem.ts';
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
        ...(route.refuse ? { errorHandler: earlyRefusal(route, deps) } : {}),
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
      status = await refuse(route, deps, request, reply, thrown);
    }
    finish(meter, started, status);
  };
}

/** For what is refused before the handler is asked: a body that is too large, or ends early. */
function earlyRefusal(route: PublicRoute, deps: PublicRouteDeps) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    void refuse(route, deps, request, reply, thrown);
}

/** Answers with an error, in the words of the route's own protocol where it has some. Returns the status. */
async function refuse(
  route: PublicRoute,
  deps: PublicRouteDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  thrown: unknown,
): Promise<number> {
  if (!route.refuse) return sendError(reply, thrown, deps.log, route.path);
  const error = knownError(thrown, route.bodyLimit ?? defaultBodyLimit);
  if (error.status >= 500)
    deps.log.error(
      { request_id: request.id, operation: route.path, error: describeError(error.cause ?? error) },
      'request failed',
    );
  try {
    const params = (request.params ?? {}) as Readonly<Record<string, string>>;
    return send(reply, await route.refuse(error, { params, url: request.raw.url ?? '', requestId: request.id }));
  } catch (again) {
    return sendError(reply, again, deps.log, route.path);
  }
}

function send(reply: FastifyReply, result: PublicReply): number {
  boundReading(reply.raw, result.body.length);
  reply
    .code(result.status)
    .header('x-request-id', reply.request.id)
    .header('x-content-type-options', 'nosniff')
    .headers(result.headers)
    // To octets fastify adds a media type, also where there are none.
    .send(result.body.length === 0 ? undefined : result.body);
  return result.status;
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
  return send(reply, result);
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
