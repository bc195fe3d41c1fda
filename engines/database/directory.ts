import { AppError } from '#core/errors.ts';
import { createCache } from '#storage/cache.ts';
import type { Store } from '#storage/store.ts';
import { type ConnectionDefinition, connectionSchema } from './connection-schema.ts';
import { type Role, roleSchema } from './role-schema.ts';
import type { ConnectionRow, RoleRow } from './tables.ts';

/** What a mint looks up, held in memory until a table changes. Everything in it is immutable; passwords stay sealed. */
export interface Directory {
  /** Throws `not_found`. */
  requireConnection(namespace: string, name: string): Promise<Connection>;
  /** By its id, in whatever namespace; undefined when it was deleted. */
  connectionById(id: string): Promise<Connection | undefined>;
  /** Undefined when there is none of this name. */
  role(namespace: string, name: string): Promise<StoredRole | undefined>;
  /** Throws `not_found`. */
  requireRole(namespace: string, name: string): Promise<StoredRole>;
  close(): void;
}

export interface Connection {
  readonly row: ConnectionRow;
  readonly definition: ConnectionDefinition;
}

export interface StoredRole {
  readonly row: RoleRow;
  readonly role: Role;
}

export const connectionResource = (name: string) => `database/connections/${name}`;
export const roleResource = (name: string) => `database/roles/${name}`;
/** Probes are leases of a resource of their own, so that they count against no role. */
export const probeResource = (role: string) => `database/probes/${role}`;

export function createDirectory({ store }: { readonly store: Store }): Directory {
  // Keys are `namespace/name`; neither part can hold a slash.
  const connections = createCache(store, ['database_connections'], (key: string) =>
    findConnection(store, ...split(key)),
  );
  const byId = createCache(store, ['database_connections'], (id: string) => findConnectionById(store, id));
  const roles = createCache(store, ['database_roles'], (key: string) => findRole(store, ...split(key)));
  return {
    async requireConnection(namespace, name) {
      return (await connections.get(`${namespace}/${name}`)) ?? noConnection(name);
    },
    connectionById: (id) => byId.get(id),
    role: (namespace, name) => roles.get(`${namespace}/${name}`),
    async requireRole(namespace, name) {
      return (await roles.get(`${namespace}/${name}`)) ?? noRole(name);
    },
    close() {
      connections.close();
      byId.close();
      roles.close();
    },
  };
}

function noConnection(name: string): never {
  throw new AppError('not_found', `There is no connection ${name}.`, {
    hint: 'database.list_connections shows those that exist.',
  });
}

function noRole(name: string): never {
  throw new AppError('not_found', `There is no role ${name}.`, {
    hint: 'database.list_roles shows those that exist.',
  });
}

function split(key: string): [namespace: string, name: string] {
  const at = key.indexOf('/');
  return [key.slice(0, at), key.slice(at + 1)];
}

/** Read from the store, not from memory: for what changes it. Throws `not_found`. */
export async function readConnectionRow(store: Store, namespace: string, name: string): Promise<Connection> {
  return (await findConnection(store, namespace, name)) ?? noConnection(name);
}

/** Likewise. */
export async function readRoleRow(store: Store, namespace: string, name: string): Promise<StoredRole> {
  return (await findRole(store, namespace, name)) ?? noRole(name);
}

async function findConnection(store: Store, namespace: string, name: string): Promise<Connection | undefined> {
  const sql = 'SELECT * FROM database_connections WHERE namespace = ? AND name = ?';
  return parseConnection(await store.first<ConnectionRow>(sql, [namespace, name]));
}

export async function findConnectionById(store: Store, id: string): Promise<Connection | undefined> {
  return parseConnection(await store.first<ConnectionRow>('SELECT * FROM database_connections WHERE id = ?', [id]));
}

export function parseConnection(row: ConnectionRow): Connection;
export function parseConnection(row: ConnectionRow | undefined): Connection | undefined;
export function parseConnection(row: ConnectionRow | undefined): Connection | undefined {
  return row && { row, definition: connectionSchema.parse(JSON.parse(row.definition)) };
}

async function findRole(store: Store, namespace: string, name: string): Promise<StoredRole | undefined> {
  const sql = 'SELECT * FROM database_roles WHERE namespace = ? AND name = ?';
  return parseRole(await store.first<RoleRow>(sql, [namespace, name]));
}

export function parseRole(row: RoleRow): StoredRole;
export function parseRole(row: RoleRow | undefined): StoredRole | undefined;
export function parseRole(row: RoleRow | undefined): StoredRole | undefined {
  return row && { row, role: roleSchema.parse(JSON.parse(row.definition)) };
}
