import { z } from 'zod';
import { insert, remove } from '#core/change.ts';
import type { NamespacedTable } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { assertNotNarrowed } from '#policy/granting.ts';
import { pageByName } from '#storage/page-by-name.ts';
import type { CoreTables, NamespaceRow } from '#storage/core-tables.ts';
import { firstAdministrator } from './bootstrap.ts';
import type { AuthDeps } from './deps.ts';
import { description, namespaceName, namespaceView, showNamespace } from './views.ts';

/** Namespaces are tenants; they belong to the installation, so only principals of `root` see and make them. */

const resource = ({ name }: { name: string }) => `namespaces/${name}`;

export const createNamespace = defineOperation({
  id: 'auth.create_namespace',
  title: 'Create a namespace',
  summary:
    'Makes a namespace (tenant) with its first administrator, and returns the key of that administrator once. Principals of one namespace never see another.',
  input: z.strictObject({ name: namespaceName, description: description.default('') }),
  output: namespaceView.extend({
    administrator: z.string().describe('Name of the first principal of the namespace'),
    key: z.string().describe('Its API key; it is never shown again'),
  }),
  http: { method: 'POST', path: '/namespaces', status: 201 },
  resource,
  effect: 'additive',
  installation: true,
  sensitive: ['key'],
  async run(grant, input) {
    assertNotNarrowed(grant.principal);
    const row: NamespaceRow = { name: input.name, description: input.description, created_at: grant.now };
    const { principal, key, changes } = firstAdministrator(input.name, grant.now);
    const taken = () => new AppError('already_exists', `There is a namespace ${input.name} already.`);
    return {
      output: { ...showNamespace(row), administrator: principal.name, key: key.secret },
      changes: [insert('namespaces', { ...row }, taken), ...changes],
      audit: { key_id: key.row.id },
    };
  },
});

export const listNamespaces = defineOperation({
  id: 'auth.list_namespaces',
  title: 'List namespaces',
  summary: 'Lists all namespaces by name.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ namespaces: z.array(namespaceView).describe('By name'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/namespaces' },
  resource: () => 'namespaces',
  effect: 'read',
  installation: true,
  async run(_grant, paging, { store }: AuthDeps) {
    const query = store.tables<CoreTables>().selectFrom('namespaces').selectAll();
    const page = await pageByName(query, paging);
    return { output: { namespaces: page.items.map(showNamespace), next_cursor: page.next_cursor } };
  },
});

export const getNamespace = defineOperation({
  id: 'auth.get_namespace',
  title: 'Show a namespace',
  summary: 'Shows one namespace.',
  input: z.strictObject({ name: namespaceName }),
  output: namespaceView,
  http: { method: 'GET', path: '/namespaces/{name}' },
  resource,
  effect: 'read',
  installation: true,
  run: async (_grant, { name }, { store }: AuthDeps) => ({ output: showNamespace(await findNamespace(store, name)) }),
});

async function findNamespace(store: AuthDeps['store'], name: string): Promise<NamespaceRow> {
  const row = await store.first<NamespaceRow>('SELECT * FROM namespaces WHERE name = ?', [name]);
  if (row !== undefined) return row;
  throw new AppError('not_found', `There is no namespace ${name}.`, { hint: 'auth.list_namespaces lists them.' });
}

export const deleteNamespace = defineOperation({
  id: 'auth.delete_namespace',
  title: 'Delete a namespace',
  summary:
    'Deletes a namespace that holds nothing any more: no authorities, roles, certificates or leases, and one principal at most. Its policies, keys and tokens go with it; its audit records stay.',
  input: z.strictObject({ name: namespaceName }),
  output: z.strictObject({ name: z.string().describe('The namespace that is gone') }),
  http: { method: 'DELETE', path: '/namespaces/{name}' },
  resource,
  effect: 'destructive',
  installation: true,
  async run(_grant, { name }, deps: AuthDeps) {
    if (name === 'root') throw new AppError('wrong_state', 'The namespace root cannot be deleted.');
    await findNamespace(deps.store, name);
    await assertEmpty(deps, name);
    const principals = await deps.store.all<{ id: string }>('SELECT id FROM principals WHERE namespace = ? LIMIT 2', [
      name,
    ]);
    if (principals.length > 1) {
      throw new AppError('wrong_state', `The namespace ${name} has more than one principal.`, {
        hint: 'Delete its principals first; the last administrator goes with the namespace.',
      });
    }
    const byNamespace = { namespace: name };
    return {
      output: { name },
      changes: [
        remove('principals', byNamespace, { expect: principals.length }),
        ...['credentials', 'policies', 'approvals', 'idempotency_keys'].map((table) => remove(table, byNamespace)),
        remove('namespaces', { name }, { expect: 1 }),
      ],
    };
  },
});

async function assertEmpty({ store, namespacedTables }: AuthDeps, namespace: string): Promise<void> {
  const found: NamespacedTable[] = [];
  for (const each of namespacedTables) {
    const known = typeof each === 'string' ? { table: each, holds: each, clear: othersFirst } : each;
    // The names are those of the engines' own tables; nothing of the request is in this text but the parameter.
    const row = await store.first(`SELECT 1 AS found FROM "${known.table}" WHERE namespace = ? LIMIT 1`, [namespace]);
    if (row !== undefined) found.push(known);
  }
  if (found.length === 0) return;
  const holds = [...new Set(found.map((each) => each.holds))].join(', ');
  throw new AppError('wrong_state', `The namespace ${namespace} still holds ${holds}.`, {
    hint: [...new Set(found.map((each) => each.clear))].join(' '),
  });
}

const othersFirst = 'Delete or revoke what it holds first.';

export const namespaceOperations = [createNamespace, listNamespaces, getNamespace, deleteNamespace];
