import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { startPebble } from '#test/pebble.ts';
import { accountAt, http, startWorld, until } from './client-world.ts';

test('an account is registered with an external account binding, whose key is not shown again', async (context) => {
  const hmac = Buffer.alloc(32, 7).toString('base64url');
  const pebble = await startPebble(context, { externalKeys: { 'kid-1': hmac } });
  const server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  const missing = await server.call('POST', 'acme/accounts', accountAt(pebble));
  assert.equal(missing.status, 422);
  assert.match(missing.body.detail, /external account binding/);
  const wrong = await server.call(
    'POST',
    'acme/accounts',
    accountAt(pebble, { external_account: { key_id: 'kid-1', hmac_key: 'AAAAAAAAAAAAAAAAAAAA' } }),
  );
  assert.equal(wrong.status, 422);
  assert.equal((await server.ok('GET', 'acme/accounts/pebble')).state, 'creating');
  const account = await server.ok(
    'POST',
    'acme/accounts',
    accountAt(pebble, { external_account: { key_id: 'kid-1', hmac_key: hmac } }),
  );
  assert.equal(account.state, 'active');
  assert.equal(account.external_key_id, 'kid-1');
  assert.doesNotMatch(JSON.stringify(await server.ok('GET', 'audit/events?limit=100')), new RegExp(hmac));
});

test('without agreement to the terms of service no account is made, and the refusal shows where they are', async (context) => {
  const pebble = await startPebble(context);
  const server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  const reply = await server.call('POST', 'acme/accounts', accountAt(pebble, { agree_terms_of_service: false }));
  assert.equal(reply.status, 422);
  assert.match(reply.body.detail, /terms of service, at data:/);
  assert.match(reply.body.hint, /agree_terms_of_service/);
});

test('an authority that is not trusted, or not allowed, is told apart from one that refuses', async (context) => {
  const pebble = await startPebble(context);
  const server = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  const untrusted = await server.call('POST', 'acme/accounts', accountAt(pebble, { ca_certificate: undefined }));
  assert.equal(untrusted.status, 422);
  assert.match(untrusted.body.detail, /not trusted \((UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED)/);
  assert.match(untrusted.body.hint, /ca_certificate/);
  const nowhere = await server.call('POST', 'acme/accounts', accountAt(pebble, { directory: 'https://127.0.0.1:1/' }));
  assert.equal(nowhere.status, 503);
  assert.match(nowhere.body.hint, /URL of its directory/);
  const page = accountAt(pebble, { directory: new URL('/nothing', pebble.directory).href });
  const noDirectory = await server.call('POST', 'acme/accounts', page);
  assert.equal(noDirectory.status, 422);
  assert.match(noDirectory.body.hint, /URL is that of its directory/);
  const strict = await startChancery(context);
  const refused = await strict.call('POST', 'acme/accounts', accountAt(pebble));
  assert.equal(refused.status, 422);
  assert.match(refused.body.detail, /no address of the public Internet/);
  assert.match(refused.body.hint, /CHANCERY_OUTBOUND_ALLOW/);
  const plain = await server.call('POST', 'acme/accounts', accountAt(pebble, { directory: 'http://127.0.0.1/dir' }));
  assert.equal(plain.status, 400);
});

test('an account may be limited to names, and its authority known by other roots from some time on', async (context) => {
  const { server, pebble } = await startWorld(context, {
    account: { allowed_names: ['*.team-a.example.com', 'x.example.com'] },
  });
  for (const name of ['x.example.com', 'deep.er.team-a.example.com'])
    assert.equal((await server.ok('POST', 'acme/orders', http(name))).state, 'issued');
  for (const name of ['y.example.com', 'team-a.example.com', 'a.x.example.com', '127.0.0.1']) {
    const refused = await server.call('POST', 'acme/orders', http('x.example.com', name));
    assert.equal(refused.status, 422, name);
    assert.match(refused.body.detail, /may not be ordered/);
  }
  await server.ok('PATCH', 'acme/accounts/pebble', { allowed_names: [] });
  assert.equal((await server.ok('POST', 'acme/orders', http('y.example.com'))).state, 'issued');
  const others = await server.ok('PATCH', 'acme/accounts/pebble', { ca_certificate: null });
  assert.equal(others.private_roots, false);
  const contacts = ['mailto:ops@example.com'];
  assert.match((await server.call('PATCH', 'acme/accounts/pebble', { contacts })).body.detail, /not trusted/);
  const again = await server.ok('PATCH', 'acme/accounts/pebble', { ca_certificate: pebble.roots, contacts });
  assert.deepEqual(again.contacts, contacts);
});

test('a changed account key is the one that works from then on, and a deactivated account works no more', async (context) => {
  const { server } = await startWorld(context);
  const before = await server.ok('GET', 'acme/accounts/pebble');
  const changed = await server.ok('POST', 'acme/accounts/pebble/rotate-key');
  assert.equal(changed.key_change_open, false);
  assert.equal(changed.url, before.url);
  const updated = await server.ok('PATCH', 'acme/accounts/pebble', { contacts: ['mailto:ops@example.com'] });
  assert.deepEqual(updated.contacts, ['mailto:ops@example.com']);
  assert.equal((await server.ok('POST', 'acme/orders', http('k.example.com'))).state, 'issued');
  assert.equal((await server.call('DELETE', 'acme/accounts/pebble')).status, 409);
  const { certificates } = await server.ok('GET', 'acme/certificates');
  assert.equal((await server.ok('POST', 'acme/accounts/pebble/deactivate')).state, 'deactivated');
  const told = await until(
    () => server.ok('GET', `acme/certificates/${certificates[0].id}`),
    ({ renewal }) => renewal.stopped !== null,
  );
  assert.match(told.renewal.stopped, /account pebble is not active/);
  const order = await server.call('POST', 'acme/orders', http('l.example.com'));
  assert.equal(order.status, 409);
});
