import { longestCommonName } from './common-names.ts';
import { type Identifier, type IdentifierKind, identifierKinds, parseIdentifier } from './identifier/identifier.ts';
import { formatIp } from './identifier/ip-address.ts';
import { shown } from './identifier/malformed.ts';
import { fillPattern } from './identifier/uri-pattern.ts';
import { parseUri } from './identifier/uri.ts';
import type { CompiledAuthority, CompiledRole } from './role-compile.ts';
import { judgeCommonName, judgeName } from './role-names.ts';
import type { AskedNames, CsrRequest, IssuanceRequest } from './ruling.ts';

/** Which of the names that were asked for can stay, in which spelling, and what to ask for when none can. */

/** The rules that judge a name. */
export interface NameRules {
  readonly role: CompiledRole;
  readonly authority: CompiledAuthority;
}

/** Names that pass, and what to do to come to them: `leave out "evil.example"`. */
export interface Repaired {
  readonly names: readonly Identifier[];
  readonly steps: readonly string[];
}

/** The name in the spelling that was meant, or as the kind that it really is, if that passes. */
function respellName(rules: NameRules, kind: IdentifierKind, text: string): Identifier | undefined {
  const { role, authority } = rules;
  const parsed = parseIdentifier(kind, text);
  if (parsed.kind !== 'malformed') return undefined;
  if (parsed.suggestion !== undefined) return judgeName(role, authority, kind, parsed.suggestion, '', []);
  return kind === 'dns' ? judgeName(role, authority, 'ip', text, '', []) : undefined;
}

/** Repairs the names of one source. */
export function repairNames(rules: NameRules, asked: AskedNames): Repaired {
  const names: Identifier[] = [];
  const steps: string[] = [];
  const repair = (kind: IdentifierKind, text: string) => {
    const passing = judgeName(rules.role, rules.authority, kind, text, '', []);
    const name = passing ?? respellName(rules, kind, text);
    if (name !== undefined) names.push(name);
    if (name === undefined) steps.push(`leave out ${shown(text)}`);
    else if (passing === undefined) {
      const among = name.kind === kind ? '' : ` among the ${fieldOf[name.kind]}`;
      steps.push(`write ${shown(text)} as ${name.value}${among}`);
    }
  };
  for (const kind of identifierKinds) for (const text of asked[kind]) repair(kind, text);
  return { names, steps };
}

/** Fields of a request by kind of name. */
export const fieldOf: Readonly<Record<IdentifierKind, string>> = {
  dns: 'dns_names',
  ip: 'ip_addresses',
  uri: 'uris',
  email: 'emails',
};

/** The common name in the spelling that passes; undefined when it must be left out. */
export function repairCommonName(rules: NameRules, text: string): string | undefined {
  const { role, authority } = rules;
  const value = judgeCommonName(role, authority, text, '', [], []);
  if (value !== undefined) return value;
  const parsed = parseIdentifier('dns', text);
  if (parsed.kind !== 'malformed' || parsed.suggestion === undefined) return undefined;
  return judgeCommonName(role, authority, parsed.suggestion, '', [], []);
}

/** Whether the CSR can be sent again as it is: its key, its names and its common name all pass. */
export function csrPasses(rules: NameRules, csr: CsrRequest): boolean {
  const { role, authority } = rules;
  const passes = (kind: IdentifierKind) => (text: string) =>
    judgeName(role, authority, kind, text, '', []) !== undefined;
  const commonNames = new Set(csr.commonNames.map((text) => judgeCommonName(role, authority, text, '', [], [])));
  return (
    keyPasses(role, csr) &&
    csr.unsupported.length === 0 &&
    commonNames.size <= 1 &&
    !commonNames.has(undefined) &&
    csr.dns.every(passes('dns')) &&
    csr.ip.every(passes('ip')) &&
    csr.uri.every(passes('uri')) &&
    csr.email.every(passes('email'))
  );
}

