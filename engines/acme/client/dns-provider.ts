import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import type { DnsProviderRow } from './tables.ts';

export const providerResource = ({ name }: { readonly name: string }) => `acme/dns-providers/${name}`;

/** Throws `not_found`, for a provider of another namespace as for none. */
export async function requireProvider(store: Store, namespace: string, name: string): Promise<DnsProviderRow> {
  const row = await store.first<DnsProviderRow>('SELECT * FROM acme_dns_providers WHERE namespace = ? AND name = ?', [
    namespace,
    name,
  ]);
  if (row !== undefined) return row;
  throw new AppError('not_found', `There is no DNS provider ${name}.`, {
    hint: 'acme.list_dns_providers lists them; acme.create_dns_provider makes one.',
  });
}
