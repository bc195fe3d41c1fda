import { type Identifier, kindTitles } from './identifier/identifier.ts';
import { shown } from './identifier/malformed.ts';
import type { CompiledRole } from './role-compile.ts';
import type { Refusal, Rule } from './ruling.ts';

/** The sentences that tell why a role refuses a name, and what it allows. Made only when something is refused. */

const mostListed = 10;

/** The first ten, and how many there are beyond. */
export function listed(values: readonly string[]): string {
  const head = values.slice(0, mostListed).join(', ');
  return values.length > mostListed ? `${head} and ${values.length - mostListed} more` : head;
}

/** Why the role refuses a well-formed name. */
export function nameRefusal(role: CompiledRole, rule: Rule, name: Identifier, at: string): Refusal {
  const found = shown(name.value);
  const allowed = allowedNames(role, name.kind);
  const title = role.role.name;
  const message = `${kindTitles[name.kind]} ${found} ${reason(rule, title)}; role ${title} allows ${allowed}.`;
  return { rule, at, found, allowed, message };
}

function reason(rule: Rule, role: string): string {
  switch (rule) {
    case 'allow_subdomains':
      return `is below a listed domain, and allow_subdomains of role ${role} is off`;
    case 'allow_bare_domains':
      return `is a listed domain itself, and allow_bare_domains of role ${role} is off`;
    case 'allow_wildcards':
      return `is a wildcard, and allow_wildcards of role ${role} is off`;
    default:
      return `is not covered by ${rule} of role ${role}`;
  }
}

/** What the role allows for names of a kind, for people. */
export function allowedNames(role: CompiledRole, kind: Identifier['kind']): string {
  switch (kind) {
    case 'dns':
      return allowedDnsNames(role);
    case 'ip':
      return listed(role.role.allowed_ip_ranges) || 'no IP addresses';
    case 'uri':
      return listed(role.role.allowed_uris) || 'no URIs';
    default:
      return listed(role.role.allowed_emails) || 'no e-mail addresses';
  }
}

function allowedDnsNames(role: CompiledRole): string {
  const { allowed_domains, allow_bare_domains: bare, allow_subdomains, allow_wildcards } = role.role;
  const domains = listed(allowed_domains);
  const them = bare ? (allowed_domains.length === 1 ? 'it' : 'them') : domains;
  const kinds = [
    ...(bare ? [domains] : []),
    ...(allow_subdomains ? [`names below ${them}`] : []),
    ...(allow_wildcards ? [`wildcards directly below ${allow_subdomains ? 'all of these' : them}`] : []),
  ];
  return allowed_domains.length === 0 || kinds.length === 0 ? 'no DNS names' : joined(kinds);
}

/** `a`, `a and b`, `a, b, and c`: the items may hold commas themselves. */
function joined(items: readonly string[]): string {
  if (items.length < 3) return items.join(' and ');
  return `${items.slice(0, -1).join(', ')}, and ${items.at(-1)}`;
}
