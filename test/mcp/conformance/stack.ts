import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { InMemoryServerEventBus, isLegacyRequest } from '@modelcontextprotocol/server';
import { pino } from 'pino';
import type { Credentials } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { Principal } from '#core/principal.ts';
import { type McpEndpoint, type McpRequest, registerMcp } from '#http/mcp-routes.ts';
import { createHttpServer } from '#http/server.ts';
import { defaultHttpSettings } from '#http/settings.ts';
import { createEndpoint } from '#mcp/http-endpoint.ts';
import { withholdSecrets } from '#mcp/reveal.ts';
import { defaultMcpSettings } from '#mcp/settings.ts';
import { createFixtureServer } from './fixtures.ts';

/**
 * Our HTTP server, our routes and our endpoint, with the fixtures where the tools of the product are. What the product
 * does not have is added here and nowhere else: the sessions of 2025-11-25, in which a server can ask its client.
 */
export async function startFixtures(context: TestContext, token: string): Promise<string> {
  const log = pino({ level: 'error' }, process.stderr);
  const http = createHttpServer({
    config: { ...defaultHttpSettings, listen: { host: '127.0.0.1', port: 0 }, drainIdle: 0 },
    operations: [],
    dispatch: refuseDispatch,
    publicRoutes: [],
    probes: {},
    log,
    version: '1',
  });
  const authenticate = async (credentials: Credentials): Promise<Principal> => {
    if (credentials.kind === 'bearer' && credentials.token === token) return suite;
    throw new AppError('unauthenticated', 'The token is not known.');
  };
  const bus = new InMemoryServerEventBus();
  const endpoint = createEndpoint({
    settings: { ...defaultMcpSettings, rate: null },
    dispatch: refuseDispatch,
    operations: [],
    version: '1',
    now: () => Date.now(),
    authenticate,
    mayReach: () => true,
    guard: undefined,
    delivery: withholdSecrets,
    takeTurn: () => 0,
    takeRequest: () => 0,
    parts: [],
    log: (id, operation, error) => log.error({ id, operation, error }, 'MCP call failed'),
    makeServer: () => createFixtureServer({ bus, sessionful: false }),
    bus,
  });
  const sessions = createSessions();
  registerMcp(http.app, withSessions(endpoint, sessions, authenticate), {
    gates: http.gates,
    checkOrigin: http.checkOrigin,
    metrics: http.metrics,
    log,
    publicUrl: null,
    allowedOrigins: [],
  });
  const url = await http.listen();
  context.after(async () => {
    await sessions.close();
    await endpoint.close();
    await http.close();
  });
  return url;
}

const suite: Principal = {
  id: 'prn_suite',
  name: 'suite',
  namespace: 'root',
  kind: 'service',
  policies: [],
  credentialId: 'key_suite',
  narrowings: [],
};

async function refuseDispatch(): Promise<never> {
  throw new AppError('internal', 'Fixtures call no operation.');
}

interface Sessions {
  handle(request: McpRequest): Promise<void>;
  close(): Promise<void>;
}

function withSessions(
  endpoint: McpEndpoint,
  sessions: Sessions,
  authenticate: (credentials: Credentials) => Promise<Principal>,
): McpEndpoint {
  return {
    scopes: endpoint.scopes,
    async handle(request) {
      if (!(await isLegacy(request))) return endpoint.handle(request);
      await authenticate(request.credentials);
      return sessions.handle(request);
    },
  };
}

async function isLegacy({ raw, body }: McpRequest): Promise<boolean> {
  const headers = Object.entries(raw.headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[name, value]] : [],
  );
  return isLegacyRequest(new Request('http://127.0.0.1/mcp', { method: 'POST', headers }), body);
}

function createSessions(): Sessions {
  const transports = new Map<string, NodeStreamableHTTPServerTransport>();
  const open = async (): Promise<NodeStreamableHTTPServerTransport> => {
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void transports.set(id, transport),
    });
    await createFixtureServer({ sessionful: true }).connect(transport);
    return transport;
  };
  return {
    async handle({ raw, response, body }) {
      const id = raw.headers['mcp-session-id'];
      const transport = typeof id === 'string' ? transports.get(id) : undefined;
      await (transport ?? (await open())).handleRequest(raw, response, body);
    },
    async close() {
      for (const transport of transports.values()) await transport.close();
    },
  };
}
