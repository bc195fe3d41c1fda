import type { IncomingMessage, ServerResponse } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, type McpServer, type ServerEventBus } from '@modelcontextprotocol/server';
import type { Credentials, Dispatch } from '#core/dispatch.ts';
import { AppError, toAppError } from '#core/errors.ts';
import type { Guard } from '#core/grant.ts';
import type { BoundOperation } from '#core/operation.ts';
import type { Principal } from '#core/principal.ts';
import type { OfferedOperation, SecretDelivery } from './backend.ts';
import { createCaller } from './caller.ts';
import { areaOf, offerOperations, toolNameOf } from './catalogue.ts';
import { createDispatchBackend } from './dispatch-backend.ts';
import type { FaultLog } from './failure.ts';
import { runReadTool, runTool } from './meta-tools.ts';
import { createOpenStreams, openStreamLimits } from './open-streams.ts';
import { createServer, type ServerPart } from './server.ts';
import { isAreaOpen, type McpSettings } from './settings.ts';
import { createSurfaces, type SurfaceChoice } from './surface.ts';

/**
 * Streamable HTTP. Who asks is known before the SDK sees the message: what it answers by itself (initialize, lists) is
 * for authenticated callers as well. No sessions: every request stands alone.
 */

export interface EndpointRequest {
  readonly raw: IncomingMessage;
  readonly response: ServerResponse;
  /** Parsed JSON; undefined when there was no body. */
  readonly body: unknown;
  /** Undefined: `/mcp` itself. */
  readonly toolset: string | undefined;
  readonly readOnly: boolean;
  readonly credentials: Credentials;
  readonly sourceAddress: string;
  readonly requestId: string;
}

export interface Endpoint {
  /** Answers the request, or throws an AppError that is to be answered by HTTP status. */
  handle(request: EndpointRequest): Promise<void>;
  /** Scopes that a client may begin with. */
  readonly scopes: readonly string[];
  close(): Promise<void>;
}

/** Who asks, from where: what a delivery of secrets is bound to. */
export interface Asker {
  readonly principal: Principal;
  readonly credentials: Credentials;
  readonly sourceAddress: string | null;
  readonly requestId: string;
}

export interface EndpointOptions {
  readonly settings: McpSettings;
  readonly dispatch: Dispatch;
  readonly operations: readonly BoundOperation[];
  readonly version: string;
  readonly now: () => number;
  readonly authenticate: (credentials: Credentials, now: number) => Promise<Principal>;
  /** Whether a token that was narrowed so could ever be allowed the operation. */
  readonly mayReach: (principal: Principal, operation: string) => boolean;
  /** What the operator lets MCP touch; undefined: everything. */
  readonly guard: Guard | undefined;
  /** Where secrets go. */
  readonly delivery: SecretDelivery;
  /** Seconds to wait, 0 for none; counts one more call of this session. */
  readonly takeTurn: (principal: Principal) => number;
  /** The same for requests of any kind. */
  readonly takeRequest: (principal: Principal) => number;
  readonly parts: readonly ServerPart[];
  readonly log: FaultLog;
  /** Instead of ours: the fixtures of the conformance suite. */
  readonly makeServer?: ((asker: Asker) => McpServer) | undefined;
  /** Where those tell that their lists changed; ours never do. */
  readonly bus?: ServerEventBus | undefined;
}

/** What travels through the SDK from here to the factory of servers. The token itself does not. */
interface Passage {
  readonly asker: Asker;
  readonly choice: SurfaceChoice;
}

export function createEndpoint(options: EndpointOptions): Endpoint {
  const { settings } = options;
  const offered = offerOperations(options.operations).filter((operation) =>
    isAreaOpen(settings.toolsets, areaOf(operation)),
  );
  const surfaces = createSurfaces(offered, settings.reveal);
  const backendFor = createDispatchBackend(options);
  const serverFor = ({ asker, choice }: Passage): McpServer => {
    if (options.makeServer) return options.makeServer(asker);
    const { principal, requestId } = asker;
    const operations =
      principal.narrowings.length === 0 ? offered : offered.filter(({ id }) => options.mayReach(principal, id));
    const caller = createCaller({
      backend: backendFor({ ...asker, operations }),
      delivery: options.delivery,
      readOnly: choice.readOnly,
      mask: settings.maskValues,
      takeTurn: () => options.takeTurn(principal),
      newRequestId: () => requestId,
      log: options.log,
    });
    const surface = surfaces.of(choice, operations);
    return createServer({ caller, surface, version: options.version, reveal: settings.reveal, parts: options.parts });
  };
  const handler = createMcpHandler((context) => serverFor(context.authInfo?.extra?.['passage'] as Passage), {
    onerror: () => undefined,
    maxSubscriptions: openStreamLimits.listeners.overall,
    ...(options.bus === undefined ? {} : { bus: options.bus }),
  });
  const streams = createOpenStreams(openStreamLimits);
  const answer = toNodeHandler(handler, { onerror: (error) => options.log('mcp', 'http', error) });

  return {
    scopes: offered.filter(({ effect, sensitive }) => effect === 'read' && sensitive.length === 0).map(({ id }) => id),
    close: async () => streams.close(),
    async handle(request) {
      const choice = chooseSurface(settings, surfaces.areas, request);
      const asker = await identify(options, request);
      refuseBatches(request.body);
      await stepUp(options, asker, request.body, offered);
      const listens = (request.body as Message | undefined)?.method === 'subscriptions/listen';
      streams.open(request.response, asker.principal, listens);
      const auth = { token: '', clientId: asker.principal.name, scopes: [], extra: { passage: { asker, choice } } };
      await answer(Object.assign(request.raw, { auth }) as never, request.response, request.body);
    },
  };
}

