import { allowedRanges, isPublicAddress } from '#outbound/address-rules.ts';
import { DnsError, type DnsServer } from './exchange.ts';
import { parentName } from './name.ts';
import { askAuthority, createPerspectives, type Perspective } from './perspective.ts';

export interface TxtRecord {
  /** `_acme-challenge.example.com`, without a dot at the end. */
  readonly name: string;
  readonly value: string;
}

export interface VisibilityOptions {
  /** Who is asked; empty: the servers in charge of the zone, and the resolvers of the system where these cannot be. */
  readonly resolvers: readonly DnsServer[];
  /** Ranges beside the public addresses in which servers of zones may be asked (CHANCERY_OUTBOUND_ALLOW). */
  readonly allowedRanges: readonly string[];
}

/**
 * Says whether a record can be seen by now, by everyone who is asked. A resolver that was asked too early remembers for as long as
 * the zone says, often half an hour, that there is nothing: without a resolver of the operator's choice the zone's own
 * servers are asked, which remember nothing. Never rejects for what the DNS does.
 */
export function createVisibility(options: VisibilityOptions): (record: TxtRecord) => Promise<boolean> {
  const perspectives = createPerspectives(options.resolvers);
  const isAllowed = allowedRanges(options.allowedRanges);
  const [system] = perspectives;
  const search = { isAllowed: (address: string) => isPublicAddress(address) || isAllowed(address), port: 53 };
  return async (record) => {
    if (options.resolvers.length === 0 && system !== undefined) {
      const seen = await isTxtAtAuthorities(record, { ...search, base: system });
      if (seen !== undefined) return seen;
    }
    return isTxtVisible(record, perspectives);
  };
}

const lookMs = 8000;

/** Whether every resolver sees the record now, after CNAMEs. One that fails does not see it. */
export async function isTxtVisible(
  { name, value }: TxtRecord,
  perspectives: readonly Perspective[],
  signal: AbortSignal = AbortSignal.timeout(lookMs),
): Promise<boolean> {
  const sights = await Promise.all(
    perspectives.map(async (perspective) => (await unlessFailed(perspective.texts(name, signal)))?.includes(value)),
  );
  return sights.length > 0 && sights.every((isSeen) => isSeen === true);
}

async function unlessFailed<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work;
  } catch (thrown) {
    if (thrown instanceof DnsError) return undefined;
    throw thrown;
  }
}

export interface AuthoritySearch {
  /** Finds the servers of zones. */
  readonly base: Perspective;
  readonly isAllowed: (address: string) => boolean;
  /** Where DNS servers listen: 53. */
  readonly port: number;
}

const maxAliases = 8;
const maxServers = 4;

/** Whether all servers of the zone that answer have the record; undefined where none can be asked. CNAMEs are followed. */
export async function isTxtAtAuthorities(
  { name, value }: TxtRecord,
  search: AuthoritySearch,
  signal: AbortSignal = AbortSignal.timeout(lookMs),
): Promise<boolean | undefined> {
  let at = name;
  for (let aliases = 0; aliases <= maxAliases; aliases += 1) {
    const servers = (await unlessFailed(serversInChargeOf(at, search, signal))) ?? [];
    const asked = await Promise.all(servers.map((server) => unlessFailed(askAuthority(server, at, signal))));
    const answers = asked.filter((answer) => answer !== undefined);
    const [first] = answers;
    if (first === undefined) return undefined;
    if (first.alias === undefined) return answers.every(({ texts }) => texts.includes(value));
    at = first.alias;
  }
  return false;
}

/** The servers of the zone that is nearest above a name, as far as they may be asked. */
async function serversInChargeOf(name: string, search: AuthoritySearch, signal: AbortSignal): Promise<DnsServer[]> {
  const { base, isAllowed, port } = search;
  // What has one label is no zone of ours: its servers would say that a name of an inner zone does not exist.
  for (let at = name; at.includes('.'); at = parentName(at)) {
    const names = await base.nameServers(at, signal);
    if (names.length === 0) continue;
    const found = await Promise.all(
      names.slice(0, maxServers).map(async (each) => (await unlessFailed(base.addresses(each, signal))) ?? []),
    );
    // One address of each: IPv4 where there is one, which more machines can reach.
    const chosen = found.map((addresses) => addresses.filter(isAllowed).at(-1));
    return chosen.filter((host) => host !== undefined).map((host) => ({ host, port }));
  }
  return [];
}
