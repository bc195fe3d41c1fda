import type { Migration } from '#storage/store.ts';

/** The tables of the house (core-tables.ts). */
export const core001: Migration = {
  area: 'core',
  number: 1,
  title: 'namespaces, principals, policies, approvals, audit log, keys',
  statements: [
    'CREATE TABLE namespaces (name TEXT PRIMARY KEY, description TEXT NOT NULL, created_at BIGINT NOT NULL)',
    `CREATE TABLE principals (
      id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, description TEXT NOT NULL,
      policies TEXT NOT NULL, disabled BIGINT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (namespace, name))`,
    `CREATE TABLE credentials (
      id TEXT PRIMARY KEY, namespace TEXT NOT NULL, principal_id TEXT NOT NULL, parent_id TEXT, kind TEXT NOT NULL,
      secret_hash TEXT NOT NULL UNIQUE, description TEXT NOT NULL, operations TEXT, resources TEXT, purpose TEXT,
      created_at BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT)`,
    'CREATE INDEX credentials_principal ON credentials (principal_id)',
    'CREATE INDEX credentials_parent ON credentials (parent_id) WHERE parent_id IS NOT NULL',
    'CREATE INDEX credentials_expiry ON credentials (expires_at) WHERE expires_at IS NOT NULL',
    `CREATE TABLE policies (
      namespace TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, rules TEXT NOT NULL,
      version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (namespace, name))`,
    `CREATE TABLE approvals (
      id TEXT PRIMARY KEY, namespace TEXT NOT NULL, principal_id TEXT NOT NULL, principal TEXT NOT NULL,
      operation TEXT NOT NULL, resource TEXT NOT NULL, input_hash TEXT NOT NULL, purpose TEXT, state TEXT NOT NULL,
      decided_by TEXT, decided_at BIGINT, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL)`,
    'CREATE INDEX approvals_state ON approvals (namespace, state, id)',
    `CREATE TABLE audit_events (
      seq BIGINT PRIMARY KEY, id TEXT NOT NULL, at BIGINT NOT NULL, namespace TEXT NOT NULL, request_id TEXT NOT NULL,
      principal TEXT, principal_kind TEXT, credential_id TEXT, operation TEXT NOT NULL, resource TEXT,
      outcome TEXT NOT NULL, code TEXT, transport TEXT NOT NULL, source_address TEXT, purpose TEXT,
      details TEXT NOT NULL, hash BLOB NOT NULL)`,
    // Every event pays for this index; without it, a quiet namespace reads the whole log to list its ten events.
    'CREATE INDEX audit_events_namespace ON audit_events (namespace, seq)',
    'CREATE TABLE audit_head (id BIGINT PRIMARY KEY, seq BIGINT NOT NULL, hash BLOB NOT NULL)',
    `CREATE TABLE idempotency_keys (
      namespace TEXT NOT NULL, principal_id TEXT NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL,
      input_hash TEXT NOT NULL, output TEXT NOT NULL, created_at BIGINT NOT NULL,
      PRIMARY KEY (namespace, principal_id, key))`,
    'CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)',
    `CREATE TABLE seal_keys (
      version BIGINT PRIMARY KEY, wrapped_key BLOB NOT NULL, root_key_id TEXT NOT NULL, state TEXT NOT NULL,
      created_at BIGINT NOT NULL)`,
    'CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
  ],
};
