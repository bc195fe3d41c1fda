import type { OutboundResponse } from '#outbound/guarded-fetch.ts';
import { type DnsProvider, type DnsProviderDeps, DnsProviderError, type SettingsOf } from './contract.ts';
import { type ApiCall, callApi, jsonOf, refusedBy, withoutSlash } from './http-call.ts';
import { parentName } from './name.ts';

type Settings = SettingsOf<'cloudflare'>;

const provider = 'Cloudflare';
/** "An identical record already exists", and its older form. */
const sameRecord: ReadonlySet<unknown> = new Set([81_058, 81_057]);
const notFound = 404;

/** API v4: zones by name, then DNS records of the zone. */
export function createCloudflare(settings: Settings, { outbound }: DnsProviderDeps): DnsProvider {
  const call = (method: ApiCall['method'], path: string, body?: object) =>
    callApi(outbound, provider, {
      method,
      url: `${withoutSlash(settings.base_url)}${path}`,
      headers: { authorization: `Bearer ${settings.api_token}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  const zoneOf = async (name: string) => settings.zone_id ?? (await findZone(name, call));

  return {
    kind: 'cloudflare',
    async present(name, value) {
      const record = { type: 'TXT', name, content: `"${value}"`, ttl: settings.ttl, comment: 'ACME challenge' };
      const response = await call('POST', `/zones/${await zoneOf(name)}/dns_records`, record);
      if (response.status !== 200 && !errorsOf(response).some((each) => sameRecord.has(each['code'])))
        throw refused(response);
    },
    async remove(name, value) {
      const zone = await zoneOf(name);
      const query = new URLSearchParams({ type: 'TXT', name, per_page: '100' });
      const response = await call('GET', `/zones/${zone}/dns_records?${query.toString()}`);
      if (response.status !== 200) throw refused(response);
      for (const record of resultsOf(response)) {
        const content = typeof record['content'] === 'string' ? record['content'].replace(/^"|"$/g, '') : undefined;
        const id = idOf(record);
        if (content !== value || id === undefined) continue;
        const gone = await call('DELETE', `/zones/${zone}/dns_records/${id}`);
        if (gone.status !== 200 && gone.status !== notFound) throw refused(gone);
      }
    },
  };
}

type Call = (method: ApiCall['method'], path: string) => Promise<OutboundResponse>;

/** The longest zone of the account that the name is in. */
async function findZone(name: string, call: Call): Promise<string> {
  for (let at = parentName(name); at.includes('.'); at = parentName(at)) {
    const response = await call('GET', `/zones?${new URLSearchParams({ name: at }).toString()}`);
    if (response.status !== 200) throw refused(response);
    const zone = resultsOf(response).find((each) => each['name'] === at);
    const id = zone === undefined ? undefined : idOf(zone);
    if (id !== undefined) return id;
  }
  throw new DnsProviderError(`The Cloudflare token sees no zone that ${name} is in.`, false);
}

function resultsOf(response: OutboundResponse): Readonly<Record<string, unknown>>[] {
  const { result } = jsonOf(response);
  return objectsIn(result);
}

/** Ids become parts of paths: nothing else than the API gives. */
function idOf({ id }: Readonly<Record<string, unknown>>): string | undefined {
  return typeof id === 'string' && /^[0-9a-f]{32}$/.test(id) ? id : undefined;
}

function objectsIn(value: unknown): Readonly<Record<string, unknown>>[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  return items.filter((each) => typeof each === 'object' && each !== null) as Record<string, unknown>[];
}

function errorsOf(response: OutboundResponse): Readonly<Record<string, unknown>>[] {
  const { errors } = jsonOf(response);
  return objectsIn(errors);
}

function refused(response: OutboundResponse): DnsProviderError {
  const messages = errorsOf(response).map(({ ['message']: said }) => (typeof said === 'string' ? said : ''));
  return refusedBy(provider, response.status, messages.join('; '));
}
