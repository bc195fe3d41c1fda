import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { purgeOrders } from '#acme/client/acts/purge-orders.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { auditLinker } from '#audit/chain.ts';
import { migrations } from '#chancery/migrations.ts';
import { insert, type Row } from '#core/change.ts';
import { makeGrant } from '#core/grant.ts';
import { openStore } from '#storage/open.ts';

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const now = 1_800_000_000_000;
const month = 31 * 86_400_000;

const grant = makeGrant({
  principal: {
    id: 'system',
    name: 'acme.purge_orders',
    namespace: 'root',
    kind: 'system',
    policies: [],
    credentialId: 'system',
    narrowings: [],
  },
  namespace: 'root',
  operation: 'acme.purge_orders',
  resource: 'acme/orders',
  purpose: undefined,
  limits: {},
  requestId: 'req_1',
  sourceAddress: null,
  now,
});

const common = {
  namespace: 'root',
  account_id: 'aca_1',
  account: 'a',
  csr: Buffer.alloc(1),
  private_key: Buffer.alloc(1),
  principal: 'p',
  created_at: 0,
  updated_at: 0,
};

function certificate(id: string, fields: Row): Row {
  const definition = JSON.stringify({ reuse_key: false, profile: '"reuse_key":true' });
  const texts = { state: 'valid', key_sha256: '', definition, chain: '', serial_number: id, renew_reason: 'lifetime' };
  const numbers = { not_before: 0, obtained_at: 0, hook_attempts: 0, renew: 1, renew_at: 0, failures: 0 };
  return { ...common, ...texts, ...numbers, id, renewals: 0, version: 1, not_after: now - month, ...fields };
}

function order(id: string, fields: Row): Row {
  const texts = { certificate_id: 'acc_1', state: 'failed', definition: '{}', progress: '{}' };
  return { ...common, ...texts, id, renewal: 0, attempts: 0, give_up_at: 0, ended_at: now - month, ...fields };
}

test('the purge forgets orders and keys of what ended a month ago, and nothing that somebody needs', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-purge-'));
  const url = `sqlite:${join(folder, 'store.db')}`;
  const store = await openStore({ url, linker: auditLinker, migrations, log: silent });
  context.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const reused = { definition: JSON.stringify({ reuse_key: true }) };
  await store.commit([
    ...Array.from({ length: 600 }, (_, index) => insert('acme_client_orders', order(`old${index}`, {}))),
    insert('acme_client_orders', order('new', { ended_at: now - 1 })),
    insert('acme_client_orders', order('open', { ended_at: null })),
    insert('acme_client_orders', order('cleaning', { next_action_at: now })),
    insert('acme_certificates', certificate('ended', {})),
    insert('acme_certificates', certificate('just', { not_after: now - 1 })),
    insert('acme_certificates', certificate('valid', { not_after: now + month })),
    insert('acme_certificates', certificate('reused', reused)),
    insert('acme_certificates', certificate('reused-off', { ...reused, renew: 0 })),
  ]);
  const deps = { store } as unknown as ClientDeps;
  const counts = [];
  for (let more = true; more; ) {
    const { output, changes } = await purgeOrders.run(grant, {}, deps, undefined);
    await store.commit(changes ?? []);
    counts.push([output.deleted, output.keys]);
    ({ more } = output);
  }
  assert.deepEqual(counts, [
    [500, 2],
    [100, 0],
  ]);
  const idsOf = async (sql: string) => (await store.all<{ id: string }>(sql, [])).map(({ id }) => id);
  assert.deepEqual(await idsOf('SELECT id FROM acme_client_orders ORDER BY id'), ['cleaning', 'new', 'open']);
  const withKey = await idsOf('SELECT id FROM acme_certificates WHERE private_key IS NOT NULL ORDER BY id');
  assert.deepEqual(withKey, ['just', 'reused', 'valid']);
});
