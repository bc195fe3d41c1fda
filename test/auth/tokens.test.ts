import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type House, openHouse } from './house.ts';
import { sampleInput } from './samples.ts';

interface Token {
  readonly id: string;
  readonly token: string;
  readonly expires_at: string;
}
const make = (house: House, by: string, input: object = {}) => house.call<Token>(by, 'auth.create_token', input);
const hours = (house: House, count: number) =>
  `${new Date(house.clock.now() + count * 3_600_000).toISOString().slice(0, 19)}Z`;

test('a token may do what is left after every step of narrowing, and nothing else', async (context) => {
  const house = await openHouse(context);
  const first = await house.narrow(house.admin, { operations: ['mill.*'], resources: ['mill/mills/*'] });
  const second = await house.narrow(first, { resources: ['mill/mills/web-*'] });
  const third = await house.narrow(second, { operations: ['mill.get_mill'] });
  const may = async (token: string) =>
    Promise.all([
      house.code(token, 'mill.grind_corn', { mill: 'db' }),
      house.code(token, 'mill.grind_corn', { mill: 'web-1' }),
      house.code(token, 'mill.get_mill', { mill: 'web-1' }),
      house.code(token, 'auth.list_principals'),
    ]);
  assert.deepEqual(await may(house.admin), ['ok', 'ok', 'ok', 'ok']);
  assert.deepEqual(await may(first), ['ok', 'ok', 'ok', 'denied']);
  assert.deepEqual(await may(second), ['denied', 'ok', 'ok', 'denied']);
  assert.deepEqual(await may(third), ['denied', 'denied', 'ok', 'denied']);
  const refusal = await house.refusal(third, 'mill.grind_corn', { mill: 'web-1' });
  assert.match(refusal.message, /narrowed/);
  assert.match(JSON.stringify(refusal.details), /mill\.get_mill/);
});

test('what a token denies is left out at every step below, whatever is asked for', async (context) => {
  const house = await openHouse(context);
  const first = await house.narrow(house.admin, { denied_resources: ['mill/mills/db-*'] });
  const second = await house.narrow(first, { resources: ['mill/mills/*'], denied_resources: ['mill/mills/web'] });
  const third = await house.narrow(second, { resources: ['mill/mills/db-1', 'mill/mills/a'] });
  const may = async (token: string) =>
    Promise.all(['db-1', 'web', 'a'].map((mill) => house.code(token, 'mill.get_mill', { mill })));
  assert.deepEqual(await may(house.admin), ['ok', 'ok', 'ok']);
  assert.deepEqual(await may(first), ['denied', 'ok', 'ok']);
  assert.deepEqual(await may(second), ['denied', 'denied', 'ok']);
  assert.deepEqual(await may(third), ['denied', 'denied', 'ok']);
  const refusal = await house.refusal(first, 'mill.get_mill', { mill: 'db-1' });
  assert.deepEqual(refusal.details.at(-1), { at: 'token/denied_resources', message: 'and not on mill/mills/db-*' });
  for (const glob of ['Mill/**', 'mill/../x', 'mill//x', 'mill/mills/'])
    assert.equal(await house.code(house.admin, 'auth.create_token', { denied_resources: [glob] }), 'invalid_request');
});

describe('a child is never wider than its parent', () => {
  test('asking for more than the parent has gives no more than the parent has', async (context) => {
    const house = await openHouse(context);
    const narrow = await house.narrow(house.admin, { operations: ['mill.get_mill'], resources: ['mill/mills/a'] });
    const wide = await house.narrow(narrow, { operations: ['**'], resources: ['**'] });
    assert.equal(await house.code(wide, 'mill.get_mill', { mill: 'a' }), 'ok');
    for (const operation of house.operations) {
      const code = await house.code(wide, operation.id, sampleInput(operation.id));
      const own = ['auth.whoami', 'auth.create_token', 'auth.list_tokens', 'policy.test_policy', 'mill.get_mill'];
      // Its own tokens it may revoke; the one in the sample is not its own.
      const expected =
        operation.id === 'auth.revoke_token' ? 'not_found' : own.includes(operation.id) ? 'ok' : 'denied';
      assert.equal(code, expected, operation.id);
    }
  });

  test('it ends with its parent, however long it asks for', async (context) => {
    const house = await openHouse(context);
    const parent = await make(house, house.admin, { ttl: '2h' });
    const child = await make(house, parent.token, { ttl: '90d' });
    assert.equal(parent.expires_at, hours(house, 2));
    assert.equal(child.expires_at, parent.expires_at);
    assert.equal((await make(house, parent.token)).expires_at, hours(house, 1));
    house.clock.advance(7_200_000 - 1);
    assert.equal(await house.code(child.token, 'auth.whoami'), 'ok');
    house.clock.advance(1);
    assert.equal(await house.code(child.token, 'auth.whoami'), 'unauthenticated');
  });

  test('it lives 90 days at most', async (context) => {
    const house = await openHouse(context);
    assert.equal(await house.code(house.admin, 'auth.create_token', { ttl: '90d' }), 'ok');
    assert.equal(await house.code(house.admin, 'auth.create_token', { ttl: '91d' }), 'invalid_request');
  });

  test('it stands at most eight steps from its key', async (context) => {
    const house = await openHouse(context);
    let token = house.admin;
    for (let depth = 1; depth <= 8; depth++) token = await house.narrow(token);
    assert.equal(await house.code(token, 'auth.whoami'), 'ok');
    assert.equal(await house.code(token, 'auth.create_token'), 'wrong_state');
  });
});

