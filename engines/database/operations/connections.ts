import { z } from 'zod';
import { insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { pageByName } from '#storage/page-by-name.ts';
import {
  changeConnection,
  type ConnectionDefinition,
  connectionName,
  createConnectionInput,
  readConnection,
  updateConnectionInput,
} from '#database/connection-schema.ts';
import { connectionOutput, viewConnection } from '#database/connection-view.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import {
  type Connection,
  connectionResource,
  parseConnection,
  readConnectionRow,
  roleResource,
} from '#database/directory.ts';
import { assertActive, endLife } from '#database/life.ts';
import { openPassword, sealPassword } from '#database/secret.ts';
import type { ConnectionRow, DatabaseTables } from '#database/tables.ts';
import { verified } from '#database/target-failure.ts';
import { newUsernameTag, usernamePrefix } from '#database/username.ts';
import type { LeaseTables } from '#lease/tables.ts';

/** Connections: the database servers, and the administrators by whom Chancery acts there. */

const named = z.strictObject({ name: connectionName });
const resource = (input: { readonly name: string }) => connectionResource(input.name);
export const liveLeases = z.number().int().describe('Leases that have not ended yet');

export const createConnection = defineOperation({
  id: 'database.create_connection',
  title: 'Create a connection',
  summary:
    'Makes a database server known, with the administrator that makes and removes users there. It connects and logs in before it saves. database.admin_setup prints a script that makes such an administrator.',
  input: createConnectionInput,
  output: connectionOutput,
  http: { method: 'POST', path: '/database/connections', status: 201 },
  effect: 'additive',
  openWorld: true,
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const { definition, password } = readConnection(input);
    if (input.verify) await verifyLogin(deps, input.name, definition, password);
    const row = newRow(deps, grant, input.name, definition, password);
    const taken = () =>
      new AppError('already_exists', `There is a connection ${input.name} already.`, {
        hint: 'Change it with database.update_connection, or choose another name.',
      });
    return {
      output: viewConnection({ row, definition }),
      changes: [insert('database_connections', { ...row }, taken)],
      audit: { engine: definition.engine, host: definition.host, verified: input.verify },
    };
  },
});

function newRow(
  deps: DatabaseDeps,
  grant: Grant,
  name: string,
  definition: ConnectionDefinition,
  password: string,
): ConnectionRow {
  const id = newId('dbc', grant.now);
  return {
    id,
    namespace: grant.namespace,
    name,
    state: 'active',
    definition: JSON.stringify(definition),
    tag: newUsernameTag(),
    password: sealPassword(deps.sealer, { table: 'database_connections', row: id, column: 'password' }, password),
    next_password: null,
    rotation: null,
    rotation_started_at: null,
    rotated_at: null,
    version: 1,
    created_at: grant.now,
    updated_at: grant.now,
  };
}

function verifyLogin(
  deps: DatabaseDeps,
  name: string,
  definition: ConnectionDefinition,
  password: string,
): Promise<unknown> {
  return verified(name, () => deps.pools.try(name, definition, password, (target) => target.inspect()));
}

export const getConnection = defineOperation({
  id: 'database.get_connection',
  title: 'Get a connection',
  summary: 'Shows a connection, without its password, and how many leases it has.',
  input: named,
  output: connectionOutput.extend({ live_leases: liveLeases }),
  http: { method: 'GET', path: '/database/connections/{name}' },
  effect: 'read',
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const connection = await readConnectionRow(deps.store, grant.namespace, input.name);
    const live = await deps.leases.count(grant.namespace, { target: resource(input) });
    return { output: { ...viewConnection(connection), live_leases: live } };
  },
});

export const listConnections = defineOperation({
  id: 'database.list_connections',
  title: 'List connections',
  summary: 'Lists the connections by name.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ connections: z.array(connectionOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/database/connections' },
  cli: { columns: ['name', 'engine', 'host', 'port', 'username', 'state'] },
  effect: 'read',
  resource: () => 'database/connections',
  async run(grant, input, deps: DatabaseDeps) {
    const query = deps.store
      .tables<DatabaseTables>()
      .selectFrom('database_connections')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    const page = await pageByName(query, input);
    const connections = page.items.map((row) => viewConnection(parseConnection(row)));
    return { output: { connections, next_cursor: page.next_cursor } };
  },
});

