import { randomInt } from 'node:crypto';
import { getServers } from 'node:dns';
import { isIP } from 'node:net';
import { askServer, DnsError, type DnsServer } from './exchange.ts';
import { addressesInHostsFile } from './hosts-file.ts';
import {
  addressValue,
  caaValue,
  type CaaProperty,
  encodeQuery,
  type Message,
  nameValue,
  recordTypes,
  type ResourceRecord,
  responseCodes,
  txtValue,
} from './message.ts';
import { DnsFormatError } from './name.ts';

/**
 * One view of the DNS: a resolver that is asked for everything a validation needs. Where several resolvers are
 * configured each is a view of its own, and a validation must succeed in all of them. Every answer is fresh: nothing is
 * kept here. Every function throws `DnsError`; that there are no such records is an answer, and is empty.
 */
export interface Perspective {
  /** IPv6 first. */
  addresses(host: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Values of all TXT records, the strings of each joined, after CNAMEs. */
  texts(name: string, signal: AbortSignal): Promise<readonly string[]>;
  /** Of this very name (and what it is an alias of), without its parents. */
  caa(name: string, signal: AbortSignal): Promise<readonly CaaProperty[]>;
  /** Names of the servers in charge, where this very name is a zone. */
  nameServers(name: string, signal: AbortSignal): Promise<readonly string[]>;
}

/** Aliases that are followed for one answer. */
const maxAliases = 8;

/** `servers` are asked in turn until one answers; `hostsFile` is read before them where one is named. */
export function createPerspective(servers: readonly DnsServer[], hostsFile?: string): Perspective {
  const find = <Value>(name: string, type: number, read: Reading<Value>, signal: AbortSignal) =>
    findRecords({ servers, type, signal }, name, read);
  return {
    async addresses(host, signal) {
      const known = hostsFile === undefined ? [] : await addressesInHostsFile(host, hostsFile);
      if (known.length > 0) return known.toSorted((a, b) => isIP(b) - isIP(a));
      const families = await Promise.allSettled([
        find(host, recordTypes.aaaa, addressValue, signal),
        find(host, recordTypes.a, addressValue, signal),
      ]);
      const found = families.flatMap((family) => (family.status === 'fulfilled' ? family.value : []));
      const failed = families.find((family) => family.status === 'rejected');
      if (found.length === 0 && failed !== undefined) throw failed.reason as Error;
      return found;
    },
    texts: (name, signal) => find(name, recordTypes.txt, txtValue, signal),
    caa: (name, signal) => find(name, recordTypes.caa, caaValue, signal),
    nameServers: (name, signal) => find(name, recordTypes.ns, nameValue, signal),
  };
}

/** One view for each configured resolver; of the system's, which stand in for each other, one for all. */
export function createPerspectives(resolvers: readonly DnsServer[] | undefined): readonly Perspective[] {
  if (resolvers !== undefined && resolvers.length > 0) return resolvers.map((server) => createPerspective([server]));
  return [createPerspective(systemServers(), '/etc/hosts')];
}

/** The resolvers that the machine is configured with. */
export function systemServers(): readonly DnsServer[] {
  return getServers().map((text) => {
    const match = /^\[(.+)\]:(\d+)$/.exec(text) ?? /^([\d.]+):(\d+)$/.exec(text);
    return { host: match?.[1] ?? text, port: Number(match?.[2] ?? 53) };
  });
}

interface Search {
  readonly servers: readonly DnsServer[];
  readonly type: number;
  readonly signal: AbortSignal;
}

/** Follows aliases within an answer, and asks again where a server gives an alias without what it leads to. */
async function findRecords<Value>(search: Search, name: string, read: Reading<Value>): Promise<Value[]> {
  const seen = new Set<string>();
  let at = name.toLowerCase();
  while (seen.size <= maxAliases) {
    const message = await resolve(search, at);
    const target = aliasTarget(message, at, seen);
    const records = message.answers.filter((record) => record.type === search.type && record.name === target);
    if (records.length > 0 || target === at) return readAll(message, records, read);
    at = target;
  }
  throw new DnsError('failed', 'the name is an alias of an alias, without end');
}

/** What a record says; names within it may be compressed, so that the message is needed. */
type Reading<Value> = (record: ResourceRecord, message: Message) => Value;

function readAll<Value>(message: Message, records: readonly ResourceRecord[], read: Reading<Value>): Value[] {
  try {
    return records.map((record) => read(record, message));
  } catch (thrown) {
    if (thrown instanceof DnsFormatError) throw new DnsError('malformed', 'the DNS holds a malformed record');
    throw thrown;
  }
}

/** Where the aliases of an answer lead. */
function aliasTarget(message: Message, name: string, seen: Set<string>): string {
  let at = name;
  for (;;) {
    const alias = message.answers.find((record) => record.type === recordTypes.cname && record.name === at);
    if (alias === undefined) return at;
    if (seen.has(at) || seen.size > maxAliases) throw new DnsError('failed', 'the name is an alias of itself');
    seen.add(at);
    at = readAll(message, [alias], nameValue)[0] ?? at;
  }
}

/** What one server says of TXT records at a name: them, or what the name is an alias of elsewhere. Throws `DnsError`. */
export async function askAuthority(
  server: DnsServer,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly texts: readonly string[]; readonly alias: string | undefined }> {
  const at = name.toLowerCase();
  const message = await resolve({ servers: [server], type: recordTypes.txt, signal }, at);
  if (!message.isAuthoritative) throw new DnsError('failed', 'the server is not in charge of the name');
  const target = aliasTarget(message, at, new Set());
  const records = message.answers.filter(({ type, name: owner }) => type === recordTypes.txt && owner === target);
  const texts = readAll(message, records, txtValue);
  return { texts, alias: target === at || texts.length > 0 ? undefined : target };
}

/** The first answer that says yes or no (RFC 1035 §4.1.1); a failure of one server leads to the next. */
async function resolve({ servers, type, signal }: Search, name: string): Promise<Message> {
  let failure = new DnsError('unreachable', 'no DNS server is configured');
  for (const server of servers) {
    try {
      const message = await askPlainlyIfNeeded(server, { name, type }, signal);
      const { responseCode: code } = message;
      if (code === responseCodes.noError || code === responseCodes.nonExistentDomain) return message;
      failure = new DnsError('failed', `the DNS answers with ${codeName(code)}`);
    } catch (thrown) {
      if (!(thrown instanceof DnsError)) throw thrown;
      failure = thrown;
    }
    if (signal.aborted) break;
  }
  throw failure;
}

/** RFC 6891 §6.2.2, §7: a server that does not know EDNS says so, and is asked without. */
async function askPlainlyIfNeeded(
  server: DnsServer,
  { name, type }: { readonly name: string; readonly type: number },
  signal: AbortSignal,
): Promise<Message> {
  const message = await askServer(server, query(name, type, true), signal);
  const knowsNone =
    message.responseCode === responseCodes.formatError || message.responseCode === responseCodes.notImplemented;
  return knowsNone ? askServer(server, query(name, type, false), signal) : message;
}

function query(name: string, type: number, edns: boolean): Buffer {
  try {
    return encodeQuery(randomInt(0x1_00_00), name, type, edns);
  } catch (thrown) {
    if (thrown instanceof DnsFormatError) throw new DnsError('failed', 'the name cannot be asked for in the DNS');
    throw thrown;
  }
}

const codeNames: Readonly<Record<number, string>> = {
  [responseCodes.formatError]: 'FORMERR',
  [responseCodes.serverFailure]: 'SERVFAIL',
  [responseCodes.notImplemented]: 'NOTIMP',
  [responseCodes.refused]: 'REFUSED',
};

function codeName(code: number): string {
  return codeNames[code] ?? `code ${code}`;
}
