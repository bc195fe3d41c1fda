import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, type ConnectionOptions, createConnection, type QueryOptions, type SslOptions } from 'mysql2';
import { type ClientCertificate, TargetError, type TargetSettings } from '#database/target.ts';
import { authPlugins } from './auth-plugins.ts';
import { asConnectError, asTargetError } from './errors.ts';
import type { PasswordPlugin } from './password-hash.ts';
import { type Flavor, literal, sessionMode } from './quote.ts';

export interface MysqlSettings extends TargetSettings {
  /** How the users that are made log in; what every client has by default. */
  readonly passwordPlugin?: PasswordPlugin | undefined;
  /** Shown to a server that asks for one. */
  readonly clientCertificate?: ClientCertificate | undefined;
}

/** One connection to the server, with the limits of the settings in force on both sides. */
export interface Session {
  readonly flavor: Flavor;
  /** As `VERSION()` says it. */
  readonly version: string;
  /** Whether it can be used again. */
  alive(): boolean;
  /** Whether the server answers within so many milliseconds; when it does not, the session is given up. */
  answers(timeout: number): Promise<boolean>;
  /** Rows of one statement. The driver's errors pass through unchanged; `ask` and `run` translate them. */
  query(sql: string): Promise<Row[]>;
  end(): Promise<void>;
}

export type Row = Readonly<Record<string, unknown>>;

/** Runs a statement; `doing` names it in errors, `secrets` are masked in them. */
export async function ask(session: Session, sql: string, doing: string, secrets?: readonly string[]): Promise<Row[]> {
  try {
    return await session.query(sql);
  } catch (error) {
    throw asTargetError(error, doing, secrets);
  }
}

/** The server is told to give up after `statementTimeout`; we wait this much longer (ms) for it to say so. */
const grace = 1500;

export interface SessionOptions {
  /** Milliseconds for connecting and logging in; `connectTimeout` by default. */
  readonly timeout?: number;
  /** Takes several statements in one text: for scripts of operators, on a session of their own. */
  readonly scripts?: boolean;
}

/** Connects, logs in and sets the session up. Throws TargetError. */
export async function openSession(settings: MysqlSettings, options: SessionOptions = {}): Promise<Session> {
  const connection = await connect(settings, options);
  let alive = true;
  const lost = () => {
    alive = false;
  };
  connection.on('error', lost);
  connection.on('end', lost);
  const destroy = () => {
    lost();
    connection.destroy();
  };
  const query = async (sql: string, timeout = settings.statementTimeout + grace): Promise<Row[]> => {
    try {
      return await rowsOf(connection, { sql, timeout });
    } catch (error) {
      // After a timeout the driver would read the late answer as that of the next statement.
      if ((error as { sqlState?: string }).sqlState === undefined) destroy();
      throw error;
    }
  };
  try {
    const version = String((await query('SELECT VERSION() AS version'))[0]?.['version']);
    const flavor: Flavor = /mariadb/i.test(version) ? 'mariadb' : 'mysql';
    await query(setUp(flavor, settings.statementTimeout));
    return {
      flavor,
      version,
      alive: () => alive,
      answers: (time) =>
        query('DO 1', time).then(
          () => true,
          () => false,
        ),
      query: (sql) => query(sql),
      end: () => leave(connection),
    };
  } catch (error) {
    connection.destroy();
    throw asConnectError(error, `${settings.host}:${settings.port}`);
  }
}

/** The driver's own promises take a stack trace at every statement, for errors that `ask` explains. */
function rowsOf(connection: Connection, options: QueryOptions): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    connection.query(options, (error, rows) => {
      if (error) reject(error);
      else resolve(Array.isArray(rows) ? (rows as Row[]) : []);
    });
  });
}

/**
 * `lock_wait_timeout` is a day (MariaDB) or a year (MySQL) by default, and in whole seconds. `max_statement_time` covers
 * every kind of statement, and only MariaDB has it; MySQL's `max_execution_time` covers SELECT alone.
 */
function setUp(flavor: Flavor, statementTimeout: number): string {
  const seconds = Math.max(1, Math.ceil(statementTimeout / 1000));
  // MariaDB alone has it: without, GRANT makes the grantee that is not there (any more), with no password.
  const mode = flavor === 'mariadb' ? `${sessionMode},NO_AUTO_CREATE_USER` : sessionMode;
  const common = `SET SESSION sql_mode = '${mode}', autocommit = 1, lock_wait_timeout = ${seconds}`;
  if (flavor === 'mariadb') return `${common}, max_statement_time = ${statementTimeout / 1000}`;
  return `${common}, max_execution_time = ${statementTimeout}`;
}

