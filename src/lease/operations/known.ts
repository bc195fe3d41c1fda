import { AppError } from '#core/errors.ts';
import { didYouMean } from '#core/suggest.ts';
import type { LeaseDeps } from '#lease/deps.ts';
import type { LeaseTables } from '#lease/tables.ts';
import { filterNames } from './filter.ts';

type FilterName = (typeof filterNames)[number];
export type Filter = { readonly [Name in FilterName]?: string | undefined };

/**
 * Nothing matches a filter: then what it names must at least exist, since whoever mistypes a name and is told that
 * nothing lives believes that something was ended. Throws `not_found` with the nearest names.
 */
export async function requireKnown(deps: LeaseDeps, namespace: string, filter: Filter): Promise<void> {
  for (const field of filterNames) {
    const value = filter[field];
    if (value === undefined || (await hasLeases(deps, namespace, field, value))) continue;
    const names = await namesOf(deps, namespace, field);
    if (names.includes(value)) continue;
    const near = didYouMean(value, names) ?? (names[0] === undefined ? undefined : `one that exists is ${names[0]}.`);
    const sentence = `There is no ${field} ${value}, and no lease of it: nothing was ended.`;
    throw new AppError('not_found', sentence, near === undefined ? {} : { hint: capital(near) });
  }
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

async function hasLeases({ store }: LeaseDeps, namespace: string, field: FilterName, value: string): Promise<boolean> {
  const row = await store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .select('id')
    .where('namespace', '=', namespace)
    .where(field, '=', value)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

async function namesOf(
  { store, engines }: LeaseDeps,
  namespace: string,
  field: FilterName,
): Promise<readonly string[]> {
  switch (field) {
    case 'engine':
      return [...engines.keys()];
    case 'principal': {
      const sql = 'SELECT name FROM principals WHERE namespace = ? ORDER BY name LIMIT 1000';
      return (await store.all<{ name: string }>(sql, [namespace])).map(({ name }) => name);
    }
    case 'role':
    case 'target':
      return (await Promise.all([...engines.values()].map((engine) => engine.resources(namespace, field)))).flat();
  }
}
