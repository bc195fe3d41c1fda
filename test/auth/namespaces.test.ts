import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type House, openHouse } from './house.ts';
import { sampleInput } from './samples.ts';

/** A namespace with one of everything, and the ids of what is in it. */
async function furnish(house: House, name: string) {
  const { key: admin } = await house.call<{ key: string }>(house.admin, 'auth.create_namespace', { name });
  const rules = [{ effect: 'allow', operations: ['mill.*'], resources: ['**'], conditions: { approval: true } }];
  await house.call(admin, 'policy.create_policy', { name: `policy-${name}`, rules });
  const agent = `agent-${name}`;
  const key = await house.enrol(agent, [`policy-${name}`], admin);
  const { credential_id: keyId } = await house.call<{ credential_id: string }>(key, 'auth.whoami');
  const { id: tokenId } = await house.call<{ id: string }>(key, 'auth.create_token');
  const { members } = await house.refusal(key, 'mill.grind_corn', { mill: 'a' });
  return {
    name,
    admin,
    key,
    agent,
    policy: `policy-${name}`,
    keyId,
    tokenId,
    approvalId: String(members['approval_id']),
  };
}
type Furnished = Awaited<ReturnType<typeof furnish>>;

/** Every operation that names something, naming things of one namespace. */
function reaching(there: Furnished): [string, object][] {
  const rules = [{ effect: 'allow', operations: ['**'], resources: ['**'] }];
  return [
    ['auth.get_principal', { name: there.agent }],
    ['auth.update_principal', { name: there.agent, disabled: true }],
    ['auth.update_principal', { name: there.agent, policies: [] }],
    ['auth.delete_principal', { name: there.agent }],
    ['auth.create_key', { principal: there.agent }],
    ['auth.list_keys', { principal: there.agent }],
    ['auth.revoke_key', { principal: there.agent, id: there.keyId }],
    ['auth.revoke_key', { principal: 'admin', id: there.keyId }],
    ['auth.list_tokens', { principal: there.agent }],
    ['auth.revoke_token', { principal: there.agent, id: there.tokenId }],
    ['auth.revoke_token', { principal: 'admin', id: there.tokenId }],
    ['auth.revoke_token', { id: there.tokenId }],
    ['auth.create_principal', { name: 'thief', kind: 'agent', policies: [there.policy] }],
    ['auth.create_namespace', { name: 'third' }],
    ['auth.list_namespaces', {}],
    ['auth.purge_expired', {}],
    ['auth.get_namespace', { name: there.name }],
    ['auth.delete_namespace', { name: there.name }],
    ['policy.get_policy', { name: there.policy }],
    ['policy.put_policy', { name: there.policy, rules, version: 1 }],
    ['policy.delete_policy', { name: there.policy }],
    ['policy.test_policy', { principal: there.agent, operation: 'mill.get_mill', resource: 'mill/mills/a' }],
    ['policy.get_approval', { id: there.approvalId }],
    ['policy.approve_request', { id: there.approvalId }],
    ['policy.reject_request', { id: there.approvalId }],
  ];
}

async function contents(house: House, namespace: string): Promise<string> {
  const tables = ['principals', 'credentials', 'policies', 'approvals'];
  const rows = await Promise.all(
    tables.map((table) => house.store.all(`SELECT * FROM ${table} WHERE namespace = ? ORDER BY 1, 2`, [namespace])),
  );
  return JSON.stringify(rows);
}