export const updateConnection = defineOperation({
  id: 'database.update_connection',
  title: 'Change a connection',
  summary:
    'Changes the fields that are given and leaves the others. A new host, port or TLS setting needs the password again, and must be of the same server while there are leases. A new password is one that was changed at the server by somebody else.',
  input: updateConnectionInput,
  output: connectionOutput,
  http: { method: 'PATCH', path: '/database/connections/{name}' },
  effect: 'mutating',
  idempotent: true,
  openWorld: true,
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const { name, password, verify, ...changes } = input;
    const stored = await readConnectionRow(deps.store, grant.namespace, name);
    const { row } = stored;
    assertActive(`connection ${name}`, row);
    const definition = changeConnection(stored.definition, changes);
    if (password === undefined) refuseUnproven(stored.definition, definition);
    const isOther = password !== undefined || !sameAddress(stored.definition, definition);
    if (isOther) await verifyChange(deps, grant, stored, definition, password, verify);
    const set = {
      definition: JSON.stringify(definition),
      version: row.version + 1,
      updated_at: grant.now,
      ...(password === undefined ? {} : givenPassword(deps, row.id, password)),
    };
    // What another password or address would lose, a rotation must not have begun meanwhile.
    const where = { id: row.id, version: row.version, ...(isOther ? { next_password: null } : {}) };
    return {
      output: viewConnection({ row: { ...row, ...set }, definition }),
      changes: [update('database_connections', set, where, { expect: 1 })],
      audit: { reconnected: isOther, verified: isOther && verify },
    };
  },
});

function givenPassword(deps: DatabaseDeps, id: string, password: string) {
  const place = { table: 'database_connections', row: id, column: 'password' } as const;
  return { password: sealPassword(deps.sealer, place, password), rotated_at: null };
}

/** What says who is given the password. */
const receiverFields = ['host', 'port', 'tls', 'tls_ca', 'tls_server_name'] as const;
const addressFields = [...receiverFields, 'database', 'username'] as const;

/**
 * The password that is kept goes to the server that it was given for. Whoever may change a connection, and does not know
 * the password, could have it sent elsewhere otherwise.
 */
function refuseUnproven(before: ConnectionDefinition, after: ConnectionDefinition): void {
  const changed = receiverFields.filter((field) => before[field] !== after[field]);
  if (changed.length === 0) return;
  const message = `must be given again: a new ${changed.join(', ')} may have it sent to another server`;
  throw new AppError('invalid_request', `/password: ${message}.`, {
    details: [{ at: '/password', message }],
    hint: 'Give the password as well. Where nobody knows it since rotate-root, set another at the server, give that, and rotate it again.',
  });
}

function sameAddress(before: ConnectionDefinition, after: ConnectionDefinition): boolean {
  return addressFields.every((field) => before[field] === after[field]);
}

async function verifyChange(
  deps: DatabaseDeps,
  grant: Grant,
  { row, definition: before }: Connection,
  after: ConnectionDefinition,
  given: string | undefined,
  verify: boolean,
): Promise<void> {
  if (row.next_password !== null)
    throw new AppError('wrong_state', 'A rotation of the administrator’s password is open.', {
      hint: 'Finish it with database.rotate_root first.',
    });
  const moved = before.host !== after.host || before.port !== after.port;
  const live = moved ? await deps.leases.count(grant.namespace, { target: connectionResource(row.name) }) : 0;
  if (live > 0 && !verify)
    throw new AppError('wrong_state', `There are ${live} live leases, whose users are at the present address.`, {
      hint: 'Leave verify on: it is the same server when it has those users.',
    });
  if (!verify) return;
  const place = { table: 'database_connections', row: row.id, column: 'password' } as const;
  const password = given ?? (await openPassword(deps.sealer, place, row.password ?? new Uint8Array()));
  await verified(row.name, () =>
    deps.pools.try(row.name, after, password, async (target) => {
      await target.inspect();
      if (live === 0) return;
      const users = new Set((await target.listUsers(usernamePrefix(row.tag))).map(({ username }) => username));
      await assertSameServer(deps, row, users);
    }),
  );
}

