import { formatGeneralName } from '#pki/x509/general-name.ts';
import { formatName, isWithinName } from '#pki/x509/name.ts';
import type { GeneralSubtree, NameConstraints } from '#pki/x509/name-extensions.ts';
import type { Budget } from './budget.ts';
import { type ConstrainedName, constrainedNames, isHostName, unquoteLocalPart } from './constrained-name.ts';
import { type Finding, finding, type LocatedFinding, type Profile } from './finding.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/**
 * Name constraints (RFC 5280 §4.2.1.10, §6.1.3 (b) and (c), §6.1.4 (g)). The intersection and union of §6.1.4 are not
 * formed: to be within the intersection of permitted subtrees is to be within those of every certificate, so each one is
 * asked by itself, and the path can be judged while it grows from the leaf upwards.
 */

const section = 'RFC 5280 §4.2.1.10';

/** What the constraints of `issuer` say against the certificates below it; `below[0]` is the leaf. */
export function constraintFindings(
  issuer: ParsedCertificate,
  below: readonly ParsedCertificate[],
  budget: Budget,
): LocatedFinding[] {
  const constraints = issuer.value('name_constraints');
  if (constraints === undefined) return [];
  const { permitted, excluded } = groupOf(constraints);
  const findings: LocatedFinding[] = [];
  for (const [index, parsed] of below.entries()) {
    if (parsed.selfIssued && index > 0) continue;
    for (const name of constrainedNames(parsed)) {
      const kind = kindOf(name);
      const [allowed, forbidden] = [permitted.get(kind) ?? [], excluded.get(kind) ?? []];
      if (!budget.take('nameComparisons', 1 + allowed.length + forbidden.length)) return findings;
      const found = judge(name, allowed, forbidden);
      if (found !== undefined) findings.push({ ...found, index });
    }
  }
  return findings;
}

/** A subtree in the form in which names are compared with it. */
interface Subtree {
  readonly base: GeneralSubtree['base'];
  /** Of host names, URIs and mailboxes: the host in lower case. */
  readonly host: string;
  /** Of one mailbox: its local part, without quotes. */
  readonly local: string | undefined;
  readonly isMailbox: boolean;
}

type Subtrees = readonly Subtree[];
type SubtreesByKind = ReadonlyMap<string, Subtrees>;

const groups = new WeakMap<NameConstraints, { permitted: SubtreesByKind; excluded: SubtreesByKind }>();

function groupOf(constraints: NameConstraints): { permitted: SubtreesByKind; excluded: SubtreesByKind } {
  let group = groups.get(constraints);
  if (group === undefined) {
    group = { permitted: groupByKind(constraints.permitted), excluded: groupByKind(constraints.excluded) };
    groups.set(constraints, group);
  }
  return group;
}

function groupByKind(subtrees: readonly GeneralSubtree[] = []): SubtreesByKind {
  return Map.groupBy(subtrees.map(prepare), ({ base }) => (base.kind === 'other' ? `other ${base.typeId}` : base.kind));
}

function prepare({ base }: GeneralSubtree): Subtree {
  const text = base.kind === 'dns' || base.kind === 'uri' || base.kind === 'email' ? base.value : '';
  const at = base.kind === 'email' ? text.lastIndexOf('@') : -1;
  const local = at === -1 ? undefined : unquoteLocalPart(text.slice(0, at));
  return { base, host: text.slice(at + 1).toLowerCase(), local, isMailbox: at !== -1 };
}

function kindOf(name: ConstrainedName): string {
  return name.kind === 'other' ? `other ${name.value}` : name.kind;
}

function judge(name: ConstrainedName, permitted: Subtrees, excluded: Subtrees): Finding | undefined {
  if (permitted.length === 0 && excluded.length === 0) return undefined;
  if (!isComparable(name))
    return finding(
      'name_constraint_unsupported',
      `the name ${describe(name)} under a constraint on its kind`,
      'names that the constraint can be compared with',
      section,
      'Have it reissued without this name, or without a constraint on its kind.',
    );
  if (excluded.some((subtree) => isWithin(name, subtree, 'possible')))
    return against('name_excluded', name, 'outside the excluded', excluded);
  if (permitted.length > 0 && !permitted.some((subtree) => isWithin(name, subtree, 'certain')))
    return against('name_not_permitted', name, 'within the permitted', permitted);
  return undefined;
}

const shownSubtrees = 5;

function against(
  code: 'name_excluded' | 'name_not_permitted',
  name: ConstrainedName,
  side: string,
  subtrees: Subtrees,
): Finding {
  const shown = subtrees.slice(0, shownSubtrees);
  const list = shown.map(({ base }) => describeSubtree(base)).join(', ');
  const rest = subtrees.length > shownSubtrees ? ` and ${subtrees.length - shownSubtrees} more` : '';
  const fix = 'Use an authority whose name constraints allow the name, or leave the name out.';
  return finding(code, `the name ${describe(name)}`, `a name ${side} ${list}${rest}`, section, fix);
}

