import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Dispatch } from '#core/dispatch.ts';
import type { PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createApp, tlsServerOf } from './app.ts';
import { createGates, type Gates } from './gates.ts';
import { createReadiness, type Probes } from './health.ts';
import { registerHealth } from './health-routes.ts';
import { count, createMetrics, type Metrics } from './metrics.ts';
import { registerAdminMetrics, registerMetrics } from './metrics-routes.ts';
import { type OperationRouteDeps, registerOperations } from './operation-routes.ts';
import { createOriginCheck, type OriginCheck } from './origin.ts';
import { registerPages } from './pages.ts';
import { describeError } from './problem.ts';
import { registerPublicRoutes } from './public-routes.ts';
import { sourceAddressOf } from './request.ts';
import type { HttpSettings, ListenAddress } from './settings.ts';
import { connectionsOf, drain } from './shutdown.ts';
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
  const { config, log, version } = options;
  const gates = createGates(config.rates);
  const checkOrigin = createOriginCheck(config);
  const metrics = options.metrics ?? createMetrics(version);
  let draining = false;
  const health = {
    version,
    draining: () => draining,
    readiness: createReadiness(options.probes, (probe, error) =>
      log.warn({ probe, error: describeError(error) }, 'readiness probe failed'),
    ),
  };
  const admitOpen = (request: FastifyRequest): void => gates.open(sourceAddressOf(request));
  const refused = metrics.meter('none');
  const newApp = (): FastifyInstance =>
    createApp({
      settings: config,
      tls: options.tls !== undefined,
      log,
      admitUnknown: admitOpen,
      refused: (status) => count(refused, status),
    });

  const app = newApp();
  const routes = { dispatch: options.dispatch, gates, checkOrigin, metrics, log, accessLog: config.accessLog };
  registerHealth(app, health);
  registerOpenRoutes(app, options, routes, admitOpen);
  registerOperations(app, options.operations, routes);
  metrics.watchServer({ connections: () => connectionsOf(app) });

  const admin = config.adminListen ? newApp() : undefined;
  if (admin) {
    registerHealth(admin, health);
    registerAdminMetrics(admin, metrics);
  }
  const apps = admin ? [app, admin] : [app];
  let closing: Promise<void> | undefined;
  let stopTls = (): void => undefined;
  const reloadTls = async (): Promise<void> => {
    if (options.tls) await applyTls(apps.map(tlsServerOf), options.tls);
  };
  return {
    app,
    metrics,
    gates,
    checkOrigin,
    reloadTls,
    listen: async () => {
      await reloadTls();
      if (options.tls) stopTls = followTls(apps.map(tlsServerOf), options.tls, log);
      if (admin && config.adminListen) await listenOn(admin, config.adminListen);
      return listenOn(app, config.listen);
    },
    close: () => {
      draining = true;
      stopTls();
      closing ??= closeAll(app, admin, config);
      return closing;
    },
  };
}

function registerOpenRoutes(
  app: FastifyInstance,
  options: HttpServerOptions,
  routes: OperationRouteDeps,
  admit: (request: FastifyRequest) => void,
): void {
  const { operations, publicRoutes, version, config } = options;
  registerPages(app, { version, operations, publicRoutes, publicUrl: config.publicUrl ?? undefined }, (request) => {
    admit(request);
    routes.checkOrigin(request.headers.host, undefined);
  });
  registerPublicRoutes(app, publicRoutes, routes);
  if (config.adminListen === null) registerMetrics(app, operations, routes);
}

async function listenOn(app: FastifyInstance, { host, port }: ListenAddress): Promise<string> {
  try {
    // Fastify would bind `localhost` to two addresses by a second server, which has no certificate.
    return await app.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port, backlog: 4096 });
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    const reason = listenFaults[code ?? ''] ?? 'cannot be listened on';
    throw new AppError('unavailable', `${host}:${port} ${reason}.`, {
      hint: 'Stop what listens there, or choose another address with CHANCERY_LISTEN.',
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
async function closeAll(app: FastifyInstance, admin: FastifyInstance | undefined, config: HttpSettings): Promise<void> {
  await drain(app, config);
  if (admin) await drain(admin, { lameDuck: 0, shutdownTimeout: 1000 });
}