function chooseSurface(
  { toolsets, readOnly }: McpSettings,
  areas: readonly string[],
  asked: EndpointRequest,
): SurfaceChoice {
  const only = readOnly || asked.readOnly;
  if (asked.toolset === undefined) return { toolsets, readOnly: only };
  if (asked.toolset === 'all' || asked.toolset === 'default' || areas.includes(asked.toolset))
    return { toolsets: [asked.toolset], readOnly: only };
  throw new AppError('not_found', 'There is no toolset of this name here.', {
    hint: `There are ${['default', 'all', ...areas].join(', ')}.`,
  });
}

/** Throws `unauthenticated`, and `denied` for another namespace than the operator serves; both are in the audit. */
async function identify(options: EndpointOptions, request: EndpointRequest): Promise<Asker> {
  const { credentials, requestId } = request;
  const sourceAddress = request.sourceAddress === '' ? null : request.sourceAddress;
  let principal: Principal;
  try {
    principal = await options.authenticate(credentials, options.now());
  } catch (thrown) {
    await record(options, 'auth.whoami', {}, { credentials, sourceAddress, requestId }, thrown);
    throw toAppError(thrown);
  }
  refuseFlood(options, principal);
  const asker = { principal, credentials, sourceAddress, requestId };
  const { namespace } = options.settings;
  if (namespace === null || principal.namespace === namespace) return asker;
  const refusal = new AppError('denied', 'This MCP server serves another namespace than that of the token.', {
    hint: 'Use a token of the namespace that CHANCERY_MCP_NAMESPACE names.',
  });
  await record(options, 'auth.whoami', {}, asker, refusal);
  throw refusal;
}

/** Puts a refusal of this face into the audit, by the one door: dispatch is given an operation that refuses. */
async function record(
  { dispatch, operations }: EndpointOptions,
  id: string,
  input: unknown,
  { credentials, sourceAddress, requestId }: Omit<Asker, 'principal'>,
  refusal: unknown,
): Promise<void> {
  const operation = operations.find((candidate) => candidate.id === id);
  if (operation === undefined) return;
  const refuse = () => Promise.reject(toAppError(refusal));
  const refused = { ...operation, owner: refuse, intend: undefined, run: refuse };
  await dispatch({ operation: refused, input, credentials, transport: 'mcp', sourceAddress, requestId }).catch(
    () => undefined,
  );
}

function refuseFlood({ takeRequest }: EndpointOptions, principal: Principal): void {
  const seconds = takeRequest(principal);
  if (seconds > 0)
    throw new AppError('rate_limited', `Too many MCP requests by ${principal.name}.`, {
      hint: `Try again in ${Math.ceil(seconds)} s.`,
      retryAfter: seconds,
    });
}

/** JSON-RPC batches are gone since 2025-06-18, and would be a way to make many calls look like one. */
function refuseBatches(body: unknown): void {
  if (!Array.isArray(body)) return;
  throw new AppError('invalid_request', 'Batches of JSON-RPC messages are not accepted.', {
    hint: 'Send one message per request.',
  });
}

interface Message {
  readonly method?: unknown;
  readonly params?: {
    readonly name?: unknown;
    readonly arguments?: { readonly operation?: unknown; readonly input?: unknown };
  };
}

/** Thrown for a token that was narrowed too far: 403 with the scope that would do (RFC 6750 §3.1). */
export const scopeMember = 'scope';

async function stepUp(
  options: EndpointOptions,
  asker: Asker,
  body: unknown,
  offered: readonly OfferedOperation[],
): Promise<void> {
  const { principal } = asker;
  if (principal.narrowings.length === 0) return;
  const { id, input } = operationAsked(body as Message, offered);
  if (id === undefined || options.mayReach(principal, id)) return;
  const refusal = new AppError('denied', `This token was narrowed, and ${id} is not among what was left to it.`, {
    hint: `Ask for a token that includes ${id}.`,
    members: { [scopeMember]: id },
  });
  await record(options, id, input, asker, refusal);
  throw refusal;
}

/** Which operation a tool call asks for, if any, and with what. */
function operationAsked(
  message: Message | undefined,
  offered: readonly OfferedOperation[],
): { readonly id?: string | undefined; readonly input?: unknown } {
  const { name, arguments: args } = message?.params ?? {};
  if (message?.method !== 'tools/call' || typeof name !== 'string') return {};
  if (name !== runTool.name && name !== runReadTool.name)
    return { id: offered.find((operation) => toolNameOf(operation) === name)?.id, input: args };
  const word = args?.operation;
  const asked = offered.find((operation) => operation.id === word || toolNameOf(operation) === word);
  return { id: asked?.id, input: args?.input };
}
