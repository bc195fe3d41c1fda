import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type House, openHouse } from './house.ts';

/**
 * Other spellings of a name: what some systems fold, trim, unescape or resolve into it (CVE-2025-5999, -6004, -6015,
 * CVE-2026-3605). Here each is either the name itself or no name at all.
 */
function spellings(name: string): string[] {
  const wide = name.replaceAll(/[!-~]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0xfee0));
  const capital = name.slice(0, 1).toUpperCase() + name.slice(1);
  return [
    name.toUpperCase(),
    capital,
    ` ${name}`,
    `${name} `,
    `${name}\n`,
    `${name}\t`,
    `${name}\u0000`,
    `${name}\u00a0`,
    `${name}\u200b`,
    `${name}/`,
    `/${name}`,
    `${name}/.`,
    `./${name}`,
    `x/../${name}`,
    `${name}%20`,
    `${name}%2f`,
    `${name}%00`,
    `%${(name.codePointAt(0) ?? 0).toString(16)}${name.slice(1)}`,
    `%25${name}`,
    `${name};a=b`,
    `${name}?`,
    `${name}#`,
    `${name}\\`,
    wide,
    name.replace('o', '\u043e'),
    name.replace('o', 'ο'),
    name.replace('s', 'ſ'),
    `${name}\u0301`,
    name.normalize('NFD').concat('\u0327'),
    `${name}.`,
    `.${name}`,
    `${name}*`,
    '*',
    '**',
  ].filter((spelling) => spelling !== name);
}

const decision = async (house: House, token: string, operation: string, input: object) =>
  house.code(token, operation, input);

test('no spelling of a resource gets past a rule about it', async (context) => {
  const house = await openHouse(context);
  await house.allow('all-mills', ['mill.*'], ['mill/**']);
  const deny = [{ effect: 'deny', operations: ['**'], resources: ['mill/mills/house'] }];
  await house.call(house.admin, 'policy.create_policy', { name: 'not-house', rules: deny });
  const key = await house.enrol('agent', ['all-mills', 'not-house']);
  assert.equal(await decision(house, key, 'mill.get_mill', { mill: 'house' }), 'denied');
  assert.equal(await decision(house, key, 'mill.get_mill', { mill: 'hut' }), 'ok');
  // `*` is the list of all mills: a resource of its own, that the deny does not name.
  for (const mill of spellings('house').filter((spelling) => spelling !== '*'))
    assert.equal(await decision(house, key, 'mill.get_mill', { mill }), 'denied', JSON.stringify(mill));
});

test('no spelling of a resource gets into an allow of another, nor past a narrowing', async (context) => {
  const house = await openHouse(context);
  await house.allow('house-only', ['mill.*'], ['mill/mills/house']);
  const key = await house.enrol('agent', ['house-only']);
  const token = await house.narrow(house.admin, { resources: ['mill/mills/house'] });
  for (const credential of [key, token]) {
    assert.equal(await decision(house, credential, 'mill.get_mill', { mill: 'house' }), 'ok');
    for (const mill of spellings('house'))
      assert.equal(await decision(house, credential, 'mill.get_mill', { mill }), 'denied', JSON.stringify(mill));
  }
});

test('every other spelling of a name is refused by every operation that takes one', async (context) => {
  const house = await openHouse(context);
  await house.enrol('agent-so', ['auditor']);
  const rules = [{ effect: 'allow', operations: ['**'], resources: ['**'] }];
  const before = await house.store.all('SELECT name, policies, disabled FROM principals ORDER BY name', []);
  for (const name of [...spellings('agent-so'), ...spellings('root'), ...spellings('administrator')]) {
    const calls: [string, object][] = [
      ['auth.create_principal', { name, kind: 'agent' }],
      ['auth.create_principal', { name: 'new', kind: 'agent', policies: [name] }],
      ['auth.get_principal', { name }],
      ['auth.update_principal', { name, disabled: true }],
      ['auth.update_principal', { name: 'agent-so', policies: [name] }],
      ['auth.delete_principal', { name }],
      ['auth.create_key', { principal: name }],
      ['auth.list_tokens', { principal: name }],
      ['auth.create_namespace', { name }],
      ['policy.create_policy', { name, rules }],
      ['policy.put_policy', { name, rules }],
      ['policy.delete_policy', { name }],
    ];
    for (const [operation, input] of calls)
      assert.equal(
        await house.code(house.admin, operation, input),
        'invalid_request',
        `${operation} ${JSON.stringify(name)}`,
      );
  }
  assert.deepEqual(await house.store.all('SELECT name, policies, disabled FROM principals ORDER BY name', []), before);
});

test('built-in policies are neither written nor deleted nor shadowed', async (context) => {
  const house = await openHouse(context);
  const rules = [{ effect: 'allow', operations: ['**'], resources: ['**'] }];
  for (const name of ['administrator', 'auditor', 'constructor', '__proto__', 'tostring']) {
    const builtIn = name.startsWith('a');
    const expected = name === '__proto__' ? 'invalid_request' : builtIn ? 'wrong_state' : 'ok';
    assert.equal(await house.code(house.admin, 'policy.create_policy', { name, rules }), expected, name);
    assert.equal(await house.code(house.admin, 'policy.put_policy', { name, rules }), expected, name);
    assert.equal(await house.code(house.admin, 'policy.delete_policy', { name }), expected, name);
  }
});

test('no spelling of the id of an approval, token or key is taken for it', async (context) => {
  const house = await openHouse(context);
  await house.enrol('agent', []);
  const { id } = await house.call<{ id: string }>(house.admin, 'auth.create_key', { principal: 'agent' });
  for (const spelling of spellings(id).filter((each) => each !== `${id}.`))
    assert.equal(
      await house.code(house.admin, 'auth.revoke_key', { principal: 'agent', id: spelling }),
      'invalid_request',
      JSON.stringify(spelling),
    );
  assert.equal(await house.code(house.admin, 'auth.revoke_key', { principal: 'agent', id }), 'ok');
});
