import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Dispatch } from '#core/dispatch.ts';
import type { PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createApp, tlsServerOf } from './app.ts';
import { createGates, type Gates } from './gates.ts';
import { createReadiness, type Probes } from './health.ts';
import { type HealthSource, registerHealth } from './health-routes.ts';
import { count, createMetrics, type Metrics } from './metrics.ts';
import { registerAdminMetrics, registerMetrics } from './metrics-routes.ts';
import { type OperationRouteDeps, registerOperations } from './operation-routes.ts';
import { createOriginCheck, type OriginCheck } from './origin.ts';
import { registerPages } from './pages.ts';
import { describeError } from './problem.ts';
import { registerPublicRoutes } from './public-routes.ts';
import { sourceAddressOf } from './request.ts';
import type { HttpSettings, ListenAddress } from './settings.ts';
import { type Connections, drain, trackConnections } from './shutdown.ts';
import { applyTls, followTls, type TlsProvider } from './tls.ts';

export interface HttpServerOptions {
  readonly config: HttpSettings;
  readonly operations: readonly BoundOperation[];
  readonly dispatch: Dispatch;
  readonly publicRoutes: readonly PublicRoute[];
  /** What `/readyz` asks, by name. */
  readonly probes: Probes;
  readonly log: Logger;
  readonly version: string;
  /** Made by the caller when `observe` is to be handed to dispatch. */
  readonly metrics?: Metrics;
  /** Serve TLS with this; absent: plain HTTP. */
  readonly tls?: TlsProvider;
}

export interface HttpServer {
  /** Listens. Resolves to the URL of the listening address; rejects with an AppError when it is not free. */
  readonly listen: () => Promise<string>;
  /** Drains and closes: no request is lost unless it takes longer than the shutdown timeout. Twice is once. */
  readonly close: () => Promise<void>;
  /** Reads the certificate again; rejects, keeping the old one, when it cannot be used. For SIGHUP. */
  readonly reloadTls: () => Promise<void>;
  /** For routes that need Fastify itself (MCP): register them before `listen`. */
  readonly app: FastifyInstance;
  readonly metrics: Metrics;
  /** For such routes: the same guards that operations stand behind. */
  readonly gates: Gates;
  readonly checkOrigin: OriginCheck;
}

/** The HTTP face: every operation under `/v1`, the protocol routes, health, metrics, OpenAPI and docs. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config, log, tls } = options;
  const gates = createGates(config.rates);
  const checkOrigin = createOriginCheck(config);
  const metrics = options.metrics ?? createMetrics(options.version);
  const state = { draining: false };
  const tlsKind = tls ? 'tls' : 'plain';
  const newListener = listenerMaker(options, gates, metrics);
  const main = newListener(config.listen, { setting: 'CHANCERY_LISTEN', kind: tlsKind });
  const adminOptions = { setting: 'CHANCERY_ADMIN_LISTEN', kind: tlsKind } as const;
  const admin = config.adminListen ? newListener(config.adminListen, adminOptions) : undefined;
  const forAll = config.publicListen ? newListener(config.publicListen, publicListener) : undefined;
  const listeners = admin ? [admin, main] : [main];

  const health = healthOf(options, state);
  const routes = { dispatch: options.dispatch, gates, checkOrigin, metrics, log, accessLog: config.accessLog };
  for (const { app } of listeners) registerHealth(app, health);
  if (admin) registerAdminMetrics(admin.app, metrics);
  registerOpenRoutes(main.app, options, routes);
  registerOperations(main.app, options.operations, routes);
  if (forAll) registerPublicRoutes(forAll.app, options.publicRoutes.filter(isForAll), routes);
  metrics.watchServer({ connections: () => main.connections.all.size + (forAll?.connections.all.size ?? 0) });

  let closing: Promise<void> | undefined;
  let stopTls = (): void => undefined;
  const servers = listeners.map(({ app }) => tlsServerOf(app));
  const reloadTls = async (): Promise<void> => (tls ? applyTls(servers, tls) : undefined);
  const close = (): Promise<void> => {
    state.draining = true;
    stopTls();
    closing ??= closeAll(forAll ? [main, forAll] : [main], admin, config);
    return closing;
  };
  const listen = async (): Promise<string> => {
    await reloadTls();
    if (tls) stopTls = followTls(servers, tls, log);
    try {
      if (admin) await listenOn(admin);
      if (forAll) await listenOn(forAll);
      return await listenOn(main);
    } catch (thrown) {
      await close();
      throw thrown;
    }
  };
  return { app: main.app, metrics, gates, checkOrigin, listen, close, reloadTls };
}

/** What relying parties and validators of ACME fetch by plain HTTP: it is signed, or it is public anyway. */
const publicPaths = ['/pki/', '/.well-known/acme-challenge/'];

