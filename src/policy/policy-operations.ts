import { z } from 'zod';
import { insert, remove, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { name } from '#core/ids.ts';
import { type BoundOperation, defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import type { CoreTables, PolicyRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import type { PolicyBook } from './book.ts';
import { builtInPolicies, isBuiltIn } from './built-in.ts';
import { compileGlobs } from './compile.ts';
import { assertMayWritePolicy } from './granting.ts';
import { type Rule, rulesSchema, shownRule, showRule } from './rules.ts';

export interface PolicyDeps {
  readonly store: Store;
  readonly policies: PolicyBook;
  /** Every operation there is: for tests of policies, and for warnings of globs that match none. */
  readonly operations: () => readonly Pick<BoundOperation, 'id' | 'access' | 'installation'>[];
}

const policyName = name.describe('Name of the policy');
const description = z
  .string()
  .max(500)
  .regex(/^\P{Cc}*$/u, 'no control characters')
  .default('')
  .describe('What it is for, in words; at most 500 characters');

const policyView = z.strictObject({
  name: z.string().describe('Name of the policy'),
  description: z.string().describe('What it is for'),
  rules: z.array(shownRule).describe('The rules; one deny that applies decides, whatever allows'),
  built_in: z.boolean().describe('Built-in policies cannot be changed'),
  version: z.number().int().describe('Grows with every change of the policy and whenever it is given to a principal'),
  created_at: z.string().nullable().describe('RFC 3339; null for built-in policies'),
  updated_at: z.string().nullable().describe('RFC 3339 of the last change of its rules; null for built-in policies'),
});

const writtenView = policyView.extend({
  warnings: z.array(z.string()).describe('What is allowed and probably not meant, as a glob that matches no operation'),
});

const resource = (input: { name: string }) => `policies/${input.name}`;

function showPolicy(row: PolicyRow): z.output<typeof policyView> {
  return {
    name: row.name,
    description: row.description,
    rules: (JSON.parse(row.rules) as Rule[]).map(showRule),
    built_in: false,
    version: row.version,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

function showBuiltIn(policy: string): z.output<typeof policyView> {
  const { description: text, rules } = builtInPolicies[policy] ?? { description: '', rules: [] };
  const shared = { built_in: true, version: 1, created_at: null, updated_at: null };
  return { name: policy, description: text, rules: rules.map(showRule), ...shared };
}

function readRow(store: Store, namespace: string, policy: string): Promise<PolicyRow | undefined> {
  return store.first<PolicyRow>('SELECT * FROM policies WHERE namespace = ? AND name = ?', [namespace, policy]);
}

function noSuchPolicy(policy: string): AppError {
  return new AppError('not_found', `There is no policy ${policy} in this namespace.`, {
    hint: 'policy.list_policies lists them.',
  });
}

function assertNotBuiltIn(policy: string): void {
  if (!isBuiltIn(policy)) return;
  throw new AppError('wrong_state', `The policy ${policy} is built in and cannot be changed.`, {
    hint: 'Choose another name.',
  });
}

function warningsFor(rules: readonly Rule[], { operations }: PolicyDeps): string[] {
  const ids = operations().map((operation) => operation.id);
  const globs = [...new Set(rules.flatMap((rule) => rule.operations))];
  return globs
    .filter((glob) => !ids.some(compileGlobs('operation', [glob])))
    .map((glob) => `the glob ${glob} matches no operation`);
}

export const createPolicy = defineOperation({
  id: 'policy.create_policy',
  title: 'Create a policy',
  summary:
    'Makes a named list of rules that can be given to principals. A right like an administrator’s: whoever writes policies decides what their holders may do.',
  input: z.strictObject({ name: policyName, description, rules: rulesSchema }),
  output: writtenView,
  http: { method: 'POST', path: '/policies', status: 201 },
  resource,
  effect: 'additive',
  async run(grant, input, deps: PolicyDeps) {
    assertNotBuiltIn(input.name);
    assertMayWritePolicy(grant.principal, input.name);
    const row = newRow(grant.namespace, input, grant.now);
    const taken = () =>
      new AppError('already_exists', `There is a policy ${input.name} already.`, {
        hint: 'policy.put_policy replaces it.',
      });
    return {
      output: { ...showPolicy(row), warnings: warningsFor(input.rules, deps) },
      changes: [insert('policies', { ...row }, taken)],
      audit: { version: row.version },
    };
  },
});

function newRow(
  namespace: string,
  input: { name: string; description: string; rules: Rule[] },
  now: number,
): PolicyRow {
  return {
    namespace,
    name: input.name,
    description: input.description,
    rules: JSON.stringify(input.rules),
    version: 1,
    created_at: now,
    updated_at: now,
  };
}

export const putPolicy = defineOperation({
  id: 'policy.put_policy',
  title: 'Write a policy',
  summary:
    'Replaces the rules of a policy, or makes it where there is none; it holds from the next request on. A right like an administrator’s; nobody else can write a policy that they hold themselves.',
  input: z.strictObject({
    name: policyName,
    description,
    rules: rulesSchema,
    version: z
      .int()
      .min(1)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .describe('Write only if this is the present version of the policy'),
  }),
  output: writtenView,
  http: { method: 'PUT', path: '/policies/{name}' },
  resource,
  effect: 'mutating',
  idempotent: true,
  async run(grant, input, deps: PolicyDeps) {
    assertNotBuiltIn(input.name);
    assertMayWritePolicy(grant.principal, input.name);
    const old = await readRow(deps.store, grant.namespace, input.name);
    assertVersion(input, old);
    const fresh = newRow(grant.namespace, input, grant.now);
    const row = old === undefined ? fresh : { ...fresh, version: old.version + 1, created_at: old.created_at };
    const { description: text, rules, version, updated_at: updatedAt } = row;
    const change =
      old === undefined
        ? insert('policies', { ...row })
        : update(
            'policies',
            { description: text, rules, version, updated_at: updatedAt },
            { namespace: grant.namespace, name: input.name, version: old.version },
            { expect: 1 },
          );
    return {
      output: { ...showPolicy(row), warnings: warningsFor(input.rules, deps) },
      changes: [change],
      audit: { version },
    };
  },
});

function assertVersion(input: { name: string; version?: number | undefined }, old: PolicyRow | undefined): void {
  if (input.version === undefined || input.version === old?.version) return;
  const found = old === undefined ? 'does not exist' : `is at version ${old.version}`;
  throw new AppError('wrong_state', `The policy ${input.name} ${found}, not at version ${input.version}.`, {
    hint: 'Read it again, and write on top of what it is now.',
  });
}

export const listPolicies = defineOperation({
  id: 'policy.list_policies',
  title: 'List policies',
  summary: 'Lists the policies of the namespace by name, built-in ones among them.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ policies: z.array(policyView).describe('By name'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/policies' },
  resource: () => 'policies',
  effect: 'read',
  async run(grant, { limit, cursor }, { store }: PolicyDeps) {
    const after = cursor === undefined ? '' : decodeCursor(cursor, 'string');
    const rows = await store
      .tables<CoreTables>()
      .selectFrom('policies')
      .selectAll()
      .where('namespace', '=', grant.namespace)
      .where('name', '>', after)
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const builtIn = Object.keys(builtInPolicies).filter((policy) => policy > after);
    const all = [...rows.map(showPolicy), ...builtIn.map(showBuiltIn)].sort((a, b) => (a.name < b.name ? -1 : 1));
    const page = cutPage(all, limit, (policy) => policy.name);
    return { output: { policies: page.items, next_cursor: page.next_cursor } };
  },
});

export const getPolicy = defineOperation({
  id: 'policy.get_policy',
  title: 'Show a policy',
  summary: 'Shows the rules of one policy.',
  input: z.strictObject({ name: policyName }),
  output: policyView,
  http: { method: 'GET', path: '/policies/{name}' },
  resource,
  effect: 'read',
  async run(grant, input, { store }: PolicyDeps) {
    if (isBuiltIn(input.name)) return { output: showBuiltIn(input.name) };
    const row = await readRow(store, grant.namespace, input.name);
    if (row === undefined) throw noSuchPolicy(input.name);
    return { output: showPolicy(row) };
  },
});

export const deletePolicy = defineOperation({
  id: 'policy.delete_policy',
  title: 'Delete a policy',
  summary: 'Deletes a policy that no principal has any more.',
  input: z.strictObject({ name: policyName }),
  output: z.strictObject({ name: z.string().describe('The policy that is gone') }),
  http: { method: 'DELETE', path: '/policies/{name}' },
  resource,
  effect: 'destructive',
  async run(grant, input, { store }: PolicyDeps) {
    assertNotBuiltIn(input.name);
    const row = await readRow(store, grant.namespace, input.name);
    if (row === undefined) throw noSuchPolicy(input.name);
    await assertUnused(store, grant.namespace, input.name);
    // Giving the policy to somebody raises its version, so that nobody can have got it since it was read.
    const where = { namespace: grant.namespace, name: input.name, version: row.version };
    return { output: { name: input.name }, changes: [remove('policies', where, { expect: 1 })] };
  },
});

const shownHolders = 20;

async function assertUnused(store: Store, namespace: string, policy: string): Promise<void> {
  // `_` is a wildcard of LIKE and may stand in a name.
  const holders = await store.all<{ name: string }>(
    `SELECT name FROM principals WHERE namespace = ? AND policies LIKE ? ESCAPE '!' ORDER BY name LIMIT ${shownHolders + 1}`,
    [namespace, `%"${policy.replaceAll('_', '!_')}"%`],
  );
  if (holders.length === 0) return;
  const names = holders.slice(0, shownHolders).map((holder) => holder.name);
  const more = holders.length > shownHolders ? ' and others' : '';
  throw new AppError('wrong_state', `The policy ${policy} is held by ${names.join(', ')}${more}.`, {
    hint: 'Take it from these principals first (auth.update_principal).',
    members: { principals: names },
  });
}
