import { checkServerIdentity, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, type QueryResult } from 'pg';
import { leastScramIterations } from '#database/password.ts';
import { type ClientCertificate, TargetError, type TargetSettings, type TargetTls } from '#database/target.ts';
import { toTargetError } from './errors.ts';

/**
 * Connections to one server. The administrator's wait in one queue (pg.Pool: first come, first served) and there are at
 * most `maxConnections` of them; a revocation that must visit other databases does so one after the other, over
 * connections of a second, smaller queue, so that it can hold its first connection, and its lock, meanwhile.
 */
export interface Connections {
  readonly settings: TargetSettings;
  /** What the server said at the last login; undefined before the first. */
  server(): ServerTraits | undefined;
  /** Runs a task on a connection of the pool. What it throws comes out as TargetError. */
  use<T>(task: (session: Session) => Promise<T>): Promise<T>;
  /** The same on a connection to another database, which is closed afterwards. */
  useDatabase<T>(database: string, task: (session: Session) => Promise<T>): Promise<T>;
  /** Logs in as somebody else, or as the administrator past the pool; the caller ends it. */
  connectAs(
    username: string,
    proof: string | ClientCertificate,
    database: string,
    shape?: SessionShape,
  ): Promise<Client>;
  /** Ends the connections; nothing may be under way. */
  close(): Promise<void>;
}

/** A session that is not for our own statements. */
export interface SessionShape {
  /** Milliseconds that a statement may take. */
  readonly statementTimeout: number;
  /** `-c name=value …`, in place of ours. */
  readonly options: string;
}

