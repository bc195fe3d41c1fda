import { z } from 'zod';
import { insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { name, newId } from '#core/ids.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { pageByName } from '#storage/page-by-name.ts';
import { assertOpen } from '#database/closing.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import {
  type Connection,
  parseRole,
  readConnectionRow,
  readRoleRow,
  roleResource,
  type StoredRole,
} from '#database/directory.ts';
import { reachBehind, requireEntitled } from '#database/entitlement.ts';
import { assertActive, endLife } from '#database/life.ts';
import { checkLogin } from '#database/login.ts';
import { planProbe, type ProbePlan, runProbe } from '#database/probe.ts';
import { checkRole, createRoleInput, layRole, type Role, roleName, updateRoleInput } from '#database/role-schema.ts';
import { roleOutput, viewRole } from '#database/role-view.ts';
import type { DatabaseTables, RoleRow } from '#database/tables.ts';
import { deletionOutput, drain, liveLeases } from './connections.ts';

/** Roles: what users are leased, with what privileges, for how long. */

const named = z.strictObject({ name: roleName });
const resource = (input: { readonly name: string }) => roleResource(input.name);

const savedRole = roleOutput.extend({
  probed: z.boolean().describe('Whether a user of it was made, logged in and removed before it was saved'),
});

interface Saving {
  readonly role: Role;
  readonly connection: Connection;
  readonly stored: RoleRow | undefined;
  readonly probe: ProbePlan | undefined;
}

export const createRole = defineOperation({
  id: 'database.create_role',
  title: 'Create a role',
  summary:
    'Says what users are leased under a name. Before it is saved one of them is made, logged in and removed, and a role that fails in this is refused with what is lacking.',
  input: createRoleInput,
  output: savedRole,
  http: { method: 'POST', path: '/database/roles', status: 201 },
  effect: 'additive',
  openWorld: true,
  resource,
  async intend(grant, input, deps: DatabaseDeps) {
    const role = layRole({}, input);
    await requireEntitled(deps, grant, role);
    if (await deps.directory.role(grant.namespace, role.name)) throw taken(role.name);
    const connection = await readConnectionRow(deps.store, grant.namespace, role.connection);
    assertActive(`connection ${role.connection}`, connection.row);
    checkRole(role, deps.kinds[connection.definition.engine]);
    await checkLogin(deps, role, connection, grant.now);
    const probing = input.probe ? await planProbe(deps, grant, role, connection) : undefined;
    const plan: Saving = { role, connection, stored: undefined, probe: probing?.plan };
    return { plan, changes: probing?.changes ?? [], audit: probeFacts(plan) };
  },
  async run(grant, _input, deps: DatabaseDeps, { role, connection, probe }: Saving) {
    if (probe !== undefined) await runProbe(deps, probe);
    const row: RoleRow = {
      id: newId('dbr', grant.now),
      namespace: grant.namespace,
      name: role.name,
      connection: role.connection,
      state: 'active',
      definition: JSON.stringify(role),
      version: 1,
      created_at: grant.now,
      updated_at: grant.now,
    };
    return {
      output: { ...viewRole({ row, role }), probed: probe !== undefined },
      changes: [
        assertOpen([connection.row.id], grant.now),
        insert('database_roles', { ...row }, () => taken(role.name)),
      ],
      audit: { connection: role.connection, probed: probe !== undefined },
    };
  },
});

function taken(role: string): AppError {
  return new AppError('already_exists', `There is a role ${role} already.`, {
    hint: 'Change it with database.update_role, or choose another name.',
  });
}

function probeFacts({ probe }: Saving) {
  return probe === undefined
    ? { probed: false }
    : { probed: true, lease_id: probe.lease.id, username: probe.lease.subject };
}

export const getRole = defineOperation({
  id: 'database.get_role',
  title: 'Get a role',
  summary: 'Shows what users a role leases, and how many of its leases are live.',
  input: named,
  output: roleOutput.extend({ live_leases: liveLeases }),
  http: { method: 'GET', path: '/database/roles/{name}' },
  effect: 'read',
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const stored = await storedRole(deps, grant, input.name);
    const live = await deps.leases.count(grant.namespace, { role: resource(input) });
    return { output: { ...viewRole(stored), live_leases: live } };
  },
});

