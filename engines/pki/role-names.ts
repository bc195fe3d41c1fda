import { longestCommonName } from './common-names.ts';
import { isInternalName } from './identifier/dns-name.ts';
import {
  guessKind,
  type Identifier,
  type IdentifierKind,
  kindTitles,
  parseIdentifier,
} from './identifier/identifier.ts';
import { inRange, isReservedAddress } from './identifier/ip-address.ts';
import { shown } from './identifier/malformed.ts';
import { constraintAgainst } from './identifier/name-constraints.ts';
import { matchesUri } from './identifier/uri-pattern.ts';
import type { CompiledAuthority, CompiledRole } from './role-compile.ts';
import { nameRefusal } from './role-refusals.ts';
import type { AskedNames, CsrRequest, IssuanceRequest, Refusal, Rule } from './ruling.ts';

/** The rules about names. One function judges every name, whether a parameter, the CSR or the common name asks for it. */

export interface JudgedNames {
  /** Sorted, without duplicates; only names that passed. */
  readonly names: readonly Identifier[];
  /** Absent when none was asked for or the one that was asked for is refused. */
  readonly commonName: string | undefined;
}

/**
 * A request with more names than this is not read further: even if each of them stood in the parameters and in the CSR,
 * they would be too many. Bounds the work that a refusal costs.
 */
export function mostNames({ role }: CompiledRole): number {
  return 2 * role.max_names + 2;
}

/** Judges all names of a request together; what is wrong is added to `refusals`. */
export function judgeNames(
  role: CompiledRole,
  authority: CompiledAuthority,
  request: IssuanceRequest,
  refusals: Refusal[],
): JudgedNames {
  const asked = countAsked(request);
  if (asked > mostNames(role)) {
    refusals.push(tooMany(role, asked));
    return { names: [], commonName: undefined };
  }
  const before = refusals.length;
  const names: Identifier[] = [];
  const judge = (kind: IdentifierKind, text: string, at: string) => {
    const name = judgeName(role, authority, kind, text, at, refusals);
    if (name !== undefined) names.push(name);
  };
  judgeParameters(request, judge);
  if (request.csr !== undefined) judgeCsr(request.csr, judge, refusals);
  const commonName = judgeCommonNames(role, authority, request, names, refusals);
  const distinct = sortNames(names);
  if (distinct.length > role.role.max_names) refusals.push(tooMany(role, distinct.length));
  if (refusals.length === before) refuseNameless(role, distinct, commonName, refusals);
  return { names: distinct, commonName };
}

type Judge = (kind: IdentifierKind, text: string, at: string) => void;

/** How many names a request holds, duplicates counted. */
export function countAsked({ csr, ...parameters }: IssuanceRequest): number {
  const own = countNames(parameters) + (parameters.commonName === undefined ? 0 : 1);
  return csr === undefined ? own : own + countNames(csr) + csr.commonNames.length + csr.unsupported.length;
}

function countNames(asked: AskedNames): number {
  return asked.dns.length + asked.ip.length + asked.uri.length + asked.email.length;
}

function judgeParameters(request: IssuanceRequest, judge: Judge): void {
  for (const [index, text] of request.dns.entries()) judge('dns', text, `/dns_names/${index}`);
  for (const [index, text] of request.ip.entries()) judge('ip', text, `/ip_addresses/${index}`);
  for (const [index, text] of request.uri.entries()) judge('uri', text, `/uris/${index}`);
  for (const [index, text] of request.email.entries()) judge('email', text, `/emails/${index}`);
}

function judgeCsr(csr: CsrRequest, judge: Judge, refusals: Refusal[]): void {
  for (const text of csr.dns) judge('dns', text, '/csr');
  for (const text of csr.ip) judge('ip', text, '/csr');
  for (const text of csr.uri) judge('uri', text, '/csr');
  for (const text of csr.email) judge('email', text, '/csr');
  for (const name of csr.unsupported) {
    refusals.push({
      rule: 'name_kinds',
      at: '/csr',
      found: shown(name),
      allowed: 'DNS names, IP addresses, URIs and e-mail addresses',
      message: `The CSR asks for a name of a kind that is never issued, ${shown(name)}.`,
    });
  }
}

/**
 * The name in its one spelling if the role and the authority's chain allow it; otherwise undefined, with every rule that
 * refuses it added to `refusals`.
 */
