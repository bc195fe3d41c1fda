import type { Clock } from '#core/clock.ts';
import { type DnsProvider, type DnsProviderSettings, dnsProviderSettings } from '#acme/dns/contract.ts';
import { requireProvider } from '#acme/client/dns-provider.ts';
import type { DnsProviderRow } from '#acme/client/tables.ts';
import { createVisibility } from '#acme/dns/propagation.ts';
import { createDnsProvider } from '#acme/dns/provider.ts';
import type { GuardedFetch } from '#outbound/guarded-fetch.ts';
import type { Sealer } from '#seal/sealer.ts';
import type { Store } from '#storage/store.ts';
import type { RecordKeeper } from './records.ts';

export interface RecordKeeperParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly outbound: GuardedFetch;
  readonly allowPrivate: readonly string[];
  /** Those that records must be visible by; empty: the servers in charge of the zone. */
  readonly resolvers: readonly { readonly host: string; readonly port: number }[];
}

/** Records by way of the providers of their namespaces. */
export function createRecordKeeper(parts: RecordKeeperParts): RecordKeeper {
  const isVisible = createVisibility({ resolvers: parts.resolvers, allowedRanges: parts.allowPrivate });
  const providerOf = async (namespace: string, name: string, signal: AbortSignal): Promise<DnsProvider> => {
    const row = await requireProvider(parts.store, namespace, name);
    return createDnsProvider(await openSettings(parts.sealer, row), {
      outbound: (request) => parts.outbound({ ...request, signal }),
      signal,
      allowedRanges: parts.allowPrivate,
      now: () => parts.clock.now(),
    });
  };
  return {
    async publish(namespace, provider, { name, value }, signal) {
      await (await providerOf(namespace, provider, signal)).present(name, value);
    },
    async withdraw(namespace, provider, { name, value }, signal) {
      await (await providerOf(namespace, provider, signal)).remove(name, value);
    },
    isVisible,
  };
}

/** With their secrets. */
export async function openSettings(sealer: Sealer, row: DnsProviderRow): Promise<DnsProviderSettings> {
  const definition = JSON.parse(row.definition) as Record<string, unknown>;
  if (row.secrets === null) return dnsProviderSettings.parse(definition);
  const plaintext = await sealer.open({ table: 'acme_dns_providers', row: row.id, column: 'secrets' }, row.secrets);
  try {
    return dnsProviderSettings.parse({ ...definition, ...(JSON.parse(plaintext.toString('utf8')) as object) });
  } finally {
    plaintext.fill(0);
  }
}
