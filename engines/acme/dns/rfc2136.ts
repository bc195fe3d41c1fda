import { randomInt } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { allowedRanges, isPublicAddress } from '#outbound/address-rules.ts';
import { type DnsProvider, type DnsProviderDeps, DnsProviderError, type SettingsOf } from './contract.ts';
import { askByStream, DnsError, type DnsServer } from './exchange.ts';
import {
  encodeQuery,
  internet,
  type Message,
  recordTypes,
  responseCodes,
  shorts,
  txtData,
  writeHeader,
} from './message.ts';
import { encodeName, parentName } from './name.ts';
import { signMessage, type TsigKey, type TsigVerdict, verifyAnswer } from './tsig.ts';

type Settings = SettingsOf<'rfc2136'>;

const timeoutMs = 10_000;
const noneClass = 254;
/** Opcode 5, UPDATE (RFC 2136 §1.3). */
const updateFlags = 0x28_00;

/** Dynamic updates, signed with TSIG, over TCP (RFC 2136 §2.1): a datagram that is lost would leave open whether it was done. */
export function createRfc2136(settings: Settings, deps: DnsProviderDeps): DnsProvider {
  const change = async (name: string, ttl: number, recordClass: number, value: string) => {
    const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(deps.signal ? [deps.signal] : [])]);
    const server = await findServer(settings, deps);
    try {
      const zone = settings.zone ?? (await findZone(server, name, signal));
      const record = encodeRecord(name, ttl, recordClass, value);
      await update(server, zone, record, { settings, now: deps.now, signal });
    } catch (thrown) {
      if (thrown instanceof DnsError) throw new DnsProviderError(`${settings.server}: ${thrown.message}`, true);
      throw thrown;
    }
  };
  return {
    kind: 'rfc2136',
    present: (name, value) => change(name, settings.ttl, internet, value),
    // RFC 2136 §2.5.4: class NONE takes away this one record.
    remove: (name, value) => change(name, 0, noneClass, value),
  };
}

/** The server's address is resolved once and judged as any that somebody else names. */
async function findServer(settings: Settings, deps: DnsProviderDeps): Promise<DnsServer> {
  const { server, port } = settings;
  const found = isIP(server) === 0 ? await lookup(server, { all: true }).catch(() => []) : [{ address: server }];
  if (found.length === 0) throw new DnsProviderError(`The DNS server ${server} cannot be resolved.`, true);
  const isAllowed = allowedRanges(deps.allowedRanges);
  const address = found.map((each) => each.address).find((each) => isPublicAddress(each) || isAllowed(each));
  if (address !== undefined) return { host: address, port };
  throw new DnsProviderError(`The DNS server ${server} is at no address that CHANCERY_OUTBOUND_ALLOW allows.`, false);
}

/** RFC 2136 §3.1 wants the zone named: the server knows it, and says it with the SOA of the name or of its parents. */
async function findZone(server: DnsServer, name: string, signal: AbortSignal): Promise<string> {
  for (let at = name; at !== ''; at = parentName(at)) {
    const answer = await askByStream(server, encodeQuery(randomInt(0x1_00_00), at, recordTypes.soa), signal);
    const soa = [...answer.answers, ...answer.authorities].find(({ type }) => type === recordTypes.soa);
    if (soa !== undefined && (name === soa.name || name.endsWith(`.${soa.name}`)) && soa.name !== '') return soa.name;
  }
  throw new DnsProviderError(`The DNS server is in charge of no zone that ${name} is in.`, false);
}

function encodeRecord(name: string, ttl: number, recordClass: number, value: string): Buffer {
  const data = txtData(value);
  const fixed = shorts(recordTypes.txt, recordClass, ttl >> 16, ttl & 0xffff, data.length);
  return Buffer.concat([encodeName(name), fixed, data]);
}

interface UpdateParts {
  readonly settings: Settings;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

async function update(server: DnsServer, zone: string, record: Buffer, parts: UpdateParts): Promise<void> {
  const { settings, now, signal } = parts;
  const key: TsigKey = {
    name: settings.tsig_key_name,
    algorithm: settings.tsig_algorithm,
    secret: Buffer.from(settings.tsig_secret, 'base64'),
  };
  const header = writeHeader(randomInt(0x1_00_00), updateFlags, [1, 0, 1, 0]);
  const packet = Buffer.concat([header, encodeName(zone), shorts(recordTypes.soa, internet), record]);
  const signed = signMessage(packet, key, now());
  const answer = await askByStream(server, signed.packet, signal);
  requireSuccess(answer, verifyAnswer(answer, key, signed.mac, now()), zone);
}

const verdictTexts: Readonly<Record<Exclude<TsigVerdict, 'ok'>, string>> = {
  bad_signature: 'the TSIG secret is wrong',
  bad_key: 'the DNS server does not know the TSIG key, or knows it with another algorithm',
  bad_time: 'the clocks of this server and of the DNS server differ by more than five minutes',
  unsigned: 'the answer of the DNS server is not signed with the TSIG key',
};

function requireSuccess(answer: Message, verdict: TsigVerdict, zone: string): void {
  if (verdict !== 'ok' && (verdict !== 'unsigned' || answer.responseCode === responseCodes.noError))
    throw new DnsProviderError(`The update of ${zone} failed: ${verdictTexts[verdict]}.`, verdict === 'bad_time');
  const { responseCode: code } = answer;
  if (code === responseCodes.noError) return;
  const why =
    code === responseCodes.refused
      ? 'REFUSED: the TSIG key may not change this name'
      : code === responseCodes.notAuth || code === responseCodes.notZone
        ? 'the server is not in charge of the zone'
        : `response code ${code}`;
  throw new DnsProviderError(`The update of ${zone} failed: ${why}.`, code === responseCodes.serverFailure);
}
