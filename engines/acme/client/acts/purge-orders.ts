import { z } from 'zod';
import { remove } from '#core/change.ts';
import { defineAct } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';

const keepEnded = 30 * 86_400_000;
const batch = 500;

export const purgeOrders = defineAct({
  id: 'acme.purge_orders',
  title: 'Purge old orders',
  summary: 'Deletes orders of all namespaces that ended more than 30 days ago; the audit log keeps what happened.',
  input: z.strictObject({}),
  output: z.strictObject({ deleted: z.int(), more: z.boolean() }),
  resource: () => 'acme/orders',
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run(grant, _input, deps: ClientDeps) {
    const rows = await deps.store.all<{ id: string }>(
      'SELECT id FROM acme_client_orders WHERE ended_at < ? AND next_action_at IS NULL ORDER BY ended_at LIMIT ?',
      [grant.now - keepEnded, batch],
    );
    const ids = rows.map(({ id }) => id);
    return {
      output: { deleted: ids.length, more: ids.length === batch },
      changes:
        ids.length === 0
          ? []
          : [remove('acme_client_challenges', { order_id: ids }), remove('acme_client_orders', { id: ids })],
      audit: { deleted: ids.length },
    };
  },
});
