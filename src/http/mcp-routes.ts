import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Credentials } from '#core/dispatch.ts';
import { AppError, toAppError } from '#core/errors.ts';
import type { Gates } from './gates.ts';
import { finish, type Metrics } from './metrics.ts';
import type { OriginCheck } from './origin.ts';
import { knownError, toProblem } from './problem.ts';
import { credentialsOf, sourceAddressOf } from './request.ts';

/**
 * `/mcp` and `/mcp/x/{toolset}`: what HTTP has to do with MCP. The endpoint behind it writes the response itself, so
 * Fastify's onSend hooks never see it, and all that must be on a response is put on the raw one here.
 */

export interface McpEndpoint {
  /** Answers by itself, or throws an AppError. */
  handle(request: McpRequest): Promise<void>;
  /** RFC 9728 §2 `scopes_supported`. */
  readonly scopes: readonly string[];
}

export interface McpRequest {
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: unknown;
  readonly toolset: string | undefined;
  readonly readOnly: boolean;
  readonly credentials: Credentials;
  readonly sourceAddress: string;
  readonly requestId: string;
}

export interface McpRouteDeps {
  readonly gates: Gates;
  readonly checkOrigin: OriginCheck;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Origin under which clients reach the server; null: that of the request. */
  readonly publicUrl: string | null;
  /** Origins of web pages that may call, beside our own. */
  readonly allowedOrigins: readonly string[];
}

/** A CSR, a certificate chain and an intermediate's request fit many times over. */
const bodyLimit = 1_048_576;
const paths = ['/mcp', '/mcp/readonly', '/mcp/x/:toolset', '/mcp/x/:toolset/readonly'];
const metadataPath = '/.well-known/oauth-protected-resource';

export function registerMcp(app: FastifyInstance, endpoint: McpEndpoint, deps: McpRouteDeps): void {
  const handler = mcpHandler(endpoint, deps);
  for (const url of paths) {
    app.route({
      method: 'POST',
      url,
      bodyLimit,
      onRequest: (request, reply, done) => admit(deps, request, reply, done),
      handler,
      errorHandler: (error, request, reply) => answerError(deps, request, reply, error),
    });
    app.route({ method: 'OPTIONS', url, handler: preflight(deps) });
  }
  registerMetadata(app, endpoint, deps);
}

/** What stands before the body is read. */
function admit(deps: McpRouteDeps, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { authorization } = request.headers;
  checkPage(deps, request);
  for (const [name, value] of Object.entries(crossOrigin(deps, request))) reply.raw.setHeader(name, value);
  deps.gates.authentication.admit(sourceAddressOf(request), credentialsOf(authorization));
  done();
}

/** Pages of allowed origins, and our own; the Host is checked in any case. */
function checkPage({ checkOrigin, allowedOrigins }: McpRouteDeps, { headers }: FastifyRequest): void {
  const { host, origin } = headers;
  checkOrigin(host, origin !== undefined && allowedOrigins.includes(origin) ? undefined : origin);
}

const exposed = 'WWW-Authenticate, Retry-After, X-Request-Id, MCP-Protocol-Version';

/** CORS for the allowed origins; credentials of browsers (cookies) are never wanted. */
function crossOrigin({ allowedOrigins }: McpRouteDeps, { headers }: FastifyRequest): Record<string, string> {
  if (allowedOrigins.length === 0) return {};
  const { origin } = headers;
  if (origin === undefined || !allowedOrigins.includes(origin)) return { vary: 'Origin' };
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed, vary: 'Origin' };
}

const allowedHeaders =
  'authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id, x-request-id';

function preflight(deps: McpRouteDeps) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    deps.gates.open(sourceAddressOf(request));
    deps.checkOrigin(request.headers.host, undefined);
    const headers = crossOrigin(deps, request);
    if (headers['access-control-allow-origin'] === undefined) {
      answerError(
        deps,
        request,
        reply,
        new AppError('denied', 'Pages of this origin may not call this server.', {
          hint: 'The operator allows origins with CHANCERY_MCP_ALLOWED_ORIGINS.',
        }),
      );
      return;
    }
    reply
      .code(204)
      .headers({
        ...headers,
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': allowedHeaders,
        'access-control-max-age': '600',
      })
      .send();
  };
}

