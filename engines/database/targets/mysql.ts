import type { Target, TargetKind } from '#database/target.ts';
import { adminSetup } from './mysql/admin-setup.ts';
import { diagnose } from './mysql/diagnose.ts';
import { inspect, listUsers } from './mysql/inspect.ts';
import { createMints } from './mysql/mint.ts';
import { canLogIn, logIn, setPassword } from './mysql/passwords.ts';
import { createPool } from './mysql/pool.ts';
import { runQuery } from './mysql/query.ts';
import { createRevocationTools, revokeUser } from './mysql/revoke.ts';
import { connectionUrl, type MysqlSettings } from './mysql/session.ts';

/** MySQL 8 and MariaDB from 10.11 on. The server says which it is; each session knows. */
export const mysql = {
  engine: 'mysql',
  title: 'MySQL and MariaDB',
  defaultPort: 3306,
  /** MySQL's; MariaDB has 80 and more. */
  usernameLimit: 32,
  /** PASSWORD EXPIRE counts whole days and still lets in, to change the password. */
  hasExpiry: false,
  /** They share their statements (drops.ts, proof.ts), and few sessions. */
  revocationsAtOnce: 32,
  open,
  adminSetup,
} satisfies TargetKind;

function open(settings: MysqlSettings): Target {
  const pool = createPool(settings);
  const tools = createRevocationTools(pool);
  const createUser = createMints(pool, tools.drops);
  return {
    inspect: () => pool.use(inspect),
    createUser,
    extendUser: () => Promise.resolve(),
    revokeUser: (user, plan) => revokeUser(tools, user, plan),
    setPassword: (user, password) => setPassword(pool, user, password),
    canLogIn: (user, password) => canLogIn(pool, user, password),
    logIn: (user, proof, database) => logIn(pool, user, proof, database),
    runQuery: (user, proof, query) => runQuery(pool.settings, user, proof, query),
    listUsers: (prefix) => pool.use((session) => listUsers(session, prefix)),
    diagnose: (needs) => pool.use((session) => diagnose(session, needs)),
    connectionUrl: (user, password, database) => connectionUrl(settings, user.username, password, database),
    close: () => pool.close(),
  };
}
