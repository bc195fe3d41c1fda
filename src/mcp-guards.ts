import { AppError } from '#core/errors.ts';
import type { Guard } from '#core/grant.ts';
import { closedByOperator } from '#mcp/next-step.ts';
import { parts } from '#mcp/parts.ts';
import type { ServerPart } from '#mcp/server.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { compileGlobs } from '#policy/compile.ts';
import { ConfigError } from './config.ts';
import { mcpOf, mcpSettingsSchema } from './mcp-settings.ts';

/** What both transports of MCP are put together from. */

/** Beside tools: resources, prompts, skills. */
export const serverParts: readonly ServerPart[] = parts;

/**
 * Denied paths win, and hold for what is reached by way of others too; where some are allowed, other resources are not asked
 * for. Undefined where the operator names none. Resources come in their normal form.
 */
export function pathGuard({ allowedPaths, deniedPaths }: PathSettings): Guard | undefined {
  if (allowedPaths.length + deniedPaths.length === 0) return undefined;
  const isAllowed = allowedPaths.length === 0 ? () => true : compileGlobs('resource', allowedPaths);
  const isDenied = compileGlobs('resource', deniedPaths);
  return {
    id: JSON.stringify([allowedPaths, deniedPaths]),
    touch(resource) {
      if (isDenied(resource) || !isAllowed(resource)) throw pathRefusal(resource);
    },
    reach(resource) {
      if (isDenied(resource)) throw pathRefusal(resource);
    },
  };
}

type PathSettings = Pick<McpSettings, 'allowedPaths' | 'deniedPaths'>;

function pathRefusal(resource: string): AppError {
  return new AppError('denied', `The operator of this MCP server does not let it touch ${resource.slice(0, 200)}.`, {
    hint: 'CHANCERY_MCP_ALLOWED_PATHS and CHANCERY_MCP_DENIED_PATHS say what may be touched.',
    members: closedByOperator,
  });
}

/** Settings of an environment; empty variables are none. Throws ConfigError with every finding. */
export function readMcpSettings(env: Readonly<Record<string, string | undefined>>): McpSettings {
  const names = Object.keys(mcpSettingsSchema.shape);
  const given = Object.entries(env).filter(
    ([key, value]) => names.includes(key) && value !== undefined && value !== '',
  );
  const result = mcpSettingsSchema.safeParse(Object.fromEntries(given));
  if (result.success) return mcpOf(result.data);
  throw new ConfigError(result.error.issues.map(({ path: [key], message }) => `${String(key)} ${message}.`));
}

export function refuseUnknownToolsets({ toolsets }: McpSettings, operations: readonly { readonly id: string }[]): void {
  const known = new Set(['default', 'all', ...operations.map(({ id }) => id.slice(0, id.indexOf('.')))]);
  const unknown = toolsets.filter((toolset) => !known.has(toolset));
  if (unknown.length > 0)
    throw new ConfigError([`CHANCERY_MCP_TOOLSETS names ${unknown.join(', ')}; there are ${[...known].join(', ')}.`]);
}
