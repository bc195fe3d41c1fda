import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2';
import type { UserName } from '#database/target.ts';
import { mysql } from '#database/targets/mysql.ts';
import type { MysqlSettings } from '#database/targets/mysql/session.ts';
import { type MariadbOptions, type MariadbServer, startMariadb } from '#test/mariadb.ts';
import type { TargetWorld, UserSession } from '#test/target-world.ts';

export interface MariadbWorld extends TargetWorld {
  readonly server: MariadbServer;
  readonly settings: MysqlSettings;
}

const adminPassword = 'administrator-of-least-privilege';

/**
 * A MariaDB with the schema, which logs every statement and writes a binary log. Its administrator comes from the script of
 * `adminSetup`. Besides the groups of the contract there is `app_code`, whose members may make views and the like.
 */
export async function mariadbWorld(options: MariadbOptions = {}): Promise<MariadbWorld> {
  const server = await startMariadb({
    ...options,
    settings: {
      'general-log': '1',
      'general-log-file': 'general.log',
      'slow-query-log': '1',
      'slow-query-log-file': 'slow.log',
      'long-query-time': '0',
      'log-bin': 'binary',
      'server-id': '1',
      'log-bin-trust-function-creators': '1',
      'plugin-load-add': 'auth_ed25519',
      ...options.settings,
    },
  });
  await server.run(...schema);
  const memberOf = ['app_reader', 'app_writer', 'app_code'];
  await server.run(
    ...scriptLines(mysql.adminSetup({ username: 'chancery_admin', memberOf, flavor: 'mariadb' })),
    `ALTER USER chancery_admin@'%' IDENTIFIED BY '${adminPassword}' ACCOUNT UNLOCK`,
  );
  return worldOf(server);
}

const schema = [
  'CREATE DATABASE app',
  'CREATE TABLE app.notes (note VARCHAR(100) NOT NULL) ENGINE=InnoDB',
  "INSERT INTO app.notes VALUES ('first')",
  'CREATE ROLE app_reader',
  'CREATE ROLE app_writer',
  'CREATE ROLE app_code',
  'CREATE ROLE unrelated',
  'GRANT SELECT ON app.* TO app_reader',
  'GRANT SELECT, INSERT, DELETE ON app.notes TO app_writer',
  'GRANT SELECT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER ON app.* TO app_code',
];

/** A script cut as the `mariadb` tool would: no statement of it goes over a line. */
function scriptLines(script: string): string[] {
  return script
    .split('\n')
    .map((line) => line.replace(/;( --.*)?$/, ''))
    .filter((line) => line !== '' && !line.startsWith('--'));
}

function worldOf(server: MariadbServer): MariadbWorld {
  const admins = async () =>
    server.run("SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = 'chancery_admin'");
  return {
    server,
    title: 'MariaDB',
    kind: mysql,
    settings: {
      host: '127.0.0.1',
      port: server.port,
      database: undefined,
      username: 'chancery_admin',
      password: adminPassword,
      tls: { mode: 'disable' },
      maxConnections: 4,
      connectTimeout: 5000,
      statementTimeout: 5000,
      applicationName: 'chancery/app',
    },
    database: 'app',
    userHost: '%',
    read: 'SELECT note FROM app.notes',
    write: "INSERT INTO app.notes VALUES ('second')",
    wait: (seconds) => `SELECT SLEEP(${seconds})`,
    failingStatements: [creation, 'SELECT * FROM nowhere'],
    readerStatements: [
      `${creation}; GRANT app_reader TO {{name}}@'%'`,
      `SET DEFAULT ROLE app_reader FOR '{{username}}'@'%' /* ; */; DO '; until {{expiration}}'`,
    ],
    root: (sql) => server.run(sql),
    adminSessions: async () => (await admins()).length,
    async breakAdminSessions() {
      for (const { id } of await admins())
        await server.run(`KILL CONNECTION ${Number(id)}`).catch((error: unknown) => {
          if ((error as { errno?: number }).errno !== endedByItself) throw error;
        });
    },
    async userExists({ username, host = '%' }) {
      const name = `X'${Buffer.from(username).toString('hex')}'`;
      const sql = `SELECT 1 FROM mysql.global_priv WHERE User = CONVERT(${name} USING utf8mb4) AND Host = '${host}'`;
      return (await server.run(sql)).length > 0;
    },
    logIn: (user, password) => logIn(server, user, password),
    serverLog: () => Promise.resolve(logs(server)),
    stop: () => server.stop(),
  };
}

/** `ER_NO_SUCH_THREAD`. */
const endedByItself = 1094;

const creation = "CREATE USER {{name}}@'%' IDENTIFIED VIA mysql_native_password USING '{{password}}'";

/** General, slow and binary log, and the table of accounts. */
function logs(server: MariadbServer): string {
  const data = join(server.folder, 'data');
  return readdirSync(data)
    .filter((name) => name.endsWith('.log') || name.startsWith('binary.'))
    .map((name) => readFileSync(join(data, name), 'latin1'))
    .join('\n');
}

function logIn(server: MariadbServer, user: UserName, password: string): Promise<UserSession> {
  const login = { host: '127.0.0.1', port: server.port, user: user.username, password, database: 'app' };
  const connection = createConnection(login);
  const ended = new Promise<void>((resolve) => {
    connection.on('end', resolve);
    connection.on('error', () => resolve());
  });
  return new Promise((resolve, reject) => {
    connection.once('error', reject);
    connection.once('connect', () => {
      resolve({
        ended,
        async query(sql) {
          const [rows] = await connection.promise().query(sql);
          return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
        },
        async close() {
          connection.destroy();
        },
      });
    });
  });
}
