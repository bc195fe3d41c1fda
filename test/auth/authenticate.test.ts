import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { hasChecksum, hashSecret, isSecretForm, newSecret } from '#auth/secret.ts';
import type { AppError } from '#core/errors.ts';
import { type House, openHouse } from './house.ts';

test('a secret is told from what merely looks like one', () => {
  const secret = newSecret();
  assert.match(secret, /^chy_[0-9A-Za-z]{49}$/);
  assert.ok(isSecretForm(secret) && hasChecksum(secret));
  for (let index = 4; index < secret.length; index++) {
    const other = secret[index] === 'a' ? 'b' : 'a';
    assert.ok(!hasChecksum(secret.slice(0, index) + other + secret.slice(index + 1)), `character ${index}`);
  }
  for (const text of [
    '',
    secret.slice(1),
    `${secret}0`,
    ` ${secret}`,
    `${secret}\n`,
    `${secret.slice(0, -1)}-`,
    'chy_'.padEnd(53, 'é'),
  ])
    assert.ok(!isSecretForm(text));
  assert.equal(new Set(Array.from({ length: 1000 }, newSecret)).size, 1000);
});

test('the first and the second use of a key are the same principal', async (context) => {
  const house = await openHouse(context);
  for (let turn = 0; turn < 2; turn++) {
    assert.deepEqual(await house.call(house.admin, 'auth.whoami'), {
      name: 'admin',
      kind: 'human',
      namespace: 'root',
      policies: ['administrator'],
      credential_id: (await house.call<{ credential_id: string }>(house.admin, 'auth.whoami')).credential_id,
      narrowings: [],
      purpose: null,
      expires_at: null,
    });
  }
});

/** Every way in which a token can be bad. */
async function badTokens(house: House): Promise<Record<string, string>> {
  const { admin } = house;
  const key = async (name: string, input: object = {}) => {
    await house.call(admin, 'auth.create_principal', { name, kind: 'agent' });
    return house.call<{ key: string; id: string }>(admin, 'auth.create_key', { principal: name, ...input });
  };
  const [revoked, expired, disabled, deleted] = [
    await key('a'),
    await key('b', { ttl: '1h' }),
    await key('c'),
    await key('d'),
  ];
  const parent = await key('e');
  const child = await house.narrow(parent.key);
  const shortChild = await house.narrow(admin, { ttl: '1h' });
  const grandchild = await house.narrow(await house.narrow(disabled.key));
  await house.call(admin, 'auth.revoke_key', { principal: 'a', id: revoked.id });
  await house.call(admin, 'auth.revoke_key', { principal: 'e', id: parent.id });
  await house.call(admin, 'auth.update_principal', { name: 'c', disabled: true });
  await house.call(admin, 'auth.delete_principal', { name: 'd' });
  house.clock.advance(3_600_000);
  return {
    unknown: newSecret(),
    mistyped: `${admin.slice(0, -1)}${admin.endsWith('0') ? '1' : '0'}`,
    empty: '',
    long: 'chy_'.padEnd(100_000, 'a'),
    'of another script': 'chy_ａ',
    'hash of a good one': hashSecret(admin).toString('hex'),
    'in upper case': admin.toUpperCase(),
    'with a space': ` ${admin}`,
    revoked: revoked.key,
    expired: expired.key,
    'of a disabled principal': disabled.key,
    'of a deleted principal': deleted.key,
    'with a revoked parent': child,
    'an expired child': shortChild,
    'grandchild of a disabled principal': grandchild,
  };
}

test('all bad tokens get the same answer, word for word', async (context) => {
  const house = await openHouse(context);
  const answers = new Map<string, string>();
  const describeError = ({ code, message, hint, details, members }: AppError) =>
    JSON.stringify({ code, message, hint, details, members });
  for (const [kind, token] of Object.entries(await badTokens(house)))
    for (let turn = 0; turn < 2; turn++)
      answers.set(`${kind} ${turn}`, describeError(await house.refusal(token, 'auth.whoami')));
  assert.equal(new Set(answers.values()).size, 1, JSON.stringify([...answers], null, 1));
  assert.match([...answers.values()][0] ?? '', /"code":"unauthenticated"/);
  assert.equal((await house.refusal(undefined, 'auth.whoami')).code, 'unauthenticated');
  assert.equal(await house.code(house.admin, 'auth.whoami'), 'ok');
});

