import type { FastifyInstance } from 'fastify';
import type { BoundOperation } from '#core/operation.ts';
import type { Metrics } from './metrics.ts';
import { readMetrics } from './metrics-operation.ts';
import { admission, callOperation, type OperationRouteDeps } from './operation-routes.ts';
import { sendError } from './reply.ts';

/** `/metrics` on the main listener is the operation `system.read_metrics` in the text form that Prometheus reads. */
export function registerMetrics(
  app: FastifyInstance,
  operations: readonly BoundOperation[],
  deps: OperationRouteDeps,
): void {
  const operation = operations.find(({ id }) => id === readMetrics.id);
  if (!operation) return;
  app.get('/metrics', { onRequest: admission(deps) }, async (request, reply) => {
    try {
      const { output } = await callOperation(operation, deps, request, () => ({}));
      const { text } = output as { readonly text: string };
      reply.headers(textHeaders(deps.metrics)).header('x-request-id', request.id).send(text);
    } catch (thrown) {
      sendError(reply, thrown, deps.log, operation.id);
    }
  });
}

/** `/metrics` without a token, on a listener that only the operator's network reaches. */
export function registerAdminMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.get('/metrics', async (_request, reply) => reply.headers(textHeaders(metrics)).send(await metrics.render()));
}

function textHeaders(metrics: Metrics): Record<string, string> {
  return { 'content-type': metrics.contentType, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
}