export interface Session {
  /** What the server said when the connection was made. */
  readonly server: ServerTraits;
  /**
   * Sends a script in one message (one round trip), and gives the result of each of its statements. Without transaction
   * commands of its own it is one transaction (PostgreSQL §55.2.2.1). `secrets` are masked in errors.
   */
  script(sql: string, options?: ScriptOptions): Promise<readonly QueryResult<Row>[]>;
  /** One statement with parameters. */
  query(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** Whether a transaction is open, or has failed. */
  inTransaction(): boolean;
  /** The connection is not given back to the pool. */
  discard(): void;
  /** Forgets what statements of an operator may have set. */
  reset(): Promise<void>;
}

export interface ScriptOptions {
  readonly secrets?: readonly string[];
  /** How many of its statements may each take the statement timeout; 1 by default. */
  readonly patience?: number;
}

export type Row = Record<string, unknown>;

export interface ServerTraits {
  /** `server_version_num / 10000`. */
  readonly major: number;
  readonly superuser: boolean;
  readonly scramIterations: number;
}

/** The database in which the administrator works; roles are the same in all of them. */
export function adminDatabase(settings: TargetSettings): string {
  return settings.database ?? 'postgres';
}

export function openConnections(settings: TargetSettings): Connections {
  const visitors = Math.max(1, Math.floor(settings.maxConnections / 4));
  const admins = openPool(settings, Math.max(1, settings.maxConnections - visitors));
  const visits = createQueue(visitors);
  const connect: Connections['connectAs'] = (username, proof, database, shape) =>
    connectClient(settings, username, proof, database, shape);
  return {
    settings,
    server: () => admins.latest.server,
    connectAs: connect,
    use: (task) => usePooled(admins, task),
    useDatabase: (database, task) =>
      visits.run(async () => {
        const client = await connect(settings.username, settings.password, database);
        try {
          const server = await setUp(client).catch((error: unknown) => {
            throw toTargetError(error, 'connect');
          });
          return await task(createSession(client, settings, server, () => undefined));
        } finally {
          await client.end().catch(() => undefined);
        }
      }),
    close: () => admins.pool.end(),
  };
}

const traits = new WeakMap<ClientBase, ServerTraits>();
const lastUse = new WeakMap<ClientBase, number>();

interface AdminPool {
  readonly pool: Pool;
  readonly settings: TargetSettings;
  readonly latest: {
    server: ServerTraits | undefined;
    /** Connections last used until then (`performance.now()`) are taken for dead. */
    deadBefore: number;
  };
}

function openPool(settings: TargetSettings, max: number): AdminPool {
  const latest: AdminPool['latest'] = { server: undefined, deadBefore: 0 };
  const pool = new Pool({
    ...clientConfig(settings, settings.username, settings.password, adminDatabase(settings)),
    max,
    idleTimeoutMillis: 60_000,
    maxLifetimeSeconds: 1800,
    // oxlint-disable-next-line typescript/no-misused-promises -- pg-pool waits for it and passes its failure on; the types do not know
    onConnect: async (client: ClientBase) => {
      latest.server = await setUp(client);
      traits.set(client, latest.server);
    },
  });
  // A connection that breaks while it is idle leaves the pool by itself; one in use fails its query.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return { pool, settings, latest };
}

/** Milliseconds after which a connection is asked whether it still lives: firewalls drop idle ones without a word. */
const trusted = { idle: 5000, answer: 2000 };

/** Where one that was idle turns out to be dead, the others that were as idle are not asked, so that only one wait is lost. */
async function takeConnection({ pool, settings, latest }: AdminPool): Promise<PoolClient> {
  for (;;) {
    const client = await pool.connect().catch((error: unknown) => {
      throw toTargetError(error, 'connect');
    });
    const used = lastUse.get(client) ?? performance.now();
    if (used > latest.deadBefore) {
      if (performance.now() - used < trusted.idle) return client;
      const question = { text: '', query_timeout: Math.min(trusted.answer, settings.connectTimeout) };
      const alive = await client.query(question).then(
        () => true,
        () => false,
      );
      if (alive) return client;
      latest.deadBefore = Math.max(latest.deadBefore, used);
    }
    client.release(true);
  }
}

async function usePooled<T>(admins: AdminPool, task: (session: Session) => Promise<T>): Promise<T> {
  const client = await takeConnection(admins);
  let broken = false;
  const server = traits.get(client);
  try {
    if (server === undefined) throw new TargetError('unreachable', 'The connection to PostgreSQL was not set up.');
    const session = createSession(client, admins.settings, server, () => {
      broken = true;
    });
    return await task(session);
  } finally {
    lastUse.set(client, performance.now());
    client.release(broken || client.getTransactionStatus() !== 'I');
  }
}

function createSession(client: ClientBase, settings: TargetSettings, server: ServerTraits, spoil: () => void): Session {
  const send = async <T>(run: () => Promise<T>, secrets: readonly string[] = []): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      const failure = toTargetError(error, 'statement', secrets);
      if (failure.outcome === 'unknown') spoil();
      else await rollBack(client).catch(spoil);
      throw failure;
    }
  };
  return {
    server,
    script: (sql, { secrets, patience = 1 } = {}) => {
      const config = { text: sql, query_timeout: settings.statementTimeout * patience + answerTime };
      return send(async () => [await client.query<Row>(config)].flat(), secrets);
    },
    query: (sql, parameters = []) => send(async () => (await client.query<Row>(sql, [...parameters])).rows),
    inTransaction: () => client.getTransactionStatus() !== 'I',
    discard: spoil,
    reset: () =>
      send(async () => {
        await client.query('DISCARD ALL');
        await setUp(client);
      }),
  };
}

/** An error comes before the server says whether a transaction is open: the empty query brings that word. */
async function rollBack(client: ClientBase): Promise<void> {
  await client.query('');
  if (client.getTransactionStatus() !== 'I') await client.query('ROLLBACK');
}

/** Milliseconds for the way to the server and back, after which its silence is taken for a broken wire. */
const answerTime = 2000;

async function connectClient(
  settings: TargetSettings,
  username: string,
  proof: string | ClientCertificate,
  database: string,
  shape: SessionShape | undefined,
): Promise<Client> {
  const client = new Client(clientConfig(settings, username, proof, database, shape));
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw toTargetError(error, 'connect');
  }
}

/**
 * Everything is said here, since pg takes what is missing from PGHOST, PGOPTIONS, PGSSLMODE, ~/.pgpass and the like:
 * the password as a function (an empty one would send pg looking), `ssl` even when it is off.
 */
