import { join } from 'node:path';
import type { Logger } from 'pino';
import { openAudit } from '#audit/audit.ts';
import { auditLinker } from '#audit/chain.ts';
import { createAuthenticate } from '#auth/authenticate.ts';
import { bootstrapAdministrator } from '#auth/bootstrap.ts';
import { purgeJob } from '#auth/housekeeping.ts';
import { authOperations } from '#auth/operations.ts';
import { createClaimService } from '#claim/service.ts';
import { type Clock, systemClock } from '#core/clock.ts';
import { createDispatch, type Dispatch } from '#core/dispatch.ts';
import type { KeepSecrets } from '#core/delivery.ts';
import type { Engine, Job } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { bind, type BoundOperation } from '#core/operation.ts';
import { createSystemCaller, type SystemCaller } from '#core/system-call.ts';
import { createAcmeClient } from '#engines/acme/client/engine.ts';
import { createOutsideCertificates } from '#engines/acme/client/inventory.ts';
import { createDatabase } from '#engines/database/engine.ts';
import { createPki } from '#engines/pki/engine.ts';
import { limitPrincipals } from '#http/gates.ts';
import { createMetrics, type Metrics } from '#http/metrics.ts';
import { readMetrics } from '#http/metrics-operation.ts';
import { createHttpServer, type HttpServer } from '#http/server.ts';
import { fileTls, type TlsProvider } from '#http/tls.ts';
import { createGuardedFetch } from '#outbound/guarded-fetch.ts';
import { createLeaseService } from '#lease/service.ts';
import { createAuthorize, createRecheck } from '#policy/authorize.ts';
import { createPolicyBook } from '#policy/book.ts';
import { createDelegation } from '#policy/delegation.ts';
import { policyOperations } from '#policy/operations.ts';
import { openKeyring } from '#seal/keyring.ts';
import { openRootKey } from '#seal/root-key.ts';
import { createSeal } from '#seal/seal.ts';
import { installationId } from '#seal/settings.ts';
import { createIdempotencyLedger, tidyIdempotencyKeys } from '#storage/idempotency.ts';
import { makeFolder } from '#storage/folder.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';
import { wireAcmeServer } from './acme-wiring.ts';
import { type Config, ConfigError, loadConfig, storeUrl } from './config.ts';
import { createIssuer } from './issuer.ts';
import { startJobs } from './jobs.ts';
import { jobScopes } from './job-scopes.ts';
import { mountMcp } from './mcp-wiring.ts';
import { migrations } from './migrations.ts';
import { startNotices, tlsRoot } from './notices.ts';
import { selfSignedTls } from './self-tls.ts';
import { announce, createServerLog } from './server-log.ts';
import { systemOperations } from './system/operations.ts';
import { version } from './version.ts';

/** Wires everything, and is the one place that knows every part. Nothing here decides anything. */

export interface Chancery {
  /** Where it listens. */
  readonly url: string;
  /** What an operator wants to know at start, a line each. */
  readonly notices: readonly string[];
  readonly operations: readonly BoundOperation[];
  readonly dispatch: Dispatch;
  /** For calls of dispatch whose secrets may not be told. */
  readonly keepSecrets: KeepSecrets;
  /** Reads the server's own certificate again; rejects, keeping the old one, when it cannot be used. */
  reloadTls(): Promise<void>;
  /** Answers what is under way, finishes running jobs, closes the store. Twice is once. */
  close(): Promise<void>;
}

export interface StartOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
}

