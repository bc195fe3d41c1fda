import { parts } from '#mcp/parts.ts';
import type { ServerPart } from '#mcp/server.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { compileGlob } from '#policy/glob.ts';
import { ConfigError } from './config.ts';
import { mcpOf, mcpSettingsSchema } from './mcp-settings.ts';

/** What both transports of MCP are put together from. */

/** Beside tools: resources, prompts, skills. */
export const serverParts: readonly ServerPart[] = parts;

/** Whether a resource in its normal form may be touched: denied wins, and where some are allowed, others are not. */
export function pathGuard({ allowedPaths, deniedPaths }: McpSettings): (resource: string) => boolean {
  const [allowed, denied] = [allowedPaths, deniedPaths].map((globs) =>
    globs.map((glob) => compileGlob('resource', glob)),
  ) as [((resource: string) => boolean)[], ((resource: string) => boolean)[]];
  return (resource) =>
    !denied.some((matches) => matches(resource)) &&
    (allowed.length === 0 || allowed.some((matches) => matches(resource)));
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
