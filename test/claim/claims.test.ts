import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { auditLinker } from '#audit/chain.ts';
import { afterRestore, migrations } from '#chancery/migrations.ts';
import { deriveKeys, newHandle, parseHandle } from '#claim/handle.ts';
import type { ClaimRow } from '#claim/tables.ts';
import type { Credentials, Reply } from '#core/dispatch.ts';
import { decrypt } from '#seal/gcm.ts';
import { openStore } from '#storage/open.ts';
import { restoreBackup } from '#storage/restore.ts';
import { type Client, foundPki, type InProcess, startChancery } from '#test/chancery.ts';
import { until } from '../database/fixture.ts';
import { temporaryFolder } from '../lease/house.ts';

/** Secrets that wait for the principal they were made for. */

const start = 1_800_000_000_000;

async function house(context: TestContext) {
  let now = start;
  const clock = { now: () => now };
  const server = await startChancery(context, { clock, env: { CHANCERY_LOG_LEVEL: 'silent' } });
  await foundPki(server);
  return { server, advance: (milliseconds: number) => (now += milliseconds) };
}

/** Issues a certificate as MCP does: its key is kept. */
async function issueKept(server: InProcess, token = server.token): Promise<Reply & { readonly handle: string }> {
  const reply = await callKept(server, 'pki.issue_certificate', { role: 'web', dns_names: ['a.example.com'] }, token);
  assert.ok(reply.kept);
  return { ...reply, handle: reply.kept.handle };
}

function callKept(server: InProcess, id: string, input: object, token = server.token): Promise<Reply> {
  const { chancery } = server;
  const operation = chancery.operations.find((candidate) => candidate.id === id);
  assert.ok(operation);
  const credentials: Credentials = { kind: 'bearer', token: token ?? '' };
  const { keepSecrets } = chancery;
  return chancery.dispatch({
    operation,
    input,
    credentials,
    transport: 'mcp',
    sourceAddress: '192.0.2.7',
    requestId: 'req_1',
    keepSecrets,
  });
}

async function enrol(client: Client, name: string, operations: readonly string[]): Promise<Client> {
  await client.ok('POST', 'policies', { name, rules: [{ effect: 'allow', operations, resources: ['**'] }] });
  await client.ok('POST', 'principals', { name, kind: 'agent', policies: [name] });
  const { key } = await client.ok('POST', `principals/${name}/keys`, {});
  return client.as(key);
}

const idOf = (handle: string): string => parseHandle(handle)?.id ?? '';

async function events(client: Client, operation: string) {
  return (await client.ok('GET', `audit/events?operation=${operation}`)).events as {
    outcome: string;
    principal: string;
    resource: string;
    code: string | null;
    details: Record<string, unknown>;
  }[];
}

test('a claim gives the whole answer once, and the event of what made it names the claim', async (context) => {
  const { server } = await house(context);
  const { handle, output } = await issueKept(server);
  const told = output as Record<string, unknown>;
  const redeemed = await server.ok('POST', 'claims/redeem', { handle });
  assert.deepEqual(redeemed.output, told);
  assert.equal(redeemed.operation, 'pki.issue_certificate');
  assert.deepEqual(redeemed.fields, ['private_key']);
  const [event] = await events(server, 'pki.issue_certificate');
  assert.equal(event?.details['claim_id'], idOf(handle));
  assert.equal(event?.details['serial_number'], told['serial_number']);
  const claim = await server.ok('GET', `claims/${idOf(handle)}`);
  assert.deepEqual([claim.state, claim.alarms, claim.claimed_from], ['claimed', 0, '127.0.0.1']);
});

