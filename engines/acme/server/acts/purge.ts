import { z } from 'zod';
import { remove } from '#core/change.ts';
import { defineAct } from '#core/operation.ts';
import type { Store } from '#storage/store.ts';
import { endUnfulfilled } from '#acme/server/open-authorizations.ts';
import { endOrphans, forgetEnded } from '#acme/server/ended-accounts.ts';
import type { ServerDeps } from '#acme/server/deps.ts';

/** At most so many objects of a kind in one commit. */
const batch = 500;
/** Milliseconds that an external account key is shown after its end. */
const keysKept = 30 * 86_400_000;

export const purgeServed = defineAct({
  id: 'acme.purge_served',
  title: 'Remove what ACME clients need no more',
  summary:
    'Removes used nonces, ended orders, authorizations and accounts, and external account keys that ended a month ago.',
  input: z.strictObject({}),
  output: z.strictObject({ more: z.boolean().describe('Whether as much as goes into one commit was removed') }),
  effect: 'destructive',
  idempotent: true,
  installation: true,
  resource: () => 'acme/served',
  async run(grant, _input, deps: ServerDeps) {
    const { store } = deps;
    const { now } = grant;
    const unfulfilled = await endUnfulfilled(store, now);
    const orphans = await endOrphans(deps, now);
    const forgotten = await forgetEnded(deps, now);
    const orders = await ended(store, 'acme_server_orders', now);
    const authorizations = await ended(store, 'acme_server_authorizations', now, "AND status <> 'pending'");
    const certificates = await ended(store, 'acme_server_certificates', now);
    const keys = await store.all<{ id: string }>(
      `SELECT id FROM acme_server_external_keys WHERE revoked_at <= ? OR expires_at <= ? LIMIT ${batch}`,
      [now - keysKept, now - keysKept],
    );
    const counts = [unfulfilled.count, orders.length, authorizations.length, certificates.length, keys.length];
    return {
      output: { more: forgotten.isMore || counts.some((count) => count === batch) },
      changes: [
        remove('acme_server_nonces', { expires_at: { lte: now } }),
        remove('acme_server_tries', { ends_at: { lte: now } }),
        ...unfulfilled.changes,
        remove('acme_server_order_authorizations', { order_id: orders }),
        remove('acme_server_orders', { id: orders }),
        remove('acme_server_challenges', { authorization_id: authorizations }),
        remove('acme_server_authorizations', { id: authorizations }),
        remove('acme_server_certificates', { id: certificates }),
        ...orphans,
        ...forgotten.changes,
        remove('acme_server_external_keys', { id: keys.map(({ id }) => id) }),
      ],
      audit: { orders: orders.length, authorizations: authorizations.length, accounts: forgotten.count },
    };
  },
});

async function ended(store: Store, table: string, now: number, also = ''): Promise<string[]> {
  const rows = await store.all<{ id: string }>(`SELECT id FROM ${table} WHERE purge_at <= ? ${also} LIMIT ${batch}`, [
    now,
  ]);
  return rows.map(({ id }) => id);
}
