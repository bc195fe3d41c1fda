import type { Flavor } from './quote.ts';

/** What an administrator needs, and what it is for. `diagnose` looks for it and `adminSetup` grants it. */
export interface Privilege {
  /** Its name in GRANT. */
  readonly name: string;
  /** What GRANT names after ON. */
  readonly on: string;
  readonly severity: 'missing' | 'advice';
  /** Completes "…, so that". */
  readonly purpose: string;
  /** Reads what the privilege opens, for those that information_schema lists under no single name. */
  readonly probe?: string;
}

const global = (name: string, severity: Privilege['severity'], purpose: string): Privilege => ({
  name,
  on: '*.*',
  severity,
  purpose,
});

const readable = (table: string, columns: string, severity: Privilege['severity'], purpose: string): Privilege => ({
  name: `SELECT (${columns})`,
  on: `mysql.${table}`,
  severity,
  purpose,
  probe: `SELECT ${columns} FROM mysql.${table} LIMIT 1`,
});

const create = global('CREATE USER', 'missing', 'users can be made, locked and dropped');
const see = global('PROCESS', 'missing', 'the sessions of a user can be found');
const kill = (name: string) => global(name, 'missing', 'the sessions of a user can be ended');
const views = global('SHOW VIEW', 'advice', 'views that act in the name of a removed user are reported');
const triggers = global('TRIGGER', 'advice', 'triggers that act in the name of a removed user are reported');

/**
 * MariaDB has nothing between: whoever has CREATE USER may change every account, root's as well, and the default role of
 * another can be set only with UPDATE on the whole schema mysql.
 */
const mariadb: readonly Privilege[] = [
  create,
  see,
  kill('CONNECTION ADMIN'),
  {
    name: 'UPDATE',
    on: 'mysql.*',
    severity: 'missing',
    purpose: 'the roles of a user can be made its default (SET DEFAULT ROLE … FOR)',
  },
  readable('user', 'Host, User, is_role, plugin', 'missing', 'the removal of a user can be verified'),
  readable('roles_mapping', 'Host, User, Role, Admin_option', 'missing', 'the removal of a user can be verified'),
  views,
  triggers,
  readable('proc', 'db, name, type, definer', 'advice', 'routines that act in the name of a removed user are reported'),
  readable('event', 'db, name, definer', 'advice', 'events that act in the name of a removed user are reported'),
];

/** MySQL guards the accounts that have SYSTEM_USER: without it, CREATE USER cannot touch them. */
const mysql: readonly Privilege[] = [
  create,
  see,
  kill('CONNECTION_ADMIN'),
  readable('user', 'Host, User, plugin', 'missing', 'the removal of a user can be verified'),
  readable('role_edges', 'FROM_HOST, FROM_USER, TO_HOST, TO_USER', 'missing', 'the removal of a user can be verified'),
  views,
  triggers,
  global('EVENT', 'advice', 'events that act in the name of a removed user are reported'),
  global('SHOW_ROUTINE', 'advice', 'routines that act in the name of a removed user are reported'),
  global('XA_RECOVER_ADMIN', 'advice', 'prepared transactions that outlive a user are named'),
];

export const privileges: Readonly<Record<Flavor, readonly Privilege[]>> = { mariadb, mysql };

/** Names of earlier versions and wider privileges that include one. */
export const impliedBy: Readonly<Record<string, readonly string[]>> = {
  'CONNECTION ADMIN': ['SUPER'],
  CONNECTION_ADMIN: ['SUPER'],
  SHOW_ROUTINE: ['SELECT'],
};
