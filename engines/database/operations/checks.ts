import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { connectionName, engineName } from '#database/connection-schema.ts';
import type { DatabaseDeps } from '#database/deps.ts';
import { type Connection, connectionResource, parseRole, readConnectionRow } from '#database/directory.ts';
import { identifier } from '#database/fields.ts';
import type { DatabaseTables } from '#database/tables.ts';
import {
  type AdminSetupOptions,
  type EngineName,
  type Finding,
  type Needs,
  type Target,
  TargetError,
} from '#database/target.ts';
import { explained } from '#database/target-failure.ts';

/** What tells whether a connection can do what its roles ask of it, and how to make an administrator that can. */

const finding = z.strictObject({
  severity: z.enum(['missing', 'advice']).describe('missing: leasing or removing a user will fail for it'),
  message: z.string(),
  fix: z.string().describe('The statement that mends it, for a more powerful administrator'),
  roles: z.array(z.string()).describe('Roles that need it; empty: all'),
});

export const checkConnection = defineOperation({
  id: 'database.check_connection',
  title: 'Check a connection',
  summary:
    'Logs in and looks whether the administrator may do what all roles of the connection need. Every finding comes with the statement that mends it.',
  input: z.strictObject({ name: connectionName }),
  output: z.strictObject({
    name: z.string(),
    version: z.string().describe('As the server says it'),
    flavor: z.string(),
    encrypted: z.boolean(),
    superuser: z.boolean().describe('More than is needed, if true'),
    server_time: z.string(),
    clock_difference: z.number().int().describe('Seconds by which the clock of the server is ahead of ours'),
    sound: z.boolean().describe('Nothing is missing'),
    findings: z.array(finding),
  }),
  http: { method: 'POST', path: '/database/connections/{name}/check' },
  cli: { verdict: 'sound' },
  effect: 'read',
  openWorld: true,
  resource: ({ name }) => connectionResource(name),
  async run(grant, input, deps: DatabaseDeps) {
    const connection = await readConnectionRow(deps.store, grant.namespace, input.name);
    const needs = await needsOf(deps, connection);
    const { facts, findings } = await explained(input.name, () =>
      deps.pools.use(connection, async (target) => ({
        facts: await target.inspect(),
        findings: await diagnoseAll(target, needs),
      })),
    );
    const difference = Math.round((facts.now - deps.clock.now()) / 1000);
    return {
      output: {
        name: input.name,
        version: facts.version,
        flavor: facts.flavor,
        encrypted: facts.encrypted,
        superuser: facts.superuser,
        server_time: toRfc3339(facts.now),
        clock_difference: difference,
        sound: findings.every(({ severity }) => severity !== 'missing'),
        findings,
      },
    };
  },
});

interface RoleNeeds extends Needs {
  readonly role: string;
}

async function needsOf({ store }: DatabaseDeps, { row }: Connection): Promise<RoleNeeds[]> {
  const rows = await store
    .tables<DatabaseTables>()
    .selectFrom('database_roles')
    .selectAll()
    .where('namespace', '=', row.namespace)
    .where('connection', '=', row.name)
    .orderBy('name')
    .execute();
  return rows
    .map((stored) => parseRole(stored))
    .map(({ role }) => ({
      role: role.name,
      memberOf: role.member_of,
      reassignTo: role.reassign_to,
      actAs: role.act_as,
    }));
}

/** What the roles have in common is told once: roles of the same needs are asked for together. */
async function diagnoseAll(
  target: Target,
  roles: readonly RoleNeeds[],
): Promise<(Finding & { readonly roles: string[] })[]> {
  const findings = new Map<string, Finding & { readonly roles: string[] }>();
  for (const each of await target.diagnose({ memberOf: [] })) findings.set(keyOf(each), { ...each, roles: [] });
  const common = new Set(findings.keys());
  const groups = Map.groupBy(roles, ({ memberOf, reassignTo, actAs }) => JSON.stringify([memberOf, reassignTo, actAs]));
  for (const group of groups.values()) {
    const [first] = group;
    if (first === undefined) continue;
    for (const each of await target.diagnose(first)) {
      const key = keyOf(each);
      if (common.has(key)) continue;
      const known = findings.get(key) ?? { ...each, roles: [] };
      known.roles.push(...group.map(({ role }) => role));
      findings.set(key, known);
    }
  }
  return [...findings.values()];
}

function keyOf({ severity, fix, message }: Finding): string {
  return [severity, fix, message].join('\n');
}

export const adminSetup = defineOperation({
  id: 'database.admin_setup',
  title: 'Print the set-up of an administrator',
  summary:
    'Prints the SQL that makes an administrator of the least privilege for a connection, to be run once at the server by its superuser. Nothing is connected to.',
  input: z.strictObject({
    engine: engineName,
    username: identifier.default('chancery').describe('Name of the administrator to make'),
    member_of: z
      .array(identifier)
      .max(32)
      .default([])
      .describe('Group roles that leased users will be members of: member_of of the roles to come'),
    reassign_to: identifier.optional().describe('PostgreSQL: who will get what users leave behind'),
    act_as: identifier.optional().describe('PostgreSQL: in whose name sessions of leased users will act'),
    host: z
      .string()
      .min(1)
      .max(255)
      .regex(/^[A-Za-z0-9%_.:/-]+$/, 'a host, an address or a pattern with % and _')
      .optional()
      .describe('MySQL: the host from which the administrator connects; default %'),
    flavor: z.enum(['postgresql', 'mysql', 'mariadb']).optional().describe('mariadb: what the script is for'),
  }),
  output: z.strictObject({ script: z.string().describe('SQL') }),
  http: { method: 'POST', path: '/database/admin-setup' },
  cli: { arguments: ['engine'], headline: { field: 'script', beside: [] } },
  effect: 'read',
  resource: () => 'database/admin-setup',
  async run(_grant, input, deps: DatabaseDeps) {
    const script = setupScript(deps, input.engine, {
      username: input.username,
      memberOf: input.member_of,
      reassignTo: input.reassign_to,
      actAs: input.act_as,
      host: input.host,
      flavor: input.flavor,
    });
    return { output: { script } };
  },
});

function setupScript({ kinds }: DatabaseDeps, engine: EngineName, options: AdminSetupOptions): string {
  try {
    return kinds[engine].adminSetup(options);
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    const hint = error.hint ?? 'Give names that the server takes.';
    throw new AppError('invalid_request', error.message, { hint, cause: error });
  }
}

export const checkOperations = [checkConnection, adminSetup];
