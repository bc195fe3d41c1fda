import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { copyCluster, type Owner } from '#test/cluster-template.ts';
import { freePort } from '#test/free-port.ts';

/**
 * A real MariaDB server of its own for one test file: on 127.0.0.1, in a temporary folder, every commit flushed, users known
 * by address alone. The binaries are Debian's (scripts/install-test-tools.sh).
 */
export interface MariadbServer {
  readonly port: number;
  /** The password of root at 127.0.0.1, who may do everything. */
  readonly password: string;
  /** Where it keeps its data and logs; readable for the tests. */
  readonly folder: string;
  /** The address of a database as root. */
  url(database?: string): string;
  /** Runs statements as root, each on its own; the rows of the last. */
  run(...statements: string[]): Promise<Record<string, unknown>[]>;
  /** `fast` shuts down in order; `immediate` is as after a crash. Starts again on the same port. */
  restart(mode?: StopMode): Promise<void>;
  /** Stops the server but keeps its data; `start` goes on with them. */
  pause(mode?: StopMode): Promise<void>;
  start(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

export type StopMode = 'fast' | 'immediate';

export interface MariadbOptions {
  /** Further settings, as on the command line without the dashes. */
  readonly settings?: Readonly<Record<string, string>>;
  /** PEM texts: the server's certificate and key, and who signs the certificates of clients. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa: string };
}

/** Starts a server. Throws when MariaDB is not installed. */
export async function startMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  const cluster = await initCluster(options);
  let running = await launch(cluster);
  let release = guard(running, cluster);
  const pause = async (mode: StopMode = 'fast') => {
    await halt(running, mode);
    release();
  };
  const start = async () => {
    running = await launch(cluster);
    release = guard(running, cluster);
  };
  return {
    port: cluster.port,
    password: cluster.password,
    folder: cluster.folder,
    url: (database = '') => `mysql://root:${cluster.password}@127.0.0.1:${cluster.port}/${database}`,
    run: (...statements) => runAs(cluster.port, 'root', cluster.password, ...statements),
    pause,
    start,
    async restart(mode) {
      await pause(mode);
      await start();
    },
    async stop() {
      await pause('immediate');
      rmSync(cluster.folder, { recursive: true, force: true });
    },
  };
}

/** Runs statements one by one on a connection of their own; the rows of the last. */
export async function runAs(
  port: number,
  user: string,
  password: string,
  ...statements: string[]
): Promise<Record<string, unknown>[]> {
  const connection = await createConnection({ host: '127.0.0.1', port, user, password, connectTimeout: 10_000 });
  try {
    let rows: unknown = [];
    for (const sql of statements) [rows] = await connection.query(sql);
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
  } finally {
    await connection.end();
  }
}

interface Cluster {
  readonly folder: string;
  readonly data: string;
  readonly password: string;
  readonly port: number;
  readonly owner: Owner;
  readonly arguments: readonly string[];
}

async function initCluster(options: MariadbOptions): Promise<Cluster> {
  if (!existsSync(server)) throw new Error('no MariaDB here: scripts/install-test-tools.sh installs mariadb-server');
  const folder = mkdtempSync(join(tmpdir(), 'chancery-mariadb-'));
  const data = join(folder, 'data');
  const owner = ordinaryUser();
  mkdirSync(data, { mode: 0o700 });
  if (owner) for (const path of [folder, data]) chownSync(path, owner.uid, owner.gid);
  await copyCluster('mariadb', data, owner, (made) => installDatabase(made, owner));
  const password = randomBytes(16).toString('hex');
  const port = await freePort();
  writeFileSync(join(folder, 'first.sql'), firstStatements(password).join('\n'), { mode: 0o644 });
  return { folder, data, password, port, owner, arguments: [...tlsArguments(folder, options), ...settings(options)] };
}

/** Temporary files in a folder of its own: every server that starts deletes those of all others in the one it uses. */
function temporary(folder: string, owner: Owner): { TMPDIR: string } {
  const path = join(folder, 'temporary');
  mkdirSync(path, { recursive: true });
  if (owner) chownSync(path, owner.uid, owner.gid);
  return { TMPDIR: path };
}

/** The data folder of a new server. */
async function installDatabase(data: string, owner: Owner): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-mariadb-install-'));
  chmodSync(folder, 0o755);
  const child = spawn(
    'mariadb-install-db',
    ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'].concat([
      '--skip-name-resolve',
      '--innodb-log-file-size=8M',
      '--innodb-flush-log-at-trx-commit=0',
    ]),
    { ...owner, cwd: folder, env: { ...process.env, ...temporary(folder, owner) }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const errors = collect(child);
  const [code] = (await once(child, 'exit')) as [number | null];
  rmSync(folder, { recursive: true, force: true });
  if (code !== 0) throw new Error(`mariadb-install-db failed: ${errors()}`);
}

const server = '/usr/sbin/mariadbd';

/** Runs at every start: root comes from 127.0.0.1 and with a password, and nobody comes without a name. */
function firstStatements(password: string): string[] {
  return [
    `CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '${password}';`,
    `GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;`,
    `DROP USER IF EXISTS root@localhost, root@'::1', ''@localhost;`,
  ];
}

function settings({ settings: given = {} }: MariadbOptions): string[] {
  return Object.entries(given).map(([name, value]) => `--${name}=${value}`);
}

function tlsArguments(folder: string, { tls }: MariadbOptions): string[] {
  if (!tls) return [];
  const file = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o644 });
    return path;
  };
  return [
    `--ssl-cert=${file('server.pem', tls.certificate)}`,
    `--ssl-key=${file('server-key.pem', tls.key)}`,
    `--ssl-ca=${file('client-ca.pem', tls.clientCa)}`,
  ];
}