export function keyPasses(role: CompiledRole, csr: CsrRequest): boolean {
  return csr.weakness === undefined && csr.keyType !== null && role.keyUsages.has(csr.keyType);
}

/**
 * A name of at most `longest` characters that the role allows, as like as possible to what was asked for; undefined when
 * the role allows none.
 */
export function likelyName(rules: NameRules, request: IssuanceRequest, longest: number): Identifier | undefined {
  const candidates = rules.role.serverAuth
    ? [...likelyHosts(rules, request)]
    : [...likelyHosts(rules, request), ...likelyEmails(rules, request)];
  const asked = (kind: IdentifierKind) => request[kind].length + (request.csr?.[kind].length ?? 0) > 0;
  candidates.sort((left, right) => Number(asked(right.kind)) - Number(asked(left.kind)));
  for (const { kind, text } of candidates) {
    const name = judgeName(rules.role, rules.authority, kind, text, '', []);
    if (name !== undefined && name.value.length <= longest) return name;
  }
  return undefined;
}

interface Candidate {
  readonly kind: IdentifierKind;
  readonly text: string;
}

const mostCandidates = 20;

function likelyHosts({ role }: NameRules, request: IssuanceRequest): Candidate[] {
  const [asked] = [...request.dns, ...(request.csr?.dns ?? []), ...commonNamesOf(request)];
  const label =
    /^(?:\*\.)?([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.|$)/i.exec(asked ?? '')?.[1]?.toLowerCase() ?? 'host';
  const [uri] = [...request.uri, ...(request.csr?.uri ?? [])].map(parseUri).filter((one) => one.kind === 'uri');
  const domains = role.role.allowed_domains.slice(0, mostCandidates);
  const single = role.ranges.filter((range) => range.prefix === range.bytes.length * 8).slice(0, mostCandidates);
  const patterns = role.uris.toSorted(
    (left, right) => Number(right.origin === uri?.origin) - Number(left.origin === uri?.origin),
  );
  return [
    ...domains.map((domain): Candidate => ({ kind: 'dns', text: `${label}.${domain}` })),
    ...domains.map((domain): Candidate => ({ kind: 'dns', text: domain })),
    ...domains.map((domain): Candidate => ({ kind: 'dns', text: `host.${domain}` })),
    ...domains.map((domain): Candidate => ({ kind: 'dns', text: `*.${domain}` })),
    ...patterns
      .slice(0, mostCandidates)
      .map((pattern): Candidate => ({ kind: 'uri', text: fillPattern(pattern, uri) })),
    ...patterns
      .slice(0, mostCandidates)
      .map((pattern): Candidate => ({ kind: 'uri', text: fillPattern(pattern, undefined) })),
    ...single.map((range): Candidate => ({ kind: 'ip', text: formatIp(range.bytes) })),
  ];
}

function likelyEmails({ role }: NameRules, request: IssuanceRequest): Candidate[] {
  const [asked] = [...request.email, ...(request.csr?.email ?? [])];
  const local = asked?.split('@')[0] ?? 'name';
  return role.role.allowed_emails
    .slice(0, mostCandidates)
    .flatMap((entry): Candidate[] =>
      entry.startsWith('@')
        ? [local, 'name'].map((part) => ({ kind: 'email', text: part + entry }))
        : [{ kind: 'email', text: entry }],
    );
}

export function commonNamesOf(request: IssuanceRequest): string[] {
  return [...(request.commonName === undefined ? [] : [request.commonName]), ...(request.csr?.commonNames ?? [])];
}

/** A common name that passes beside these names, that of a host where servers use it; undefined when there is none. */
export function likelyCommonName({ role }: NameRules, names: readonly Identifier[]): string | undefined {
  const fitting = names.filter(
    (name) => name.value.length <= longestCommonName && !(role.serverAuth && name.kind === 'email'),
  );
  const name = fitting.find(({ kind }) => kind === 'dns') ?? fitting[0];
  return name?.value ?? role.commonNames.example;
}
