import type { Engine } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { PolicyBook } from '#policy/book.ts';
import type { PrincipalRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';

export interface AuthDeps {
  readonly store: Store;
  readonly policies: PolicyBook;
  /** Tables of the engines that have a column `namespace`; a namespace with rows in one of them cannot be deleted. */
  readonly namespacedTables: Engine['namespacedTables'];
}

/** Throws `not_found`, for a principal of another namespace as for none. */
export async function findPrincipal(store: Store, namespace: string, name: string): Promise<PrincipalRow> {
  const row = await store.first<PrincipalRow>('SELECT * FROM principals WHERE namespace = ? AND name = ?', [
    namespace,
    name,
  ]);
  if (row !== undefined) return row;
  throw new AppError('not_found', `There is no principal ${name} in this namespace.`, {
    hint: 'auth.list_principals lists them.',
  });
}
