import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { name } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { pageByName } from '#storage/page-by-name.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { changeRole, type Role, roleChanges, roleSchema } from '#pki/role-schema.ts';
import { roleOutput, viewRole } from '#pki/role-view.ts';
import type { PkiTables } from '#pki/tables.ts';

/** Roles: what may be issued, by whom it is signed. */

const named = z.strictObject({ name: name.describe('Name of the role') });
const resource = (input: { readonly name: string }) => `pki/roles/${input.name}`;

export const createRole = defineOperation({
  id: 'pki.create_role',
  title: 'Create a role',
  summary:
    'Says what certificates may be issued under a name. The defaults are safe: P-256, no wildcard, no address, one extended key usage, 24 hours.',
  input: roleSchema,
  output: roleOutput,
  http: { method: 'POST', path: '/pki/roles', status: 201 },
  effect: 'additive',
  resource,
  async run(grant, role, deps: PkiDeps) {
    grant.reach(`pki/authorities/${role.authority}`);
    await deps.directory.requireAuthority(grant.namespace, role.authority);
    const row = {
      namespace: grant.namespace,
      name: role.name,
      authority: role.authority,
      definition: JSON.stringify(role),
      version: 1,
      created_at: grant.now,
      updated_at: grant.now,
    };
    const taken = () =>
      new AppError('already_exists', `There is a role ${role.name} already.`, {
        hint: 'Change it with pki.update_role, or choose another name.',
      });
    return { output: viewRole(role), changes: [insert('pki_roles', row, taken)] };
  },
});

export const getRole = defineOperation({
  id: 'pki.get_role',
  title: 'Get a role',
  summary: 'Shows what a role allows.',
  input: named,
  output: roleOutput,
  http: { method: 'GET', path: '/pki/roles/{name}' },
  effect: 'read',
  resource,
  async run(grant, input, deps: PkiDeps) {
    return { output: viewRole((await storedRole(deps, grant, input.name)).role) };
  },
});

export const listRoles = defineOperation({
  id: 'pki.list_roles',
  title: 'List roles',
  summary: 'Lists the roles by name.',
  input: z.strictObject({ authority: name.optional().describe('Only roles of this authority'), ...pageInput }),
  output: z.strictObject({ roles: z.array(roleOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/pki/roles' },
  cli: { columns: ['name', 'authority', 'allowed_domains', 'key_types', 'default_ttl', 'max_ttl'] },
  effect: 'read',
  resource: () => 'pki/roles',
  async run(grant, input, deps: PkiDeps) {
    let query = deps.store
      .tables<PkiTables>()
      .selectFrom('pki_roles')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    if (input.authority !== undefined) query = query.where('authority', '=', input.authority);
    const page = await pageByName(query, input);
    return {
      output: { roles: page.items.map((row) => viewRole(parseRole(row.definition))), next_cursor: page.next_cursor },
    };
  },
});

export const updateRole = defineOperation({
  id: 'pki.update_role',
  title: 'Change a role',
  summary: 'Changes the fields that are given and leaves the others. Certificates that were issued stay as they are.',
  input: roleChanges,
  output: roleOutput,
  http: { method: 'PATCH', path: '/pki/roles/{name}' },
  effect: 'mutating',
  idempotent: true,
  resource,
  async run(grant, input, deps: PkiDeps) {
    const { role, version } = await storedRole(deps, grant, input.name);
    const changed = checkedChange(role, input);
    grant.reach(`pki/authorities/${changed.authority}`);
    if (changed.authority !== role.authority) await deps.directory.requireAuthority(grant.namespace, changed.authority);
    const set = {
      authority: changed.authority,
      definition: JSON.stringify(changed),
      version: version + 1,
      updated_at: grant.now,
    };
    const where = { namespace: grant.namespace, name: input.name, version };
    return { output: viewRole(changed), changes: [update('pki_roles', set, where, { expect: 1 })] };
  },
});

export const deleteRole = defineOperation({
  id: 'pki.delete_role',
  title: 'Delete a role',
  summary: 'Deletes a role. Certificates that were issued by it stay valid; revoke them by filter if they should not.',
  input: named,
  output: z.strictObject({ name: z.string() }),
  http: { method: 'DELETE', path: '/pki/roles/{name}' },
  effect: 'destructive',
  resource,
  async run(grant, input, deps: PkiDeps) {
    const { version } = await storedRole(deps, grant, input.name);
    return {
      output: { name: input.name },
      changes: [remove('pki_roles', { namespace: grant.namespace, name: input.name, version }, { expect: 1 })],
    };
  },
});

async function storedRole(deps: PkiDeps, grant: Grant, roleName: string): Promise<{ role: Role; version: number }> {
  const row = await deps.store.first<{ definition: string; version: number }>(
    'SELECT definition, version FROM pki_roles WHERE namespace = ? AND name = ?',
    [grant.namespace, roleName],
  );
  if (row) {
    const role = parseRole(row.definition);
    grant.reach(`pki/authorities/${role.authority}`);
    return { role, version: row.version };
  }
  throw new AppError('not_found', `There is no role ${roleName}.`, { hint: 'pki.list_roles shows those that exist.' });
}

function parseRole(definition: string): Role {
  return roleSchema.parse(JSON.parse(definition));
}

function checkedChange(role: Role, changes: z.output<typeof roleChanges>): Role {
  try {
    return changeRole(role, changes);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const details = error.issues.map((issue) => ({ at: `/${issue.path.join('/')}`, message: issue.message }));
    throw new AppError('invalid_request', `${details[0]?.at}: ${details[0]?.message}.`, {
      details,
      hint: 'Change the fields together.',
    });
  }
}

export const roleOperations = [createRole, getRole, listRoles, updateRole, deleteRole];
