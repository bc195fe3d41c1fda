import { parseArgs } from 'node:util';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { readConnection } from '#cli/connection.ts';
import { showFailure } from '#cli/explain.ts';
import { exitCodes, usageFailure } from '#cli/failure.ts';
import type { LocalContext } from '#cli/main.ts';
import { createScreen } from '#cli/screen.ts';
import { AppError } from '#core/errors.ts';
import { parseInput } from '#core/parse.ts';
import type { Narrowing } from '#core/principal.ts';
import { createRateLimiter } from '#http/rate-limit.ts';
import { BackendError, type OfferedOperation, type ToolBackend } from '#mcp/backend.ts';
import { createCaller } from '#mcp/caller.ts';
import { areaOf, offerOperations } from '#mcp/catalogue.ts';
import { describeFault, newFaultId } from '#mcp/fault.ts';
import { createFileDelivery, defaultFolder, type FileDelivery, lazyFileDelivery } from '#mcp/file-delivery.ts';
import { withLocalKeys } from '#mcp/local-keys.ts';
import { closedByOperator } from '#mcp/next-step.ts';
import { revealSecrets } from '#mcp/reveal.ts';
import { createServer } from '#mcp/server.ts';
import { isAreaOpen, type McpSettings } from '#mcp/settings.ts';
import { createSurfaces } from '#mcp/surface.ts';
import { mayReach } from '#policy/judge.ts';
import { ConfigError } from './config.ts';
import { createRestBackend } from './mcp-rest-backend.ts';
import { connectGuarded } from './mcp-session-token.ts';
import { pathGuard, readMcpSettings, refuseUnknownToolsets, serverParts } from './mcp-guards.ts';

/** `chancery mcp`: an MCP server on stdin and stdout, for clients that start it. It is a client of the REST API. */

const usage = `usage: chancery mcp [flags]

Speaks MCP on stdin and stdout. An MCP client starts it, with CHANCERY_URL and CHANCERY_TOKEN in its environment.

  --read-only        only operations that read
  --toolsets LIST    default, all, or areas: pki,lease
  --out-dir DIR      folder for secrets, which do not stand in results; default: CHANCERY_MCP_OUT, else chancery/mcp below
                     XDG_RUNTIME_DIR, XDG_CACHE_HOME or ~/.cache. Files have mode 0600 and names of ours
  --remove-files     delete what was written there when the session ends
  --help             this text

In the environment, with the meaning that they have for the server: CHANCERY_MCP_READ_ONLY, CHANCERY_MCP_TOOLSETS,
CHANCERY_MCP_MASK_VALUES, CHANCERY_MCP_ALLOWED_PATHS, CHANCERY_MCP_DENIED_PATHS, CHANCERY_MCP_NAMESPACE,
CHANCERY_MCP_RATE_LIMIT and CHANCERY_MCP_REVEAL. What the server forbids stays forbidden.

Keys of certificates are made by this process, which sends a CSR: they never leave this machine. Only for formats that hold
the key itself (bundle, pkcs12) the server makes it.

example:
  CHANCERY_URL=https://ca.example.com CHANCERY_TOKEN=… chancery mcp --read-only
`;

/** Milliseconds. Long work (a bulk revocation) is waited for; the client cancels when it has enough. */
const callTimeout = 600_000;
/** Milliseconds that the first question to the server may take before tools are listed without its answer. */
const greetingTimeout = 3000;

/** Serves until stdin ends; resolves to the exit code. */
export async function runMcpCommand(context: LocalContext): Promise<number> {
  const screen = createScreen(context.stdout, context.stderr, context.env, context.clock);
  try {
    const order = readFlags(context);
    if (order === undefined) {
      await screen.out.write(usage);
      return exitCodes.ok;
    }
    await serve(context, order);
    return exitCodes.ok;
  } catch (thrown) {
    const failure = thrown instanceof ConfigError ? usageFailure(thrown.findings.join(' ')) : thrown;
    return showFailure(screen, failure, false, false);
  }
}

interface Order {
  readonly settings: McpSettings;
  /** Undefined: the default. */
  readonly outDir: string | undefined;
  readonly removesFiles: boolean;
}

/** Undefined: help is asked for. */
function readFlags({ argv, env, operations }: LocalContext): Order | undefined {
  const { values } = parse(argv);
  if (values.help === true) return undefined;
  const settings = readMcpSettings({
    ...env,
    ...(values['read-only'] === true ? { CHANCERY_MCP_READ_ONLY: 'true' } : {}),
    ...(values.toolsets === undefined ? {} : { CHANCERY_MCP_TOOLSETS: values.toolsets }),
  });
  refuseUnknownToolsets(settings, operations);
  const outDir = values['out-dir'] ?? (env['CHANCERY_MCP_OUT'] || undefined);
  return { settings, outDir, removesFiles: values['remove-files'] === true };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        'read-only': { type: 'boolean' },
        toolsets: { type: 'string' },
        'out-dir': { type: 'string' },
        'remove-files': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
  } catch (thrown) {
    throw usageFailure(thrown instanceof Error ? thrown.message : 'the flags cannot be read', {
      hint: 'chancery mcp --help',
    });
  }
}

