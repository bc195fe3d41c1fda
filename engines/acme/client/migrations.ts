import type { Migration } from '#storage/store.ts';

/** Forward only; a migration that was released is never edited. */
export const acmeClientMigrations: readonly Migration[] = [
  {
    area: 'acme_client',
    number: 1,
    title: 'accounts, orders, challenges, certificates, DNS providers',
    statements: [
      `CREATE TABLE acme_accounts (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, directory TEXT NOT NULL,
        definition TEXT NOT NULL, url TEXT, key BLOB NOT NULL, next_key BLOB, key_change_started_at BIGINT,
        external_key BLOB, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (namespace, name))`,
      'CREATE INDEX acme_accounts_key_changes ON acme_accounts (key_change_started_at)',
      `CREATE TABLE acme_client_orders (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, account_id TEXT NOT NULL, account TEXT NOT NULL,
        certificate_id TEXT NOT NULL, renewal BIGINT NOT NULL, state TEXT NOT NULL, definition TEXT NOT NULL,
        csr BLOB NOT NULL, private_key BLOB, hook_key BLOB, url TEXT, progress TEXT NOT NULL, replaces TEXT,
        next_action_at BIGINT, claim TEXT, attempts BIGINT NOT NULL, last_error TEXT, give_up_at BIGINT NOT NULL,
        principal TEXT NOT NULL, purpose TEXT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, ended_at BIGINT)`,
      'CREATE INDEX acme_client_orders_due ON acme_client_orders (next_action_at)',
      'CREATE INDEX acme_client_orders_list ON acme_client_orders (namespace, id)',
      'CREATE INDEX acme_client_orders_account ON acme_client_orders (account_id, state)',
      'CREATE INDEX acme_client_orders_ended ON acme_client_orders (ended_at)',
      `CREATE TABLE acme_client_challenges (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, order_id TEXT NOT NULL, type TEXT NOT NULL,
        identifier TEXT NOT NULL, token TEXT NOT NULL, key_authorization TEXT NOT NULL, published BIGINT NOT NULL,
        created_at BIGINT NOT NULL)`,
      'CREATE INDEX acme_client_challenges_token ON acme_client_challenges (token)',
      'CREATE INDEX acme_client_challenges_identifier ON acme_client_challenges (type, identifier)',
      'CREATE INDEX acme_client_challenges_order ON acme_client_challenges (order_id)',
      `CREATE TABLE acme_certificates (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, account_id TEXT NOT NULL, account TEXT NOT NULL,
        state TEXT NOT NULL, revoked_at BIGINT, revocation_reason TEXT, principal TEXT NOT NULL, purpose TEXT,
        key_sha256 TEXT NOT NULL, definition TEXT NOT NULL, csr BLOB NOT NULL, chain TEXT NOT NULL,
        serial_number TEXT NOT NULL, not_before BIGINT NOT NULL, not_after BIGINT NOT NULL,
        obtained_at BIGINT NOT NULL, private_key BLOB,
        key_collected_at BIGINT, hook_key BLOB, hook_serial TEXT, hook_attempts BIGINT NOT NULL, hook_at BIGINT,
        renew BIGINT NOT NULL, renew_at BIGINT NOT NULL, renew_reason TEXT NOT NULL, window_start BIGINT,
        window_end BIGINT, explanation_url TEXT, window_check_at BIGINT, order_id TEXT, failures BIGINT NOT NULL,
        failing_since BIGINT, last_error TEXT, next_action_at BIGINT, claim TEXT, renewals BIGINT NOT NULL,
        version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)`,
      'CREATE INDEX acme_certificates_due ON acme_certificates (next_action_at)',
      'CREATE INDEX acme_certificates_list ON acme_certificates (namespace, id)',
      'CREATE INDEX acme_certificates_end ON acme_certificates (namespace, not_after)',
      'CREATE INDEX acme_certificates_account ON acme_certificates (account_id, state)',
      `CREATE TABLE acme_certificate_names (
        namespace TEXT NOT NULL, name TEXT NOT NULL, certificate_id TEXT NOT NULL,
        PRIMARY KEY (namespace, name, certificate_id))`,
      'CREATE INDEX acme_certificate_names_of ON acme_certificate_names (certificate_id)',
      `CREATE TABLE acme_dns_providers (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, definition TEXT NOT NULL,
        secrets BLOB, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (namespace, name))`,
    ],
  },
  {
    area: 'acme_client',
    number: 2,
    title: 'who ordered, by id and from where; why a renewal is not tried',
    statements: [
      'ALTER TABLE acme_client_orders ADD COLUMN principal_id TEXT',
      'ALTER TABLE acme_client_orders ADD COLUMN source_address TEXT',
      'ALTER TABLE acme_certificates ADD COLUMN principal_id TEXT',
      'ALTER TABLE acme_certificates ADD COLUMN source_address TEXT',
      'ALTER TABLE acme_certificates ADD COLUMN stopped TEXT',
      ...['acme_client_orders', 'acme_certificates'].map(
        (table) => `UPDATE ${table} SET principal_id = (SELECT p.id FROM principals p
          WHERE p.namespace = ${table}.namespace AND p.name = ${table}.principal)`,
      ),
    ],
  },
  {
    area: 'acme_client',
    number: 3,
    title: 'whom an order may wait for',
    statements: ['ALTER TABLE acme_client_orders ADD COLUMN dns_provider TEXT'],
  },
];
