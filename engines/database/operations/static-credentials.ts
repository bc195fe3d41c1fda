import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { defineOperation } from '#core/operation.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { nextRotation, postponedTo, staticRoleName } from '#database/static-role-schema.ts';
import {
  currentPassword,
  planStaticRotation,
  postpone,
  promoteStatic,
  readStaticRole,
  rotateAtTarget,
  staticUser,
  type StaticRotationPlan,
  type StoredStaticRole,
} from '#database/static-rotation.ts';
import { explained } from '#database/target-failure.ts';
import { staticRoleOutput, staticRoleResource, viewStaticRole } from './static-roles.ts';

const named = z.strictObject({ name: staticRoleName });

/** Not `get_…`: who may see everything that is not secret, as an auditor, may not see this. */
export const readStaticCredentials = defineOperation({
  id: 'database.read_static_credentials',
  title: 'Read the credentials of a static role',
  summary:
    'Shows the present password of a static role, and when it changes next. Everyone who reads it gets the same.',
  input: named,
  output: z.strictObject({
    username: z.string(),
    password: z.string(),
    verified: z
      .boolean()
      .describe('Whether a login by it has worked; false: the server refused one, or none could be tried'),
    earlier_password: z
      .string()
      .nullable()
      .describe('The one before, while it is not known which of the two the server has'),
    connection_url: z.string().describe('Address with user name and password'),
    rotated_at: z.string().nullable(),
    next_rotation_at: z.string().describe('The password works until then, unless it is rotated before'),
  }),
  http: { method: 'GET', path: '/database/static-roles/{name}/credentials' },
  effect: 'read',
  openWorld: true,
  sensitive: ['password', 'earlier_password', 'connection_url'],
  resource: staticRoleResource,
  async run(grant, input, deps: DatabaseDeps) {
    const stored = await readStaticRole(deps, grant, input.name);
    const { row, role } = stored;
    const connection = await deps.directory.requireConnection(grant.namespace, row.connection);
    const database = role.database ?? connection.definition.database;
    const { password, earlier, verified, url } = await explained(row.connection, async () => {
      const secret = await currentPassword(deps, connection, stored);
      const user = staticUser(role, connection);
      return {
        ...secret,
        url: await deps.pools.use(connection, async (target) => target.connectionUrl(user, secret.password, database)),
      };
    });
    return {
      output: {
        username: role.username,
        password,
        verified,
        earlier_password: earlier,
        connection_url: url,
        rotated_at: row.rotated_at === null ? null : toRfc3339(row.rotated_at),
        next_rotation_at: toRfc3339(row.next_rotation_at),
      },
      audit: { username: row.username },
    };
  },
});

type Plan =
  | { readonly kind: 'rotate'; readonly rotation: StaticRotationPlan }
  | { readonly kind: 'postpone'; readonly stored: StoredStaticRole; readonly until: number };

export const rotateStaticRole = defineOperation({
  id: 'database.rotate_static_role',
  title: 'Rotate a static role',
  summary:
    'Changes the password of a static role now. The password that the server has is on record whatever happens meanwhile.',
  input: named,
  output: staticRoleOutput,
  http: { method: 'POST', path: '/database/static-roles/{name}/rotate' },
  effect: 'mutating',
  openWorld: true,
  resource: staticRoleResource,
  async intend(grant, input, deps: DatabaseDeps) {
    const stored = await readStaticRole(deps, grant, input.name);
    const { row, role } = stored;
    // The job keeps to the window; who asks means now.
    const scheduled = grant.principal.kind === 'system' && row.next_password === null;
    const until = scheduled ? postponedTo(role, row.rotated_at ?? row.created_at, grant.now) : undefined;
    if (until !== undefined) {
      const plan: Plan = { kind: 'postpone', stored, until };
      return { plan, changes: [], audit: { username: row.username, postponed: true } };
    }
    const { plan: rotation, changes } = await planStaticRotation(deps, grant, stored);
    const plan: Plan = { kind: 'rotate', rotation };
    return { plan, changes, audit: { username: row.username, resumed: !rotation.rotation.fresh } };
  },
  async run(grant, _input, deps: DatabaseDeps, plan: Plan) {
    if (plan.kind === 'postpone') {
      const { stored, until } = plan;
      return {
        output: viewStaticRole({ ...stored, row: { ...stored.row, next_rotation_at: until } }),
        changes: [postpone(stored, until)],
        audit: { username: stored.row.username, postponed: true },
      };
    }
    const unverified = await rotateAtTarget(deps, plan.rotation);
    const { row, role } = plan.rotation.stored;
    const done = {
      rotated_at: grant.now,
      next_rotation_at: nextRotation(role, grant.now),
      attempts: 0,
      last_error: null,
      unverified,
    };
    return {
      output: viewStaticRole({ role, row: { ...row, ...done } }),
      changes: [promoteStatic(deps, plan.rotation, grant.now, unverified)],
      audit: { username: row.username },
    };
  },
});

export const staticCredentialOperations = [readStaticCredentials, rotateStaticRole];