describe('a narrowed token cannot get out by making something that is not narrowed', () => {
  const attempts: readonly (readonly [string, object])[] = [
    ['auth.create_principal', { name: 'mine', kind: 'agent', policies: ['administrator'] }],
    ['auth.create_principal', { name: 'mine', kind: 'agent' }],
    ['auth.update_principal', { name: 'other', policies: ['administrator'] }],
    ['auth.create_key', { principal: 'admin' }],
    ['auth.create_key', { principal: 'other' }],
    ['auth.create_namespace', { name: 'mine' }],
    ['policy.create_policy', { name: 'mine', rules: [{ effect: 'allow', operations: ['**'], resources: ['**'] }] }],
    ['policy.put_policy', { name: 'held', rules: [{ effect: 'allow', operations: ['**'], resources: ['**'] }] }],
  ];
  test('though its narrowing names the operation', async (context) => {
    const house = await openHouse(context);
    await house.allow('held', ['mill.*'], ['**']);
    await house.enrol('other', ['held']);
    const token = await house.narrow(house.admin, { operations: ['auth.*', 'policy.*'] });
    const before = await house.store.all('SELECT id FROM credentials UNION SELECT id FROM principals', []);
    for (const [operation, input] of attempts)
      assert.equal(await house.code(token, operation, input), 'denied', operation);
    assert.deepEqual(await house.store.all('SELECT id FROM credentials UNION SELECT id FROM principals', []), before);
    for (const [operation, input] of attempts)
      assert.equal(
        await house.code(house.admin, operation, input),
        operation === 'auth.create_principal' && !('policies' in input) ? 'already_exists' : 'ok',
        operation,
      );
  });

  test('and no token makes a key of its own principal, which would outlive it', async (context) => {
    const house = await openHouse(context);
    assert.equal(
      await house.code(await house.narrow(house.admin), 'auth.create_key', { principal: 'admin' }),
      'denied',
    );
  });
});

test('who lists and revokes tokens sees those made from the shown credential, and others only by policy', async (context) => {
  const house = await openHouse(context);
  const key = await house.enrol('agent-1', []);
  const other = await house.enrol('agent-2', []);
  const child = await make(house, key, { purpose: 'nightly build', description: 'for the build' });
  const grandchild = await make(house, child.token);
  const list = async (by: string, input: object = {}) =>
    (await house.call<{ tokens: Token[] }>(by, 'auth.list_tokens', input)).tokens.map((token) => token.id);
  assert.deepEqual(await list(key), [child.id]);
  assert.deepEqual(await list(child.token), [grandchild.id]);
  assert.deepEqual(await list(other), []);
  assert.equal(await house.code(other, 'auth.list_tokens', { principal: 'agent-1' }), 'denied');
  assert.deepEqual((await list(house.admin, { principal: 'agent-1' })).sort(), [child.id, grandchild.id].sort());

  assert.equal(await house.code(other, 'auth.revoke_token', { id: child.id }), 'not_found');
  assert.equal(await house.code(other, 'auth.revoke_token', { id: child.id, principal: 'agent-1' }), 'denied');
  assert.equal(
    await house.code(grandchild.token, 'auth.revoke_token', { id: child.id }),
    'not_found',
    'a child does not revoke its parent',
  );
  assert.equal(
    await house.code(house.admin, 'auth.revoke_token', { id: child.id }),
    'not_found',
    'not without naming whose it is',
  );
  assert.equal(await house.code(house.admin, 'auth.revoke_token', { id: child.id, principal: 'agent-2' }), 'not_found');
  assert.equal(await house.code(key, 'auth.revoke_token', { id: grandchild.id }), 'ok', 'a grandparent does');
  assert.equal(await house.code(child.token, 'auth.revoke_token', { id: child.id }), 'ok', 'a token ends itself');
  const again = await house.call<{ revoked_at: string }>(house.admin, 'auth.revoke_token', {
    id: child.id,
    principal: 'agent-1',
  });
  assert.equal(again.revoked_at, hours(house, 0), 'revoking again changes nothing');
});

test('the purpose of a token stands for that of its requests, in policy and audit', async (context) => {
  const house = await openHouse(context);
  await house.allow('purposeful', ['mill.*'], ['**'], { purpose_required: true });
  const key = await house.enrol('agent-1', ['purposeful']);
  assert.equal(await house.code(key, 'mill.get_mill', { mill: 'a' }), 'denied');
  const token = await house.narrow(await house.narrow(key, { purpose: 'nightly build' }));
  assert.equal(await house.code(token, 'mill.get_mill', { mill: 'a' }), 'ok');
  const event = await house.store.first<{ purpose: string }>(
    `SELECT purpose FROM audit_events ORDER BY seq DESC LIMIT 1`,
    [],
  );
  assert.equal(event?.purpose, 'nightly build');
});

test('the globs of a token are held to the same spelling as those of policies', async (context) => {
  const house = await openHouse(context);
  for (const resources of [['a/../b'], ['A'], ['a/'], ['*'], []])
    assert.equal(await house.code(house.admin, 'auth.create_token', { resources }), 'invalid_request');
  for (const operations of [['pki'], ['Pki.x'], ['a.b.c'], []])
    assert.equal(await house.code(house.admin, 'auth.create_token', { operations }), 'invalid_request');
});