/** Leases whose users are not at the new address could never be revoked. */
async function assertSameServer(deps: DatabaseDeps, row: ConnectionRow, users: ReadonlySet<string>): Promise<void> {
  const leases = await deps.store
    .tables<LeaseTables>()
    .selectFrom('leases')
    .select('subject')
    .where('namespace', '=', row.namespace)
    .where('target', '=', connectionResource(row.name))
    .where('state', '=', 'active')
    .execute();
  const missing = leases.filter(({ subject }) => !users.has(subject)).length;
  if (missing === 0) return;
  throw new AppError('refused', `${missing} of the ${leases.length} leased users are not at the new address.`, {
    hint: 'It is another server: make another connection for it, or revoke the leases first.',
  });
}

export const deletionOutput = z.strictObject({
  name: z.string(),
  state: z.enum(['deleted', 'draining']).describe('draining: it goes as soon as its last lease has ended'),
  live_leases: liveLeases,
});
export const drain = z
  .boolean()
  .default(false)
  .describe('Whether to take no more mints, end all leases, and delete it when the last of them is gone');

export const deleteConnection = defineOperation({
  id: 'database.delete_connection',
  title: 'Delete a connection',
  summary:
    'Deletes a connection that no role uses and that has no live leases. With drain its leases are ended first, and its roles go with it.',
  input: z.strictObject({ name: connectionName, drain }),
  output: deletionOutput,
  http: { method: 'DELETE', path: '/database/connections/{name}' },
  effect: 'destructive',
  resource,
  async run(grant, input, deps: DatabaseDeps) {
    const { row } = await readConnectionRow(deps.store, grant.namespace, input.name);
    await assertUnused(deps, grant, input.name, input.drain);
    if (input.drain) await reachRoles(deps, grant, input.name);
    const scope = { target: resource(input) };
    const doomed = {
      table: 'database_connections',
      row,
      what: `connection ${input.name}`,
      resource: resource(input),
      scope,
    } as const;
    const ending = await endLife(deps, grant, doomed, input.drain);
    const roles =
      ending.state === 'deleted' && input.drain
        ? [
            {
              kind: 'delete',
              table: 'database_roles',
              where: { namespace: grant.namespace, connection: input.name },
            } as const,
          ]
        : [];
    return {
      output: { name: input.name, state: ending.state, live_leases: ending.liveLeases },
      changes: [...ending.changes, ...roles],
      audit: { state: ending.state, live_leases: ending.liveLeases },
    };
  },
});

/** Its roles and their leases end with it. */
async function reachRoles({ store }: DatabaseDeps, grant: Grant, connection: string): Promise<void> {
  const sql = 'SELECT name FROM database_roles WHERE namespace = ? AND connection = ?';
  const roles = await store.all<{ name: string }>(sql, [grant.namespace, connection]);
  for (const { name: role } of roles) grant.reach(roleResource(role));
}

async function assertUnused(deps: DatabaseDeps, grant: Grant, name: string, draining: boolean): Promise<void> {
  const namesIn = (table: 'database_roles' | 'database_static_roles') =>
    deps.store.all<{ name: string }>(
      `SELECT name FROM ${table} WHERE namespace = ? AND connection = ? ORDER BY name LIMIT 6`,
      [grant.namespace, name],
    );
  const [roles, staticRoles] = await Promise.all([
    draining ? [] : namesIn('database_roles'),
    namesIn('database_static_roles'),
  ]);
  if (roles.length + staticRoles.length === 0) return;
  const list = (rows: readonly { name: string }[]) => rows.map((row) => row.name).join(', ');
  const used = [
    ...(roles.length > 0 ? [`roles ${list(roles)}`] : []),
    ...(staticRoles.length > 0 ? [`static roles ${list(staticRoles)}`] : []),
  ];
  throw new AppError('wrong_state', `Connection ${name} is used by ${used.join(' and ')}.`, {
    hint:
      staticRoles.length > 0
        ? 'Delete the static roles first: their passwords are known only here.'
        : 'Delete them first, or delete with drain: true.',
  });
}

export const connectionOperations = [
  createConnection,
  getConnection,
  listConnections,
  updateConnection,
  deleteConnection,
];