function mcpHandler(endpoint: McpEndpoint, deps: McpRouteDeps) {
  const meter = deps.metrics.meter('mcp');
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const started = performance.now();
    meter.inFlight += 1;
    const credentials = credentialsOf(request.headers.authorization);
    const sourceAddress = sourceAddressOf(request);
    const { authentication } = deps.gates;
    try {
      setHeaders(reply.raw, request.id);
      await endpoint.handle({
        raw: request.raw,
        response: reply.hijack().raw,
        body: request.body,
        toolset: (request.params as { readonly toolset?: string }).toolset,
        readOnly: request.routeOptions.url?.endsWith('/readonly') === true,
        credentials,
        sourceAddress,
        requestId: request.id,
      });
      authentication.succeeded(credentials);
      finish(meter, started, reply.raw.statusCode);
    } catch (thrown) {
      if (thrown instanceof AppError && thrown.code === 'unauthenticated')
        authentication.failed(sourceAddress, credentials);
      finish(meter, started, answerError(deps, request, reply, thrown));
    }
  };
}

function setHeaders(response: ServerResponse, requestId: string): void {
  response.setHeader('x-request-id', requestId);
  response.setHeader('x-content-type-options', 'nosniff');
  const writeHead = response.writeHead.bind(response) as (status: number, headers: object) => ServerResponse;
  // The SDK writes `no-cache` on streams, which lets caches keep them.
  response.writeHead = ((status: number, headers: object) =>
    writeHead(status, { ...headers, 'cache-control': 'no-store, no-transform' })) as ServerResponse['writeHead'];
}

/** A problem document, as everywhere; what OAuth clients need stands in its headers. Returns the status. */
function answerError(deps: McpRouteDeps, request: FastifyRequest, reply: FastifyReply, thrown: unknown): number {
  const error = knownError(thrown, request.routeOptions.bodyLimit);
  const problem = toProblem(error, request.id);
  if (problem.status >= 500)
    deps.log.error(
      { request_id: request.id, operation: 'mcp', err: toAppError(thrown).cause ?? thrown },
      'request failed',
    );
  const challenge = challengeOf(error, `${originOf(deps, request)}${metadataPath}${pathOf(request)}`, request);
  const headers = { ...problem.headers, ...(challenge === undefined ? {} : { 'www-authenticate': challenge }) };
  const response = reply.raw;
  if (!reply.sent) reply.hijack();
  if (response.headersSent) response.destroy();
  else response.writeHead(problem.status, headers).end(problem.body);
  return problem.status;
}

/** RFC 6750 §3 with `resource_metadata` of RFC 9728 §5.1. Every value is ours and has no quote in it. */
function challengeOf(error: AppError, metadata: string, request: FastifyRequest): string | undefined {
  const where = `resource_metadata="${metadata}"`;
  if (error.code === 'unauthenticated') {
    const shown = credentialsOf(request.headers.authorization).kind === 'bearer';
    return `Bearer realm="chancery"${shown ? ', error="invalid_token"' : ''}, ${where}`;
  }
  const { scope } = error.members;
  if (error.code !== 'denied' || typeof scope !== 'string') return undefined;
  return `Bearer realm="chancery", error="insufficient_scope", scope="${scope}", ${where}`;
}

function pathOf({ url }: FastifyRequest): string {
  const path = url.split('?', 1)[0] ?? '';
  return /^\/mcp(?:\/[a-z/]{0,80})?$/.test(path) ? path : '/mcp';
}

const saneHost = /^[A-Za-z0-9.:_[\]-]{1,255}$/;

function originOf({ publicUrl }: McpRouteDeps, { headers, protocol }: FastifyRequest): string {
  if (publicUrl !== null) return publicUrl;
  return `${protocol}://${headers.host !== undefined && saneHost.test(headers.host) ? headers.host : 'localhost'}`;
}

/** RFC 9728 §3.1: one document per resource, at the well-known path followed by that of the resource. */
function registerMetadata(app: FastifyInstance, { scopes }: McpEndpoint, deps: McpRouteDeps): void {
  for (const path of ['', ...paths]) {
    app.get(`${metadataPath}${path}`, async (request, reply) => {
      deps.gates.open(sourceAddressOf(request));
      deps.checkOrigin(request.headers.host, undefined);
      const resource = `${originOf(deps, request)}${(request.url.split('?', 1)[0] ?? '').slice(metadataPath.length) || '/mcp'}`;
      return reply.headers({ 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff' }).send({
        resource,
        resource_name: 'Chancery',
        bearer_methods_supported: ['header'],
        scopes_supported: scopes,
        resource_documentation: `${originOf(deps, request)}/docs`,
      });
    });
  }
}
