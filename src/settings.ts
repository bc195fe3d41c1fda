import { isIP } from 'node:net';
import { z } from 'zod';
import { parseDuration } from '#core/duration.ts';
import type { ListenAddress } from '#http/settings.ts';
import { mcpSettings } from './mcp-settings.ts';
import { boolean, itemsOf, optionalSetting, rate, read, setting, type SettingTexts, text } from './setting-kinds.ts';

/**
 * Every setting of the server: what it is, what it takes, what it is when nobody says. config.ts reads values against
 * this schema, and docs/configuration.md is made from its texts. All values are text, as the environment gives them.
 */
export const settingsSchema = z.strictObject({
  CHANCERY_LISTEN: setting(address(), {
    about:
      'Address and port of the API. Plain HTTP is served on loopback addresses only; for any other, give a certificate ' +
      'or set CHANCERY_TLS=self. Port 0 takes any free port.',
    example: '0.0.0.0:8420',
    default: '127.0.0.1:8420',
  }),
  CHANCERY_PUBLIC_URL: optionalSetting(origin(), {
    about:
      'Origin under which clients and relying parties reach the server. It is written into certificates (CRL and OCSP ' +
      'addresses, unless CHANCERY_PKI_URL or CHANCERY_PUBLIC_LISTEN gives another), ACME directories and the API ' +
      'reference, so choose it before the first authority is made.',
    example: 'https://ca.example.com',
    otherwise: 'the listening address',
  }),
  CHANCERY_TLS: setting(z.enum(['off', 'self'], { error: 'is neither off nor self' }), {
    about: '`self`: serve TLS with a certificate from an authority of the server itself, renewed by itself.',
    example: 'self',
    default: 'off',
  }),
  CHANCERY_TLS_CERT: optionalSetting(path(), {
    about: 'PEM file with the certificate of the server and its chain. Read again when it changes, and on SIGHUP.',
    example: '/etc/chancery/server.pem',
    otherwise: 'no TLS',
  }),
  CHANCERY_TLS_KEY: optionalSetting(path(), {
    about: 'PEM file with the private key that belongs to CHANCERY_TLS_CERT.',
    example: '/etc/chancery/server.key',
    otherwise: 'no TLS',
  }),
  CHANCERY_ADMIN_LISTEN: optionalSetting(address(), {
    about:
      'A second address with /metrics, /healthz and /readyz and nothing else, without a token. Without it /metrics is on ' +
      'the main address, for tokens that may run system.read_metrics. The rule for plain HTTP is the same.',
    example: '127.0.0.1:8421',
    otherwise: 'none',
  }),
  CHANCERY_PUBLIC_LISTEN: optionalSetting(address(), {
    about:
      'A second address that speaks plain HTTP, needs no token, and serves what relying parties fetch below /pki/ (CRLs, ' +
      'OCSP answers, certificates of authorities) and /.well-known/acme-challenge/, and nothing else. For clients that ' +
      'fetch these by plain HTTP only, while the API has TLS.',
    example: '0.0.0.0:80',
    otherwise: 'none',
  }),
  CHANCERY_PKI_URL: optionalSetting(origin(), {
    about:
      'Origin that is written into certificates for CRLs, OCSP and issuers, where relying parties reach /pki/ by another ' +
      'one than CHANCERY_PUBLIC_URL. What was issued before keeps the old one, and CRLs name both.',
    example: 'http://pki.example.com',
    otherwise:
      'with CHANCERY_PUBLIC_LISTEN: `http://`, the host of CHANCERY_PUBLIC_URL and the port listened on; else CHANCERY_PUBLIC_URL',
  }),
  CHANCERY_TRUSTED_PROXIES: setting(ranges(), {
    about: 'Addresses and CIDR ranges of proxies whose X-Forwarded-For is believed, separated by commas.',
    example: '10.0.0.0/8, fd00::/8',
    default: '',
  }),
  CHANCERY_OUTBOUND_ALLOW: setting(ranges(), {
    about:
      'Private addresses and CIDR ranges that the server may connect to at the word of others: OCSP responders and CRLs ' +
      'that certificates name. Public addresses are always allowed, all others never. Separated by commas.',
    example: '10.20.0.0/16',
    default: '',
  }),
  CHANCERY_ACME_HTTP_PORT: setting(count(1, 65_535), {
    about: 'Port of other hosts on which http-01 challenges of ACME are validated. Anything but 80 is for tests.',
    example: '5002',
    default: '80',
  }),
  CHANCERY_ACME_TLS_PORT: setting(count(1, 65_535), {
    about: 'Port of other hosts on which tls-alpn-01 challenges of ACME are validated. Anything but 443 is for tests.',
    example: '5001',
    default: '443',
  }),
  CHANCERY_ACME_RESOLVERS: setting(resolvers(), {
    about:
      'DNS resolvers, separated by commas, that ACME challenges and CAA records are looked up with. With several, every ' +
      'challenge and CAA check must succeed with each of them. The port may be left out. None: the resolvers and the ' +
      'hosts file of the system.',
    example: '10.0.0.53, [fd00::53]:5353',
    default: '',
  }),
  CHANCERY_ACME_TLS_ALPN_LISTEN: optionalSetting(address(), {
    about:
      'Address that answers tls-alpn-01 challenges for orders of the server itself at other authorities, and nothing else. ' +
      'The authority connects to port 443 of the name.',
    example: '0.0.0.0:443',
    otherwise: 'none',
  }),
  CHANCERY_DATA: setting(path(), {
    about: 'Folder for everything that the server keeps in files. Made on first start, for its owner alone.',
    example: '/var/lib/chancery',
    default: '.chancery',
  }),
  CHANCERY_STORAGE: optionalSetting(storage(), {
    about:
      'Where records are kept: `sqlite:<file>` for one process, or `postgres://…` for any number of equal nodes. The ' +
      'URL may hold a password; it is never shown.',
    example: 'postgres://chancery@db.example.com/chancery',
    otherwise: '`sqlite:<data>/chancery.db`',
  }),
  CHANCERY_ROOT_KEY_FILE: optionalSetting(path(), {
    about:
      'File with the root key, which opens everything that is sealed at rest. Made on first start when it is missing; ' +
      'keep a copy elsewhere, and in production keep it on another volume than the data.',
    example: '/run/secrets/chancery-root-key',
    otherwise: '`<data>/root.key`',
  }),
  CHANCERY_ROOT_KEY: optionalSetting(text(1024), {
    about:
      'The root key itself instead of a file: 32 random bytes in base64. Taken from the environment only, never from the ' +
      'file of settings.',
    example: 'the output of openssl rand -base64 32',
    otherwise: 'none',
    secret: true,
  }),
  CHANCERY_LOG_LEVEL: setting(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      error: 'is none of trace, debug, info, warn, error, fatal, silent',
    }),
    {
      about: 'Least severity that is logged. The audit log is another thing: it always has everything.',
      example: 'debug',
      default: 'info',
    },
  ),
  CHANCERY_ACCESS_LOG: setting(boolean(), {
    about: 'One log line per API request, at level info. The audit log has every operation in any case.',
    example: 'true',
    default: 'false',
  }),
  CHANCERY_BODY_LIMIT: setting(count(1024, 16_777_216), {
    about: 'Largest body of an API request in bytes, where the operation has no limit of its own.',
    example: '4194304',
    default: '1048576',
  }),
  CHANCERY_REQUEST_TIMEOUT: setting(seconds(1, 600), {
    about: 'Longest time in which a request must arrive, from its first byte to its last.',
    example: '1m',
    default: '30s',
  }),
  CHANCERY_SHUTDOWN_TIMEOUT: setting(seconds(1, 600), {
    about: 'How long a server that was told to stop, and has closed its port, waits for answers under way.',
    example: '30s',
    default: '10s',
  }),
  CHANCERY_SHUTDOWN_DELAY: setting(seconds(0, 600), {
    about:
      'How long a server that was told to stop goes on serving as before, with /readyz at 503, so that a load balancer ' +
      'turns away before the port closes. Choose a little more than its interval of checks.',
    example: '15s',
    default: '0s',
  }),
  CHANCERY_MAX_CONNECTIONS: setting(count(16, 1_000_000), {
    about: 'How many clients may be connected at once; more are turned away. Keep it below the limit of open files.',
    example: '50000',
    default: '16384',
  }),
  CHANCERY_RATE_OPEN: setting(rate(), {
    about:
      'Requests per second and address on routes that need no token (CRL, OCSP, ACME, docs), and how many at once: ' +
      '`<per second>:<burst>`, or `off`. A /64 of IPv6 counts as one address.',
    example: '100:500',
    default: '500:2000',
  }),
  CHANCERY_RATE_FAILED_AUTH: setting(rate(), {
    about:
      'Failed authentications per second and address, and how many at once. Beyond them, credentials that did not work ' +
      'lately are refused unread; others behind the same address go on.',
    example: '1:20',
    default: '20:1000',
  }),
  CHANCERY_RATE_PRINCIPAL: setting(rate(), {
    about: 'Requests per second and principal over all transports, and how many at once. Each node counts for itself.',
    example: '200:1000',
    default: 'off',
  }),
  CHANCERY_CLAIM_TTL: setting(seconds(10, 86_400), {
    about:
      'How long secrets wait to be claimed that MCP may not show (`chancery claim`). After it they are deleted, and what they ' +
      'open ends by itself or must be revoked.',
    example: '1m',
    default: '5m',
  }),
  CHANCERY_RATE_EXEMPT: setting(ranges(), {
    about: 'Addresses and CIDR ranges that CHANCERY_RATE_OPEN does not count, separated by commas.',
    example: '127.0.0.0/8, ::1, 10.1.0.0/16',
    default: '127.0.0.0/8, ::1',
  }),
  ...mcpSettings,
});

