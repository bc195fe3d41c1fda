import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Readiness } from './health.ts';

export interface HealthSource {
  readonly version: string;
  readonly readiness: () => Promise<Readiness>;
  /** True from the moment that the server was told to close. */
  readonly draining: () => boolean;
}

/**
 * `/healthz`: the process answers, so do not restart it. `/readyz`: send it requests; 503 while a probe fails or the
 * server is about to close, so that a load balancer turns away before the port does.
 */
export function registerHealth(app: FastifyInstance, source: HealthSource): void {
  const { version } = source;
  app.route({
    method: ['GET', 'HEAD'],
    url: '/healthz',
    handler: async (request, reply) => answer(request, reply, 200, { status: 'ok', version }),
  });
  app.route({
    method: ['GET', 'HEAD'],
    url: '/readyz',
    handler: async (request, reply) => {
      if (source.draining()) return answer(request, reply, 503, { status: 'draining', version });
      const { ready, checks } = await source.readiness();
      return answer(request, reply, ready ? 200 : 503, { status: ready ? 'ready' : 'unavailable', version, checks });
    },
  });
}

function answer(request: FastifyRequest, reply: FastifyReply, status: number, body: unknown): FastifyReply {
  return reply
    .code(status)
    .headers({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-request-id': request.id,
    })
    .send(JSON.stringify(body));
}
