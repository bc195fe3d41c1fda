import { parseDnsName } from './dns-name.ts';
import { parseEmail } from './email.ts';
import { type Identifier, type IdentifierKind, identifierKinds, kindTitles } from './identifier.ts';
import { type IpRange, inRange, parseIpRange } from './ip-address.ts';
import { shown } from './malformed.ts';

/** One attribute of a distinguished name, as a relative distinguished name of its own. */
export interface NameAttribute {
  /** `common_name`, `organization`, … or a dotted OID. */
  readonly type: string;
  readonly value: string;
}

/** Subtrees of RFC 5280 §4.2.1.10 as text. An absent list says nothing about its kind; IP ranges are CIDR. */
export interface NameSubtrees {
  readonly dns?: readonly string[] | undefined;
  readonly ip?: readonly string[] | undefined;
  readonly uri?: readonly string[] | undefined;
  readonly email?: readonly string[] | undefined;
  readonly directory?: readonly (readonly NameAttribute[])[] | undefined;
}

/** What one certificate of the chain says. */
export interface ChainConstraints {
  readonly permitted?: NameSubtrees | undefined;
  readonly excluded?: NameSubtrees | undefined;
}

/** `certain`: every peer that the name stands for lies within. `possible`: some peer may. */
type Within = (name: Identifier, extent: 'certain' | 'possible') => boolean;

interface Subtrees {
  readonly text: string;
  readonly within: readonly Within[];
}

interface Directories {
  readonly permitted: readonly (readonly NameAttribute[])[] | undefined;
  readonly excluded: readonly (readonly NameAttribute[])[];
}

/** Compiled; one entry for each certificate of the chain that constrains the kind. */
export interface NameConstraints {
  readonly permitted: Readonly<Record<IdentifierKind, readonly Subtrees[]>>;
  readonly excluded: Readonly<Record<IdentifierKind, readonly Subtrees[]>>;
  readonly directories: readonly Directories[];
}

/** Compiles the constraints of all certificates of a chain; null when there are none. */
export function compileNameConstraints(chain: readonly ChainConstraints[]): NameConstraints | null {
  const side = (which: 'permitted' | 'excluded') => {
    const of = (kind: IdentifierKind) =>
      chain.flatMap((certificate) => {
        const texts = certificate[which]?.[kind];
        if (texts === undefined || texts.length === 0) return [];
        return [{ text: listed(texts), within: texts.map((text) => compilers[kind](text, which)) }];
      });
    return { dns: of('dns'), ip: of('ip'), uri: of('uri'), email: of('email') };
  };
  const directories = chain
    .map((one) => ({ permitted: one.permitted?.directory, excluded: one.excluded?.directory ?? [] }))
    .filter((one) => (one.permitted ?? []).length + one.excluded.length > 0);
  const [permitted, excluded] = [side('permitted'), side('excluded')];
  const some = identifierKinds.some((kind) => permitted[kind].length + excluded[kind].length > 0);
  return some || directories.length > 0 ? { permitted, excluded, directories } : null;
}

/**
 * What the chain says against a name: `is outside the permitted DNS names example.com`; undefined when nothing. Where
 * validators disagree (a wildcard beside an excluded host), the stricter reading holds.
 */
export function constraintAgainst(constraints: NameConstraints, name: Identifier): string | undefined {
  for (const { text, within } of constraints.permitted[name.kind]) {
    if (!within.some((subtree) => subtree(name, 'certain')))
      return `is outside the permitted ${plural(name.kind)} ${text}`;
  }
  for (const { text, within } of constraints.excluded[name.kind]) {
    if (within.some((subtree) => subtree(name, 'possible')))
      return `is within the excluded ${plural(name.kind)} ${text}`;
  }
  return undefined;
}

/** The same for the subject; an empty subject is never constrained (RFC 5280 §4.2.1.10). */
export function constraintAgainstSubject(
  constraints: NameConstraints,
  subject: readonly NameAttribute[],
): string | undefined {
  if (subject.length === 0) return undefined;
  for (const { permitted, excluded } of constraints.directories) {
    if (permitted !== undefined && permitted.length > 0 && !permitted.some((tree) => beginsWith(subject, tree))) {
      return 'is outside the permitted directory names';
    }
    if (excluded.some((tree) => beginsWith(subject, tree))) return 'is within the excluded directory names';
  }
  return undefined;
}