export function judgeName(
  role: CompiledRole,
  authority: CompiledAuthority,
  kind: IdentifierKind,
  text: string,
  at: string,
  refusals: Refusal[],
): Identifier | undefined {
  const name = parseIdentifier(kind, text);
  if (name.kind === 'malformed') {
    const { problem, suggestion } = name;
    const found = shown(text);
    const meant = suggestion === undefined ? '' : `; perhaps ${suggestion} is meant`;
    const message = `${found} is not accepted as ${kindTitles[kind]}: it ${problem}${meant}.`;
    refusals.push({
      rule: 'name_syntax',
      at,
      found,
      allowed: suggestion ?? `a well-formed ${kindTitles[kind]}`,
      message,
    });
    return undefined;
  }
  const before = refusals.length;
  const rule = ruleAgainst(role, name);
  if (rule !== undefined) refusals.push(nameRefusal(role, rule, name, at));
  refuseByProfile(role, authority, name, at, refusals);
  return refusals.length === before ? name : undefined;
}

/** What refuses a name beyond the role's lists: the Baseline Requirements and the constraints of the chain. */
function refuseByProfile(
  role: CompiledRole,
  authority: CompiledAuthority,
  name: Identifier,
  at: string,
  refusals: Refusal[],
): void {
  if (role.role.web_pki && !isPublic(name)) {
    refusals.push({
      rule: 'web_pki',
      at,
      found: shown(name.value),
      allowed: 'names of the public DNS and addresses that are reachable everywhere',
      message: `${shown(name.value)} is internal, and role ${role.role.name} follows the Baseline Requirements (§4.2.2).`,
    });
  }
  const conflict = authority.constraints === null ? undefined : constraintAgainst(authority.constraints, name);
  if (conflict === undefined) return;
  refusals.push({
    rule: 'name_constraints',
    at,
    found: shown(name.value),
    allowed: 'names within the name constraints of the authority',
    message: `${shown(name.value)} ${conflict} of authority ${authority.facts.name} or of one above it.`,
  });
}

function isPublic(name: Identifier): boolean {
  if (name.kind === 'dns') return !isInternalName(name);
  return name.kind !== 'ip' || !isReservedAddress(name);
}

/** The rule of the role that refuses the name; undefined when the role allows it. */
function ruleAgainst(role: CompiledRole, name: Identifier): Rule | undefined {
  switch (name.kind) {
    case 'dns':
      return dnsRuleAgainst(role, name.value, name.wildcard);
    case 'ip':
      return role.ranges.some((range) => inRange(range, name)) ? undefined : 'allowed_ip_ranges';
    case 'uri':
      return role.uris.some((pattern) => matchesUri(pattern, name)) ? undefined : 'allowed_uris';
    default:
      return role.mailboxes.has(name.value) || role.mailHosts.has(name.host) ? undefined : 'allowed_emails';
  }
}

/**
 * A listed domain is bare; what is below it at any depth is a subdomain; `*.domain` under a listed domain needs
 * allow_wildcards, and under a subdomain allow_subdomains as well.
 */
function dnsRuleAgainst(role: CompiledRole, value: string, wildcard: boolean): Rule | undefined {
  const base = wildcard ? value.slice(2) : value;
  const listed = role.domains.has(base);
  const below = isBelow(role.domains, base);
  const { allow_bare_domains: bare, allow_subdomains: subdomains, allow_wildcards: wildcards } = role.role;
  if (!listed && !below) return 'allowed_domains';
  if (wildcard && !wildcards) return 'allow_wildcards';
  if (below && subdomains) return undefined;
  if (!listed) return 'allow_subdomains';
  return wildcard || bare ? undefined : 'allow_bare_domains';
}

function isBelow(domains: ReadonlySet<string>, name: string): boolean {
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    if (domains.has(name.slice(dot + 1))) return true;
  }
  return false;
}

