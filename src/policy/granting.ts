import { AppError } from '#core/errors.ts';
import type { Principal } from '#core/principal.ts';
import type { PolicyBook } from './book.ts';
import { administrator } from './built-in.ts';

/**
 * Nobody can give what they do not have. Making principals, keys and policies is a right like an administrator's; the
 * rules of a policy say who may try it, and these checks bound what can come of it:
 *
 * - A narrowed token gives nothing: what it made would not be narrowed.
 * - An administrator may give everything in its namespace.
 * - Everybody else may give the policies that they hold themselves, and must give with them every one of theirs that
 *   denies something; so what is given allows no more than the giver has.
 * - Nobody else changes a policy that speaks for themselves, nor their own policies.
 */

export function isAdministrator(caller: Principal): boolean {
  return caller.narrowings.length === 0 && caller.policies.includes(administrator);
}

/**
 * Throws `denied` unless the caller may make or control somebody who holds `policies`. Those that are `replaced` by
 * them must be the caller's too: taking away a policy that denies would widen.
 */
export async function assertMayGive(
  book: PolicyBook,
  caller: Principal,
  policies: readonly string[],
  replaced: readonly string[] = [],
): Promise<void> {
  assertNotNarrowed(caller);
  if (isAdministrator(caller)) return;
  const foreign = [...new Set([...policies, ...replaced])].filter((policy) => !caller.policies.includes(policy));
  if (foreign.length > 0) {
    throw new AppError('denied', `${caller.name} does not hold the policies ${foreign.join(', ')} itself.`, {
      hint: 'Only an administrator gives policies, or keys of principals with policies, that it does not hold itself.',
    });
  }
  for (const name of caller.policies) {
    if (policies.includes(name) || !(await forbids(book, caller.namespace, name))) continue;
    throw new AppError(
      'denied',
      `The policy ${name} denies something to ${caller.name} and would not bind the other.`,
      {
        hint: `Give ${name} as well, or ask an administrator.`,
      },
    );
  }
}

/** Throws `denied` unless the caller may write the policy of this name. */
export function assertMayWritePolicy(caller: Principal, name: string): void {
  assertNotNarrowed(caller);
  if (isAdministrator(caller) || !caller.policies.includes(name)) return;
  throw new AppError('denied', `The policy ${name} speaks for ${caller.name} itself.`, {
    hint: 'Only an administrator changes a policy that it holds.',
  });
}

export function assertNotNarrowed(caller: Principal): void {
  if (caller.narrowings.length === 0) return;
  throw new AppError('denied', 'A narrowed token cannot make principals, keys, policies or namespaces.', {
    hint: 'What it made would not be narrowed; use the key that the token came from, or a principal with policies of its own.',
  });
}

/** A policy that does not exist forbids as well: authorization denies everything to its holder. */
async function forbids(book: PolicyBook, namespace: string, name: string): Promise<boolean> {
  return (await book.find(namespace, name))?.denies ?? true;
}
