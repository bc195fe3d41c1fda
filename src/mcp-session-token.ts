import type { CliOperation } from '#cli/command.ts';
import type { Connection } from '#cli/connection.ts';
import { BackendError, type OfferedOperation } from '#mcp/backend.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { createRestBackend } from './mcp-rest-backend.ts';

/**
 * The token of a guarded `chancery mcp`. What an operation reaches while it runs is known to the server alone, so the server
 * must know the guard: the process makes a token from its own that has the paths in it, and calls with nothing else.
 */
export type Connect = () => Promise<Connection>;

export interface SessionTokenOptions {
  readonly operations: readonly CliOperation[];
  /** With the token of the environment. */
  readonly connection: Connection;
  readonly version: string;
  readonly settings: Pick<McpSettings, 'allowedPaths' | 'deniedPaths'>;
  readonly now: () => number;
}

const ttl = '24h';
/** Milliseconds before its end at which a token is replaced; a quarter of its life where that is less. */
const margin = 3_600_000;
/** Milliseconds that making a token may take. */
const patience = 30_000;

interface Made {
  readonly connection: Connection;
  readonly replaceAt: number;
}

/** Where no paths are set: the connection itself. Rejects with BackendError while no narrower token can be had. */
export function connectGuarded({ connection, settings, now, ...parts }: SessionTokenOptions): Connect {
  if (settings.allowedPaths.length + settings.deniedPaths.length === 0) return async () => connection;
  const backend = createRestBackend({
    ...parts,
    offered: [],
    connect: async () => connection,
    guard: async () => undefined,
  });
  const make = async (): Promise<Made> => {
    const token = await narrower(backend, settings);
    const life = Date.parse(token.expires_at) - now();
    return { connection: { ...connection, token: token.token }, replaceAt: now() + life - Math.min(margin, life / 4) };
  };
  let made: Made | undefined;
  let making: Promise<Made> | undefined;
  return async () => {
    if (made !== undefined && now() < made.replaceAt) return made.connection;
    // One for all calls that wait; the next call tries again when it failed.
    making ??= make().finally(() => (making = undefined));
    made = await making;
    return made.connection;
  };
}

interface TokenAnswer {
  readonly token: string;
  readonly expires_at: string;
}

async function narrower(
  backend: ReturnType<typeof createRestBackend>,
  { allowedPaths, deniedPaths }: SessionTokenOptions['settings'],
): Promise<TokenAnswer> {
  const input = {
    ...(allowedPaths.length === 0 ? {} : { resources: allowedPaths }),
    ...(deniedPaths.length === 0 ? {} : { denied_resources: deniedPaths }),
    ttl,
    description: 'chancery mcp, with the paths that its operator set',
  };
  try {
    const context = { signal: AbortSignal.timeout(patience) };
    return (await backend.call({ id: 'auth.create_token' } as OfferedOperation, input, context)).output as TokenAnswer;
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    const { code, hint, details, retryAfter } = thrown;
    const message = `The token that is narrowed to the paths of this MCP server could not be made: ${thrown.message}`;
    throw new BackendError(message, { code, hint, details, retryAfter });
  }
}