/** An empty one would be this machine. */
const hostName = /^[\w.:%-]{1,255}$/;

/** Connects and logs in, and sets nothing up. Throws TargetError. */
export async function connect(settings: MysqlSettings, options: SessionOptions): Promise<Connection> {
  const timeout = Math.max(1, Math.round(options.timeout ?? settings.connectTimeout));
  if (!hostName.test(settings.host)) {
    throw new TargetError('unreachable', `"${settings.host.slice(0, 100)}" is not a host name or address.`);
  }
  const socket = connectSocket({ host: settings.host, port: settings.port, noDelay: true, keepAlive: true });
  const timer = setTimeout(() => socket.destroy(timedOut()), timeout);
  try {
    return await handshake(driverOptions(settings, socket, options.scripts ?? false));
  } catch (error) {
    socket.destroy();
    throw asConnectError(error, `${settings.host}:${settings.port}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Says goodbye, and does not wait for long (ms) where nobody listens any more. */
export async function leave(connection: Connection): Promise<void> {
  const said = new Promise<void>((resolve) => connection.end(() => resolve()));
  await Promise.race([said, sleep(500, undefined, { ref: false })]);
  connection.destroy();
}

/** The listener for errors stays: after the first, others follow, and one that nobody hears would end the process. */
function handshake(options: ConnectionOptions): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(options);
    connection.on('error', reject);
    connection.once('connect', () => resolve(connection));
  });
}

function timedOut(): Error {
  return Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
}

/**
 * What the driver may do. Off: several statements in one text, LOAD DATA LOCAL (the server could ask for any file of ours),
 * named placeholders, passwords in clear, code made from column names. Numbers above 2^53 come as strings.
 */
function driverOptions(settings: MysqlSettings, socket: Socket, scripts: boolean): ConnectionOptions {
  const ssl = tlsOptions(settings);
  return {
    // The driver verifies the certificate for this name; the socket decides where it connects.
    host: verifiedName(settings),
    port: settings.port,
    stream: socket,
    user: settings.username,
    password: settings.password,
    ...(settings.database !== undefined && { database: settings.database }),
    ...(ssl && { ssl }),
    charset: 'utf8mb4_bin',
    connectTimeout: 0,
    connectAttributes: { program_name: settings.applicationName },
    flags: ['-LOCAL_FILES', '-ODBC', '-IGNORE_SPACE'],
    multipleStatements: scripts,
    namedPlaceholders: false,
    supportBigNumbers: true,
    disableEval: true,
    enableCleartextPlugin: false,
    authPlugins: authPlugins(settings),
  };
}

/**
 * The driver takes no name to verify apart from the host, and verifies none at all for an IP address: it then asks Node
 * about `localhost`. Written with the root's dot an address is a name to the driver, and an address again to Node's
 * check, which takes the dot off and looks for it among the certificate's IP addresses.
 */
function verifiedName(settings: MysqlSettings): string {
  const { tls, host } = settings;
  const name = tls.mode === 'verify-full' ? (tls.serverName ?? host) : host;
  return isIP(name) === 0 ? name : `${name}.`;
}

function tlsOptions({ tls, clientCertificate: own }: MysqlSettings): SslOptions | undefined {
  if (tls.mode === 'disable') return undefined;
  const login = own === undefined ? {} : { cert: own.certificate, key: own.key };
  if (tls.mode === 'require') return { ...login, minVersion: 'TLSv1.2', rejectUnauthorized: false };
  return {
    ...login,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    verifyIdentity: tls.mode === 'verify-full',
    ...(tls.ca !== undefined && { ca: tls.ca }),
  };
}

/** The address that a user of the target connects to: `mysql://user:password@host:port/database`. */
export function connectionUrl(settings: MysqlSettings, user: string, password: string | undefined, database?: string) {
  const host = isIP(settings.host) === 6 ? `[${settings.host}]` : settings.host;
  const login = password === undefined ? encode(user) : `${encode(user)}:${encode(password)}`;
  const path = database === undefined ? '' : `/${encode(database)}`;
  return `mysql://${login}@${host}:${settings.port}${path}`;
}

/** `encodeURIComponent` leaves these, which some parsers of addresses stumble over. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A condition that holds for one account in `mysql.user`. */
export function isAccount(username: string, host: string): string {
  return `User = ${literal(username)} AND Host = ${literal(host)}`;
}
