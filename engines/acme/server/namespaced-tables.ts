import type { NamespacedTable } from '#core/engine.ts';

/** What stands in the way of deleting a namespace, and how it is cleared away. */
export const namespacedTables: readonly NamespacedTable[] = [
  {
    table: 'acme_server_directories',
    holds: 'settings of ACME directories',
    clear: 'acme.reset_directory clears the settings of a directory.',
  },
  {
    table: 'acme_server_external_keys',
    holds: 'external account keys',
    clear: 'acme.revoke_external_account_key and then acme.delete_external_account_key clear a key.',
  },
  {
    table: 'acme_server_accounts',
    holds: 'ACME accounts',
    clear: 'acme.revoke_subscriber and then acme.delete_subscriber clear an account; acme.list_subscribers lists them.',
  },
  ...['acme_server_orders', 'acme_server_authorizations', 'acme_server_certificates'].map((table) => ({
    table,
    holds: 'orders of ACME accounts',
    clear: 'The orders of an account that was deleted are gone ten minutes later.',
  })),
];
