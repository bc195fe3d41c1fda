import { type Change, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { isBuiltIn } from '#policy/built-in.ts';
import type { Store } from '#storage/store.ts';

/**
 * The changes that hold policies in place while they are given to a principal. Each raises the version of its policy:
 * a deletion that read the version before then fails, sees the new holder on its second try, and refuses. Throws
 * `invalid_request` for names that no policy has.
 */
export async function claimPolicies(store: Store, namespace: string, names: readonly string[]): Promise<Change[]> {
  const own = names.filter((name) => !isBuiltIn(name)).sort();
  for (const name of own) await assertExists(store, namespace, name, names.indexOf(name));
  return own.map((name) => update('policies', { name }, { namespace, name }, { expect: 1, add: { version: 1 } }));
}

async function assertExists(store: Store, namespace: string, name: string, index: number): Promise<void> {
  const found = await store.first('SELECT 1 AS found FROM policies WHERE namespace = ? AND name = ?', [
    namespace,
    name,
  ]);
  if (found !== undefined) return;
  throw new AppError('invalid_request', `There is no policy ${name} in this namespace.`, {
    hint: 'policy.list_policies lists them; policy.create_policy makes one.',
    details: [{ at: `/policies/${index}`, message: 'no policy has this name' }],
  });
}