test('a second claim is refused, says when the first was, and raises an alarm', async (context) => {
  const { server, advance } = await house(context);
  const { handle } = await issueKept(server);
  advance(5000);
  await server.ok('POST', 'claims/redeem', { handle });
  advance(60_000);
  const again = await server.call('POST', 'claims/redeem', { handle });
  assert.equal(again.status, 409);
  assert.equal(again.body.code, 'wrong_state');
  assert.match(again.body.detail, /claimed at 2027-01-15T08:00:05Z/);
  assert.match(again.body.hint, /revoke/);
  const [alarm, ...more] = await events(server, 'claim.raise_alarm');
  assert.equal(more.length, 0);
  assert.equal(alarm?.principal, 'claim.watch');
  assert.deepEqual(
    [alarm?.details['reason'], alarm?.details['tried_by'], alarm?.details['alarm'], alarm?.details['tried_from']],
    ['claimed_again', 'admin', true, '127.0.0.1'],
  );
  const failed = (await events(server, 'claim.redeem_claim')).find(({ outcome }) => outcome === 'failed');
  assert.equal(failed?.code, 'wrong_state');
  assert.equal((await server.ok('GET', 'claims?alarmed=true')).claims[0].id, idOf(handle));
  const { text } = await server.ok('GET', 'system/metrics');
  assert.match(text, /chancery_claim_alarms_total\{reason="claimed_again"\} 1/);
});

test('of many at once one gets the secrets, and each other one is an alarm', async (context) => {
  const { server } = await house(context);
  const { handle } = await issueKept(server);
  const replies = await Promise.all(Array.from({ length: 8 }, () => server.call('POST', 'claims/redeem', { handle })));
  assert.deepEqual(
    replies.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, ...Array<number>(7).fill(409)],
  );
  assert.equal((await server.ok('GET', `claims/${idOf(handle)}`)).alarms, 7);
});

test('somebody else with the handle gets nothing, whatever their policies, and it is an alarm', async (context) => {
  const { server } = await house(context);
  const other = await enrol(server, 'other', ['**']);
  const { handle } = await issueKept(server);
  const refused = await other.call('POST', 'claims/redeem', { handle });
  assert.deepEqual([refused.status, refused.body.code], [404, 'not_found']);
  const [alarm] = await events(server, 'claim.raise_alarm');
  assert.deepEqual([alarm?.details['reason'], alarm?.details['tried_by']], ['other_principal', 'other']);
  await server.ok('POST', 'claims/redeem', { handle });
});

test('a wrong secret, an unknown id and another namespace answer alike and raise nothing', async (context) => {
  const { server } = await house(context);
  const { key } = await server.ok('POST', 'namespaces', { name: 'tenant' });
  const { handle } = await issueKept(server);
  const wrong = newHandle(idOf(handle)).handle;
  const unknown = newHandle('clm_00000000000000000000000000').handle;
  const replies = [
    await server.call('POST', 'claims/redeem', { handle: wrong }),
    await server.call('POST', 'claims/redeem', { handle: unknown }),
    await server.as(key as string).call('POST', 'claims/redeem', { handle }),
  ];
  for (const { status, body } of replies) assert.deepEqual([status, body.detail], [404, replies[0]?.body.detail]);
  assert.deepEqual(await events(server, 'claim.raise_alarm'), []);
  assert.equal((await server.call('POST', 'claims/redeem', { handle: 'chc_x' })).status, 400);
});

test('a child token claims what it could have asked for itself, and nothing else', async (context) => {
  const { server } = await house(context);
  const child = async (operations: string[], resources: string[]) =>
    server.as((await server.ok('POST', 'tokens', { operations, resources, ttl: '1h' })).token);
  const { handle } = await issueKept(server);
  const narrower = await child(['pki.list_*'], ['**']);
  assert.equal((await narrower.call('POST', 'claims/redeem', { handle })).status, 404);
  const elsewhere = await child(['pki.issue_certificate'], ['pki/roles/other']);
  assert.equal((await elsewhere.call('POST', 'claims/redeem', { handle })).status, 404);
  const issuer = await child(['pki.issue_certificate'], ['pki/roles/web']);
  assert.equal((await issuer.call('POST', 'claims/redeem', { handle })).status, 200);
  const own = await issueKept(server, issuer.token);
  assert.equal((await issuer.call('POST', 'claims/redeem', { handle: own.handle })).status, 200);
});

test('after its time a claim is gone, and its content is deleted', async (context) => {
  const { server, advance } = await house(context);
  const { handle, kept } = await issueKept(server);
  assert.equal(kept?.expiresAt, start + 300_000);
  advance(300_000);
  const late = await server.call('POST', 'claims/redeem', { handle });
  assert.deepEqual([late.status, late.body.code], [409, 'wrong_state']);
  assert.match(late.body.detail, /expired at 2027-01-15T08:05:00Z/);
  assert.equal((await server.ok('GET', `claims/${idOf(handle)}`)).state, 'expired');
  const reasons = (await events(server, 'claim.raise_alarm')).map(({ details }) => details['reason']);
  assert.deepEqual(reasons, ['expired']);
  await until('the content is deleted', async () => (await events(server, 'claim.purge_claims')).length > 0);
  advance(30 * 86_400_000 + 1);
  await until('it is forgotten', async () => (await server.ok('GET', 'claims')).claims.length === 0);
});