/** One common name in a certificate: that of the parameters, or that of the CSR, or the same of both. */
function judgeCommonNames(
  role: CompiledRole,
  authority: CompiledAuthority,
  request: IssuanceRequest,
  names: Identifier[],
  refusals: Refusal[],
): string | undefined {
  let chosen: string | undefined;
  const consider = (text: string, at: string) => {
    const value = judgeCommonName(role, authority, text, at, names, refusals);
    chosen ??= value;
    if (value === undefined || value === chosen) return;
    const found = shown(value);
    const message = `The request has the common names ${shown(chosen ?? '')} and ${found}; a certificate has one.`;
    refusals.push({ rule: 'common_name', at, found, allowed: shown(chosen ?? ''), message });
  };
  if (request.commonName !== undefined) consider(request.commonName, '/common_name');
  for (const text of request.csr?.commonNames ?? []) consider(text, '/csr');
  const asked = request.commonName !== undefined || (request.csr?.commonNames.length ?? 0) > 0;
  if (role.role.require_common_name && !asked) {
    refusals.push({
      rule: 'require_common_name',
      at: '/common_name',
      found: 'no common name',
      allowed: 'one of the names of the certificate or of allowed_common_names',
      message: `Role ${role.role.name} requires a common name.`,
    });
  }
  return chosen;
}

/**
 * A common name is one that the role lists (common-names.ts), or it is a name like any other: judged as such, and put among the
 * names of the certificate, because nothing that checks names today looks at the common name (RFC 9525 §2).
 */
export function judgeCommonName(
  role: CompiledRole,
  authority: CompiledAuthority,
  text: string,
  at: string,
  names: Identifier[],
  refusals: Refusal[],
): string | undefined {
  const kind = guessKind(text);
  const parsed = parseIdentifier(kind, text);
  if (role.commonNames.has(text)) {
    const before = refusals.length;
    // Older software takes a common name for a host name, so the chain must allow it as one.
    if (parsed.kind === 'dns' && text.includes('.')) refuseByProfile(role, authority, parsed, at, refusals);
    return refusals.length === before ? text : undefined;
  }
  if (text.length > longestCommonName || parsed.kind === 'malformed') {
    refusals.push(commonNameRefusal(role, text, at, kind, parsed.kind === 'malformed' ? parsed.problem : undefined));
    return undefined;
  }
  const name = judgeName(role, authority, kind, text, at, refusals);
  if (name === undefined) return undefined;
  names.push(name);
  return name.value;
}

function commonNameRefusal(
  role: CompiledRole,
  text: string,
  at: string,
  kind: IdentifierKind,
  problem: string | undefined,
): Refusal {
  const found = shown(text);
  if (problem === undefined) {
    const message = `The common name ${found} has more than ${longestCommonName} characters; ask for it as a ${kindTitles[kind]} only.`;
    return { rule: 'common_name', at, found, allowed: `at most ${longestCommonName} characters`, message };
  }
  const allowed =
    role.commonNames.size === 0 ? 'a name of the certificate' : 'a name of the certificate, or one listed';
  const message = `The common name ${found} is not in allowed_common_names of role ${role.role.name}, and as a ${kindTitles[kind]} it ${problem}.`;
  return { rule: 'allowed_common_names', at, found, allowed, message };
}

const kindOrder: Readonly<Record<IdentifierKind, number>> = { dns: 0, ip: 1, uri: 2, email: 3 };

function sortNames(names: Identifier[]): readonly Identifier[] {
  if (names.length < 2) return names;
  const byValue = (left: string, right: string) => (left < right ? -1 : left > right ? 1 : 0);
  names.sort((left, right) => kindOrder[left.kind] - kindOrder[right.kind] || byValue(left.value, right.value));
  return names.filter((name, index) => name.kind !== names[index - 1]?.kind || name.value !== names[index - 1]?.value);
}

function tooMany(role: CompiledRole, count: number): Refusal {
  const allowed = `at most ${role.role.max_names}`;
  const message = `The request has ${count} names; role ${role.role.name} allows ${allowed} in one certificate.`;
  return { rule: 'max_names', at: '', found: String(count), allowed, message };
}

/** A certificate names something; one for servers names a host, because clients look at nothing else. */
function refuseNameless(
  role: CompiledRole,
  names: readonly Identifier[],
  commonName: string | undefined,
  refusals: Refusal[],
): void {
  const useful = role.serverAuth
    ? names.some((name) => name.kind !== 'email')
    : names.length > 0 || commonName !== undefined;
  if (useful) return;
  const allowed = role.serverAuth ? 'at least one DNS name, IP address or URI' : 'at least one name';
  const found = names.length === 0 ? 'no name' : 'e-mail addresses only';
  const message = `The request has ${found}; a certificate of role ${role.role.name} needs ${allowed}.`;
  refusals.push({ rule: 'names', at: '/dns_names', found, allowed, message });
}
