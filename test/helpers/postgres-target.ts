import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TargetSettings, UserName } from '#database/target.ts';
import { postgresql } from '#database/targets/postgresql.ts';
import { type PostgresServer, run, startPostgres } from '#test/postgres.ts';
import type { TargetWorld, UserSession } from '#test/target-world.ts';

export interface PostgresWorld extends TargetWorld {
  readonly server: PostgresServer;
  /** Runs a script as superuser, in one of the databases. */
  rootIn(database: string, sql: string): Promise<Record<string, unknown>[]>;
  logInTo(database: string, user: UserName, password: string): Promise<UserSession>;
}

const adminPassword = 'administrator-of-least-privilege';

export interface PostgresWorldOptions {
  readonly major?: number;
  readonly settings?: Readonly<Record<string, string>>;
}

/** A PostgreSQL with the schema, whose administrator comes from the script of `adminSetup` and is no superuser. */
export async function postgresWorld(options: PostgresWorldOptions = {}): Promise<PostgresWorld> {
  const server = await startPostgres({
    ...(options.major !== undefined && { major: options.major }),
    settings: {
      log_statement: 'all',
      logging_collector: 'on',
      log_directory: 'log',
      log_filename: 'server.log',
      log_error_verbosity: 'verbose',
      max_prepared_transactions: '10',
      ...options.settings,
    },
  });
  await run(server.url(), 'CREATE DATABASE app');
  await run(server.url('app'), schema);
  const setup = postgresql.adminSetup({
    username: 'chancery_admin',
    memberOf: ['app_reader', 'app_writer'],
    reassignTo: 'app_owner',
    actAs: 'app_owner',
  });
  await run(server.url(), setup);
  await run(server.url(), `ALTER ROLE chancery_admin PASSWORD '${adminPassword}'`);
  return { server, ...worldOf(server) };
}

const schema = `
  CREATE ROLE app_reader NOLOGIN;
  CREATE ROLE app_writer NOLOGIN;
  CREATE ROLE app_owner NOLOGIN;
  CREATE ROLE unrelated NOLOGIN;
  CREATE TABLE public.notes (note text NOT NULL);
  ALTER TABLE public.notes OWNER TO app_owner;
  INSERT INTO public.notes VALUES ('first');
  GRANT USAGE, CREATE ON SCHEMA public TO app_owner;
  GRANT SELECT ON public.notes TO app_reader;
  GRANT SELECT, INSERT ON public.notes TO app_writer`;

export function postgresSettings(server: PostgresServer): TargetSettings {
  return {
    host: '127.0.0.1',
    port: server.port,
    database: 'app',
    username: 'chancery_admin',
    password: adminPassword,
    tls: { mode: 'disable' },
    maxConnections: 4,
    connectTimeout: 5000,
    statementTimeout: 5000,
    applicationName: 'chancery/app',
  };
}

function worldOf(server: PostgresServer): Omit<PostgresWorld, 'server'> {
  const rootIn = (database: string, sql: string) => run(server.url(database), sql);
  const root = (sql: string) => rootIn('app', sql);
  const logInTo = (database: string, user: UserName, password: string) => logIn(server, database, user, password);
  return {
    title: `PostgreSQL ${server.version}`,
    kind: postgresql,
    settings: postgresSettings(server),
    database: 'app',
    userHost: undefined,
    read: 'SELECT note FROM public.notes',
    write: "INSERT INTO public.notes VALUES ('second')",
    wait: (seconds) => `SELECT pg_sleep(${seconds})`,
    failingStatements: ['CREATE ROLE {{name}} LOGIN PASSWORD {{password}}', 'SELECT 1 / 0'],
    readerStatements: [
      'CREATE ROLE {{name}} LOGIN PASSWORD \'{{password}}\' VALID UNTIL {{expiration}}; GRANT app_reader TO "{{username}}"',
      "DO $$ BEGIN PERFORM 1; PERFORM ';'; END $$; SET LOCAL statement_timeout = 0",
    ],
    root,
    rootIn,
    logInTo,
    async adminSessions() {
      const rows = await root("SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'chancery_admin'");
      return Number(rows[0]?.['n']);
    },
    async breakAdminSessions() {
      await root("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chancery_admin'");
    },
    async userExists({ username }) {
      return (await root(`SELECT 1 FROM pg_roles WHERE rolname = '${username.replaceAll("'", "''")}'`)).length > 0;
    },
    logIn: (user, password) => logInTo('app', user, password),
    serverLog: () => readFile(join(server.socketFolder, 'data/log/server.log'), 'utf8'),
    stop: () => server.stop(),
  };
}

async function logIn(server: PostgresServer, database: string, user: UserName, password: string): Promise<UserSession> {
  const client = new Client({ host: '127.0.0.1', port: server.port, user: user.username, password, database });
  client.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  await client.connect();
  return {
    ended,
    async query(sql) {
      const results = [await client.query<Record<string, unknown>>(sql)].flat();
      return results.at(-1)?.rows ?? [];
    },
    close: () => client.end(),
  };
}