test('the administrator of one namespace reaches nothing of another, by any operation', async (context) => {
  const house = await openHouse(context);
  const [north, south] = [await furnish(house, 'north'), await furnish(house, 'south')];
  const before = await contents(house, 'south');
  const unreachable = new Set(['not_found', 'denied', 'invalid_request', 'wrong_state']);
  for (const [operation, input] of reaching(south)) {
    const refusal = await house.refusal(north.admin, operation, input);
    assert.ok(unreachable.has(refusal.code), `${operation}: ${refusal.code}`);
    // What does not exist anywhere is refused in the same words: the answer does not tell that it is there.
    const nowhere = JSON.parse(
      JSON.stringify(input)
        .replaceAll('south', 'nowhe')
        .replaceAll(/_[0-9a-z]{26}/g, `_${'0'.repeat(26)}`),
    ) as object;
    const other = await house.refusal(north.admin, operation, nowhere);
    assert.deepEqual(
      [refusal.code, refusal.message.replaceAll('south', 'nowhe')],
      [other.code, other.message],
      operation,
    );
  }
  for (const [operation, list] of [
    ['auth.list_principals', 'principals'],
    ['policy.list_policies', 'policies'],
    ['policy.list_approvals', 'approvals'],
    ['auth.list_tokens', 'tokens'],
  ] as const) {
    const page = await house.call(north.admin, operation);
    assert.ok(!JSON.stringify(page[list]).includes('south'), operation);
  }
  assert.equal(await contents(house, 'south'), before);
  const tested = new Set([
    ...reaching(south).map(([id]) => id),
    'auth.list_principals',
    'policy.list_policies',
    'policy.list_approvals',
    'auth.list_tokens',
  ]);
  const own = ['auth.whoami', 'auth.create_token', 'policy.create_policy', 'mill.grind_corn', 'mill.get_mill'];
  for (const { id } of house.operations) assert.ok(tested.has(id) || own.includes(id), `${id} is not in the matrix`);
});

test('the same operations reach their own namespace, so that the matrix above is not vacuous', async (context) => {
  const house = await openHouse(context);
  const south = await furnish(house, 'south');
  assert.equal(await house.code(south.admin, 'policy.get_policy', { name: south.policy }), 'ok');
  assert.equal(await house.code(south.admin, 'policy.get_approval', { id: south.approvalId }), 'ok');
  assert.equal(await house.code(south.admin, 'auth.list_keys', { principal: south.agent }), 'ok');
  assert.equal(await house.code(south.admin, 'auth.revoke_token', { principal: south.agent, id: south.tokenId }), 'ok');
  assert.equal(await house.code(south.admin, 'auth.revoke_key', { principal: south.agent, id: south.keyId }), 'ok');
});

test('an administrator of root makes, sees and deletes namespaces but reaches nothing inside', async (context) => {
  const house = await openHouse(context);
  const south = await furnish(house, 'south');
  assert.equal(await house.code(house.admin, 'auth.create_namespace', { name: 'south' }), 'already_exists');
  const { namespaces } = await house.call<{ namespaces: { name: string }[] }>(house.admin, 'auth.list_namespaces');
  assert.deepEqual(
    namespaces.map(({ name }) => name),
    ['root', 'south'],
  );
  assert.equal(await house.code(house.admin, 'auth.get_namespace', { name: 'south' }), 'ok');
  assert.equal(await house.code(house.admin, 'auth.get_principal', { name: south.agent }), 'not_found');
  assert.equal(await house.code(house.admin, 'auth.revoke_key', { principal: 'admin', id: south.keyId }), 'not_found');
});

test('a namespace is deleted when it is empty, with everything that was known of it', async (context) => {
  const house = await openHouse(context);
  const south = await furnish(house, 'south');
  const remove = () => house.code(house.admin, 'auth.delete_namespace', { name: 'south' });
  assert.equal(await house.code(house.admin, 'auth.delete_namespace', { name: 'root' }), 'wrong_state');
  assert.equal(await remove(), 'wrong_state', 'it has an agent');
  await house.call(south.admin, 'auth.delete_principal', { name: south.agent });
  // The house counts kept answers as things of an engine.
  await house.call(south.admin, 'auth.create_token', {}, { idempotencyKey: 'one' });
  assert.match(
    (await house.refusal(house.admin, 'auth.delete_namespace', { name: 'south' })).message,
    /idempotency_keys/,
  );
  await house.store.commit([{ kind: 'delete', table: 'idempotency_keys', where: { namespace: 'south' } }]);
  assert.equal(await remove(), 'ok');
  assert.equal(await house.code(south.admin, 'auth.whoami'), 'unauthenticated');
  assert.equal(await contents(house, 'south'), '[[],[],[],[]]');
  const { key } = await house.call<{ key: string }>(house.admin, 'auth.create_namespace', { name: 'south' });
  assert.equal(
    await house.code(key, 'policy.get_policy', { name: south.policy }),
    'not_found',
    'nothing of the old one is in the new',
  );
});

test('what touches the installation is denied outside of root, whatever the policies say', async (context) => {
  const house = await openHouse(context);
  const south = await furnish(house, 'south');
  const installation = house.operations.filter((operation) => operation.installation);
  assert.equal(installation.length, 5);
  for (const { id } of installation) assert.equal(await house.code(south.admin, id, sampleInput(id)), 'denied', id);
});