async function serve(context: LocalContext, { settings, outDir, removesFiles }: Order): Promise<void> {
  const { env, version, operations } = context;
  const connection = readConnection(env, callTimeout);
  const all = offerOperations(operations).filter((operation) => isAreaOpen(settings.toolsets, areaOf(operation)));
  const say = (line: string): void => void process.stderr.write(`chancery mcp: ${line}\n`);
  const ask = whoAmI(all, { ...context, connection: { ...connection, timeoutMs: greetingTimeout } });
  const narrowings = await ask().then(
    (self) => self.narrowings,
    () => {
      say('the server did not say what this token may do, so all tools are listed');
      return [];
    },
  );
  const offered = all.filter(({ id }) => mayReach(narrowings, id));
  const guard = combine(namespaceGuard(settings, ask), await resourceGuard(settings));
  const connect = connectGuarded({ operations, connection, version, settings, now: () => Date.now() });
  const files = await filesFor(outDir, env);
  const backend = withLocalKeys(createRestBackend({ operations, offered, connect, version, guard }), {
    make: async (keyType) => (await import('./key-request.ts')).makeKeyRequest(keyType),
    kept: files.keptKeys,
    server: connection.url.href,
  });
  const surfaces = createSurfaces(all, settings.reveal);
  const surface = surfaces.of(settings, offered);
  const caller = createCaller({
    backend,
    delivery: settings.reveal ? revealSecrets : files.delivery,
    readOnly: settings.readOnly,
    mask: settings.maskValues,
    takeTurn: sessionTurns(settings),
    newRequestId: newFaultId,
    log: (id, operation, error) => say(`${operation} failed (${id}): ${describeFault(error)}`),
  });
  const ended = Promise.withResolvers<void>();
  serveStdio(() => createServer({ caller, surface, version, reveal: settings.reveal, parts: serverParts }), {
    onerror: () => undefined,
  });
  context.stdin.once('end', () => ended.resolve());
  context.stdin.once('close', () => ended.resolve());
  if (removesFiles) for (const signal of endings) process.once(signal, () => leave(files, signal));
  await ended.promise;
  if (removesFiles) files.removeAll();
}

const endings = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Clients end us by a signal as often as by closing stdin. */
function leave(files: FileDelivery, signal: (typeof endings)[number]): void {
  files.removeAll();
  process.kill(process.pid, signal);
}

/** A folder that was named is looked at before the first secret is asked for; the default one is made when it is needed. */
async function filesFor(outDir: string | undefined, env: LocalContext['env']): Promise<FileDelivery> {
  if (outDir === undefined) return lazyFileDelivery(() => defaultFolder(env));
  try {
    return await createFileDelivery(outDir);
  } catch (thrown) {
    throw usageFailure(`secrets cannot be written to ${outDir}: ${(thrown as Error).message}`, {
      hint: 'choose another with --out-dir',
    });
  }
}

function sessionTurns({ rate }: McpSettings): () => number {
  if (rate === null) return () => 0;
  const limiter = createRateLimiter(rate);
  return () => limiter.take('session');
}

interface Self {
  readonly namespace: string;
  readonly narrowings: readonly Narrowing[];
}

function whoAmI(
  all: readonly OfferedOperation[],
  {
    operations,
    version,
    connection,
  }: Pick<LocalContext, 'operations' | 'version'> & { connection: ReturnType<typeof readConnection> },
): () => Promise<Self> {
  const backend: ToolBackend = createRestBackend({
    operations,
    offered: all,
    connect: async () => connection,
    version,
    guard: async () => undefined,
  });
  const whoami = { id: 'auth.whoami' } as OfferedOperation;
  return async () => {
    const { output } = await backend.call(whoami, {}, { signal: AbortSignal.timeout(connection.timeoutMs) });
    return output as Self;
  };
}

type Guard = (operation: OfferedOperation, input: unknown) => Promise<void>;

function combine(...guards: readonly Guard[]): Guard {
  return async (operation, input) => {
    for (const guard of guards) await guard(operation, input);
  };
}

/** A principal never changes its namespace, so one answer is enough; without one nothing is called. */
function namespaceGuard({ namespace }: McpSettings, ask: () => Promise<Self>): Guard {
  let served: string | undefined;
  return async () => {
    if (namespace === null) return;
    served ??= (await ask()).namespace;
    if (served !== namespace)
      throw new BackendError('This MCP server serves another namespace than that of the token.', {
        code: 'denied',
        hint: 'Use a token of the namespace that CHANCERY_MCP_NAMESPACE names.',
        members: closedByOperator,
      });
  };
}

/**
 * Judged on the resource as the server makes it, from the definitions themselves; they are loaded only when asked for. What
 * is reached by way of it, the server refuses to the narrower token (mcp-session-token.ts).
 */
async function resourceGuard(settings: McpSettings): Promise<Guard> {
  const paths = pathGuard(settings);
  if (paths === undefined) return async () => undefined;
  const { allOperations } = await import('./operations.ts');
  const definitions = new Map(allOperations.map((operation) => [operation.id, operation]));
  return async ({ id }, input) => {
    const definition = definitions.get(id);
    if (definition === undefined) throw new Error(`${id} has no definition`);
    try {
      const parsed: unknown = parseInput(definition, input);
      paths.touch((definition.resource as (input: unknown) => string)(parsed));
    } catch (thrown) {
      if (!(thrown instanceof AppError)) throw thrown;
      const { code, message, hint, details, members } = thrown;
      throw new BackendError(message, { code, hint, details, members, cause: thrown });
    }
  };
}
