import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import { name, newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { pageByName } from '#storage/page-by-name.ts';
import { assertOpen } from '#database/closing.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { type Connection, readConnectionRow } from '#database/directory.ts';
import { requireConnection } from '#database/entitlement.ts';
import { overlongNames } from '#database/fields.ts';
import { assertActive } from '#database/life.ts';
import { generatePassword } from '#database/password.ts';
import { contradiction, passwordPolicy } from '#database/role-schema.ts';
import { isRotating, underWay } from '#database/rotation.ts';
import { sealPassword } from '#database/secret.ts';
import {
  changeStaticRole,
  defaultPeriod,
  nextRotation,
  type StaticRole,
  staticRoleName,
  staticRoleSchema,
  updateStaticRoleInput,
} from '#database/static-role-schema.ts';
import {
  parseStaticRole,
  promoteStatic,
  readStaticRole,
  rotateAtTarget,
  type StaticRotationPlan,
  type StoredStaticRole,
} from '#database/static-rotation.ts';
import type { DatabaseTables, StaticRoleRow } from '#database/tables.ts';

/** Static roles: users that exist already, whose passwords Chancery changes. */

const named = z.strictObject({ name: staticRoleName });
export const staticRoleResource = (input: { readonly name: string }) => `database/static-roles/${input.name}`;

export const staticRoleOutput = z.strictObject({
  name: z.string(),
  connection: z.string(),
  username: z.string(),
  description: z.string(),
  rotation_period: z.string().nullable(),
  rotation_schedule: z.string().nullable(),
  rotation_window: z.string().nullable(),
  database: z.string().nullable(),
  host: z.string().nullable(),
  password_policy: passwordPolicy.nullable(),
  rotated_at: z.string().nullable().describe('Last change of the password; null: none has worked yet'),
  next_rotation_at: z.string(),
  failed_rotations: z.number().int().describe('Since the last one that worked'),
  last_error: z.string().nullable(),
  unverified: z.string().nullable().describe('Why no login by the present password has worked; null: one has'),
  created_at: z.string(),
  updated_at: z.string(),
});

const durationOf = (seconds: number | undefined) => (seconds === undefined ? null : formatDuration(seconds));
const timeOf = (milliseconds: number | null) => (milliseconds === null ? null : toRfc3339(milliseconds));

export function viewStaticRole({ row, role }: StoredStaticRole): z.output<typeof staticRoleOutput> {
  const period = role.rotation_schedule === undefined ? (role.rotation_period ?? defaultPeriod) : undefined;
  return {
    name: role.name,
    connection: role.connection,
    username: role.username,
    description: role.description,
    rotation_period: durationOf(period),
    rotation_schedule: role.rotation_schedule ?? null,
    rotation_window: durationOf(role.rotation_window),
    database: role.database ?? null,
    host: role.host ?? null,
    password_policy: role.password_policy ?? null,
    rotated_at: timeOf(row.rotated_at),
    next_rotation_at: toRfc3339(row.next_rotation_at),
    failed_rotations: row.attempts,
    last_error: row.last_error,
    unverified: row.unverified,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

export const createStaticRole = defineOperation({
  id: 'database.create_static_role',
  title: 'Create a static role',
  summary:
    'Takes over an existing user: its password is changed at once, and from then on by period or schedule. Its sessions go on.',
  input: staticRoleSchema,
  output: staticRoleOutput,
  http: { method: 'POST', path: '/database/static-roles', status: 201 },
  effect: 'additive',
  openWorld: true,
  resource: staticRoleResource,
  async intend(grant, role, deps: DatabaseDeps) {
    await requireConnection(deps, grant, role.connection);
    const connection = await readConnectionRow(deps.store, grant.namespace, role.connection);
    assertActive(`connection ${role.connection}`, connection.row);
    refuseForeignUser(role, connection);
    const row = newRow(role, grant.namespace, grant.now);
    const password = generatePassword(role.password_policy);
    const place = { table: 'database_static_roles', row: row.id, column: 'next_password' } as const;
    const token = newId('rot', grant.now);
    const open = {
      ...row,
      next_password: sealPassword(deps.sealer, place, password),
      rotation: token,
      rotation_started_at: grant.now,
    };
    const rotation = { table: 'database_static_roles', id: row.id, password, token, fresh: true } as const;
    const plan: StaticRotationPlan = { stored: { row: open, role }, connection, rotation };
    return {
      plan,
      changes: [
        assertOpen([connection.row.id], grant.now),
        insert('database_static_roles', { ...open }, () => taken(role)),
      ],
      audit: { username: role.username },
    };
  },
  async run(grant, role, deps: DatabaseDeps, plan: StaticRotationPlan) {
    let unverified: string | null;
    try {
      unverified = await rotateAtTarget(deps, plan);
    } catch (error) {
      // What the target refused was never there; what it may have taken stays, and is finished by the job.
      const where = { id: plan.rotation.id, next_password: null, password: null };
      await deps.store.commit([remove('database_static_roles', where)]);
      throw await saidToStay(deps, plan, error);
    }
    const next = { rotated_at: grant.now, unverified, next_rotation_at: nextRotation(role, grant.now) };
    return {
      output: viewStaticRole({ role, row: { ...plan.stored.row, ...next } }),
      changes: [promoteStatic(deps, plan, grant.now, unverified)],
      audit: { username: role.username },
    };
  },
});

/** The error, with what is on record all the same when the server may have taken the password. */
async function saidToStay({ store }: DatabaseDeps, { stored }: StaticRotationPlan, error: unknown): Promise<unknown> {
  const sql = 'SELECT * FROM database_static_roles WHERE id = ? AND namespace = ?';
  const row = await store.first<StaticRoleRow>(sql, [stored.row.id, stored.row.namespace]);
  if (row === undefined || !(error instanceof AppError)) return error;
  const { code, message, details, retryAfter } = error;
  return new AppError(code, `${message} Static role ${row.name} is on record all the same.`, {
    cause: error,
    details,
    hint: 'The server may have taken the new password: database.read_static_credentials shows it, and it is tried again by itself.',
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}

function newRow(role: StaticRole, namespace: string, now: number): StaticRoleRow {
  return {
    id: newId('dbs', now),
    namespace,
    name: role.name,
    connection: role.connection,
    username: accountOf(role),
    definition: JSON.stringify(role),
    password: null,
    next_password: null,
    rotation: null,
    rotation_started_at: null,
    rotated_at: null,
    version: 1,
    next_rotation_at: now,
    attempts: 0,
    last_error: null,
    unverified: null,
    created_at: now,
    updated_at: now,
  };
}

/** On MySQL users of one name and several hosts are several users. */
function accountOf({ username, host }: StaticRole): string {
  return host === undefined || host === '%' ? username : `${username}@${host.toLowerCase()}`;
}

function refuseForeignUser({ username, host, database }: StaticRole, { row, definition }: Connection): void {
  const overlong = overlongNames(definition.engine, { username, database });
  if (overlong.length > 0) throw contradiction(overlong.map(({ field, message }) => ({ at: `/${field}`, message })));
  if (host !== undefined && definition.engine === 'postgresql')
    throw contradiction([{ at: '/host', message: 'means nothing on postgresql' }]);
  if (username === definition.username)
    throw new AppError('refused', `${username} is the administrator of connection ${row.name}.`, {
      hint: 'Its password is rotated by database.rotate_root.',
    });
  if (username.startsWith('chy_'))
    throw new AppError('refused', 'Names that begin with chy_ are those of leased users.', {
      hint: 'A static role is for a user that stays.',
    });
}

function taken(staticRole: StaticRole): AppError {
  const { name: role, connection } = staticRole;
  return new AppError(
    'already_exists',
    `There is a static role ${role} already, or one for the user ${accountOf(staticRole)} of connection ${connection}.`,
    { hint: 'Change it with database.update_static_role, or choose another name.' },
  );
}

export const getStaticRole = defineOperation({
  id: 'database.get_static_role',
  title: 'Get a static role',
  summary: 'Shows a static role and the state of its rotation, without the password.',
  input: named,
  output: staticRoleOutput,
  http: { method: 'GET', path: '/database/static-roles/{name}' },
  effect: 'read',
  resource: staticRoleResource,
  async run(grant, input, deps: DatabaseDeps) {
    return { output: viewStaticRole(await readStaticRole(deps, grant, input.name)) };
  },
});

export const listStaticRoles = defineOperation({
  id: 'database.list_static_roles',
  title: 'List static roles',
  summary: 'Lists the static roles by name.',
  input: z.strictObject({ connection: name.optional().describe('Only those of this connection'), ...pageInput }),
  output: z.strictObject({ static_roles: z.array(staticRoleOutput), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/database/static-roles' },
  cli: { columns: ['name', 'connection', 'username', 'rotated_at', 'next_rotation_at', 'failed_rotations'] },
  effect: 'read',
  resource: () => 'database/static-roles',
  async run(grant, input, deps: DatabaseDeps) {
    let query = deps.store
      .tables<DatabaseTables>()
      .selectFrom('database_static_roles')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    if (input.connection !== undefined) query = query.where('connection', '=', input.connection);
    const page = await pageByName(query, input);
    const roles = page.items.map((row) => viewStaticRole(parseStaticRole(row)));
    return { output: { static_roles: roles, next_cursor: page.next_cursor } };
  },
});

export const updateStaticRole = defineOperation({
  id: 'database.update_static_role',
  title: 'Change a static role',
  summary: 'Changes when and how the password of a static role is changed. The password stays as it is until then.',
  input: updateStaticRoleInput,
  output: staticRoleOutput,
  http: { method: 'PATCH', path: '/database/static-roles/{name}' },
  effect: 'mutating',
  idempotent: true,
  resource: staticRoleResource,
  async run(grant, input, deps: DatabaseDeps) {
    const { row, role } = await readStaticRole(deps, grant, input.name);
    const changed = changeStaticRole(role, input);
    const set = {
      definition: JSON.stringify(changed),
      version: row.version + 1,
      updated_at: grant.now,
      // One that is open or has failed keeps its own time.
      ...(row.attempts > 0 || row.rotated_at === null
        ? {}
        : { next_rotation_at: nextRotation(changed, row.rotated_at) }),
    };
    const where = { id: row.id, version: row.version, rotation: null };
    const busy = () =>
      new AppError('conflict', 'The static role is being rotated or was changed by someone else meanwhile.', {
        hint: 'Try again in a few seconds.',
        retryAfter: 5,
      });
    return {
      output: viewStaticRole({ role: changed, row: { ...row, ...set } }),
      changes: [update('database_static_roles', set, where, { expect: 1, otherwise: busy })],
    };
  },
});

export const deleteStaticRole = defineOperation({
  id: 'database.delete_static_role',
  title: 'Delete a static role',
  summary:
    'Forgets a static role and its password, which nobody else knows. The user stays at the server with it, so read it first if it is still needed.',
  input: named.extend({
    forget_password: z
      .boolean()
      .default(false)
      .describe('Must be true: the password that the server has is on record only here'),
  }),
  output: z.strictObject({ name: z.string(), username: z.string() }),
  http: { method: 'DELETE', path: '/database/static-roles/{name}' },
  effect: 'destructive',
  resource: staticRoleResource,
  async run(grant, input, deps: DatabaseDeps) {
    const { row, role } = await readStaticRole(deps, grant, input.name);
    if (!input.forget_password) throw wouldForget(row);
    // What is being set at the server would be known to nobody.
    if (isRotating(row, grant.now)) throw underWay();
    const where = { id: row.id, version: row.version, rotation: row.rotation };
    return {
      output: { name: input.name, username: role.username },
      changes: [remove('database_static_roles', where, { expect: 1 })],
      audit: { username: row.username },
    };
  },
});

function wouldForget({ name: role, username }: StaticRoleRow): AppError {
  return new AppError('wrong_state', `The password of ${username} is on record only in static role ${role}.`, {
    hint: 'Read it with database.read_static_credentials if it is still needed, then delete with forget_password: true.',
  });
}

export const staticRoleOperations = [
  createStaticRole,
  getStaticRole,
  listStaticRoles,
  updateStaticRole,
  deleteStaticRole,
];
