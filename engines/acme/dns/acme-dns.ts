import type { DnsProvider, DnsProviderDeps, SettingsOf } from './contract.ts';
import { callApi, jsonOf, refusedBy, withoutSlash } from './http-call.ts';

const provider = 'acme-dns';

/**
 * The API of acme-dns has one call, `POST /update`, for the two newest values of a subdomain. There is nothing to take
 * away: the next values push the old ones out.
 */
export function createAcmeDns(settings: SettingsOf<'acme-dns'>, { outbound }: DnsProviderDeps): DnsProvider {
  return {
    kind: 'acme-dns',
    async present(_name, value) {
      const response = await callApi(outbound, provider, {
        method: 'POST',
        url: `${withoutSlash(settings.base_url)}/update`,
        headers: {
          'x-api-user': settings.username,
          'x-api-key': settings.password,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ subdomain: settings.subdomain, txt: value }),
      });
      if (response.status === 200) return;
      const { error } = jsonOf(response);
      throw refusedBy(provider, response.status, typeof error === 'string' ? error : '');
    },
    remove: () => Promise.resolve(),
  };
}
