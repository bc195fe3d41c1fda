import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Parameter, Store } from '#storage/store.ts';
import { type House, openHouse } from './house.ts';

const codes = (house: House, calls: readonly (readonly [string, string, object])[]) =>
  Promise.all(calls.map(([token, operation, input]) => house.code(token, operation, input)));

async function keyIdOf(house: House, token: string): Promise<string> {
  return (await house.call<{ credential_id: string }>(token, 'auth.whoami')).credential_id;
}

test('principals are made, shown, listed page by page, changed and deleted', async (context) => {
  const house = await openHouse(context);
  await house.allow('miller', ['mill.*'], ['**']);
  for (const name of ['bee', 'ant', 'cat'])
    await house.call(house.admin, 'auth.create_principal', { name, kind: 'agent' });
  assert.equal(
    await house.code(house.admin, 'auth.create_principal', { name: 'ant', kind: 'human' }),
    'already_exists',
  );
  const changed = await house.call(house.admin, 'auth.update_principal', {
    name: 'ant',
    policies: ['miller'],
    description: 'grinds',
  });
  assert.deepEqual(changed, {
    name: 'ant',
    namespace: 'root',
    kind: 'agent',
    description: 'grinds',
    policies: ['miller'],
    disabled: false,
    created_at: '2026-11-21T10:00:00Z',
  });
  assert.deepEqual(await house.call(house.admin, 'auth.get_principal', { name: 'ant' }), changed);
  const names: string[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: { principals: { name: string }[]; next_cursor: string | null } = await house.call(
      house.admin,
      'auth.list_principals',
      { limit: 3, ...(cursor === null ? {} : { cursor }) },
    );
    names.push(...page.principals.map((principal) => principal.name));
    cursor = page.next_cursor;
    if (cursor === null) break;
  }
  assert.deepEqual(names, ['admin', 'ant', 'bee', 'cat']);
  await house.call(house.admin, 'auth.delete_principal', { name: 'ant' });
  assert.equal(await house.code(house.admin, 'auth.get_principal', { name: 'ant' }), 'not_found');
  assert.equal(await house.code(house.admin, 'auth.update_principal', { name: 'bee' }), 'invalid_request');
});

test('nobody is given a policy that does not exist, and a policy that somebody has stays', async (context) => {
  const house = await openHouse(context);
  await house.allow('mill_1', ['mill.*'], ['**']);
  await house.allow('millx1', ['mill.*'], ['**']);
  const given = { name: 'ant', kind: 'agent', policies: ['mill_1'] };
  assert.equal(
    await house.code(house.admin, 'auth.create_principal', { ...given, policies: ['none'] }),
    'invalid_request',
  );
  assert.equal(
    await house.code(house.admin, 'auth.create_principal', { ...given, policies: ['mill_1', 'mill_1'] }),
    'invalid_request',
  );
  await house.call(house.admin, 'auth.create_principal', given);
  assert.equal(
    await house.code(house.admin, 'auth.update_principal', { name: 'ant', policies: ['mill_1', 'none'] }),
    'invalid_request',
  );
  const refusal = await house.refusal(house.admin, 'policy.delete_policy', { name: 'mill_1' });
  assert.equal(refusal.code, 'wrong_state');
  assert.deepEqual(refusal.members, { principals: ['ant'] });
  assert.equal(
    await house.code(house.admin, 'policy.delete_policy', { name: 'millx1' }),
    'ok',
    'an underscore is no wildcard',
  );
  await house.call(house.admin, 'auth.update_principal', { name: 'ant', policies: [] });
  assert.equal(await house.code(house.admin, 'policy.delete_policy', { name: 'mill_1' }), 'ok');
});

test('a policy that is given away while its deletion is under way is not deleted', async (context) => {
  // The deletion looks for holders, finds none, and is held there until somebody has got the policy.
  const between = Promise.withResolvers<void>();
  const looked = Promise.withResolvers<void>();
  const wrapStore = (store: Store): Store => ({
    ...store,
    async all<Row>(sql: string, parameters: readonly Parameter[]): Promise<Row[]> {
      const rows = await store.all<Row>(sql, parameters);
      if (!sql.startsWith('SELECT name FROM principals')) return rows;
      looked.resolve();
      await between.promise;
      return rows;
    },
  });
  const house = await openHouse(context, { wrapStore });
  await house.allow('miller', ['mill.*'], ['**']);
  const deletion = house.code(house.admin, 'policy.delete_policy', { name: 'miller' });
  await looked.promise;
  await house.call(house.admin, 'auth.create_principal', { name: 'ant', kind: 'agent', policies: ['miller'] });
  between.resolve();
  assert.equal(await deletion, 'wrong_state');
});