describe('what ends a credential ends it with the very next request', () => {
  test('revoking a key kills its children and their children at once', async (context) => {
    const house = await openHouse(context);
    const { key, id } = await house.call<{ key: string; id: string }>(house.admin, 'auth.create_key', {
      principal: 'admin',
    });
    const child = await house.narrow(key);
    const grandchild = await house.narrow(child);
    for (const token of [key, child, grandchild]) assert.equal(await house.code(token, 'auth.whoami'), 'ok');
    await house.call(house.admin, 'auth.revoke_key', { principal: 'admin', id });
    for (const token of [key, child, grandchild])
      assert.equal(await house.code(token, 'auth.whoami'), 'unauthenticated');
    assert.equal(await house.code(house.admin, 'auth.whoami'), 'ok');
  });

  test('revoking a child leaves its parent and its siblings', async (context) => {
    const house = await openHouse(context);
    const child = await house.call<{ token: string; id: string }>(house.admin, 'auth.create_token');
    const sibling = await house.narrow(house.admin);
    const grandchild = await house.narrow(child.token);
    await house.call(house.admin, 'auth.revoke_token', { id: child.id });
    assert.equal(await house.code(child.token, 'auth.whoami'), 'unauthenticated');
    assert.equal(await house.code(grandchild, 'auth.whoami'), 'unauthenticated');
    assert.equal(await house.code(sibling, 'auth.whoami'), 'ok');
  });

  test('a disabled principal comes back with its keys when it is enabled', async (context) => {
    const house = await openHouse(context);
    const key = await house.enrol('agent-1', []);
    assert.equal(await house.code(key, 'auth.whoami'), 'ok');
    await house.call(house.admin, 'auth.update_principal', { name: 'agent-1', disabled: true });
    assert.equal(await house.code(key, 'auth.whoami'), 'unauthenticated');
    await house.call(house.admin, 'auth.update_principal', { name: 'agent-1', disabled: false });
    assert.equal(await house.code(key, 'auth.whoami'), 'ok');
  });

  test('a principal made again under the name of a deleted one does not revive its keys', async (context) => {
    const house = await openHouse(context);
    const key = await house.enrol('agent-1', []);
    await house.call(house.admin, 'auth.delete_principal', { name: 'agent-1' });
    await house.enrol('agent-1', []);
    assert.equal(await house.code(key, 'auth.whoami'), 'unauthenticated');
  });

  test('new policies of a principal hold for keys that were used before', async (context) => {
    const house = await openHouse(context);
    await house.allow('miller', ['mill.*'], ['mill/**']);
    const key = await house.enrol('agent-1', []);
    assert.equal(await house.code(key, 'mill.get_mill', { mill: 'a' }), 'denied');
    await house.call(house.admin, 'auth.update_principal', { name: 'agent-1', policies: ['miller'] });
    assert.equal(await house.code(key, 'mill.get_mill', { mill: 'a' }), 'ok');
    await house.call(house.admin, 'policy.put_policy', {
      name: 'miller',
      rules: [{ effect: 'deny', operations: ['**'], resources: ['**'] }],
    });
    assert.equal(await house.code(key, 'mill.get_mill', { mill: 'a' }), 'denied');
  });
});

test('no secret is in the store: not in the file, not in the audit log', async (context) => {
  const house = await openHouse(context);
  const secrets = [house.admin, await house.enrol('agent-1', []), await house.narrow(house.admin)];
  await house.code('chy_wrongwrongwrong', 'auth.whoami');
  const { file } = (await house.store.first<{ file: string }>('SELECT file FROM pragma_database_list', [])) ?? {
    file: '',
  };
  const bytes = Buffer.concat([readFileSync(file), readFileSync(`${file}-wal`)]).toString('latin1');
  for (const secret of [...secrets, 'wrongwrongwrong']) assert.ok(!bytes.includes(secret.slice(4)));
  assert.ok(bytes.includes(hashSecret(house.admin).toString('hex')), 'the bytes read are those of the store');
});