function describe(name: ConstrainedName): string {
  const text = name.kind === 'directory' ? `directory:${formatName(name.name)}` : `${name.kind}:${name.value}`;
  return shorten(text);
}

function describeSubtree(base: GeneralSubtree['base']): string {
  return shorten(base.kind === 'ip' ? `ip:${base.value}` : formatGeneralName(base));
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** What cannot be compared must be refused (§4.2.1.10), be it for its kind or for its form. */
function isComparable(name: ConstrainedName): boolean {
  switch (name.kind) {
    case 'dns':
      return name.isSound;
    case 'uri':
      return name.host !== undefined;
    case 'email':
      return name.local !== undefined;
    case 'ip':
    case 'directory':
      return true;
    default:
      return false;
  }
}

/** `certain`: all that the name stands for lies within. `possible`: something of it may (wildcards). */
type Extent = 'certain' | 'possible';

function isWithin(name: ConstrainedName, { base, host, local, isMailbox }: Subtree, extent: Extent): boolean {
  switch (name.kind) {
    case 'dns':
      return isWithinDns(name, host, extent);
    case 'ip':
      return base.kind === 'ip' && isWithinRange(name.bytes, base.bytes, base.prefix);
    case 'uri':
      return isWithinHost(name.host ?? '', host);
    case 'email':
      return isMailbox ? name.local === local && name.host === host : isWithinHost(name.host, host);
    case 'directory':
      return base.kind === 'directory' && isWithinName(base.name, name.name);
    default:
      return false;
  }
}

function isWithinDns(name: { value: string; wildcard: boolean }, base: string, extent: Extent): boolean {
  if (base === '') return true;
  const [domain, parents] = base.startsWith('.') ? [undefined, base] : [base, `.${base}`];
  if (name.value === domain || name.value.endsWith(parents)) return true;
  if (!name.wildcard || extent === 'certain') return false;
  // *.example.com stands for one more label, and that may be the first of the subtree (CVE-2025-61727).
  const suffix = name.value.slice(1);
  return base.endsWith(suffix) && !base.slice(0, -suffix.length).replace(/^\./, '').includes('.');
}

function isWithinRange(address: Uint8Array, base: Uint8Array, prefix: number): boolean {
  if (address.length !== base.length) return false;
  for (let bit = 0; bit < prefix; bit += 8) {
    const mask = prefix - bit >= 8 ? 0xff : (0xff00 >> (prefix - bit)) & 0xff;
    if ((((address[bit >> 3] ?? 0) ^ (base[bit >> 3] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** A host, or with a dot in front every host below it; of mailboxes those of such a host. */
function isWithinHost(host: string, base: string): boolean {
  if (base === '') return true;
  return base.startsWith('.') ? host.endsWith(base) : host === base;
}

/** What is wrong with the constraints themselves. */
export function constraintSyntaxFindings(parsed: ParsedCertificate, profile: Profile): Finding[] {
  const constraints = parsed.value('name_constraints');
  if (constraints === undefined) return [];
  const subtrees = [...(constraints.permitted ?? []), ...(constraints.excluded ?? [])];
  const problems = subtrees.flatMap((subtree) => subtreeProblem(subtree, profile) ?? []);
  if (subtrees.length === 0) problems.push('no subtree at all');
  const fix = 'Have the authority certified with sound constraints.';
  return problems
    .slice(0, shownSubtrees)
    .map((found) => finding('name_constraint_malformed', found, 'subtrees as the section says', section, fix));
}

function subtreeProblem({ base, minimum, maximum }: GeneralSubtree, profile: Profile): string | undefined {
  if (minimum !== 0 || maximum !== undefined) return `a subtree with the distances ${minimum} to ${maximum ?? 'any'}`;
  if (base.kind !== 'dns' && base.kind !== 'email' && base.kind !== 'uri') return undefined;
  return isSoundBase(base.kind, base.value.toLowerCase(), profile) ? undefined : `the base ${describeSubtree(base)}`;
}

function isSoundBase(kind: 'dns' | 'email' | 'uri', text: string, profile: Profile): boolean {
  if (text === '') return true;
  // Only e-mail and URI constraints know the dot in front; many write it for DNS as well, and mean what is below.
  const mayStartWithDot = kind !== 'dns' || profile === 'rfc5280';
  if (mayStartWithDot && text.startsWith('.')) return isHostName(text.slice(1));
  if (kind !== 'email' || !text.includes('@')) return isHostName(text);
  const at = text.lastIndexOf('@');
  return unquoteLocalPart(text.slice(0, at)) !== undefined && isHostName(text.slice(at + 1));
}