test('a policy that is deleted while it is being given is not given', async (context) => {
  const between = Promise.withResolvers<void>();
  const looked = Promise.withResolvers<void>();
  const wrapStore = (store: Store): Store => ({
    ...store,
    async first<Row>(sql: string, parameters: readonly Parameter[]): Promise<Row | undefined> {
      const row = await store.first<Row>(sql, parameters);
      if (!sql.startsWith('SELECT 1 AS found FROM policies')) return row;
      looked.resolve();
      await between.promise;
      return row;
    },
  });
  const house = await openHouse(context, { wrapStore });
  await house.allow('miller', ['mill.*'], ['**']);
  const giving = house.code(house.admin, 'auth.create_principal', { name: 'ant', kind: 'agent', policies: ['miller'] });
  await looked.promise;
  await house.call(house.admin, 'policy.delete_policy', { name: 'miller' });
  between.resolve();
  assert.equal(await giving, 'invalid_request');
});

describe('a namespace keeps an administrator who can act', () => {
  test('the last one is neither disabled nor deleted nor demoted, nor loses its last key', async (context) => {
    const house = await openHouse(context);
    const id = await keyIdOf(house, house.admin);
    const attempts: readonly (readonly [string, string, object])[] = [
      [house.admin, 'auth.update_principal', { name: 'admin', disabled: true }],
      [house.admin, 'auth.update_principal', { name: 'admin', policies: ['auditor'] }],
      [house.admin, 'auth.delete_principal', { name: 'admin' }],
      [house.admin, 'auth.revoke_key', { principal: 'admin', id }],
    ];
    const refused = ['wrong_state', 'wrong_state', 'wrong_state', 'wrong_state'];
    assert.deepEqual(await codes(house, attempts), refused);
    await house.call(house.admin, 'auth.create_principal', {
      name: 'keyless',
      kind: 'human',
      policies: ['administrator'],
    });
    assert.deepEqual(await codes(house, attempts), refused, 'one without a key does not count');
    const { id: shortId } = await house.call<{ id: string }>(house.admin, 'auth.create_key', {
      principal: 'keyless',
      ttl: '1h',
    });
    await house.call(house.admin, 'auth.revoke_key', { principal: 'keyless', id: shortId });
    assert.deepEqual(await codes(house, attempts), refused, 'nor one whose key is revoked');
    await house.call(house.admin, 'auth.create_key', { principal: 'keyless', ttl: '1h' });
    house.clock.advance(3_600_000);
    assert.deepEqual(await codes(house, attempts), refused, 'nor one whose key has expired');
    assert.equal(
      await house.code(house.admin, 'auth.update_principal', { name: 'admin', description: 'still here' }),
      'ok',
    );
  });

  test('with another one, each of these passes', async (context) => {
    const house = await openHouse(context);
    const second = await house.enrol('second', ['administrator']);
    assert.equal(await house.code(house.admin, 'auth.update_principal', { name: 'admin', policies: [] }), 'ok');
    assert.equal(await house.code(house.admin, 'auth.list_principals'), 'denied');
    assert.equal(
      await house.code(second, 'auth.update_principal', { name: 'admin', policies: ['administrator'] }),
      'ok',
    );
    assert.equal(
      await house.code(second, 'auth.revoke_key', { principal: 'second', id: await keyIdOf(house, second) }),
      'ok',
    );
    assert.equal(await house.code(house.admin, 'auth.delete_principal', { name: 'second' }), 'ok');
  });

  test('two who take each other away at once do not both succeed', async (context) => {
    const house = await openHouse(context);
    let left = house.admin;
    for (let round = 0; round < 15; round++) {
      const name = `second-${round}`;
      const rival = await house.enrol(name, ['administrator'], left);
      const own = (await house.call<{ name: string }>(left, 'auth.whoami')).name;
      const takeAway = (target: string): [string, object] =>
        [
          ['auth.delete_principal', { name: target }] as [string, object],
          ['auth.update_principal', { name: target, disabled: true }] as [string, object],
          ['auth.update_principal', { name: target, policies: [] }] as [string, object],
        ][round % 3] ?? ['', {}];
      const outcomes = await codes(house, [
        [left, ...takeAway(name)],
        [rival, ...takeAway(own)],
      ]);
      assert.equal(outcomes.filter((code) => code === 'ok').length, 1, outcomes.join());
      if (outcomes[0] !== 'ok') left = rival;
      assert.equal(await house.code(left, 'auth.list_principals'), 'ok');
    }
  });

  test('and two who revoke the last two keys at once do not both succeed', async (context) => {
    const house = await openHouse(context);
    let left = house.admin;
    for (let round = 0; round < 10; round++) {
      const { key, id } = await house.call<{ key: string; id: string }>(left, 'auth.create_key', {
        principal: 'admin',
      });
      const outcomes = await codes(house, [
        [left, 'auth.revoke_key', { principal: 'admin', id }],
        [key, 'auth.revoke_key', { principal: 'admin', id: await keyIdOf(house, left) }],
      ]);
      assert.equal(outcomes.filter((code) => code === 'ok').length, 1, outcomes.join());
      if (outcomes[0] !== 'ok') left = key;
    }
  });
});

