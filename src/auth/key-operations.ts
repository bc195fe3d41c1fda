import { z } from 'zod';
import { type Change, insert, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { duration } from '#core/duration.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import { assertMayGive } from '#policy/granting.ts';
import type { CoreTables, CredentialRow, PrincipalRow } from '#storage/core-tables.ts';
import { findWitness, isAdministratorRow, witnessGuards } from './administrators.ts';
import { newCredential } from './credential-row.ts';
import { type AuthDeps, findPrincipal } from './deps.ts';
import { description, keyId, keyView, principalName, showKey } from './views.ts';

export const createKey = defineOperation({
  id: 'auth.create_key',
  title: 'Create an API key',
  summary:
    'Makes an API key for a principal and returns it once; only its hash is kept. Whoever has the key acts as the principal, so nobody but an administrator can make keys of principals that hold policies which they do not hold themselves.',
  input: z.strictObject({
    principal: principalName,
    description: description.default(''),
    ttl: duration
      .optional()
      .describe('Life of the key (90s, 24h, 30d, or seconds); without it the key does not expire'),
  }),
  output: keyView.extend({ key: z.string().describe('The key itself; it is never shown again') }),
  http: { method: 'POST', path: '/principals/{principal}/keys', status: 201 },
  resource: ({ principal }) => `principals/${principal}/keys`,
  effect: 'additive',
  sensitive: ['key'],
  facts: ({ ttl }) => ({ ttl }),
  async run(grant, input, { store, policies }: AuthDeps) {
    const principal = await findPrincipal(store, grant.namespace, input.principal);
    await assertMayGive(policies, grant.principal, JSON.parse(principal.policies) as string[]);
    assertIsKeyholder(grant, principal);
    const { secret, row } = newCredential('key', {
      namespace: grant.namespace,
      principal_id: principal.id,
      description: input.description,
      created_at: grant.now,
      expires_at: endOf(grant, input.ttl),
    });
    return {
      output: { ...showKey(row, principal.name), key: secret },
      changes: [stillHolds(principal), insert('credentials', { ...row })],
      audit: { key_id: row.id, expires_at: row.expires_at === null ? null : toRfc3339(row.expires_at) },
    };
  },
});

/** A child token that made a key of its own principal would live on in it, however short it was meant to be. */
function assertIsKeyholder({ principal: caller }: Grant, principal: PrincipalRow): void {
  if (caller.id !== principal.id || caller.credentialId.startsWith('key_')) return;
  throw new AppError('denied', 'A token cannot make a key of its own principal: the key would outlive it.', {
    hint: 'Use a key of the principal, or ask another administrator.',
  });
}

/** Holds only while the principal has the policies that were looked at. */
function stillHolds({ id, namespace, policies }: PrincipalRow): Change {
  return update('principals', { policies }, { id, namespace, policies }, { expect: 1 });
}

function endOf({ now, limits }: Grant, ttl: number | undefined): number | null {
  const ends = [ttl, limits.maxTtl].flatMap((seconds) => (seconds === undefined ? [] : [now + seconds * 1000]));
  if (limits.notAfter !== undefined) ends.push(limits.notAfter);
  return ends.length === 0 ? null : Math.min(...ends);
}

export const listKeys = defineOperation({
  id: 'auth.list_keys',
  title: 'List API keys',
  summary: 'Lists the API keys of a principal, newest first, revoked ones too. Never shows a key itself.',
  input: z.strictObject({ principal: principalName, ...pageInput }),
  output: z.strictObject({ keys: z.array(keyView).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/principals/{principal}/keys' },
  resource: ({ principal }) => `principals/${principal}/keys`,
  effect: 'read',
  async run(grant, { principal: name, limit, cursor }, { store }: AuthDeps) {
    const principal = await findPrincipal(store, grant.namespace, name);
    let query = store
      .tables<CoreTables>()
      .selectFrom('credentials')
      .selectAll()
      .where('namespace', '=', grant.namespace)
      .where('principal_id', '=', principal.id)
      .where('kind', '=', 'key');
    if (cursor !== undefined) query = query.where('id', '<', decodeCursor(cursor, 'string'));
    const rows = await query
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const page = cutPage(rows, limit, (row) => row.id);
    return { output: { keys: page.items.map((row) => showKey(row, name)), next_cursor: page.next_cursor } };
  },
});

export const revokeKey = defineOperation({
  id: 'auth.revoke_key',
  title: 'Revoke an API key',
  summary:
    'Ends an API key and all tokens that were narrowed from it, at once and for good. The last valid key of the last administrator cannot be revoked.',
  input: z.strictObject({ principal: principalName, id: keyId }),
  output: keyView,
  http: { method: 'DELETE', path: '/principals/{principal}/keys/{id}' },
  resource: ({ principal, id }) => `principals/${principal}/keys/${id}`,
  effect: 'destructive',
  idempotent: true,
  async run(grant, { principal: name, id }, { store }: AuthDeps) {
    const principal = await findPrincipal(store, grant.namespace, name);
    const row = await findKey(store, principal, id);
    if (row.revoked_at !== null) return { output: showKey(row, name) };
    const revoked = update(
      'credentials',
      { revoked_at: grant.now },
      { id, namespace: grant.namespace, revoked_at: null },
      { expect: 1 },
    );
    return {
      output: showKey({ ...row, revoked_at: grant.now }, name),
      changes: [...(await keepUsableKey(grant, principal, row, store)), revoked],
    };
  },
});

async function findKey(store: AuthDeps['store'], principal: PrincipalRow, id: string): Promise<CredentialRow> {
  const row = await store.first<CredentialRow>(
    `SELECT * FROM credentials WHERE namespace = ? AND principal_id = ? AND kind = 'key' AND id = ?`,
    [principal.namespace, principal.id, id],
  );
  if (row !== undefined) return row;
  throw new AppError('not_found', `${principal.name} has no key with this id.`, { hint: 'auth.list_keys lists them.' });
}

async function keepUsableKey(
  grant: Grant,
  principal: PrincipalRow,
  key: CredentialRow,
  store: AuthDeps['store'],
): Promise<Change[]> {
  const expired = key.expires_at !== null && key.expires_at <= grant.now;
  if (expired || !isAdministratorRow(principal)) return [];
  const leaving = { namespace: grant.namespace, now: grant.now, credentialId: key.id };
  return witnessGuards(grant.namespace, await findWitness(store, leaving));
}

export const keyOperations = [createKey, listKeys, revokeKey];
