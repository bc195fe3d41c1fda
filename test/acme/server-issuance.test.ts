import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RawClient, RawReply } from './raw-client.ts';
import { acmeWorld, csr, dnsNames, errorType, issue } from './server-world.ts';

/** Between finalizing and issuing hours may lie: what is allowed is asked again when it is issued. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let store: DatabaseSync;
before(async () => {
  world = await acmeWorld(undefined);
  store = new DatabaseSync(join(world.server.folder, 'chancery.db'));
  store.exec('PRAGMA busy_timeout = 30000');
  await world.server.ok('POST', 'policies', {
    name: 'issuers',
    rules: [{ effect: 'allow', operations: ['pki.issue_certificate'], resources: ['pki/roles/*'] }],
  });
});
after(async () => {
  store.close();
  await world.close();
});

interface Held {
  readonly id: string;
  readonly account: RawClient;
  readonly accountId: string;
  readonly order: RawReply;
}

const idIn = (url: string): string => url.split('/').at(-1) ?? '';

/** An order as a node leaves it that dies right after it was finalized; nobody takes it up yet. */
async function finalizedBy(role: string, principal: string, name: string): Promise<Held> {
  await world.server.ok('POST', 'principals', { name: principal, kind: 'service', policies: ['issuers'] });
  const account = await world.client(role);
  const names = { skip_validation: true, allowed_identifiers: ['*.example.com'] };
  const registered = await account.register({}, await world.externalKey({ role, principal, ...names }));
  assert.equal(registered.status, 201, registered.text);
  const order = await account.post(account.directory['newOrder'] ?? '', dnsNames(name));
  assert.equal(order.body.status, 'ready', order.text);
  const id = idIn(order.headers.location ?? '');
  const later = Date.now() + 3_600_000;
  store
    .prepare(`UPDATE acme_server_orders SET status = 'processing', csr = ?, claim = 'gone', next_attempt_at = ?,
      finalized_at = ? WHERE id = ?`)
    .run(Buffer.from(csr({ dns: [name] }), 'base64url'), later, Date.now(), id);
  return { id, account, accountId: idIn(account.kid ?? ''), order };
}

const rowOf = (id: string) =>
  store.prepare('SELECT status, error FROM acme_server_orders WHERE id = ?').get(id) as {
    status: string;
    error: string | null;
  };

const roleFields = { authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };

test('nothing is issued for an order whose account, principal, policy or role was taken away since it was finalized', async () => {
  const { server } = world;
  for (const name of ['gone', 'again', 'narrowed', 'profiled', 'other'])
    await server.ok('POST', 'pki/roles', { name, ...roleFields });
  const cases: Record<string, { held: Held; type: string | null; change: (held: Held) => Promise<unknown> }> = {
    fine: { held: await finalizedBy('web', 'p-fine', 'fine.example.com'), type: null, change: async () => undefined },
    deactivated: {
      held: await finalizedBy('web', 'p-deactivated', 'deactivated.example.com'),
      type: 'unauthorized',
      change: ({ account }) => account.post(account.kid ?? '', { status: 'deactivated' }),
    },
    revoked: {
      held: await finalizedBy('web', 'p-revoked', 'revoked.example.com'),
      type: 'unauthorized',
      change: ({ accountId }) => server.ok('POST', `acme/subscribers/${accountId}/revoke`),
    },
    disabled: {
      held: await finalizedBy('web', 'p-disabled', 'disabled.example.com'),
      type: 'unauthorized',
      change: () => server.ok('PATCH', 'principals/p-disabled', { disabled: true }),
    },
    forbidden: {
      held: await finalizedBy('web', 'p-forbidden', 'forbidden.example.com'),
      type: 'unauthorized',
      change: () => server.ok('PATCH', 'principals/p-forbidden', { policies: [] }),
    },
    deleted: {
      held: await finalizedBy('gone', 'p-deleted', 'deleted.example.com'),
      type: 'unauthorized',
      change: () => server.ok('DELETE', 'pki/roles/gone'),
    },
    remade: {
      held: await finalizedBy('again', 'p-remade', 'remade.example.com'),
      type: 'unauthorized',
      async change() {
        await server.ok('DELETE', 'pki/roles/again');
        await server.ok('POST', 'pki/roles', { name: 'again', ...roleFields });
      },
    },
    narrowed: {
      held: await finalizedBy('narrowed', 'p-narrowed', 'narrowed.example.com'),
      type: 'rejectedIdentifier',
      change: () => server.ok('PATCH', 'pki/roles/narrowed', { allowed_domains: ['example.org'] }),
    },
  };
  for (const { held, change } of Object.values(cases)) await change(held);
  const ids = Object.values(cases).map(({ held }) => held.id);
  const places = ids.map(() => '?').join(', ');
  store
    .prepare(`UPDATE acme_server_orders SET next_attempt_at = 1 WHERE status = 'processing' AND id IN (${places})`)
    .run(...ids);
  while (ids.some((id) => rowOf(id).status === 'processing')) await sleep(50);
  const found = Object.fromEntries(
    Object.entries(cases).map(([what, { held }]) => {
      const { status, error } = rowOf(held.id);
      return [what, status === 'valid' ? null : ((JSON.parse(error ?? '{}') as { type?: string }).type ?? status)];
    }),
  );
  const expected = Object.entries(cases).map(([what, { type }]) => [what, type === null ? null : errorType(type)]);
  assert.deepEqual(found, Object.fromEntries(expected));
  const { certificates } = await server.ok('GET', 'pki/certificates?kind=leaf&limit=1000');
  assert.deepEqual(
    certificates.map(({ names }: { names: string[] }) => names),
    [['dns:fine.example.com']],
  );
});