describe('nobody gives what they do not have', () => {
  const registrar = ['auth.*', 'policy.*'];

  test('a registrar gives the policies that it holds itself, and makes keys only of who holds no more', async (context) => {
    const house = await openHouse(context);
    await house.allow('registrar', registrar, ['**']);
    await house.allow('miller', ['mill.*'], ['**']);
    await house.allow('baker', ['bake.*'], ['**']);
    await house.enrol('boss', ['administrator']);
    await house.enrol('rich', ['miller', 'baker']);
    const bob = await house.enrol('bob', ['registrar', 'miller']);
    const create = (name: string, policies: string[]): [string, string, object] => [
      bob,
      'auth.create_principal',
      { name, kind: 'agent', policies },
    ];
    assert.deepEqual(
      await codes(house, [
        create('a', ['miller']),
        create('b', ['baker']),
        create('c', ['administrator']),
        create('d', ['miller', 'auditor']),
        [bob, 'auth.create_key', { principal: 'boss' }],
        [bob, 'auth.create_key', { principal: 'rich' }],
        [bob, 'auth.update_principal', { name: 'bob', policies: ['registrar', 'miller', 'baker'] }],
        [bob, 'auth.update_principal', { name: 'bob', policies: ['registrar'] }],
        [bob, 'auth.update_principal', { name: 'rich', policies: ['miller'] }],
        [
          bob,
          'policy.put_policy',
          { name: 'miller', rules: [{ effect: 'allow', operations: ['**'], resources: ['**'] }] },
        ],
        [bob, 'auth.create_namespace', { name: 'other' }],
      ]),
      ['ok', 'denied', 'denied', 'denied', 'denied', 'denied', 'denied', 'denied', 'denied', 'denied', 'ok'],
    );
    assert.equal(await house.code(bob, 'auth.create_key', { principal: 'a' }), 'ok');
    assert.equal(
      await house.code(bob, 'auth.update_principal', { name: 'rich', disabled: true }),
      'ok',
      'stopping is free',
    );
    assert.equal(
      await house.code(bob, 'auth.update_principal', { name: 'rich', disabled: false }),
      'denied',
      'starting again is not',
    );
  });

  test('who is denied something cannot give its allows without its denies', async (context) => {
    const house = await openHouse(context);
    await house.allow('registrar', registrar, ['**']);
    await house.allow('miller', ['mill.*'], ['**']);
    const deny = [{ effect: 'deny', operations: ['mill.*'], resources: ['mill/mills/prod-*'] }];
    await house.call(house.admin, 'policy.create_policy', { name: 'not-prod', rules: deny });
    const bob = await house.enrol('bob', ['registrar', 'miller', 'not-prod']);
    assert.deepEqual(
      await codes(house, [
        [bob, 'auth.create_principal', { name: 'a', kind: 'agent', policies: ['miller'] }],
        [bob, 'auth.create_principal', { name: 'b', kind: 'agent', policies: ['miller', 'not-prod'] }],
      ]),
      ['denied', 'ok'],
    );
    assert.equal(await house.code(bob, 'auth.update_principal', { name: 'b', policies: ['miller'] }), 'denied');
    await house.enrol('c', ['miller']);
    assert.equal(await house.code(bob, 'auth.create_key', { principal: 'c' }), 'denied');
  });
});

test('keys are shown once, listed without themselves, and bounded by the policy of who makes them', async (context) => {
  const house = await openHouse(context);
  await house.allow('short-keys', ['auth.create_key'], ['principals/**'], { max_ttl: '1d' });
  const bob = await house.enrol('bob', ['short-keys']);
  const make = (input: object = {}) =>
    house.call<Record<string, unknown>>(bob, 'auth.create_key', { principal: 'bob', ...input });
  assert.equal((await make())['expires_at'], '2026-11-22T10:00:00Z', 'no life asked: the policy bounds it');
  assert.equal((await make({ ttl: '1h' }))['expires_at'], '2026-11-21T11:00:00Z');
  assert.equal(await house.code(bob, 'auth.create_key', { principal: 'bob', ttl: '2d' }), 'denied');
  const { keys } = await house.call<{ keys: Record<string, unknown>[] }>(house.admin, 'auth.list_keys', {
    principal: 'bob',
  });
  assert.equal(keys.length, 3);
  for (const key of keys)
    assert.deepEqual(Object.keys(key).sort(), [
      'created_at',
      'description',
      'expires_at',
      'id',
      'principal',
      'revoked_at',
    ]);
  const id = String(keys[0]?.['id']);
  assert.equal(await house.code(house.admin, 'auth.revoke_key', { principal: 'admin', id }), 'not_found');
  const revoked = await house.call(house.admin, 'auth.revoke_key', { principal: 'bob', id });
  house.clock.advance(5000);
  assert.deepEqual(
    await house.call(house.admin, 'auth.revoke_key', { principal: 'bob', id }),
    revoked,
    'again: the same answer',
  );
});