export type SettingName = keyof typeof settingsSchema.shape;
export type Settings = z.output<typeof settingsSchema>;

/** Settings that clients of the server read; in the server's environment they mean nothing, and are no mistake. */
export const clientSettings: Readonly<Record<string, string>> = {
  CHANCERY_URL: 'URL of the server, for `chancery` and `chancery mcp`.',
  CHANCERY_TOKEN: 'Token to authenticate with, for `chancery` and `chancery mcp`.',
  CHANCERY_MCP_OUT:
    'Folder into which `chancery mcp` writes secrets, for its owner alone; default: `chancery/mcp` below XDG_RUNTIME_DIR, ' +
    'XDG_CACHE_HOME or ~/.cache. It is made when it is not there.',
  CHANCERY_CA_FILE: 'PEM file of the only roots that `chancery` and `chancery mcp` trust for https.',
};

/** Names and texts of all settings, in the order of the documentation. */
export function settingTexts(): readonly (SettingTexts & { readonly name: SettingName })[] {
  return Object.entries(settingsSchema.shape).map(([name, schema]) => ({
    name: name as SettingName,
    ...(schema.meta() as unknown as SettingTexts),
  }));
}

function path() {
  return text(4096).refine((value) => !value.includes('\0'), 'holds a NUL character');
}

