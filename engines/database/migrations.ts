import type { Migration } from '#storage/store.ts';

/** Forward only; a migration that was released is never edited. */
export const databaseMigrations: readonly Migration[] = [
  {
    area: 'database',
    number: 1,
    title: 'connections, roles, static roles',
    statements: [
      `CREATE TABLE database_connections (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, definition TEXT NOT NULL,
        tag TEXT NOT NULL, password BLOB, next_password BLOB, rotation TEXT, rotation_started_at BIGINT,
        rotated_at BIGINT, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (namespace, name))`,
      `CREATE TABLE database_roles (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, connection TEXT NOT NULL, state TEXT NOT NULL,
        definition TEXT NOT NULL, version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (namespace, name))`,
      'CREATE INDEX database_roles_connection ON database_roles (namespace, connection, name)',
      `CREATE TABLE database_static_roles (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, connection TEXT NOT NULL,
        username TEXT NOT NULL, definition TEXT NOT NULL, password BLOB, next_password BLOB, rotation TEXT,
        rotation_started_at BIGINT, rotated_at BIGINT, version BIGINT NOT NULL, next_rotation_at BIGINT NOT NULL,
        attempts BIGINT NOT NULL, last_error TEXT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (namespace, name), UNIQUE (namespace, connection, username))`,
      'CREATE INDEX database_static_roles_due ON database_static_roles (next_rotation_at)',
      `CREATE TABLE database_closed (id TEXT PRIMARY KEY, namespace TEXT NOT NULL, closed_at BIGINT NOT NULL)`,
    ],
  },
  {
    area: 'database',
    number: 2,
    title: 'static roles whose password no login has proved',
    statements: ['ALTER TABLE database_static_roles ADD COLUMN unverified TEXT'],
  },
];
