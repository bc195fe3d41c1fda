import type { NameAttribute } from './identifier/name-constraints.ts';
import type { Certificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import type { GeneralSubtree } from '#pki/x509/name-extensions.ts';
import type { Authority } from './directory.ts';
import type { ChainConstraints, NameSubtrees } from './identifier/name-constraints.ts';
import { type CompiledAuthority, compileAuthority } from './role-compile.ts';
import type { AuthorityFacts } from './ruling.ts';

/** What the rules of issuance need to know of an authority, read from the certificates of its chain. */

const compiled = new WeakMap<Authority, CompiledAuthority>();

/** Compiled once for each state of the authority. */
export function compileFacts(authority: Authority): CompiledAuthority {
  const known = compiled.get(authority);
  if (known) return known;
  const made = compileAuthority(factsOf(authority));
  compiled.set(authority, made);
  return made;
}

const anyExtendedKeyUsage = '2.5.29.37.0';

function factsOf({ row, active }: Authority): AuthorityFacts {
  const chain = active?.chain ?? [];
  const usages = chain.flatMap(({ extensions }) => {
    const listed = extensionValue(extensions, 'extended_key_usage');
    return listed === undefined || listed.includes(anyExtendedKeyUsage) ? [] : [new Set(listed)];
  });
  const [first, ...others] = usages;
  return {
    name: row.name,
    active: active?.certificate !== undefined,
    notBefore: Math.max(0, ...chain.map((certificate) => certificate.notBefore)),
    // Without a chain it is not active, which refuses everything; it bounds no life beside that.
    notAfter: Math.min(...chain.map((certificate) => certificate.notAfter)),
    nameConstraints: chain.flatMap(constraintsOf),
    extendedKeyUsages: first && [...first].filter((usage) => others.every((other) => other.has(usage))),
  };
}

function constraintsOf({ extensions }: Certificate): ChainConstraints[] {
  const constraints = extensionValue(extensions, 'name_constraints');
  if (!constraints) return [];
  return [{ permitted: subtreesOf(constraints.permitted), excluded: subtreesOf(constraints.excluded) }];
}

function subtreesOf(subtrees: readonly GeneralSubtree[] | undefined): NameSubtrees | undefined {
  if (!subtrees) return undefined;
  const values = (kind: 'dns' | 'ip' | 'uri' | 'email'): readonly string[] | undefined => {
    const found = subtrees.flatMap(({ base }) => (base.kind === kind ? [base.value] : []));
    return found.length === 0 ? undefined : found;
  };
  const directory = subtrees.flatMap(({ base }) => (base.kind === 'directory' ? [attributesOf(base.name.rdns)] : []));
  return {
    dns: values('dns'),
    ip: values('ip'),
    uri: values('uri'),
    email: values('email'),
    directory: directory.length === 0 ? undefined : directory,
  };
}

function attributesOf(rdns: readonly (readonly NameAttribute[])[]): NameAttribute[] {
  return rdns.flat().map(({ type, value }) => ({ type, value }));
}