test('a cancelled claim is gone; who made it may cancel it without a rule', async (context) => {
  const { server } = await house(context);
  const agent = await enrol(server, 'agent', ['pki.issue_certificate']);
  const other = await enrol(server, 'other', ['pki.issue_certificate']);
  const { handle } = await issueKept(server, agent.token);
  assert.equal((await other.call('POST', `claims/${idOf(handle)}/cancel`, {})).status, 403);
  assert.equal((await other.call('GET', `claims/${idOf(handle)}`)).status, 403);
  assert.equal((await other.call('GET', 'claims')).status, 403);
  assert.deepEqual((await other.ok('GET', 'claims?mine=true')).claims, []);
  assert.equal((await agent.ok('GET', 'claims?mine=true')).claims[0].state, 'open');
  assert.equal((await agent.ok('POST', `claims/${idOf(handle)}/cancel`, {})).state, 'cancelled');
  assert.equal((await agent.ok('POST', `claims/${idOf(handle)}/cancel`, {})).state, 'cancelled');
  const refused = await agent.call('POST', 'claims/redeem', { handle });
  assert.match(refused.body.detail, /was cancelled/);
  const [alarm] = await events(server, 'claim.raise_alarm');
  assert.deepEqual([alarm?.details['reason'], alarm?.details['tried_by']], ['cancelled', 'agent']);
});

test('neither the store with its keys nor the handle alone opens a claim', async (context) => {
  const { server } = await house(context);
  const { handle, output } = await issueKept(server);
  await server.chancery.close();
  const file = join(server.folder, 'chancery.db');
  const store = await openStore({ url: `sqlite:${file}`, migrations, linker: auditLinker });
  context.after(() => store.close());
  const row = await store.first<ClaimRow>('SELECT * FROM claims WHERE id = ?', [idOf(handle)]);
  assert.ok(row?.secrets);
  const parts = parseHandle(handle);
  assert.ok(parts);
  // The handle without the keyring: the outer layer stays shut.
  assert.equal(decrypt(deriveKeys(parts).key, Buffer.alloc(0), row.secrets), undefined);
  const all = JSON.stringify(row, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
  );
  assert.ok(!all.includes(parts.secret.toString('latin1')) && !all.includes(handle));
  assert.ok(!all.includes((output as { private_key: string }).private_key.slice(40, 80)));
});

test('a claim in the store that was given to somebody else does not open', async (context) => {
  const { server } = await house(context);
  const other = await enrol(server, 'other', ['pki.issue_certificate']);
  const { handle } = await issueKept(server);
  const database = new DatabaseSync(join(server.folder, 'chancery.db'));
  database.exec("UPDATE claims SET principal_id = (SELECT id FROM principals WHERE name = 'other')");
  database.close();
  const refused = await other.call('POST', 'claims/redeem', { handle });
  assert.deepEqual([refused.status, refused.body.code], [500, 'sealed_value_unreadable']);
});

test('where secrets are kept, a claim is not exchanged for a younger one, and stays good', async (context) => {
  const { server, advance } = await house(context);
  const { handle, output } = await issueKept(server);
  advance(200_000);
  await assert.rejects(callKept(server, 'claim.redeem_claim', { handle }), { code: 'refused' });
  const { claims } = await server.ok('GET', 'claims');
  assert.deepEqual(
    claims.map(({ state, expires_at: end }: Record<string, unknown>) => [state, end]),
    [['open', '2027-01-15T08:05:00Z']],
  );
  assert.deepEqual((await server.ok('POST', 'claims/redeem', { handle })).output, output);
});

