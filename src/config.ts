import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { didYouMean } from '#core/suggest.ts';
import { isLoopback } from '#http/origin.ts';
import { defaultHttpSettings, type HttpSettings, type ListenAddress, type Rate } from '#http/settings.ts';
import type { McpSettings } from '#mcp/settings.ts';
import { mcpOf } from './mcp-settings.ts';
import {
  clientSettings,
  type SettingName,
  type Settings,
  settingsSchema,
  settingTexts,
  type StorageTarget,
} from './settings.ts';

/** The configuration of the server: read once, frozen, handed out in parts by main.ts. Paths are absolute. */
export interface Config {
  readonly http: HttpSettings;
  readonly tls: TlsSettings;
  /** Origin under which the server is reached, without a slash at the end. */
  readonly publicUrl: string;
  /** Origin that certificates name for CRLs, OCSP and issuers, without a slash at the end. */
  readonly pkiUrl: string;
  readonly data: string;
  readonly storage: StorageTarget;
  readonly rootKey: RootKeySettings;
  readonly log: { readonly level: Settings['CHANCERY_LOG_LEVEL'] };
  /** Addresses beside the public ones that others may have the server connect to. */
  readonly outbound: { readonly allow: readonly string[] };
  readonly acme: AcmeSettings;
  /** Milliseconds in which secrets that were kept for their principal must be claimed. */
  readonly claimTtl: number;
  /** Calls of one principal, over all transports. */
  readonly principalRate: Rate | null;
  readonly mcp: McpSettings;
}

/** The network side of ACME challenges. */
export interface AcmeSettings {
  /** Where responders of others listen. */
  readonly ports: { readonly http: number; readonly tls: number };
  /** Empty: those of the system. */
  readonly resolvers: readonly ListenAddress[];
  /** Where our own orders' tls-alpn-01 challenges are answered. */
  readonly tlsAlpnListen: ListenAddress | null;
}

export type TlsSettings =
  | { readonly kind: 'off' }
  | { readonly kind: 'self' }
  | { readonly kind: 'files'; readonly cert: string; readonly key: string };

/** The key itself goes before the file. */
export interface RootKeySettings {
  readonly file: string;
  readonly text: string | undefined;
}

/** Settings that cannot be used. `findings` has one sentence for each; no sentence holds a value. */
export class ConfigError extends Error {
  readonly findings: readonly string[];

  constructor(findings: readonly string[]) {
    super(findings.join('\n'));
    this.name = 'ConfigError';
    this.findings = findings;
  }
}

export const configFile = 'chancery.config.json';
const prefix = 'CHANCERY_';
type Texts = Record<string, string>;

/**
 * Reads the settings from the environment and from `chancery.config.json` in `cwd`; the environment wins. An empty
 * variable is none: that is what compose files and shells make of one that is not set.
 * Throws ConfigError with every finding.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, cwd: string): Config {
  const fromFile = readSettingsFile(resolve(cwd, configFile));
  const fromEnv = Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[0].startsWith(prefix) && entry[1] !== undefined && entry[1] !== '',
    ),
  );
  refuseUnknown(fromFile, configFile);
  refuseUnknown(fromEnv, 'the environment');
  refuseSecrets(fromFile);
  const settings = parse({ ...fromFile, ...fromEnv });
  refuseContradictions(settings);
  return deepFreeze(assemble(settings, cwd));
}

function readSettingsFile(path: string): Texts {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return {};
    throw new ConfigError([`${path} cannot be read (${code ?? 'unknown'}).`]);
  }
  return textsOf(path, parseJson(path, text));
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // the parser's own message quotes the file, which may hold a password
    throw new ConfigError([`${path} is not valid JSON.`]);
  }
}

/** The file may say numbers, truth values and lists as such; from here on they are what the environment would say. */
function textsOf(path: string, value: unknown): Texts {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ConfigError([`${path} must hold one JSON object with settings.`]);
  const texts: Texts = {};
  for (const [name, item] of Object.entries(value)) {
    if (typeof item === 'string' || typeof item === 'number' || typeof item === 'boolean') texts[name] = String(item);
    else if (Array.isArray(item) && item.every((part) => typeof part === 'string')) texts[name] = item.join(',');
    else throw new ConfigError([`${name} in ${path} must be text, a number, true, false or a list of texts.`]);
  }
  return texts;
}

