import type { Gauge } from '#core/gauge.ts';
import type { Store } from '#storage/store.ts';

/** What waits: by the indexes of what is due, so that asking costs little however much there is. */
export function acmeServerGauges(store: Store): Gauge[] {
  const count = async (table: string): Promise<number> => {
    const sql = `SELECT COUNT(*) AS count FROM ${table} WHERE next_attempt_at IS NOT NULL`;
    return (await store.first<{ count: number }>(sql, []))?.count ?? 0;
  };
  return [
    {
      name: 'chancery_acme_server_challenges_processing',
      help: 'Challenges of ACME clients that are being validated, or wait to be',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: await count('acme_server_challenges') }],
    },
    {
      name: 'chancery_acme_server_orders_processing',
      help: 'Orders of ACME clients that were finalized and are not issued yet',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: await count('acme_server_orders') }],
    },
  ];
}
