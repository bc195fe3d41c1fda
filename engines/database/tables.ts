/**
 * The tables of the database engine. Times are milliseconds, JSON is text.
 *
 * Terms (Vault's). A *connection* is a database server with the administrator by whom Chancery acts there. A *role* says
 * what users are made at a connection. A *static role* is a user that exists already, whose password Chancery rotates.
 */

export type LifeState =
  | 'active'
  /** Takes no more mints; deleted as soon as its last lease has ended. */
  | 'draining';

/**
 * Passwords are changed in two phases, so that no crash loses one (rotation.ts): `next_password` is on record before the
 * target hears of it, and takes the place of `password` when a login by it has worked. While both are there, either may
 * be the one that the target knows.
 */
export interface RotatedSecret {
  /** Text in UTF-8, sealed. */
  password: Uint8Array | null;
  /** Sealed; null when no rotation is open. */
  next_password: Uint8Array | null;
  /** Fencing token of the rotation that is under way; null when none is. */
  rotation: string | null;
  rotation_started_at: number | null;
  /** When Chancery last changed it; null: never, so somebody else knows it. */
  rotated_at: number | null;
}

export interface ConnectionRow extends RotatedSecret {
  /** `dbc_…`; leases remember it, so that another connection of the same name is another one. */
  id: string;
  namespace: string;
  name: string;
  state: LifeState;
  /** JSON: what connection-schema.ts parses; never a password. */
  definition: string;
  /** 5 random characters: the users of this connection are called `chy_<tag>_…`, and those of no other are. */
  tag: string;
  version: number;
  created_at: number;
  updated_at: number;
}

export interface RoleRow {
  /** `dbr_…` */
  id: string;
  namespace: string;
  name: string;
  connection: string;
  state: LifeState;
  /** JSON: what role-schema.ts parses. */
  definition: string;
  version: number;
  created_at: number;
  updated_at: number;
}

export interface StaticRoleRow extends RotatedSecret {
  /** `dbs_…` */
  id: string;
  namespace: string;
  name: string;
  connection: string;
  /** The account, which no other static role of the connection has: `name@host` where MySQL's host part is not `%`. */
  username: string;
  /** JSON: what static-role-schema.ts parses. */
  definition: string;
  version: number;
  /** When the job must look at it. */
  next_rotation_at: number;
  /** Failed rotations since the last good one. */
  attempts: number;
  last_error: string | null;
  /** Why no login by `password` has worked, though the server took it; null: one has. */
  unverified: string | null;
  created_at: number;
  updated_at: number;
}

/**
 * Ids of roles and connections that take no more mints. A mint asserts in the commit of its intent that neither of its
 * own is here, and a deletion writes here in the commit that finds no live lease: so neither passes the other.
 */
export interface ClosedRow {
  id: string;
  namespace: string;
  closed_at: number;
}

export interface DatabaseTables {
  database_connections: ConnectionRow;
  database_roles: RoleRow;
  database_static_roles: StaticRoleRow;
  database_closed: ClosedRow;
}