export async function start(config: Config, options: StartOptions = {}): Promise<Chancery> {
  const { clock = systemClock, log = createServerLog(config.log.level, process.stdout) } = options;
  makeFolder(config.data);
  const store = await openStore({ url: storeUrl(config.storage), linker: auditLinker, migrations, log });
  try {
    return await startOnStore(config, store, clock, log);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function startOnStore(config: Config, store: Store, clock: Clock, log: Logger): Promise<Chancery> {
  const { rootKey, made } = await openRootKey({ store, ...config.rootKey });
  const keyring = await openKeyring({
    store,
    rootKey,
    clock,
    onFault: (err) => log.error({ err }, 'a data key could not be loaded'),
  });
  const bootstrapped = await bootstrapAdministrator(store, clock, config.data);
  const metrics = createMetrics(version);
  const policies = createPolicyBook(store);
  const commit = store.commit.bind(store);
  const authorize = createAuthorize({ store, commit, policies, jobs: jobScopes });
  const authenticate = createAuthenticate({ store });
  const dispatch = createDispatch({
    clock,
    commit,
    authenticate,
    authorize: limitPrincipals(authorize, config.principalRate),
    idempotency: createIdempotencyLedger(store, clock),
    observe: metrics.observe,
  });

  const outbound = createGuardedFetch({ allowPrivate: config.outbound.allow, timeoutMs: 4000, maxBytes: 8_388_608 });
  const pki = createPki({
    store,
    sealer: keyring,
    clock,
    baseUrl: config.pkiUrl,
    dispatch,
    outbound,
    outside: createOutsideCertificates(store),
  });
  const lease = createLeaseService({ store, clock, dispatch, log });
  const recheck = createRecheck({ store, policies, jobs: jobScopes });
  const issuer = createIssuer({ dispatch, operations: pki.operations, clock, store, engine: 'database' });
  const database = createDatabase({ store, sealer: keyring, clock, dispatch, leases: lease.leases, recheck, issuer });
  const claim = createClaimService({ store, sealer: keyring, clock, dispatch, recheck, log, ttl: config.claimTtl });
  const acmeClient = createAcmeClient({
    store,
    sealer: keyring,
    clock,
    dispatch,
    log,
    outbound,
    delegation: createDelegation({ store, policies, jobs: jobScopes }),
    allowPrivate: config.outbound.allow,
    ...config.acme,
  });
  const acmeServer = wireAcmeServer({ config, store, sealer: keyring, clock, log, dispatch, policies, pki });
  const columns = [pki, database, claim.engine, acmeClient.engine, acmeServer].flatMap(
    (engine) => engine.sealedColumns,
  );
  const seal = createSeal({ store, keyring, clock, columns, dispatch });
  const installation = await installationId({ store, clock });
  const audit = await openAudit({
    store,
    sealer: keyring,
    clock,
    dispatch,
    installationId: installation,
    dataFolder: config.data,
    log,
  });
  const continuity = await audit.checkContinuity();
  if (continuity)
    log.error(
      { finding: continuity },
      'the audit log is not the continuation of the last checkpoint: was the store rolled back?',
    );

  // In the order in which they close: nothing revokes any more when the connections to databases go.
  const engines: readonly Engine[] = [
    lease.engine,
    database,
    acmeClient.engine,
    acmeServer,
    pki,
    claim.engine,
    audit,
    seal,
  ];
  for (const { gauges } of engines) metrics.watch(gauges ?? []);
  const operations: BoundOperation[] = [
    ...bind(authOperations, {
      store,
      policies,
      namespacedTables: engines.flatMap((engine) => engine.namespacedTables),
    }),
    ...bind(policyOperations, { store, policies, operations: () => operations }),
    ...bind(systemOperations, {
      store,
      version,
      installationId: installation,
      backupFolder: join(config.data, 'backups'),
    }),
    ...bind([readMetrics], { metrics }),
    ...engines.flatMap((engine) => engine.operations),
  ];
  const http = listenTo(config, { operations, engines, dispatch, store, clock, log, metrics });
  const { keepSecrets } = claim;
  const mcp = mountMcp(config, { http, operations, dispatch, keepSecrets, authenticate, clock, log, version });
  const url = await http.listen();
  const purge = purgeTask(createSystemCaller({ dispatch, operations, clock, job: purgeJob.name }));
  const jobs = startJobs([...engines.flatMap((engine) => engine.jobs), purge, tidyJob(store, clock)], log);
  await Promise.all(audit.jobs.map((job) => runAtStart(job, log)));
  lease.start();
  await acmeClient.start();
  const notices = startNotices(config, {
    version,
    url,
    cwd: process.cwd(),
    tokenFile: bootstrapped.created ? bootstrapped.tokenFile : undefined,
    rootKeyMade: made,
  });
  return {
    url,
    notices,
    operations,
    dispatch,
    keepSecrets,
    reloadTls: http.reloadTls,
    close: once(() => shutDown([mcp, http], jobs, engines, store)),
  };
}

/** A full disk keeps nobody from reading CRLs and OCSP answers: the job is tried again when its next run is due. */
async function runAtStart(job: Job, log: Logger): Promise<void> {
  try {
    await job.run();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== 'storage_full' && code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    log.error({ job: job.name, err: error }, 'job failed at start');
  }
}

interface HttpParts {
  readonly operations: readonly BoundOperation[];
  readonly engines: readonly Engine[];
  readonly dispatch: Dispatch;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

function listenTo(config: Config, parts: HttpParts): HttpServer {
  const tls = tlsOf(config, parts);
  return createHttpServer({
    config: config.http,
    operations: parts.operations,
    dispatch: parts.dispatch,
    publicRoutes: parts.engines.flatMap((engine) => engine.publicRoutes),
    probes: { store: () => parts.store.ping() },
    log: parts.log,
    version,
    metrics: parts.metrics,
    ...(tls ? { tls } : {}),
  });
}

function tlsOf(config: Config, { dispatch, operations, clock }: HttpParts): TlsProvider | undefined {
  switch (config.tls.kind) {
    case 'off':
      return undefined;
    case 'files':
      return fileTls(config.tls);
    case 'self': {
      const hosts = [
        ...new Set([new URL(config.publicUrl).hostname.replaceAll(/[[\]]/g, ''), 'localhost', '127.0.0.1']),
      ];
      return selfSignedTls({ dispatch, operations, clock, hosts, rootFile: tlsRoot(config) });
    }
  }
}

function purgeTask(call: SystemCaller): Job {
  return { ...purgeJob, run: () => call<void>(purgeJob.name, {}) };
}

function tidyJob(store: Store, clock: Clock): Job {
  return {
    name: 'storage.tidy_idempotency_keys',
    schedule: '17 * * * *',
    run: () => store.commit([tidyIdempotencyKeys(clock.now())]),
  };
}

async function shutDown(
  faces: readonly { close(): Promise<void> }[],
  jobs: { stop(): Promise<void> },
  engines: readonly Engine[],
  store: Store,
): Promise<void> {
  await Promise.all(faces.map((face) => face.close()));
  await jobs.stop();
  for (const engine of engines) await engine.close();
  await store.close();
}

function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= run());
}

/** Runs the server until a signal ends it; resolves to the exit code. */
export async function runServer(): Promise<number> {
  const config = loadConfig(process.env, process.cwd());
  // What is not in the environment any more is not inherited, dumped or shown by anything that comes later.
  delete process.env['CHANCERY_ROOT_KEY'];
  // Whoever read the output may be gone: that is no reason to end without answering what is under way.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const chancery = await start(config);
  const say = (sentence: string): void => announce(process.stdout, sentence, systemClock.now());
  chancery.notices.forEach(say);
  process.on('SIGHUP', () => {
    chancery
      .reloadTls()
      .catch((error: unknown) =>
        process.stderr.write(`chancery: the certificate was not reloaded: ${messageOf(error)}\n`),
      );
  });
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  say(`${signal}: answering what is under way, then closing.`);
  await chancery.close();
  return 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function explain(error: unknown): number {
  const hint = error instanceof AppError && error.hint !== undefined ? `\nhint: ${error.hint}` : '';
  process.stderr.write(`chancery: error: ${messageOf(error)}${hint}\n`);
  return error instanceof ConfigError ? 2 : 1;
}

if (import.meta.main) process.exit(await runServer().catch(explain));
