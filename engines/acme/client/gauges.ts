import type { Clock } from '#core/clock.ts';
import type { Gauge } from '#core/gauge.ts';
import type { Store } from '#storage/store.ts';

const day = 86_400_000;

/** What a watcher of outside certificates wants to be woken by: orders that wait, renewals that fail, ends that come near. */
export function acmeClientGauges({ store, clock }: { readonly store: Store; readonly clock: Clock }): Gauge[] {
  const count = async (sql: string, parameters: readonly (string | number)[] = []): Promise<number> =>
    (await store.first<{ count: number }>(`SELECT COUNT(*) AS count FROM ${sql}`, parameters))?.count ?? 0;
  return [
    {
      name: 'chancery_acme_client_orders',
      help: 'Orders at outside authorities that have not ended, by state, in all namespaces',
      kind: 'gauge',
      labels: ['state'],
      async read() {
        const rows = await store.all<{ state: string; count: number }>(
          'SELECT state, COUNT(*) AS count FROM acme_client_orders WHERE ended_at IS NULL GROUP BY state',
          [],
        );
        return rows.map(({ state, count: value }) => ({ labels: { state }, value }));
      },
    },
    {
      name: 'chancery_acme_client_certificates',
      help: 'Valid certificates from outside authorities, by the time until they end',
      kind: 'gauge',
      labels: ['ends_within'],
      async read() {
        const now = clock.now();
        const within = (days: number) =>
          count(`acme_certificates WHERE state = 'valid' AND not_after >= ? AND not_after < ?`, [
            now,
            now + days * day,
          ]);
        return Promise.all(
          [1, 7, 30, 36_500].map(async (days) => ({
            labels: { ends_within: days === 36_500 ? 'any' : `${days}d` },
            value: await within(days),
          })),
        );
      },
    },
    {
      name: 'chancery_acme_client_renewals_failing',
      help: 'Certificates from outside authorities whose renewal fails',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: await count('acme_certificates WHERE failing_since IS NOT NULL') }],
    },
    {
      name: 'chancery_acme_client_renewals_stopped',
      help: 'Certificates from outside authorities whose renewal is not tried: who ordered, or the account, may not any more',
      kind: 'gauge',
      labels: [],
      read: async () => [{ value: await count(`acme_certificates WHERE stopped IS NOT NULL AND state = 'valid'`) }],
    },
  ];
}