/** Runs as root only when told to; then it is given to `mysql` or `nobody`. */
function ordinaryUser(): Owner {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ['mysql', 'nobody']) {
    try {
      const id = (flag: string) => Number(execFileSync('id', [flag, user], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // no such user: the next one
    }
  }
  throw new Error('there is no user mysql or nobody to run MariaDB as');
}

async function launch(cluster: Cluster): Promise<ChildProcess> {
  const { folder } = cluster;
  const child = spawn(
    server,
    ['--no-defaults', `--datadir=${cluster.data}`, '--bind-address=127.0.0.1', `--port=${cluster.port}`].concat(
      [`--socket=${join(folder, 'socket')}`, `--pid-file=${join(folder, 'pid')}`, '--skip-name-resolve'],
      ['--innodb-buffer-pool-size=32M', '--innodb-log-file-size=8M', `--init-file=${join(folder, 'first.sql')}`],
      cluster.arguments,
    ),
    {
      ...cluster.owner,
      cwd: folder,
      env: { ...process.env, ...temporary(folder, cluster.owner) },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const errors = collect(child);
  for (;;) {
    if (child.exitCode !== null) throw new Error(`mariadbd did not start: ${errors()}`);
    try {
      await runAs(cluster.port, 'root', cluster.password, 'SELECT 1');
      return child;
    } catch {
      await sleep(25);
    }
  }
}

async function halt(child: ChildProcess, mode: StopMode): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(mode === 'fast' ? 'SIGTERM' : 'SIGKILL');
  await exited;
}

/**
 * Stops the server and removes its folder when the test process ends without doing so, however it ends: a shell waits at
 * a pipe that only this process holds open. The function that is returned sends it away.
 */
function guard(running: ChildProcess, cluster: Cluster): () => void {
  const script = `read line || { kill -KILL $0; while kill -0 $0 2>/dev/null; do sleep 0.1; done; rm -rf "$1"; }`;
  const shell = spawn('sh', ['-c', script, String(running.pid), cluster.folder], {
    ...cluster.owner,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  (shell.stdin as Socket).unref();
  return () => shell.stdin.end('done\n');
}

/** The last of what a child says, for error messages; reading it keeps the pipe from filling up. */
function collect(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
  };
  child.stderr?.on('data', keep);
  child.stdout?.on('data', keep);
  return () => text;
}