test('an order that waits for its next try ends with its account', async () => {
  const held = await finalizedBy('web', 'p-waits', 'waits.example.com');
  store.prepare('UPDATE acme_server_orders SET claim = NULL WHERE id = ?').run(held.id);
  await world.server.ok('POST', `acme/subscribers/${held.accountId}/revoke`);
  const { status, error } = rowOf(held.id);
  assert.equal(status, 'invalid');
  assert.equal((JSON.parse(error ?? '{}') as { type?: string }).type, errorType('unauthorized'));
});

test('the inventory says whose a certificate is: the principal of the account, or the account by its id', async () => {
  const { server } = world;
  await server.ok('POST', 'principals', { name: 'p-owner', kind: 'service', policies: ['issuers'] });
  const bound = await world.trusted({ principal: 'p-owner' });
  await issue(bound, ['bound.example.com']);
  await server.ok('POST', 'pki/roles', { name: 'open', ...roleFields });
  await server.ok('PUT', 'acme/directories/open', { external_account_required: false });
  const unbound = await world.client('open');
  await unbound.register({});
  const order = await unbound.post(unbound.directory['newOrder'] ?? '', dnsNames('unbound.example.com'));
  store
    .prepare(`UPDATE acme_server_authorizations SET status = 'valid' WHERE id = ?`)
    .run(idIn(order.body.authorizations[0]));
  const done = await unbound.post(order.body.finalize, { csr: csr({ dns: ['unbound.example.com'] }) });
  assert.equal(done.body.status, 'valid', done.text);

  const of = async (principal: string) => {
    const { certificates } = await server.ok('GET', `pki/certificates?kind=leaf&principal=${principal}`);
    return certificates.map((row: { names: string[]; principal: string }) => [row.names[0], row.principal]);
  };
  const account = idIn(unbound.kid ?? '');
  assert.deepEqual(await of('p-owner'), [['dns:bound.example.com', 'p-owner']]);
  assert.deepEqual(await of(account), [['dns:unbound.example.com', account]]);
  const expiring = await server.ok('GET', 'pki/certificates/expiring?within=30d');
  const owners = expiring.certificates.map((row: { principal: string }) => row.principal);
  assert.ok(owners.includes('p-owner') && owners.includes(account), owners.join());
  const { events } = await server.ok('GET', 'audit/events?operation=pki.issue_certificate&limit=10');
  const shown = events.map(({ details }: { details: Record<string, string> }) => details['on_behalf_of']);
  assert.ok(shown.includes('p-owner') && shown.includes(account), JSON.stringify(shown));
  const ended = await server.ok('POST', 'pki/certificates/revoke', {
    principal: 'p-owner',
    reason: 'cessation_of_operation',
  });
  assert.equal(ended.revoked, 1);
});
