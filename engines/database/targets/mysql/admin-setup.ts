import type { AdminSetupOptions } from '#database/target.ts';
import { privileges } from './privileges.ts';
import { account, type Flavor, roleName } from './quote.ts';

/**
 * The script that makes the administrator of a connection with what it needs and no more, for `mariadb` or `mysql` as root.
 * The account is locked until it is given a password, so that the script can be run as it is.
 */
export function adminSetup(options: AdminSetupOptions): string {
  const flavor: Flavor = options.flavor === 'mariadb' ? 'mariadb' : 'mysql';
  const me = account({ username: options.username, host: options.host });
  return [
    `-- The administrator with which Chancery makes and removes users on ${flavor === 'mariadb' ? 'MariaDB' : 'MySQL'}.`,
    ...warning[flavor],
    `CREATE USER ${me} ACCOUNT LOCK;`,
    ...privileges[flavor].map(({ name, on, purpose }) => `GRANT ${name} ON ${on} TO ${me}; -- ${purpose}`),
    ...[...new Set(options.memberOf)].map((role) => `GRANT ${roleName(flavor, role)} TO ${me} WITH ADMIN OPTION;`),
    '-- Then, with a long random password:',
    `-- ALTER USER ${me} IDENTIFIED BY '…' ACCOUNT UNLOCK;`,
    '',
  ].join('\n');
}

const warning: Readonly<Record<Flavor, readonly string[]>> = {
  mariadb: [
    '-- Whoever has CREATE USER on MariaDB can change every account, root included: guard its password as you guard',
    "-- root's, and let it in from Chancery's addresses only (the part after @).",
  ],
  mysql: ['-- It has no SYSTEM_USER: give that to the accounts of people, and it cannot touch them.'],
};