export const listRoles = defineOperation({
  id: 'database.list_roles',
  title: 'List roles',
  summary: 'Lists the roles by name.',
  input: z.strictObject({ connection: name.optional().describe('Only roles of this connection'), ...pageInput }),
  output: z.strictObject({ roles: z.array(roleOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/database/roles' },
  cli: { columns: ['name', 'connection', 'member_of', 'default_ttl', 'max_ttl', 'state'] },
  effect: 'read',
  resource: () => 'database/roles',
  async run(grant, input, deps: DatabaseDeps) {
    let query = deps.store
      .tables<DatabaseTables>()
      .selectFrom('database_roles')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    if (input.connection !== undefined) query = query.where('connection', '=', input.connection);
    const page = await pageByName(query, input);
    return { output: { roles: page.items.map((row) => viewRole(parseRole(row))), next_cursor: page.next_cursor } };
  },
});

export const updateRole = defineOperation({
  id: 'database.update_role',
  title: 'Change a role',
  summary:
    'Changes the fields that are given and leaves the others, after the same probe as for a new role. Leases that exist are ended as they were made.',
  input: updateRoleInput,
  output: savedRole,
  http: { method: 'PATCH', path: '/database/roles/{name}' },
  effect: 'mutating',
  idempotent: true,
  openWorld: true,
  resource,
  async intend(grant, input, deps: DatabaseDeps) {
    const stored = await storedRole(deps, grant, input.name);
    assertActive(`role ${input.name}`, stored.row);
    const role = layRole(stored.role, input);
    await requireEntitled(deps, grant, role);
    const connection = await readConnectionRow(deps.store, grant.namespace, role.connection);
    assertActive(`connection ${role.connection}`, connection.row);
    checkRole(role, deps.kinds[connection.definition.engine]);
    await checkLogin(deps, role, connection, grant.now);
    const probing = input.probe ? await planProbe(deps, grant, role, connection) : undefined;
    const plan: Saving = { role, connection, stored: stored.row, probe: probing?.plan };
    return { plan, changes: probing?.changes ?? [], audit: probeFacts(plan) };
  },
  async run(grant, input, deps: DatabaseDeps, { role, connection, stored, probe }: Saving) {
    if (stored === undefined) throw new Error('an update without what it updates');
    if (probe !== undefined) await runProbe(deps, probe);
    const set = {
      connection: role.connection,
      definition: JSON.stringify(role),
      version: stored.version + 1,
      updated_at: grant.now,
    };
    const where = { namespace: grant.namespace, name: input.name, version: stored.version };
    return {
      output: { ...viewRole({ row: { ...stored, ...set }, role }), probed: probe !== undefined },
      changes: [assertOpen([connection.row.id], grant.now), update('database_roles', set, where, { expect: 1 })],
      audit: { probed: probe !== undefined },
    };
  },
});

export const deleteRole = defineOperation({
  id: 'database.delete_role',
  title: 'Delete a role',
  summary: 'Deletes a role that has no live leases. With drain its leases are ended first.',
  input: z.strictObject({ name: roleName, drain }),
  output: deletionOutput,
  http: { method: 'DELETE', path: '/database/roles/{name}' },
  effect: 'destructive',
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const { row } = await storedRole(deps, grant, input.name);
    const doomed = {
      table: 'database_roles',
      row,
      what: `role ${input.name}`,
      resource: resource(input),
      scope: { role: resource(input) },
    } as const;
    const ending = await endLife(deps, grant, doomed, input.drain);
    return {
      output: { name: input.name, state: ending.state, live_leases: ending.liveLeases },
      changes: ending.changes,
      audit: { state: ending.state, live_leases: ending.liveLeases },
    };
  },
});

/** Throws `not_found`, and `denied` for what leads to something out of reach. */
async function storedRole(deps: DatabaseDeps, grant: Grant, role: string): Promise<StoredRole> {
  const stored = await readRoleRow(deps.store, grant.namespace, role);
  await reachBehind(deps, grant, stored.role);
  return stored;
}

export const roleOperations = [createRole, getRole, listRoles, updateRole, deleteRole];
