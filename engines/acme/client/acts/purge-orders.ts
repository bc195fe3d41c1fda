import { z } from 'zod';
import { type Change, remove, update } from '#core/change.ts';
import { defineAct } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';

/** Milliseconds after the end of an order, or of a certificate whose key nobody fetched. */
const keepEnded = 30 * 86_400_000;
const batch = 500;

export const purgeOrders = defineAct({
  id: 'acme.purge_orders',
  title: 'Purge old orders and keys',
  summary:
    'Deletes orders of all namespaces that ended more than 30 days ago, and the keys of certificates that ended as long ago, but for those that renewals use again; the audit log keeps what happened.',
  input: z.strictObject({}),
  output: z.strictObject({ deleted: z.int(), keys: z.int(), more: z.boolean() }),
  resource: () => 'acme/orders',
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run(grant, _input, { store }: ClientDeps) {
    const before = grant.now - keepEnded;
    const idsOf = async (sql: string): Promise<string[]> =>
      (await store.all<{ id: string }>(sql, [before, batch])).map(({ id }) => id);
    const orders = await idsOf(
      'SELECT id FROM acme_client_orders WHERE ended_at < ? AND next_action_at IS NULL ORDER BY ended_at LIMIT ?',
    );
    const keys = await idsOf(
      `SELECT id FROM acme_certificates WHERE not_after < ? AND private_key IS NOT NULL AND ${isOfNoUse}
       ORDER BY not_after LIMIT ?`,
    );
    const changes: Change[] = [];
    if (orders.length > 0)
      changes.push(
        remove('acme_client_challenges', { order_id: orders }),
        remove('acme_client_orders', { id: orders }),
      );
    if (keys.length > 0)
      changes.push(
        update(
          'acme_certificates',
          { private_key: null, updated_at: grant.now },
          // One that was renewed meanwhile has a key that somebody waits for.
          { id: keys, not_after: { lt: before } },
          { add: { version: 1 } },
        ),
      );
    const count = { deleted: orders.length, keys: keys.length };
    return {
      output: { ...count, more: orders.length === batch || keys.length === batch },
      changes,
      audit: count,
    };
  },
});

/** The definition is JSON of ours: in a text of somebody else the quotes would be escaped. */
const isOfNoUse = `NOT (renew = 1 AND state = 'valid' AND definition LIKE '%"reuse_key":true%')`;
