import type { Logger } from 'pino';
import type { Clock } from '#core/clock.ts';
import type { KeepSecrets } from '#core/delivery.ts';
import type { Dispatch, DispatchDeps } from '#core/dispatch.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Principal } from '#core/principal.ts';
import { registerMcp } from '#http/mcp-routes.ts';
import { createRateLimiter } from '#http/rate-limit.ts';
import type { HttpServer } from '#http/server.ts';
import { type ClaimDelivery, createClaimDelivery } from '#mcp/claim-delivery.ts';
import { describeFault } from '#mcp/fault.ts';
import { createEndpoint, type EndpointOptions } from '#mcp/http-endpoint.ts';
import { revealSecrets } from '#mcp/reveal.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { mayReach } from '#policy/judge.ts';
import type { Config } from './config.ts';
import { pathGuard, refuseUnknownToolsets, serverParts } from './mcp-guards.ts';

/** MCP over HTTP, put together: what it offers comes from the operations, what it may do from the settings. */

export interface McpParts {
  readonly http: HttpServer;
  readonly operations: readonly BoundOperation[];
  readonly dispatch: Dispatch;
  /** Keeps secrets until they are claimed. */
  readonly keepSecrets: KeepSecrets;
  readonly authenticate: DispatchDeps['authenticate'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
}

/** Puts `/mcp` on the main listener. Call it before that listens. */
export function mountMcp(
  config: Config,
  parts: McpParts,
  fixtures: Pick<EndpointOptions, 'makeServer'> = {},
): { close(): Promise<void> } {
  const { http, operations, authenticate, clock, log, version } = parts;
  refuseUnknownToolsets(config.mcp, operations);
  const endpoint = createEndpoint({
    settings: config.mcp,
    ...delivering(config.mcp, parts),
    operations,
    version,
    now: () => clock.now(),
    authenticate,
    mayReach: (principal, operation) => mayReach(principal.narrowings, operation),
    guard: pathGuard(config.mcp),
    ...turns(config.mcp),
    parts: serverParts,
    log: (id, operation, error) =>
      log.error({ request_id: id, operation, fault: describeFault(error) }, 'MCP call failed'),
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

function delivering({ reveal }: McpSettings, { dispatch, keepSecrets }: McpParts): ClaimDelivery {
  return reveal ? { dispatch, delivery: revealSecrets } : createClaimDelivery(dispatch, keepSecrets);
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
