import type { OutboundResponse } from '#outbound/guarded-fetch.ts';
import { type DnsProvider, type DnsProviderDeps, DnsProviderError, type SettingsOf } from './contract.ts';
import { callApi, refusedBy, withoutSlash } from './http-call.ts';
import { parentName } from './name.ts';
import { signatureV4 } from './signature-v4.ts';

type Settings = SettingsOf<'route53'>;
type Call = (method: 'GET' | 'POST', path: string, body?: string) => Promise<OutboundResponse>;

const provider = 'Route 53';
const version = '/2013-04-01';
const maxTries = 5;

/**
 * All TXT values of a name are one record set, which can only be replaced as a whole. A change is therefore a batch
 * that takes away exactly the set that was read and makes the new one: Route 53 refuses it when someone else changed the
 * set meanwhile, and it is read again.
 */
export function createRoute53(settings: Settings, { outbound, now }: DnsProviderDeps): DnsProvider {
  const call: Call = (method, path, body = '') => {
    const url = new URL(`${withoutSlash(settings.base_url)}${version}${path}`);
    const signed = signatureV4(
      { method, url, body, service: 'route53', region: settings.region, now: now() },
      {
        accessKeyId: settings.access_key_id,
        secretAccessKey: settings.secret_access_key,
        sessionToken: settings.session_token,
      },
    );
    const headers = { ...signed, ...(body === '' ? {} : { 'content-type': 'application/xml' }) };
    return callApi(outbound, provider, { method, url: url.href, headers, body: body === '' ? undefined : body });
  };
  const change = async (name: string, edit: (values: readonly string[]) => readonly string[]) => {
    const zone = settings.hosted_zone_id ?? (await findZone(name, call));
    await replaceSet({ zone, name, call, ttl: settings.ttl }, edit);
  };
  return {
    kind: 'route53',
    present: (name, value) => change(name, (values) => [...new Set([...values, `"${value}"`])]),
    remove: (name, value) => change(name, (values) => values.filter((each) => each !== `"${value}"`)),
  };
}

interface SetParts {
  readonly zone: string;
  readonly name: string;
  readonly call: Call;
  readonly ttl: number;
}

interface RecordSet {
  readonly ttl: number;
  /** As they stand in the zone, in quotes. */
  readonly values: readonly string[];
}

async function replaceSet(parts: SetParts, edit: (values: readonly string[]) => readonly string[]): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const now = await readSet(parts);
    const values = edit(now?.values ?? []);
    if (values.length === (now?.values.length ?? 0)) return;
    const response = await parts.call('POST', `/hostedzone/${parts.zone}/rrset`, changeBatch(parts, now, values));
    if (response.status === 200) return;
    const isRace = /<Code>(?:InvalidChangeBatch|PriorRequestNotComplete)<|<InvalidChangeBatch/.test(
      response.body.toString(),
    );
    if (!isRace || tries === maxTries) throw refused(response);
  }
}

async function readSet({ zone, name, call }: SetParts): Promise<RecordSet | undefined> {
  const query = new URLSearchParams({ maxitems: '1', name: `${name}.`, type: 'TXT' });
  const response = await call('GET', `/hostedzone/${zone}/rrset?${query.toString()}`);
  if (response.status !== 200) throw refused(response);
  const set = elements(response.body.toString(), 'ResourceRecordSet').find(
    (each) => text(each, 'Type') === 'TXT' && text(each, 'Name')?.toLowerCase() === `${name}.`,
  );
  if (set === undefined) return undefined;
  return { ttl: Number(text(set, 'TTL') ?? 0), values: elements(set, 'Value').map(unescapeXml) };
}

function changeBatch({ name, ttl }: SetParts, now: RecordSet | undefined, values: readonly string[]): string {
  const changes = [
    ...(now === undefined ? [] : [changeOf('DELETE', name, now)]),
    ...(values.length === 0 ? [] : [changeOf('CREATE', name, { ttl, values })]),
  ];
  return (
    '<?xml version="1.0" encoding="UTF-8"?>' +
    '<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">' +
    `<ChangeBatch><Changes>${changes.join('')}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
  );
}

function changeOf(action: string, name: string, { ttl, values }: RecordSet): string {
  const records = values.map((value) => `<ResourceRecord><Value>${escapeXml(value)}</Value></ResourceRecord>`);
  return (
    `<Change><Action>${action}</Action><ResourceRecordSet><Name>${escapeXml(name)}.</Name><Type>TXT</Type>` +
    `<TTL>${ttl}</TTL><ResourceRecords>${records.join('')}</ResourceRecords></ResourceRecordSet></Change>`
  );
}

/** The longest public zone of the account that the name is in. */
async function findZone(name: string, call: Call): Promise<string> {
  for (let at = parentName(name); at.includes('.'); at = parentName(at)) {
    const query = new URLSearchParams({ dnsname: `${at}.`, maxitems: '10' });
    const response = await call('GET', `/hostedzonesbyname?${query.toString()}`);
    if (response.status !== 200) throw refused(response);
    const zone = elements(response.body.toString(), 'HostedZone').find(
      (each) => text(each, 'Name') === `${at}.` && text(each, 'PrivateZone') !== 'true',
    );
    const id = /^(?:\/hostedzone\/)?([A-Z0-9]{1,32})$/.exec(zone === undefined ? '' : (text(zone, 'Id') ?? ''))?.[1];
    if (id !== undefined) return id;
  }
  throw new DnsProviderError(`The Route 53 account has no public hosted zone that ${name} is in.`, false);
}

/** Route 53's answers have no attributes within, no comments and no CDATA: the text between two tags is the element. */
function elements(xml: string, tag: string): string[] {
  return xml
    .split(`<${tag}>`)
    .slice(1)
    .map((rest) => rest.slice(0, Math.max(0, rest.indexOf(`</${tag}>`))));
}

function text(xml: string, tag: string): string | undefined {
  const [first] = elements(xml, tag);
  return first === undefined ? undefined : unescapeXml(first);
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeXml(xml: string): string {
  return xml.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(\w{2,4}));/g, (whole, hex, decimal, name) => {
    if (name !== undefined) return entities[name as string] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex as string, 16);
    return code <= 0x10_ff_ff ? String.fromCodePoint(code) : whole;
  });
}

function escapeXml(value: string): string {
  return value.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);
}

function refused(response: OutboundResponse): DnsProviderError {
  const xml = response.body.toString();
  return refusedBy(provider, response.status, text(xml, 'Message') ?? text(xml, 'Code') ?? '');
}
