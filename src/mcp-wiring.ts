import type { Logger } from 'pino';
import type { Clock } from '#core/clock.ts';
import type { Dispatch, DispatchDeps } from '#core/dispatch.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Principal } from '#core/principal.ts';
import { registerMcp } from '#http/mcp-routes.ts';
import { createRateLimiter } from '#http/rate-limit.ts';
import type { HttpServer } from '#http/server.ts';
import { createEndpoint, type EndpointOptions } from '#mcp/http-endpoint.ts';
import { withholdSecrets } from '#mcp/reveal.ts';
import type { ServerPart } from '#mcp/server.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { compileGlob } from '#policy/glob.ts';
import { mayReach } from '#policy/judge.ts';
import { type Config, ConfigError } from './config.ts';

/** MCP over HTTP, put together: what it offers comes from the operations, what it may do from the settings. */

export interface McpParts {
  readonly http: HttpServer;
  readonly operations: readonly BoundOperation[];
  readonly dispatch: Dispatch;
  readonly authenticate: DispatchDeps['authenticate'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
}

/** Beside tools: resources, prompts, skills. */
export const serverParts: readonly ServerPart[] = [];

/** Puts `/mcp` on the main listener. Call it before that listens. */
export function mountMcp(
  config: Config,
  parts: McpParts,
  fixtures: Pick<EndpointOptions, 'makeServer'> = {},
): { close(): Promise<void> } {
  const { http, operations, dispatch, authenticate, clock, log, version } = parts;
  refuseUnknownToolsets(config.mcp, operations);
  const endpoint = createEndpoint({
    settings: config.mcp,
    dispatch,
    operations,
    version,
    now: () => clock.now(),
    authenticate,
    mayReach: (principal, operation) => mayReach(principal.narrowings, operation),
    mayTouch: pathGuard(config.mcp),
    deliveryFor: () => withholdSecrets,
    ...turns(config.mcp),
    parts: serverParts,
    log: (id, operation, err) => log.error({ request_id: id, operation, err }, 'MCP call failed'),
    ...fixtures,
  });
  registerMcp(http.app, endpoint, {
    gates: http.gates,
    checkOrigin: http.checkOrigin,
    metrics: http.metrics,
    log,
    publicUrl: config.http.publicUrl,
    allowedOrigins: config.mcp.allowedOrigins,
  });
  return endpoint;
}

/** Whether a resource in its normal form may be touched: denied wins, and where some are allowed, others are not. */
export function pathGuard({ allowedPaths, deniedPaths }: McpSettings): (resource: string) => boolean {
  const [allowed, denied] = [allowedPaths, deniedPaths].map((globs) =>
    globs.map((glob) => compileGlob('resource', glob)),
  ) as [((resource: string) => boolean)[], ((resource: string) => boolean)[]];
  return (resource) =>
    !denied.some((matches) => matches(resource)) &&
    (allowed.length === 0 || allowed.some((matches) => matches(resource)));
}

/** A principal with many tokens has this many times the allowance of one: a new token is no way to be counted anew. */
const tokensAtOnce = 4;

function turns({ rate }: McpSettings): Pick<EndpointOptions, 'takeTurn' | 'takeRequest'> {
  if (rate === null) return { takeTurn: () => 0, takeRequest: () => 0 };
  const sessions = createRateLimiter(rate);
  const principals = createRateLimiter({
    perSecond: rate.perSecond * tokensAtOnce,
    burst: rate.burst * tokensAtOnce,
  });
  return {
    takeTurn: ({ credentialId }: Principal) => sessions.take(credentialId),
    takeRequest: ({ id }: Principal) => principals.take(id),
  };
}

export function refuseUnknownToolsets({ toolsets }: McpSettings, operations: readonly { readonly id: string }[]): void {
  const known = new Set(['default', 'all', ...operations.map(({ id }) => id.slice(0, id.indexOf('.')))]);
  const unknown = toolsets.filter((toolset) => !known.has(toolset));
  if (unknown.length > 0)
    throw new ConfigError([`CHANCERY_MCP_TOOLSETS names ${unknown.join(', ')}; there are ${[...known].join(', ')}.`]);
}