test('who may not do any more what made the secrets does not get them', async (context) => {
  const { server } = await house(context);
  const agent = await enrol(server, 'agent', ['pki.issue_certificate']);
  const { handle } = await issueKept(server, agent.token);
  const replace = (rules: object[]) => server.ok('PUT', 'policies/agent', { description: '', rules });
  const allow = { effect: 'allow', operations: ['pki.issue_certificate'], resources: ['**'] };
  for (const rules of [
    [{ ...allow, resources: ['pki/roles/other'] }],
    [allow, { ...allow, effect: 'deny', resources: ['pki/roles/web'] }],
    [{ ...allow, conditions: { source_cidrs: ['192.0.2.0/24'] } }],
  ]) {
    await replace(rules);
    const refused = await agent.call('POST', 'claims/redeem', { handle });
    assert.deepEqual([refused.status, refused.body.code], [403, 'denied']);
  }
  await replace([allow]);
  await server.ok('PATCH', 'principals/agent', { disabled: true });
  assert.equal((await agent.call('POST', 'claims/redeem', { handle })).status, 401);
  await server.ok('PATCH', 'principals/agent', { disabled: false });
  assert.deepEqual(await events(server, 'claim.raise_alarm'), []);
  await agent.ok('POST', 'claims/redeem', { handle });
});

test('a purpose that was stated counts for the claim, and an approval that was given', async (context) => {
  const { server } = await house(context);
  const agent = await enrol(server, 'agent', ['pki.issue_certificate']);
  const rule = { effect: 'allow', operations: ['pki.issue_certificate'], resources: ['**'] };
  await server.ok('PUT', 'policies/agent', {
    description: '',
    rules: [{ ...rule, conditions: { purpose_required: true } }],
  });
  const input = { role: 'web', dns_names: ['a.example.com'], purpose: 'a test' };
  const { kept } = await callKept(server, 'pki.issue_certificate', input, agent.token);
  await server.ok('PUT', 'policies/agent', {
    description: '',
    rules: [{ ...rule, conditions: { purpose_required: true, approval: true } }],
  });
  await agent.ok('POST', 'claims/redeem', { handle: kept?.handle });
});

test('a narrowed token claims the narrower one that it made, which another one of the principal does not', async (context) => {
  const { server } = await house(context);
  const child = async () => {
    const narrower = { operations: ['pki.list_roles'], resources: ['**'] };
    return server.as((await server.ok('POST', 'tokens', narrower)).token);
  };
  const [maker, other] = [await child(), await child()];
  const { kept } = await callKept(server, 'auth.create_token', {}, maker.token);
  assert.equal((await other.call('POST', 'claims/redeem', { handle: kept?.handle })).status, 404);
  assert.match((await maker.ok('POST', 'claims/redeem', { handle: kept?.handle })).output.token, /^chy_/);
});

test('a token that denies what a claim came of neither claims nor cancels it', async (context) => {
  const { server } = await house(context);
  const { handle } = await issueKept(server);
  const denying = server.as((await server.ok('POST', 'tokens', { denied_resources: ['pki/roles/web'] })).token);
  assert.equal((await denying.call('POST', 'claims/redeem', { handle })).status, 403);
  assert.equal((await denying.call('GET', `claims/${idOf(handle)}`)).status, 403);
  assert.equal((await denying.call('POST', `claims/${idOf(handle)}/cancel`, {})).status, 403);
  assert.equal((await server.call('POST', 'claims/redeem', { handle })).status, 200);
});

test('an answer without secrets makes no claim', async (context) => {
  const { server } = await house(context);
  const reply = await callKept(server, 'pki.list_roles', {});
  assert.equal(reply.kept, undefined);
  assert.deepEqual((await server.ok('GET', 'claims')).claims, []);
});

test('a restored store holds no claim that could be claimed a second time', async (context) => {
  const { server } = await house(context);
  const { handle } = await issueKept(server);
  const { file } = await server.ok('POST', 'system/backups', {});
  const url = `sqlite:${join(temporaryFolder(context), 'store.db')}`;
  await restoreBackup({
    from: join(server.folder, 'backups', file as string),
    url,
    migrations,
    afterwards: afterRestore,
  });
  const store = await openStore({ url, migrations, linker: auditLinker });
  context.after(() => store.close());
  const row = await store.first<ClaimRow>('SELECT * FROM claims WHERE id = ?', [idOf(handle)]);
  assert.equal(row?.secrets, null);
});