function plural(kind: IdentifierKind): string {
  return `${kindTitles[kind]}${kind === 'ip' || kind === 'email' ? 'es' : 's'}`;
}

function listed(texts: readonly string[]): string {
  const head = texts.slice(0, 10).map((text) => (/^[\w.:/@-]+$/.test(text) ? text : shown(text)));
  return head.join(', ') + (texts.length > 10 ? ` and ${texts.length - 10} more` : '');
}

const compilers: Readonly<Record<IdentifierKind, (text: string, side: 'permitted' | 'excluded') => Within>> = {
  dns: compileDns,
  ip: compileIp,
  uri: compileUri,
  email: compileEmail,
};

/** A subtree that cannot be read permits nothing and excludes everything. */
function unreadable(side: 'permitted' | 'excluded'): Within {
  return () => side === 'excluded';
}

/** The domain and everything below it; with a dot in front only what is below it; empty: every name. */
function compileDns(text: string, side: 'permitted' | 'excluded'): Within {
  if (text === '') return () => true;
  const below = text.startsWith('.');
  const domain = parseDnsName(below ? text.slice(1) : text);
  if (domain.kind === 'malformed' || domain.wildcard) return unreadable(side);
  const suffix = `.${domain.value}`;
  return (name, extent) => {
    if (name.kind !== 'dns') return false;
    if (!name.wildcard) return name.value.endsWith(suffix) || (!below && name.value === domain.value);
    const base = name.value.slice(1);
    if (base.endsWith(suffix)) return true;
    return extent === 'possible' && !below && suffix.endsWith(base) && !suffix.slice(1, -base.length).includes('.');
  };
}

function compileIp(text: string, side: 'permitted' | 'excluded'): Within {
  const range: IpRange | { kind: 'malformed' } = parseIpRange(text);
  if (range.kind === 'malformed') return unreadable(side);
  return (name) => name.kind === 'ip' && inRange(range, name);
}

/** A host, or with a dot in front every host below it. What has no host name cannot be judged, so it does not pass. */
function compileUri(text: string, side: 'permitted' | 'excluded'): Within {
  const host = compileHost(text);
  if (host === undefined) return unreadable(side);
  return (name) => {
    if (name.kind !== 'uri') return false;
    return name.host === null || name.hostIsAddress ? side === 'excluded' : host(name.host);
  };
}

/** A mailbox, a host, or with a dot in front every host below it. */
function compileEmail(text: string, side: 'permitted' | 'excluded'): Within {
  if (text.includes('@')) {
    const mailbox = parseEmail(text);
    if (mailbox.kind === 'malformed') return unreadable(side);
    const folding = mailbox.value.toLowerCase();
    return (name, extent) => {
      if (name.kind !== 'email') return false;
      return extent === 'possible' ? name.value.toLowerCase() === folding : name.value === mailbox.value;
    };
  }
  const host = compileHost(text);
  if (host === undefined) return unreadable(side);
  return (name) => name.kind === 'email' && host(name.host);
}

function compileHost(text: string): ((host: string) => boolean) | undefined {
  const below = text.startsWith('.');
  const domain = (below ? text.slice(1) : text).toLowerCase();
  if (!/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(domain)) return undefined;
  return below ? (host) => host.endsWith(`.${domain}`) : (host) => host === domain;
}

function beginsWith(subject: readonly NameAttribute[], tree: readonly NameAttribute[]): boolean {
  if (tree.length > subject.length) return false;
  return tree.every((attribute, index) => {
    const own = subject[index];
    return own !== undefined && own.type === attribute.type && folded(own.value) === folded(attribute.value);
  });
}

/** Comparison of attribute values (RFC 5280 §7.1): without regard to case and to the amount of white space. */
function folded(value: string): string {
  return value.normalize('NFKC').toLowerCase().trim().replace(/\s+/g, ' ');
}