function clientConfig(
  settings: TargetSettings,
  user: string,
  proof: string | ClientCertificate,
  database: string,
  shape?: SessionShape,
): ClientConfig {
  const { host, port } = settings;
  const { statementTimeout } = shape ?? settings;
  if (host === '' || /[/\\\0\s@]/.test(host)) {
    throw new TargetError('unreachable', 'The host is not a host name or an IP address.', {
      hint: 'Unix sockets are not supported; connect by TCP.',
    });
  }
  const fixed = { binary: false, replication: 'false', scramMaxIterations: 1_000_000 };
  return {
    ...fixed,
    host,
    port,
    user,
    database,
    password: () => (typeof proof === 'string' ? proof : ''),
    ssl: tlsOptions(settings.tls, host, typeof proof === 'string' ? undefined : proof),
    sslnegotiation: 'postgres',
    client_encoding: 'UTF8',
    application_name: settings.applicationName.slice(0, 63),
    options: shape?.options ?? sessionOptions(statementTimeout),
    connectionTimeoutMillis: settings.connectTimeout,
    query_timeout: statementTimeout + answerTime,
    keepAlive: true,
  };
}

/**
 * The limits are the server's own, so that nothing takes effect after we have given up. Waiting for a lock is cut short
 * sooner, for a script may wait several times. The search path is closed: in the databases that we visit others may
 * have made functions to be found by accident (CVE-2018-1058).
 */
function sessionOptions(statementTimeout: number): string {
  const lockTimeout = Math.max(1, Math.floor(Math.min(5000, statementTimeout / 2)));
  return [
    `statement_timeout=${Math.max(1, Math.floor(statementTimeout))}`,
    `lock_timeout=${lockTimeout}`,
    `idle_in_transaction_session_timeout=${Math.max(1, Math.floor(statementTimeout))}`,
    'search_path=pg_catalog',
    'standard_conforming_strings=on',
    'client_min_messages=error',
    'default_transaction_isolation=read\\ committed',
    'default_transaction_read_only=off',
  ]
    .map((setting) => `-c ${setting}`)
    .join(' ');
}

/** `synchronous_commit`: a drop that is lost in a crash after it was proved would bring the user back. */
async function setUp(client: ClientBase): Promise<ServerTraits> {
  const { rows } = await client.query<Row>(`
    SELECT current_setting('server_version_num')::int / 10000 AS major,
      (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
      coalesce(current_setting('scram_iterations', true), '${leastScramIterations}')::int AS iterations,
      CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
        THEN set_config('synchronous_commit', 'on', false) END`);
  const row = rows[0] ?? {};
  return {
    major: Number(row['major']),
    superuser: row['superuser'] === true,
    scramIterations: Math.max(leastScramIterations, Number(row['iterations'])),
  };
}

function tlsOptions(tls: TargetTls, host: string, own: ClientCertificate | undefined): false | ConnectionOptions {
  const verified = verification(tls, host);
  return verified && own !== undefined ? { ...verified, cert: own.certificate, key: own.key } : verified;
}

function verification(tls: TargetTls, host: string): false | ConnectionOptions {
  switch (tls.mode) {
    case 'disable':
      return false;
    case 'require':
      return { rejectUnauthorized: false };
    case 'verify-ca':
      return { rejectUnauthorized: true, ca: tls.ca, checkServerIdentity: () => undefined };
    case 'verify-full': {
      const name = tls.serverName ?? host;
      return {
        rejectUnauthorized: true,
        ...(tls.ca !== undefined && { ca: tls.ca }),
        // pg overwrites `servername` by the host, so the name wanted is compared here.
        checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(name, certificate),
      };
    }
  }
}

/** Milliseconds; more than a visit takes as a rule, less than a claim on a lease holds. */
const longestWait = 20_000;

/** At most `width` tasks at a time; the others wait in the order in which they came. */
function createQueue(width: number) {
  const waiting = new Set<() => void>();
  let running = 0;
  const turn = () =>
    new Promise<void>((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer);
        waiting.delete(begin);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(begin);
        reject(new TargetError('timeout', 'No connection for a visit to another database became free in time.'));
      }, longestWait);
      waiting.add(begin);
    });
  return {
    async run<T>(task: () => Promise<T>): Promise<T> {
      // The place of one that ends passes to the next, so nobody overtakes.
      if (running >= width) await turn();
      else running++;
      try {
        return await task();
      } finally {
        const [next] = waiting;
        if (next) next();
        else running--;
      }
    },
  };
}
