import type { KeyType } from '#pki/x509/algorithm.ts';
import { type CommonNames, compileCommonNames } from './common-names.ts';
import { type IpRange, parseIpRange } from './identifier/ip-address.ts';
import { compileNameConstraints, type NameAttribute, type NameConstraints } from './identifier/name-constraints.ts';
import { parseUriPattern, type UriPattern } from './identifier/uri-pattern.ts';
import { extendedKeyUsageOids, keyUsagesFor, type LeafKeyUsage } from './key-purpose.ts';
import type { Role } from './role-schema.ts';
import type { AuthorityFacts } from './ruling.ts';

/** A role made ready for judging: lists as sets, patterns parsed, all that is the same for every certificate built. */
export interface CompiledRole {
  readonly role: Role;
  readonly domains: ReadonlySet<string>;
  readonly ranges: readonly IpRange[];
  readonly uris: readonly UriPattern[];
  readonly mailboxes: ReadonlySet<string>;
  readonly mailHosts: ReadonlySet<string>;
  readonly commonNames: CommonNames;
  /** Key usages by accepted key type. */
  readonly keyUsages: ReadonlyMap<KeyType, readonly LeafKeyUsage[]>;
  /** Made when nothing is asked. */
  readonly defaultKeyType: KeyType;
  /** OIDs. */
  readonly extendedKeyUsages: readonly string[];
  readonly policyOids: readonly string[];
  /** Whether clients will look for a host name or address in the certificate. */
  readonly serverAuth: boolean;
  readonly timeStamping: boolean;
  /** Attributes before the common name. */
  readonly subject: readonly NameAttribute[];
  /** Seconds. */
  readonly defaultTtl: number;
}

/** The facts of an authority with its chain's name constraints compiled. */
export interface CompiledAuthority {
  readonly facts: AuthorityFacts;
  readonly constraints: NameConstraints | null;
}

/** Seconds; safe default of step-ca and of this project: a day. */
const defaultTtl = 86_400;

/** Reserved certificate policy "domain-validated" (Baseline Requirements §7.1.6.1). */
const domainValidated = '2.23.140.1.2.1';

/** Compiles a role that `roleSchema` has parsed. Do this once per version of the role and keep it. */
export function compileRole(role: Role): CompiledRole {
  const [defaultKeyType] = role.key_types;
  if (defaultKeyType === undefined) throw new TypeError('a role has at least one key type');
  return {
    role,
    domains: new Set(role.allowed_domains),
    ranges: role.allowed_ip_ranges.map(parseIpRange).filter((range) => range.kind === 'range'),
    uris: role.allowed_uris.map(parseUriPattern).filter((pattern) => pattern.kind === 'pattern'),
    mailboxes: new Set(role.allowed_emails.filter((entry) => !entry.startsWith('@'))),
    mailHosts: new Set(role.allowed_emails.filter((entry) => entry.startsWith('@')).map((entry) => entry.slice(1))),
    commonNames: compileCommonNames(role.allowed_common_names),
    keyUsages: new Map(role.key_types.map((type) => [type, keyUsagesFor(type, role.key_usages)])),
    defaultKeyType,
    extendedKeyUsages: role.extended_key_usages.map(extendedKeyUsageOid),
    policyOids: role.web_pki ? [...new Set([domainValidated, ...role.policy_oids])] : role.policy_oids,
    serverAuth: role.extended_key_usages.includes('server_auth'),
    timeStamping: role.extended_key_usages.includes('time_stamping'),
    subject: fixedSubject(role),
    defaultTtl: role.default_ttl ?? Math.min(defaultTtl, role.max_ttl),
  };
}

/** Compiles what is known of an authority. Do this once per state of the authority and keep it. */
export function compileAuthority(facts: AuthorityFacts): CompiledAuthority {
  return { facts, constraints: compileNameConstraints(facts.nameConstraints) };
}

function extendedKeyUsageOid(usage: string): string {
  return Object.hasOwn(extendedKeyUsageOids, usage)
    ? extendedKeyUsageOids[usage as keyof typeof extendedKeyUsageOids]
    : usage;
}

function fixedSubject(role: Role): NameAttribute[] {
  const order = ['country', 'province', 'locality', 'organization', 'organizational_unit'] as const;
  return order.flatMap((type) => {
    const value = role[type];
    return value === undefined ? [] : [{ type, value }];
  });
}
