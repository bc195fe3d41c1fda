import { z } from 'zod';
import { defineOperation } from '#core/operation.ts';
import type { Metrics } from './metrics.ts';

/** Reading the metrics is an operation like any other, so that a policy says who may, and the audit who did. */
export const readMetrics = defineOperation({
  id: 'system.read_metrics',
  title: 'Read the metrics',
  summary:
    'Returns the counters and gauges of this server in the Prometheus text format. A scraper reads the same at ' +
    '/metrics with the same token; on the admin listener (CHANCERY_ADMIN_LISTEN) it needs none.',
  input: z.strictObject({}),
  output: z.strictObject({ text: z.string().describe('Metrics in the Prometheus text format 0.0.4') }),
  http: { method: 'GET', path: '/system/metrics' },
  resource: () => 'system/metrics',
  installation: true,
  effect: 'read',
  run: async (_grant, _input, deps: { readonly metrics: Pick<Metrics, 'render'> }) => ({
    output: { text: await deps.metrics.render() },
  }),
});
