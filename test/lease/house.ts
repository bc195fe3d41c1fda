import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { auditLinker } from '#audit/chain.ts';
import { createAuthenticate } from '#auth/authenticate.ts';
import { bootstrapAdministrator } from '#auth/bootstrap.ts';
import { authOperations } from '#auth/operations.ts';
import { type Clock, systemClock } from '#core/clock.ts';
import { createDispatch } from '#core/dispatch.ts';
import { bind, type BoundOperation } from '#core/operation.ts';
import { createMetrics, type Metrics } from '#http/metrics.ts';
import { createHttpServer } from '#http/server.ts';
import { defaultHttpSettings } from '#http/settings.ts';
import { leaseMigrations } from '#lease/migrations.ts';
import { createLeaseService, leaseJobScopes, type LeaseService } from '#lease/service.ts';
import type { LeaseRow } from '#lease/tables.ts';
import { createAuthorize } from '#policy/authorize.ts';
import { createPolicyBook } from '#policy/book.ts';
import { policyOperations } from '#policy/operations.ts';
import { createIdempotencyLedger } from '#storage/idempotency.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';
import { type Client, createClient } from '#test/chancery.ts';
import { drainRole, filesEngine, mintFile, openShelf, type Shelf } from './files-engine.ts';

/** A server with the lease manager and the engine of files, wired as main.ts wires the real ones. */
export interface House extends Client {
  readonly store: Store;
  readonly service: LeaseService;
  readonly shelf: Shelf;
  readonly metrics: Metrics;
  /** Lines of the log. */
  readonly lines: Record<string, unknown>[];
  readonly mint: (input?: object) => Promise<Minted>;
  readonly row: (id: string) => Promise<LeaseRow>;
  readonly rows: () => Promise<LeaseRow[]>;
  /** Operation, outcome and details of the audit events that concern leases, in order. */
  readonly audit: () => Promise<
    { operation: string; outcome: string; principal: string; details: Record<string, unknown> }[]
  >;
  /** A new principal with these policies; undefined policies: none. */
  enrol(name: string, rules?: readonly object[]): Promise<Client>;
  close(): Promise<void>;
}

export interface Minted {
  readonly lease_id: string;
  readonly subject: string;
  readonly expires_at: number;
}

export interface HouseOptions {
  readonly folder: string;
  /** `sqlite:<file>` or `postgres://…`; default a file in the folder. */
  readonly url?: string;
  readonly clock?: Clock;
  readonly monotonic?: () => number;
  readonly concurrency?: number;
  /** Whether the sweeper begins by itself; default it waits for `service.sweep()`. */
  readonly start?: boolean;
  readonly refuses?: () => boolean;
}

export interface TestClock extends Clock {
  readonly monotonic: () => number;
  /** Time passes. */
  advance(milliseconds: number): void;
  /** The clock is set, and no time passes. */
  jump(milliseconds: number): void;
}

export function testClock(start = Date.UTC(2026, 10, 21, 10)): TestClock {
  let wall = start;
  let mono = 0;
  return {
    now: () => wall,
    monotonic: () => mono,
    advance(milliseconds) {
      wall += milliseconds;
      mono += milliseconds;
    },
    jump(milliseconds) {
      wall += milliseconds;
    },
  };
}

export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-lease-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Closed when the test ends. */
export async function openHouse(
  context: TestContext,
  options: Partial<HouseOptions> = {},
): Promise<House & { readonly clock: TestClock; readonly folder: string }> {
  const clock = testClock();
  const folder = options.folder ?? temporaryFolder(context);
  const house = await buildHouse({ clock, monotonic: clock.monotonic, ...options, folder });
  context.after(() => house.close());
  return { ...house, clock, folder };
}

