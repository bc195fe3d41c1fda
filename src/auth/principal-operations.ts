import { z } from 'zod';
import { type Change, insert, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { assertMayGive, isAdministrator } from '#policy/granting.ts';
import { pageByName } from '#storage/page-by-name.ts';
import type { CoreTables, PrincipalRow } from '#storage/core-tables.ts';
import { findWitness, inLockOrder, isAdministratorRow, witnessGuards } from './administrators.ts';
import { type AuthDeps, findPrincipal } from './deps.ts';
import { claimPolicies } from './policy-claims.ts';
import { description, policyNames, principalKind, principalName, principalView, showPrincipal } from './views.ts';

const resource = ({ name }: { name: string }) => `principals/${name}`;

export const createPrincipal = defineOperation({
  id: 'auth.create_principal',
  title: 'Create a principal',
  summary:
    'Makes a human, service or agent that can hold keys. It may do what its policies allow, and nothing without one. Nobody but an administrator can give policies that they do not hold themselves.',
  input: z.strictObject({
    name: principalName,
    kind: principalKind,
    description: description.default(''),
    policies: policyNames.default([]),
  }),
  output: principalView,
  http: { method: 'POST', path: '/principals', status: 201 },
  resource,
  effect: 'additive',
  async run(grant, input, { store, policies }: AuthDeps) {
    await assertMayGive(policies, grant.principal, input.policies);
    const claims = await claimPolicies(store, grant.namespace, input.policies);
    const row: PrincipalRow = {
      id: newId('prn', grant.now),
      namespace: grant.namespace,
      name: input.name,
      kind: input.kind,
      description: input.description,
      policies: JSON.stringify(input.policies),
      disabled: 0,
      created_at: grant.now,
    };
    const taken = () => new AppError('already_exists', `There is a principal ${input.name} already.`);
    return {
      output: showPrincipal(row),
      changes: [...claims, insert('principals', { ...row }, taken)],
      audit: { policies: input.policies.join(' ') },
    };
  },
});

export const listPrincipals = defineOperation({
  id: 'auth.list_principals',
  title: 'List principals',
  summary: 'Lists the principals of the namespace by name.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ principals: z.array(principalView).describe('By name'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/principals' },
  resource: () => 'principals',
  effect: 'read',
  async run(grant, paging, { store }: AuthDeps) {
    const query = store
      .tables<CoreTables>()
      .selectFrom('principals')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    const page = await pageByName(query, paging);
    return { output: { principals: page.items.map(showPrincipal), next_cursor: page.next_cursor } };
  },
});

export const getPrincipal = defineOperation({
  id: 'auth.get_principal',
  title: 'Show a principal',
  summary: 'Shows one principal and its policies.',
  input: z.strictObject({ name: principalName }),
  output: principalView,
  http: { method: 'GET', path: '/principals/{name}' },
  resource,
  effect: 'read',
  run: async (grant, { name }, { store }: AuthDeps) => ({
    output: showPrincipal(await findPrincipal(store, grant.namespace, name)),
  }),
});

const changes = {
  policies: policyNames.optional(),
  disabled: z.boolean().optional().describe('True stops all its keys and tokens at once; false lets them work again'),
  description: description.optional(),
};

export const updatePrincipal = defineOperation({
  id: 'auth.update_principal',
  title: 'Change a principal',
  summary:
    'Changes policies or description of a principal, or disables and enables it. The last administrator of a namespace can neither be disabled nor lose its policy.',
  input: z
    .strictObject({ name: principalName, ...changes })
    .refine((input) => Object.keys(changes).some((field) => field in input), 'give at least one field to change'),
  output: principalView,
  http: { method: 'PATCH', path: '/principals/{name}' },
  resource,
  effect: 'mutating',
  idempotent: true,
  async run(grant, input, deps: AuthDeps) {
    const row = await findPrincipal(deps.store, grant.namespace, input.name);
    const held = JSON.parse(row.policies) as string[];
    const next: PrincipalRow = {
      ...row,
      description: input.description ?? row.description,
      policies: input.policies === undefined ? row.policies : JSON.stringify(input.policies),
      disabled: input.disabled === undefined ? row.disabled : Number(input.disabled),
    };
    await assertMayChange(grant, row, next, deps);
    const added = (input.policies ?? []).filter((policy) => !held.includes(policy));
    const write = update(
      'principals',
      { description: next.description, policies: next.policies, disabled: next.disabled },
      { id: row.id, namespace: grant.namespace, policies: row.policies, disabled: row.disabled },
      { expect: 1 },
    );
    return {
      output: showPrincipal(next),
      changes: [
        ...(await claimPolicies(deps.store, grant.namespace, added)),
        ...inLockOrder([write, ...(await keepAdministrator(grant, row, next, deps))]),
      ],
      audit: { policies: (JSON.parse(next.policies) as string[]).join(' '), disabled: next.disabled !== 0 },
    };
  },
});

/** Taking away is free to whom the policy lets; changing what somebody may do is giving (granting.ts). */
async function assertMayChange(grant: Grant, row: PrincipalRow, next: PrincipalRow, deps: AuthDeps): Promise<void> {
  const enables = row.disabled !== 0 && next.disabled === 0;
  if (next.policies === row.policies && !enables) return;
  if (row.id === grant.principal.id && !isAdministrator(grant.principal)) {
    throw new AppError('denied', 'Nobody but an administrator changes their own policies.', {
      hint: 'Ask an administrator of the namespace.',
    });
  }
  const [held, given] = [row, next].map(({ policies }) => JSON.parse(policies) as string[]);
  await assertMayGive(deps.policies, grant.principal, given ?? [], held);
}

async function keepAdministrator(
  grant: Grant,
  row: PrincipalRow,
  next: PrincipalRow | undefined,
  { store }: AuthDeps,
): Promise<Change[]> {
  if (!isAdministratorRow(row) || (next !== undefined && isAdministratorRow(next))) return [];
  const leaving = { namespace: grant.namespace, now: grant.now, principalId: row.id };
  return witnessGuards(grant.namespace, await findWitness(store, leaving));
}

export const deletePrincipal = defineOperation({
  id: 'auth.delete_principal',
  title: 'Delete a principal',
  summary:
    'Deletes a principal with all its keys and tokens, which stop working at once. What it was issued stays valid. The last administrator of a namespace cannot be deleted.',
  input: z.strictObject({ name: principalName }),
  output: z.strictObject({ name: z.string().describe('The principal that is gone') }),
  http: { method: 'DELETE', path: '/principals/{name}' },
  resource,
  effect: 'destructive',
  async run(grant, { name }, deps: AuthDeps) {
    const row = await findPrincipal(deps.store, grant.namespace, name);
    const { id, policies, disabled } = row;
    const gone = remove('principals', { id, namespace: grant.namespace, policies, disabled }, { expect: 1 });
    return {
      output: { name },
      changes: [
        ...inLockOrder([gone, ...(await keepAdministrator(grant, row, undefined, deps))]),
        remove('credentials', { namespace: grant.namespace, principal_id: id }),
      ],
    };
  },
});

export const principalOperations = [createPrincipal, listPrincipals, getPrincipal, updatePrincipal, deletePrincipal];