function address() {
  return read<ListenAddress>((value) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(value);
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3]);
    if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) return undefined;
    return { host, port };
  }, 'is not an address with a port, such as 127.0.0.1:8420 or [::1]:8420');
}

function resolvers() {
  return read<readonly ListenAddress[]>((value) => {
    const items = value === '' ? [] : value.split(',').map((item) => readResolver(item.trim()));
    const known = items.filter((item) => item !== undefined);
    return known.length === items.length && known.length <= 8 ? known : undefined;
  }, 'is not a list of at most 8 resolvers, such as 10.0.0.53, [fd00::53]:5353');
}

function readResolver(item: string): ListenAddress | undefined {
  if (isIP(item) !== 0) return { host: item, port: 53 };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(item);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 53);
  const isReadable = host !== undefined && port > 0 && port <= 65_535 && (match?.[1] === undefined || isIP(host) === 6);
  return isReadable ? { host, port } : undefined;
}

function origin() {
  return read((value) => {
    const url = URL.parse(value);
    if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '' || url.hash !== '')
      return undefined;
    return url.username === '' && url.password === '' ? url.origin : undefined;
  }, 'is not an http or https URL without path, such as https://ca.example.com');
}

export type StorageTarget =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string };

function storage() {
  return read<StorageTarget>((value) => {
    if (/^postgres(?:ql)?:\/\//.test(value)) return URL.canParse(value) ? { kind: 'postgres', url: value } : undefined;
    const file = /^sqlite:(?!\/\/)(.+)$/.exec(value)?.[1];
    return file === undefined ? undefined : { kind: 'sqlite', file };
  }, 'is neither sqlite:<file> nor a postgres:// URL');
}

function count(least: number, most: number) {
  return read(
    (value) => (/^\d{1,9}$/.test(value) && Number(value) >= least && Number(value) <= most ? Number(value) : undefined),
    `is not a whole number from ${least} to ${most}`,
  );
}

/** A duration, in milliseconds. */
function seconds(least: number, most: number) {
  return read((value) => {
    const parsed = /^0s?$/.test(value) ? 0 : parseDuration(value);
    return parsed !== undefined && parsed >= least && parsed <= most ? parsed * 1000 : undefined;
  }, `is not a duration from ${least}s to ${most}s, such as 30s`);
}

function ranges() {
  return read((value) => {
    const items = itemsOf(value);
    return items.every(isRange) ? items : undefined;
  }, 'is not a list of addresses and CIDR ranges, such as 10.0.0.0/8, ::1');
}

function isRange(item: string): boolean {
  const [host = '', bits, ...rest] = item.split('/');
  const family = isIP(host);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