export async function buildHouse(options: HouseOptions): Promise<House> {
  const { folder, clock = systemClock } = options;
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'info' },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const store = await openStore({
    url: options.url ?? `sqlite:${join(folder, 'store.db')}`,
    linker: auditLinker,
    migrations: leaseMigrations,
    log,
  });
  await bootstrapAdministrator(store, clock, folder);
  const token = readFileSync(join(folder, 'admin.token'), 'utf8').trim();
  const metrics = createMetrics('1.2.3');
  const policies = createPolicyBook(store);
  const commit = store.commit.bind(store);
  const dispatch = createDispatch({
    clock,
    commit,
    authenticate: createAuthenticate({ store }),
    authorize: createAuthorize({ store, commit, policies, jobs: leaseJobScopes }),
    idempotency: createIdempotencyLedger(store, clock),
    observe: metrics.observe,
  });
  const { concurrency, monotonic } = options;
  const service = createLeaseService({
    store,
    clock,
    dispatch,
    log,
    ...(monotonic === undefined ? {} : { monotonic }),
    ...(concurrency === undefined ? {} : { concurrency }),
  });
  metrics.watch(service.engine.gauges ?? []);
  service.leases.attach(filesEngine(files, clock, options.refuses));
  const operations: BoundOperation[] = [
    ...bind(authOperations, { store, policies, namespacedTables: [] }),
    ...bind(policyOperations, { store, policies, operations: () => operations }),
    ...bind([mintFile, drainRole], { leases: service.leases, folder: files }),
    ...service.engine.operations,
  ];
  const http = createHttpServer({
    config: { ...defaultHttpSettings, listen: { host: '127.0.0.1', port: 0 }, drainIdle: 0 },
    operations,
    dispatch,
    publicRoutes: [],
    probes: {},
    log,
    version: '1.2.3',
    metrics,
  });
  const client = createClient(await http.listen(), token);
  if (options.start) service.start();
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await http.close();
    await service.close();
    await store.close();
  };
  return {
    ...client,
    store,
    service,
    metrics,
    lines,
    shelf: openShelf(files),
    mint: async (input = {}) => (await client.ok('POST', 'files', input)) as Minted,
    async row(id) {
      const row = await store.first<LeaseRow>('SELECT * FROM leases WHERE id = ?', [id]);
      if (row === undefined) throw new Error(`there is no lease ${id}`);
      return row;
    },
    rows: () => store.all<LeaseRow>('SELECT * FROM leases ORDER BY id', []),
    audit: async () =>
      (
        await store.all<{ operation: string; outcome: string; principal: string; details: string }>(
          `SELECT operation, outcome, principal, details FROM audit_events
           WHERE operation LIKE 'lease.%' OR operation LIKE 'files.%' ORDER BY seq`,
          [],
        )
      ).map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> })),
    async enrol(name, rules) {
      if (rules !== undefined) await client.ok('POST', 'policies', { name, rules });
      await client.ok('POST', 'principals', { name, kind: 'agent', policies: rules === undefined ? [] : [name] });
      const { key } = (await client.ok('POST', `principals/${name}/keys`, {})) as { key: string };
      return client.as(key);
    },
    close: () => (closing ??= close()),
  };
}

/** Live leases, counters and files must say the same; run when nothing is under way. */
export async function checkBooks(house: Pick<House, 'store' | 'rows' | 'shelf'>, target = 'shelf'): Promise<void> {
  const rows = await house.rows();
  const live = rows.filter(({ state }) => state !== 'revoked');
  const known = new Set(live.map(({ subject }) => subject));
  for (const subject of house.shelf.subjects(target))
    if (!known.has(subject)) throw new Error(`${subject} exists and no live lease stands for it`);
  const counts = await house.store.all<{ namespace: string; scope: string; live: number }>(
    'SELECT namespace, scope, live FROM lease_counts',
    [],
  );
  for (const { namespace, scope, live: counted } of counts) {
    const there = live.filter(
      (row) => row.namespace === namespace && [row.role, row.target, `principals/${row.principal}`].includes(scope),
    ).length;
    if (there !== counted) throw new Error(`${scope}: ${counted} counted, ${there} live`);
  }
  if (live.length > 0 && counts.length === 0) throw new Error('nothing is counted');
}

/** A house in a process of its own, which sweeps by itself and can be killed. */
export interface Node extends Client {
  readonly process: ChildProcess;
  kill(): Promise<void>;
  /** Resolves when the process has ended, however. */
  readonly ended: Promise<unknown>;
}

export async function spawnNode(context: TestContext, options: HouseOptions): Promise<Node> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'node.ts'), JSON.stringify(options)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  };
  context.after(kill);
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended.then(() => ['the node ended at start'])])) as [
    Buffer | string,
  ];
  const url = line.toString().trim();
  if (!url.startsWith('http')) throw new Error(url);
  const token = readFileSync(join(options.folder, 'admin.token'), 'utf8').trim();
  return { ...createClient(url, token), process: child, kill, ended };
}

/** Waits until something holds; throws after 60 s. */
export async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`this did not come: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
