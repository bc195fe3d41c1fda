import type { Migration } from '#storage/store.ts';

/** Forward only; a migration that was released is never edited. */
export const acmeServerMigrations: readonly Migration[] = [
  {
    area: 'acme_server',
    number: 1,
    title: 'directories, accounts, orders, authorizations, certificates',
    statements: [
      `CREATE TABLE acme_server_directories (
        namespace TEXT NOT NULL, role TEXT NOT NULL, settings TEXT NOT NULL, version BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, PRIMARY KEY (namespace, role))`,
      'CREATE TABLE acme_server_keys (id TEXT PRIMARY KEY, secret BLOB NOT NULL, created_at BIGINT NOT NULL)',
      'CREATE TABLE acme_server_nonces (nonce TEXT PRIMARY KEY, expires_at BIGINT NOT NULL)',
      'CREATE INDEX acme_server_nonces_expired ON acme_server_nonces (expires_at)',
      `CREATE TABLE acme_server_external_keys (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, role TEXT NOT NULL, principal_id TEXT NOT NULL,
        principal TEXT NOT NULL, mac_key BLOB NOT NULL, allowed_identifiers TEXT, skip_validation BIGINT NOT NULL,
        max_accounts BIGINT NOT NULL, accounts BIGINT NOT NULL, description TEXT NOT NULL, created_by TEXT NOT NULL,
        created_at BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT)`,
      'CREATE INDEX acme_server_external_keys_role ON acme_server_external_keys (namespace, role, id)',
      'CREATE INDEX acme_server_external_keys_expired ON acme_server_external_keys (expires_at)',
      'CREATE INDEX acme_server_external_keys_revoked ON acme_server_external_keys (revoked_at)',
      `CREATE TABLE acme_server_accounts (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, role TEXT NOT NULL, status TEXT NOT NULL,
        thumbprint TEXT NOT NULL, jwk TEXT NOT NULL, contact TEXT NOT NULL, terms TEXT, external_key_id TEXT,
        external_binding TEXT, principal_id TEXT, principal TEXT, allowed_identifiers TEXT,
        skip_validation BIGINT NOT NULL, source_address TEXT NOT NULL, version BIGINT NOT NULL,
        created_at BIGINT NOT NULL, UNIQUE (namespace, thumbprint, role))`,
      'CREATE INDEX acme_server_accounts_role ON acme_server_accounts (namespace, role, id)',
      `CREATE INDEX acme_server_accounts_address
        ON acme_server_accounts (namespace, role, source_address, created_at)`,
      'CREATE INDEX acme_server_accounts_key ON acme_server_accounts (external_key_id)',
      `CREATE TABLE acme_server_orders (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, role TEXT NOT NULL, account_id TEXT NOT NULL,
        status TEXT NOT NULL, identifiers TEXT NOT NULL, issuing_role TEXT NOT NULL, profile TEXT, not_after BIGINT,
        replaces TEXT, error TEXT, csr BLOB, end_at BIGINT, common_name TEXT, certificate_id TEXT, claim TEXT, next_attempt_at BIGINT,
        finalized_at BIGINT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, purge_at BIGINT NOT NULL)`,
      'CREATE INDEX acme_server_orders_account ON acme_server_orders (account_id, id)',
      'CREATE INDEX acme_server_orders_made ON acme_server_orders (account_id, created_at)',
      `CREATE UNIQUE INDEX acme_server_orders_replaces ON acme_server_orders (namespace, replaces)
        WHERE replaces IS NOT NULL AND status <> 'invalid'`,
      `CREATE INDEX acme_server_orders_due ON acme_server_orders (next_attempt_at)
        WHERE next_attempt_at IS NOT NULL`,
      'CREATE INDEX acme_server_orders_purge ON acme_server_orders (purge_at)',
      `CREATE TABLE acme_server_order_authorizations (
        order_id TEXT NOT NULL, authorization_id TEXT NOT NULL, position BIGINT NOT NULL,
        PRIMARY KEY (order_id, authorization_id))`,
      `CREATE INDEX acme_server_order_authorizations_other
        ON acme_server_order_authorizations (authorization_id)`,
      `CREATE TABLE acme_server_authorizations (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, role TEXT NOT NULL, account_id TEXT NOT NULL,
        status TEXT NOT NULL, identifier_type TEXT NOT NULL, identifier TEXT NOT NULL, wildcard BIGINT NOT NULL,
        failed_at BIGINT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, purge_at BIGINT NOT NULL)`,
      `CREATE INDEX acme_server_authorizations_name
        ON acme_server_authorizations (account_id, identifier, status, expires_at)`,
      `CREATE INDEX acme_server_authorizations_failed
        ON acme_server_authorizations (account_id, identifier, failed_at) WHERE failed_at IS NOT NULL`,
      `CREATE INDEX acme_server_authorizations_pending ON acme_server_authorizations (account_id, expires_at)
        WHERE status = 'pending'`,
      'CREATE INDEX acme_server_authorizations_purge ON acme_server_authorizations (purge_at)',
      `CREATE TABLE acme_server_challenges (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, authorization_id TEXT NOT NULL, type TEXT NOT NULL,
        status TEXT NOT NULL, token TEXT NOT NULL, error TEXT, attempts BIGINT NOT NULL, validated_at BIGINT,
        claim TEXT, next_attempt_at BIGINT, position BIGINT NOT NULL)`,
      'CREATE INDEX acme_server_challenges_authorization ON acme_server_challenges (authorization_id)',
      `CREATE INDEX acme_server_challenges_due ON acme_server_challenges (next_attempt_at)
        WHERE next_attempt_at IS NOT NULL`,
      `CREATE TABLE acme_server_certificates (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, role TEXT NOT NULL, account_id TEXT NOT NULL,
        order_id TEXT NOT NULL, serial_number TEXT NOT NULL, fingerprint TEXT NOT NULL, cert_id TEXT NOT NULL,
        identifiers TEXT NOT NULL, chain TEXT NOT NULL, not_before BIGINT NOT NULL, not_after BIGINT NOT NULL,
        purge_at BIGINT NOT NULL, UNIQUE (namespace, serial_number), UNIQUE (namespace, cert_id))`,
      'CREATE INDEX acme_server_certificates_fingerprint ON acme_server_certificates (fingerprint)',
      'CREATE INDEX acme_server_certificates_purge ON acme_server_certificates (purge_at)',
    ],
  },
  {
    area: 'acme_server',
    number: 2,
    title: 'for whom a challenge is validated, what an account has open, when it ended',
    statements: [
      `ALTER TABLE acme_server_challenges ADD COLUMN role TEXT NOT NULL DEFAULT ''`,
      `ALTER TABLE acme_server_challenges ADD COLUMN account_id TEXT NOT NULL DEFAULT ''`,
      ...['role', 'account_id'].map(
        (column) => `UPDATE acme_server_challenges SET ${column} = COALESCE((SELECT a.${column}
          FROM acme_server_authorizations a WHERE a.id = acme_server_challenges.authorization_id), '')`,
      ),
      'DROP INDEX acme_server_challenges_due',
      `CREATE INDEX acme_server_challenges_due ON acme_server_challenges (next_attempt_at, namespace, role, account_id)
        WHERE next_attempt_at IS NOT NULL`,
      `CREATE INDEX acme_server_challenges_account ON acme_server_challenges (account_id, next_attempt_at)
        WHERE next_attempt_at IS NOT NULL`,
      'ALTER TABLE acme_server_accounts ADD COLUMN open_authorizations BIGINT NOT NULL DEFAULT 0',
      `UPDATE acme_server_accounts SET open_authorizations = (SELECT COUNT(*) FROM acme_server_authorizations a
        WHERE a.account_id = acme_server_accounts.id AND a.status = 'pending')`,
      `CREATE INDEX acme_server_authorizations_unfulfilled ON acme_server_authorizations (expires_at)
        WHERE status = 'pending'`,
      `CREATE TABLE acme_server_tries (
        account_id TEXT NOT NULL, identifier TEXT NOT NULL, slot BIGINT NOT NULL, challenge_id TEXT NOT NULL,
        ends_at BIGINT NOT NULL, PRIMARY KEY (account_id, identifier, slot))`,
      'CREATE INDEX acme_server_tries_challenge ON acme_server_tries (challenge_id)',
      'CREATE INDEX acme_server_tries_ended ON acme_server_tries (ends_at)',
      `ALTER TABLE acme_server_accounts ADD COLUMN source_network TEXT NOT NULL DEFAULT ''`,
      'UPDATE acme_server_accounts SET source_network = source_address',
      'DROP INDEX acme_server_accounts_address',
      `CREATE INDEX acme_server_accounts_network
        ON acme_server_accounts (namespace, role, source_network, created_at)`,
      'ALTER TABLE acme_server_accounts ADD COLUMN ended_at BIGINT',
      `UPDATE acme_server_accounts SET ended_at = created_at WHERE status <> 'valid'`,
      'CREATE INDEX acme_server_accounts_ended ON acme_server_accounts (ended_at) WHERE ended_at IS NOT NULL',
    ],
  },
  {
    area: 'acme_server',
    number: 3,
    title: 'from where an order was finalized',
    statements: ['ALTER TABLE acme_server_orders ADD COLUMN finalized_from TEXT'],
  },
  {
    area: 'acme_server',
    number: 4,
    title: 'what an account was issued is found by the account',
    statements: ['CREATE INDEX acme_server_certificates_account ON acme_server_certificates (account_id, not_after)'],
  },
];

/** In a restored store nonces that were used after the backup look unused: with another key none of them is good. */
export const acmeServerAfterRestore: readonly string[] = ['DELETE FROM acme_server_keys'];
