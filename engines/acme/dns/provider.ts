import { createAcmeDns } from './acme-dns.ts';
import { createCloudflare } from './cloudflare.ts';
import type { DnsProvider, DnsProviderDeps, DnsProviderSettings } from './contract.ts';
import { createManual } from './manual.ts';
import { createRfc2136 } from './rfc2136.ts';
import { createRoute53 } from './route53.ts';
import { createWebhook } from './webhook.ts';

/** The provider that settings describe. Nothing is connected to before its first call. */
export function createDnsProvider(settings: DnsProviderSettings, deps: DnsProviderDeps): DnsProvider {
  switch (settings.kind) {
    case 'rfc2136':
      return createRfc2136(settings, deps);
    case 'acme-dns':
      return createAcmeDns(settings, deps);
    case 'cloudflare':
      return createCloudflare(settings, deps);
    case 'route53':
      return createRoute53(settings, deps);
    case 'webhook':
      return createWebhook(settings, deps);
    case 'manual':
      return createManual();
  }
}