function isForAll({ path }: PublicRoute): boolean {
  return publicPaths.some((prefix) => path.startsWith(prefix));
}

interface ListenerOptions {
  /** By which setting its address was chosen. */
  readonly setting: string;
  readonly kind: 'tls' | 'plain';
  readonly unknownHint?: string;
}

const publicListener: ListenerOptions = {
  setting: 'CHANCERY_PUBLIC_LISTEN',
  kind: 'plain',
  unknownHint: 'This address serves CRLs, OCSP and certificates of authorities only; the API has another one.',
};

/** One address that is listened on, and what is served there. */
interface Listener {
  readonly setting: string;
  readonly app: FastifyInstance;
  readonly address: ListenAddress;
  readonly connections: Connections;
}

function listenerMaker(options: HttpServerOptions, gates: Gates, metrics: Metrics) {
  const meter = metrics.meter('none');
  return (address: ListenAddress, { setting, kind, unknownHint }: ListenerOptions): Listener => {
    const tls = kind === 'tls';
    const app = createApp({
      settings: options.config,
      tls,
      log: options.log,
      unknownHint,
      admitUnknown: (request) => gates.open(sourceAddressOf(request)),
      refused: (status) => count(meter, status),
    });
    return { setting, app, address, connections: trackConnections(app, tls) };
  };
}

function healthOf({ version, probes, log }: HttpServerOptions, state: { readonly draining: boolean }): HealthSource {
  const failed = (probe: string, error: unknown): void =>
    log.warn({ probe, error: describeError(error) }, 'readiness probe failed');
  return { version, draining: () => state.draining, readiness: createReadiness(probes, failed) };
}

function registerOpenRoutes(app: FastifyInstance, options: HttpServerOptions, routes: OperationRouteDeps): void {
  const { operations, publicRoutes, version, config } = options;
  registerPages(app, { version, operations, publicRoutes, publicUrl: config.publicUrl ?? undefined }, (request) => {
    routes.gates.open(sourceAddressOf(request));
    routes.checkOrigin(request.headers.host, undefined);
  });
  registerPublicRoutes(app, publicRoutes, routes);
  if (config.adminListen === null) registerMetrics(app, operations, routes);
}

async function listenOn({ setting, app, address: { host, port } }: Listener): Promise<string> {
  try {
    // Fastify would bind `localhost` to two addresses by a second server, which has no certificate.
    return await app.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port, backlog: 4096 });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    const reason = listenFaults[code ?? ''] ?? 'cannot be listened on';
    throw new AppError('unavailable', `${host}:${port} ${reason}.`, {
      hint: `Stop what listens there, or choose another address with ${setting}.`,
      cause: thrown,
    });
  }
}

const listenFaults: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EADDRNOTAVAIL: 'is not an address of this machine',
  EACCES: 'needs more rights than this process has',
};

/** The admin listener goes last, so that health and metrics can be read while requests drain. */
async function closeAll(served: readonly Listener[], admin: Listener | undefined, config: HttpSettings): Promise<void> {
  await Promise.all(served.map(({ app, connections }) => drain(app, connections, config)));
  if (admin) await drain(admin.app, admin.connections, { shutdownDelay: 0, drainIdle: 0, shutdownTimeout: 1000 });
}
