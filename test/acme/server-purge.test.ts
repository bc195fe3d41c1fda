import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { purgeServed } from '#acme/server/acts/purge.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { auditLinker } from '#audit/chain.ts';
import { migrations } from '#chancery/migrations.ts';
import { insert, type Row } from '#core/change.ts';
import { makeGrant } from '#core/grant.ts';
import { openStore } from '#storage/open.ts';
import type { Store } from '#storage/store.ts';

/** Complaint 8 of the research: what is not cleared away fills the disk in a year. */

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const now = 1_800_000_000_000;
const month = 31 * 86_400_000;

const grant = makeGrant({
  principal: {
    id: 'system',
    name: 'acme.serve',
    namespace: 'root',
    kind: 'system',
    policies: [],
    credentialId: 'system',
    narrowings: [],
  },
  namespace: 'root',
  operation: 'acme.purge_served',
  resource: 'acme/served',
  purpose: undefined,
  limits: {},
  requestId: 'req_1',
  sourceAddress: null,
  now,
});

const common = { namespace: 'root', role: 'web', account_id: 'asa_1' };

function order(id: string, purgeAt: number): Row {
  const empty = [
    'profile',
    'not_after',
    'replaces',
    'error',
    'csr',
    'end_at',
    'common_name',
    'certificate_id',
    'claim',
    'next_attempt_at',
    'finalized_at',
  ];
  const row = {
    ...common,
    id,
    status: 'invalid',
    identifiers: '[]',
    issuing_role: 'web',
    created_at: 0,
    expires_at: 0,
    purge_at: purgeAt,
  };
  return { ...row, ...Object.fromEntries(empty.map((column) => [column, null])) };
}

function authorization(id: string, purgeAt: number): Row {
  const name = { identifier_type: 'dns', identifier: 'a.example.com', wildcard: 0 };
  return {
    ...common,
    ...name,
    id,
    status: 'invalid',
    failed_at: null,
    created_at: 0,
    expires_at: 0,
    purge_at: purgeAt,
  };
}

function challenge(id: string, authorizationId: string): Row {
  const state = { type: 'http-01', status: 'invalid', token: 't', error: null, attempts: 1, validated_at: null };
  return {
    ...state,
    id,
    ...common,
    authorization_id: authorizationId,
    claim: null,
    next_attempt_at: null,
    position: 0,
  };
}

function externalKey(id: string, fields: Row): Row {
  const owner = { principal_id: 'p', principal: 'p', created_by: 'p', created_at: 0, description: '' };
  const terms = {
    allowed_identifiers: null,
    skip_validation: 0,
    max_accounts: 1,
    accounts: 1,
    expires_at: null,
    revoked_at: null,
  };
  return { ...owner, ...terms, id, namespace: 'root', role: 'web', mac_key: Buffer.alloc(1), ...fields };
}

function account(id: string, fields: Row = {}): Row {
  const key = { thumbprint: id, jwk: '{}', contact: '[]', terms: null, external_key_id: null, external_binding: null };
  const names = { principal_id: null, principal: null, allowed_identifiers: null, skip_validation: 0 };
  const source = { source_address: '192.0.2.1', source_network: '192.0.2.1' };
  const state = { status: 'revoked', open_authorizations: 0, version: 1, created_at: 0, ended_at: now - month };
  return { ...key, ...names, ...source, ...state, id, namespace: 'root', role: 'web', ...fields };
}

function certificate(id: string, accountId: string): Row {
  const names = { serial_number: id, fingerprint: id, cert_id: id, identifiers: '[]', chain: '[]', order_id: 'none' };
  const times = { not_before: 0, not_after: now + month, purge_at: now + month };
  return { ...common, ...names, ...times, id, account_id: accountId };
}

/** Roles `web` and `mail` are there since ever, `again` since an hour. */
const roles: Partial<ServerDeps> = {
  issuer: {
    roleSince: async (_: string, role: string) => ({ web: 0, mail: 0, again: now - 3_600_000 })[role],
  } as unknown as ServerDeps['issuer'],
  directories: {
    of: async (_: string, role: string) =>
      role === 'mail' ? { settings: { ended_accounts_kept: 86_400 * 365 } } : undefined,
  } as unknown as ServerDeps['directories'],
};

async function openedStore(context: TestContext): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-purge-'));
  const store = await openStore({
    url: `sqlite:${join(folder, 'store.db')}`,
    linker: auditLinker,
    migrations,
    log: silent,
  });
  context.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return store;
}