function refuseUnknown(texts: Texts, where: string): void {
  const known = Object.keys(settingsSchema.shape);
  const unknown = Object.keys(texts).filter((name) => !known.includes(name) && !(name in clientSettings));
  if (unknown.length === 0) return;
  throw new ConfigError(
    unknown.map((name) => {
      const near = didYouMean(name.toUpperCase(), known);
      return `${name} in ${where} is not a setting${near === undefined ? '' : `; ${near}`}.`.replace('?.', '?');
    }),
  );
}

function refuseSecrets(fromFile: Texts): void {
  const secrets = settingTexts().filter(({ name, secret }) => secret && name in fromFile);
  if (secrets.length > 0)
    throw new ConfigError(
      secrets.map(({ name }) => `${name} is taken from the environment only, not from ${configFile}.`),
    );
}

function parse(texts: Texts): Settings {
  const own = Object.fromEntries(Object.entries(texts).filter(([name]) => !(name in clientSettings)));
  const result = settingsSchema.safeParse(own);
  if (result.success) return result.data;
  throw new ConfigError(result.error.issues.map(({ path: [name], message }) => `${String(name)} ${message}.`));
}

function refuseContradictions(settings: Settings): void {
  const findings: string[] = [];
  const { CHANCERY_TLS_CERT: cert, CHANCERY_TLS_KEY: key, CHANCERY_TLS: tls } = settings;
  if ((cert === undefined) !== (key === undefined))
    findings.push('CHANCERY_TLS_CERT and CHANCERY_TLS_KEY belong together: give both or neither.');
  if (tls === 'self' && (cert !== undefined || key !== undefined))
    findings.push('CHANCERY_TLS=self makes its own certificate: leave out CHANCERY_TLS_CERT and CHANCERY_TLS_KEY.');
  if (settings.CHANCERY_ROOT_KEY !== undefined && settings.CHANCERY_ROOT_KEY_FILE !== undefined)
    findings.push('CHANCERY_ROOT_KEY and CHANCERY_ROOT_KEY_FILE both name a root key: give one of them.');
  if (tls === 'off' && cert === undefined)
    findings.push(...plainAddresses(settings).map((name) => plainHttpRefusal(name, settings[name])));
  if (findings.length > 0) throw new ConfigError(findings);
}

type AddressName = 'CHANCERY_LISTEN' | 'CHANCERY_ADMIN_LISTEN';

function plainAddresses(settings: Settings): AddressName[] {
  const names: AddressName[] = ['CHANCERY_LISTEN', 'CHANCERY_ADMIN_LISTEN'];
  return names.filter((name) => settings[name] !== undefined && !isLoopback(settings[name].host));
}

function plainHttpRefusal(name: AddressName, at: ListenAddress | undefined): string {
  return (
    `${name} is ${at?.host ?? ''}, which other machines reach, and plain HTTP would show them tokens and keys: ` +
    'give CHANCERY_TLS_CERT and CHANCERY_TLS_KEY, or CHANCERY_TLS=self, or listen on 127.0.0.1.'
  );
}

