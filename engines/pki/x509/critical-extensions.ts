import type { Extensions } from './extension.ts';

const none: readonly string[] = [];

/** Dotted identifiers of the critical extensions that are not among `understood`. */
export function unknownCritical(
  extensions: Extensions | undefined,
  understood: ReadonlySet<string>,
): readonly string[] {
  if (extensions === undefined || extensions.size === 0) return none;
  const critical = [...extensions.values()].filter((extension) => extension.critical);
  return critical.map(({ oid }) => oid).filter((oid) => !understood.has(oid));
}