/** Until nothing is left to do; in how many commits. */
async function purge(store: Store): Promise<number> {
  const deps = { store, ...roles } as unknown as ServerDeps;
  for (let rounds = 1; ; rounds++) {
    const { output, changes } = await purgeServed.run(grant, {}, deps, undefined);
    await store.commit(changes ?? []);
    if (!output.more) return rounds;
  }
}

test('the purge removes what has ended, with what hangs on it, and nothing that somebody needs', async (context) => {
  const store = await openedStore(context);
  const link = (orderId: string, authorizationId: string) =>
    insert('acme_server_order_authorizations', { order_id: orderId, authorization_id: authorizationId, position: 0 });
  await store.commit([
    insert('acme_server_nonces', { nonce: 'old', expires_at: now }),
    insert('acme_server_nonces', { nonce: 'new', expires_at: now + 1 }),
    ...Array.from({ length: 1200 }, (_, index) => insert('acme_server_orders', order(`old${index}`, now))),
    insert('acme_server_orders', order('new', now + 1)),
    insert('acme_server_authorizations', authorization('old', now)),
    insert('acme_server_authorizations', authorization('new', now + 1)),
    insert('acme_server_authorizations', { ...authorization('unfulfilled', now + month), status: 'pending' }),
    insert('acme_server_accounts', account('asa_1', { status: 'valid', ended_at: null, open_authorizations: 3 })),
    insert('acme_server_challenges', challenge('old', 'old')),
    insert('acme_server_challenges', challenge('new', 'new')),
    link('old0', 'old'),
    link('new', 'new'),
    insert('acme_server_external_keys', externalKey('revoked', { revoked_at: now - month })),
    insert('acme_server_external_keys', externalKey('expired', { expires_at: now - month })),
    insert('acme_server_external_keys', externalKey('used', {})),
    insert('acme_server_external_keys', externalKey('just', { revoked_at: now - 1 })),
  ]);
  assert.equal(await purge(store), 3);
  const left = async (table: string, column = 'id') =>
    (await store.all<Record<string, string>>(`SELECT ${column} FROM ${table} ORDER BY ${column}`, [])).map(
      (row) => row[column],
    );
  assert.deepEqual(await left('acme_server_nonces', 'nonce'), ['new']);
  assert.deepEqual(await left('acme_server_orders'), ['new']);
  assert.deepEqual(await left('acme_server_authorizations'), ['new', 'unfulfilled']);
  assert.deepEqual(await left('acme_server_accounts', 'open_authorizations'), [2]);
  assert.deepEqual(await left('acme_server_challenges'), ['new']);
  assert.deepEqual(await left('acme_server_order_authorizations', 'order_id'), ['new']);
  assert.deepEqual(await left('acme_server_external_keys'), ['just', 'used']);
});

test('accounts are forgotten a while after their end, when nothing of them is left, and end with their role', async (context) => {
  const store = await openedStore(context);
  const valid = { status: 'valid', ended_at: null };
  await store.commit([
    ...Array.from({ length: 700 }, (_, index) => insert('acme_server_accounts', account(`asa_old${index}`))),
    insert('acme_server_accounts', account('asa_just', { ended_at: now - 86_400_000 })),
    insert('acme_server_accounts', account('asa_mail', { role: 'mail' })),
    insert('acme_server_accounts', account('asa_valid', valid)),
    insert('acme_server_accounts', account('asa_certified')),
    insert('acme_server_certificates', certificate('asx_1', 'asa_certified')),
    insert('acme_server_accounts', account('asa_ordering')),
    insert('acme_server_orders', { ...order('aso_1', now + 1), account_id: 'asa_ordering' }),
    insert('acme_server_accounts', account('asa_gone', { ...valid, role: 'gone' })),
    insert('acme_server_accounts', account('asa_again', { ...valid, role: 'again' })),
    insert('acme_server_accounts', account('asa_anew', { ...valid, role: 'again', created_at: now })),
  ]);
  await purge(store);
  const rows = await store.all<{ id: string; status: string; ended_at: number | null }>(
    'SELECT id, status, ended_at FROM acme_server_accounts ORDER BY id',
    [],
  );
  assert.deepEqual(
    rows.map((row) => [row.id, row.status, row.ended_at]),
    [
      ['asa_again', 'revoked', now],
      ['asa_anew', 'valid', null],
      ['asa_certified', 'revoked', now - month],
      ['asa_gone', 'revoked', now],
      ['asa_just', 'revoked', now - 86_400_000],
      ['asa_mail', 'revoked', now - month],
      ['asa_ordering', 'revoked', now - month],
      ['asa_valid', 'valid', null],
    ],
  );
});