function assemble(settings: Settings, cwd: string): Config {
  const data = resolve(cwd, settings.CHANCERY_DATA);
  const tls = tlsOf(settings, cwd);
  const publicUrl = settings.CHANCERY_PUBLIC_URL ?? urlOf(settings.CHANCERY_LISTEN, tls);
  return {
    http: httpOf(settings),
    tls,
    publicUrl,
    pkiUrl: settings.CHANCERY_PKI_URL ?? plainUrlOf(settings, publicUrl),
    data,
    storage: storageOf(settings.CHANCERY_STORAGE, data, cwd),
    rootKey: rootKeyOf(settings, data, cwd),
    log: { level: settings.CHANCERY_LOG_LEVEL },
    outbound: { allow: settings.CHANCERY_OUTBOUND_ALLOW },
    acme: {
      ports: { http: settings.CHANCERY_ACME_HTTP_PORT, tls: settings.CHANCERY_ACME_TLS_PORT },
      resolvers: settings.CHANCERY_ACME_RESOLVERS,
      tlsAlpnListen: settings.CHANCERY_ACME_TLS_ALPN_LISTEN ?? null,
    },
    claimTtl: settings.CHANCERY_CLAIM_TTL,
    principalRate: settings.CHANCERY_RATE_PRINCIPAL.rate,
    mcp: mcpOf(settings),
  };
}

function httpOf(settings: Settings): HttpSettings {
  return {
    ...defaultHttpSettings,
    listen: settings.CHANCERY_LISTEN,
    adminListen: settings.CHANCERY_ADMIN_LISTEN ?? null,
    publicListen: settings.CHANCERY_PUBLIC_LISTEN ?? null,
    publicUrl: settings.CHANCERY_PUBLIC_URL ?? null,
    bodyLimit: settings.CHANCERY_BODY_LIMIT,
    requestTimeout: settings.CHANCERY_REQUEST_TIMEOUT,
    shutdownDelay: settings.CHANCERY_SHUTDOWN_DELAY,
    shutdownTimeout: settings.CHANCERY_SHUTDOWN_TIMEOUT,
    maxConnections: settings.CHANCERY_MAX_CONNECTIONS,
    trustedProxies: settings.CHANCERY_TRUSTED_PROXIES,
    rates: {
      open: settings.CHANCERY_RATE_OPEN.rate,
      failedAuthentication: settings.CHANCERY_RATE_FAILED_AUTH.rate,
      exempt: settings.CHANCERY_RATE_EXEMPT,
    },
    accessLog: settings.CHANCERY_ACCESS_LOG,
  };
}

function tlsOf(settings: Settings, cwd: string): TlsSettings {
  const { CHANCERY_TLS_CERT: cert, CHANCERY_TLS_KEY: key } = settings;
  if (cert !== undefined && key !== undefined)
    return { kind: 'files', cert: resolve(cwd, cert), key: resolve(cwd, key) };
  return { kind: settings.CHANCERY_TLS };
}

/** A wildcard address is no address to call; this machine reaches the server as localhost. */
function urlOf({ host, port }: ListenAddress, tls: TlsSettings): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `${tls.kind === 'off' ? 'http' : 'https'}://${name}:${port}`;
}

/** Where relying parties reach the listener for them, if there is one: under the name of the server, by plain HTTP. */
function plainUrlOf({ CHANCERY_PUBLIC_LISTEN: at }: Settings, publicUrl: string): string {
  return at === undefined ? publicUrl : new URL(`http://${new URL(publicUrl).hostname}:${at.port}`).origin;
}

function storageOf(target: StorageTarget | undefined, data: string, cwd: string): StorageTarget {
  if (target === undefined) return { kind: 'sqlite', file: resolve(data, 'chancery.db') };
  return target.kind === 'sqlite' ? { kind: 'sqlite', file: resolve(cwd, target.file) } : target;
}

/** As `openStore` takes it. May hold a password. */
export function storeUrl(storage: StorageTarget): string {
  return storage.kind === 'sqlite' ? `sqlite:${storage.file}` : storage.url;
}

function rootKeyOf(settings: Settings, data: string, cwd: string): RootKeySettings {
  const given = settings.CHANCERY_ROOT_KEY_FILE;
  return {
    file: given === undefined ? resolve(data, 'root.key') : resolve(cwd, given),
    text: settings.CHANCERY_ROOT_KEY,
  };
}

function deepFreeze<Value extends object>(value: Value): Value {
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) deepFreeze(item);
  return Object.freeze(value);
}

export type { SettingName, StorageTarget };
