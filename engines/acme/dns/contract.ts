import { z } from 'zod';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';

/** Who publishes TXT records for dns-01 (RFC 8555 §8.4). */
export interface DnsProvider {
  readonly kind: DnsProviderKind;
  /**
   * Adds a TXT record at `name` (`_acme-challenge.example.com`, no dot at the end), beside those that are there. That
   * the same record is there already is success. Resolves when the provider took it, which is before the world sees it.
   * Throws `DnsProviderError`.
   */
  present(name: string, value: string): Promise<void>;
  /** Takes away this one record. That it is gone already is success. Throws `DnsProviderError`. */
  remove(name: string, value: string): Promise<void>;
}

/** What providers work with. */
export interface DnsProviderDeps {
  /** For providers that are spoken to by HTTP. */
  readonly outbound: GuardedFetch;
  /** Ends what a provider does by other ways than `outbound`. */
  readonly signal?: AbortSignal | undefined;
  /** Ranges beside the public addresses in which a server for dynamic updates may be (CHANCERY_OUTBOUND_ALLOW). */
  readonly allowedRanges: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Why a record was not published or not taken away. The message may be shown, and holds no secret. */
export class DnsProviderError extends Error {
  override readonly name = 'DnsProviderError';
  /** Whether trying again may help: false where the settings are wrong. */
  readonly isTemporary: boolean;

  constructor(message: string, isTemporary: boolean) {
    super(message);
    this.isTemporary = isTemporary;
  }
}

const host = z.string().min(1).max(253);
const secret = z.string().min(1).max(1024);
const zone = z
  .string()
  .regex(/^(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9-]{1,63}$/, 'is no domain name without a dot at the end')
  .max(253);
const httpUrl = z
  .string()
  .max(2048)
  .refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), 'is no URL of http or https');
const ttl = z.int().min(1).max(86_400);

const rfc2136 = z.strictObject({
  kind: z.literal('rfc2136').describe('Dynamic updates of a DNS server (RFC 2136), signed with TSIG'),
  server: host.describe('Name or address of the primary server of the zone'),
  port: z.int().min(1).max(65_535).default(53).describe('Port of the server, for TCP'),
  zone: zone.optional().describe('Zone to update; default: found by asking the server for the SOA'),
  tsig_key_name: zone.describe('Name of the TSIG key (RFC 8945)'),
  tsig_algorithm: z
    .enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512'])
    .default('hmac-sha256')
    .describe('Algorithm of the TSIG key'),
  tsig_secret: secret
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'is not base64')
    .describe('TSIG key in base64, as in the key file of the DNS server'),
  ttl: ttl.default(60).describe('TTL of the records, in seconds'),
});

const acmeDns = z.strictObject({
  kind: z.literal('acme-dns').describe('acme-dns (github.com/joohoi/acme-dns): _acme-challenge is a CNAME to it'),
  base_url: httpUrl.describe('Where its API is, as https://auth.example.org'),
  subdomain: z
    .string()
    .min(1)
    .max(253)
    .describe('subdomain of the registration. It keeps two values: one name and its wildcard'),
  username: z.string().min(1).max(128).describe('username of the registration'),
  password: secret.describe('password of the registration'),
});

const cloudflare = z.strictObject({
  kind: z.literal('cloudflare').describe('Zones at Cloudflare'),
  api_token: secret.describe('API token with Zone:Read and DNS:Edit for the zone'),
  zone_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'is no id of 32 hexadecimal digits')
    .optional()
    .describe('Id of the zone; default: found by name'),
  base_url: httpUrl.default('https://api.cloudflare.com/client/v4').describe('Where the API is'),
  ttl: ttl.default(120).describe('TTL of the records, in seconds'),
});

const route53 = z.strictObject({
  kind: z.literal('route53').describe('Hosted zones at Amazon Route 53'),
  access_key_id: z.string().min(1).max(128).describe('Id of the access key'),
  secret_access_key: secret.describe('Secret of the access key'),
  session_token: z.string().min(1).max(8192).optional().describe('Session token, with temporary credentials'),
  hosted_zone_id: z
    .string()
    .regex(/^[A-Z0-9]{1,32}$/, 'is no id of a hosted zone')
    .optional()
    .describe('Id of the hosted zone; default: the public zone found by name'),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/, 'is no region')
    .default('us-east-1')
    .describe('Region that requests are signed for'),
  base_url: httpUrl.default('https://route53.amazonaws.com').describe('Where the API is'),
  ttl: ttl.default(60).describe('TTL of the records, in seconds'),
});

const webhook = z.strictObject({
  kind: z.literal('webhook').describe('An HTTP endpoint of your own, called with signed requests'),
  url: httpUrl.describe('Where {"action": "present" or "remove", "type": "TXT", "name", "value"} is posted to'),
  secret: z
    .string()
    .min(16)
    .max(1024)
    .describe('Key of the HMAC-SHA256 in webhook-signature (Standard Webhooks); whsec_ and base64, or any text'),
});

const manual = z.strictObject({
  kind: z.literal('manual').describe('You publish the records yourself; the order says which'),
});

/** Settings of every kind of provider, secrets included. */
export const dnsProviderSettings = z.discriminatedUnion('kind', [
  rfc2136,
  acmeDns,
  cloudflare,
  route53,
  webhook,
  manual,
]);

export type DnsProviderSettings = z.output<typeof dnsProviderSettings>;
export type DnsProviderKind = DnsProviderSettings['kind'];
export type SettingsOf<Kind extends DnsProviderKind> = Extract<DnsProviderSettings, { kind: Kind }>;

/** Settings that are sealed at rest and shown to nobody. */
const secretFields: Readonly<Record<DnsProviderKind, readonly string[]>> = {
  rfc2136: ['tsig_secret'],
  'acme-dns': ['password'],
  cloudflare: ['api_token'],
  route53: ['secret_access_key', 'session_token'],
  webhook: ['secret'],
  manual: [],
};

/** Settings in two parts: what may be shown, and what must be sealed. Together they parse again. */
export function splitSettings(settings: DnsProviderSettings): {
  readonly definition: Record<string, unknown>;
  readonly secrets: Record<string, unknown>;
} {
  const isSecret = (name: string) => secretFields[settings.kind].includes(name);
  const entries = Object.entries(settings);
  return {
    definition: Object.fromEntries(entries.filter(([name]) => !isSecret(name))),
    secrets: Object.fromEntries(entries.filter(([name]) => isSecret(name))),
  };
}
