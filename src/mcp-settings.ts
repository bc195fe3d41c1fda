import { z } from 'zod';
import { name } from '#core/ids.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { globFault } from '#policy/glob.ts';
import { boolean, itemsOf, optionalSetting, rate, read, setting, text } from './setting-kinds.ts';

/** What the operator lets MCP do. The server reads these for /mcp, and `chancery mcp` for itself. */
export const mcpSettings = {
  CHANCERY_MCP_READ_ONLY: setting(boolean(), {
    about:
      'MCP: only operations that read. Like every CHANCERY_MCP_ setting, it holds for /mcp, and for `chancery mcp` where it is in its environment.',
    example: 'true',
    default: 'false',
  }),
  CHANCERY_MCP_MASK_VALUES: setting(boolean(), {
    about:
      'MCP: replace whatever looks like a private key, a token or a password in results and errors, wherever it stands. ' +
      'Secret fields are taken out in any case.',
    example: 'false',
    default: 'true',
  }),
  CHANCERY_MCP_ALLOWED_PATHS: setting(globs(), {
    about: 'MCP: globs of the only resources that may be touched, as in policies, separated by commas. Empty: all.',
    example: 'pki/roles/web-*, leases/**',
    default: '',
  }),
  CHANCERY_MCP_DENIED_PATHS: setting(globs(), {
    about:
      'MCP: globs of resources that may not be touched, whatever else allows them, nor reached by way of others (a role of ' +
      'a denied connection, a lease of a denied role), separated by commas.',
    example: 'pki/authorities/root, database/connections/prod',
    default: '',
  }),
  CHANCERY_MCP_NAMESPACE: optionalSetting(namespace(), {
    about: 'MCP: the only namespace whose tokens are served.',
    example: 'team-a',
    otherwise: 'that of the token',
  }),
  CHANCERY_MCP_RATE_LIMIT: setting(rate(), {
    about:
      'MCP: calls per second and session, and how many at once: `<per second>:<burst>`, or `off`. Over HTTP, which has no ' +
      'sessions, a token is one, and a principal has four times as much for all its tokens together.',
    example: '2:5',
    default: '5:10',
  }),
  CHANCERY_MCP_REVEAL: setting(boolean(), {
    about:
      'MCP: show private keys, passwords and tokens in results, where the model, its provider and every transcript have ' +
      'them from then on. Without it they are delivered outside of the result.',
    example: 'true',
    default: 'false',
  }),
  CHANCERY_MCP_TOOLSETS: setting(words(), {
    about:
      'MCP: the tools of /mcp: `default`, `all`, or areas (`pki, lease`), separated by commas. Areas alone are also the ' +
      'bound of what can be called.',
    example: 'pki, lease',
    default: 'default',
  }),
  CHANCERY_MCP_ALLOWED_ORIGINS: setting(origins(), {
    about: "MCP: origins of web pages that may call /mcp, beside the server's own, separated by commas.",
    example: 'https://agents.example.com',
    default: '',
  }),
};

function globs() {
  return read((value) => {
    const items = itemsOf(value);
    // As many as a token takes, since chancery mcp puts them into one.
    const isGood = items.length <= 64 && items.every((item) => globFault('resource', item) === undefined);
    return isGood ? items : undefined;
  }, 'is not a list of at most 64 globs of resources, such as pki/roles/web-*, leases/**');
}

function words() {
  return read((value) => {
    const items = itemsOf(value);
    return items.length > 0 && items.every((item) => /^[a-z]{1,32}$/.test(item)) ? items : undefined;
  }, 'is not a list of toolsets, such as pki, lease');
}

function origins() {
  return read((value) => {
    const items = itemsOf(value);
    return items.every((item) => URL.parse(item)?.origin === item && /^https?:/.test(item)) ? items : undefined;
  }, 'is not a list of http or https origins, such as https://agents.example.com');
}

function namespace() {
  return text(63).refine((value) => name.safeParse(value).success, 'is not the name of a namespace');
}

export const mcpSettingsSchema = z.object(mcpSettings);

export function mcpOf(settings: z.output<typeof mcpSettingsSchema>): McpSettings {
  return {
    readOnly: settings.CHANCERY_MCP_READ_ONLY,
    maskValues: settings.CHANCERY_MCP_MASK_VALUES,
    allowedPaths: settings.CHANCERY_MCP_ALLOWED_PATHS,
    deniedPaths: settings.CHANCERY_MCP_DENIED_PATHS,
    namespace: settings.CHANCERY_MCP_NAMESPACE ?? null,
    rate: settings.CHANCERY_MCP_RATE_LIMIT.rate,
    reveal: settings.CHANCERY_MCP_REVEAL,
    toolsets: settings.CHANCERY_MCP_TOOLSETS,
    allowedOrigins: settings.CHANCERY_MCP_ALLOWED_ORIGINS,
  };
}
