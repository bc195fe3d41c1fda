import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { encodeBase64url } from '#acme/jose/base64url.ts';
import { signExternalAccountBinding, signingKeyOf, signJws } from '#acme/jose/sign.ts';
import { type BindingKey, keyOf, newKey, type RawClient, signHeader } from './raw-client.ts';
import { foundPki } from '#test/chancery.ts';
import { acmeWorld, assertProblem, csr, dnsNames, issue, newExternalKey, publicUrl } from './server-world.ts';

/** Directory and accounts: rows 41 to 63 of the checklist in docs/acme.md. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
before(async () => {
  world = await acmeWorld(undefined);
  await world.server.ok('POST', 'pki/roles', {
    name: 'open',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  await world.server.ok('PUT', 'acme/directories/open', {
    external_account_required: false,
    terms_of_service: 'https://example.com/terms/1',
    website: 'https://example.com/',
    caa_identities: ['example.com'],
    profiles: { short: { description: 'One hour', role: 'web' } },
  });
  client = await world.trusted();
});
after(() => world.close());

const url = (name: string): string => client.directory[name] ?? '';
const newAccount = (from: RawClient, payload: object) =>
  from.post(from.directory['newAccount'] ?? '', payload, { jwk: true });

test('row 41, RFC 8555 §7.1.1: the directory has every resource and tells what it knows of itself', async () => {
  const open = await world.client('open');
  assert.deepEqual(open.directory.meta, {
    termsOfService: 'https://example.com/terms/1',
    website: 'https://example.com/',
    caaIdentities: ['example.com'],
    externalAccountRequired: false,
    profiles: { short: 'One hour' },
  });
  assert.equal(client.directory.meta['externalAccountRequired'], true);
  for (const name of ['newNonce', 'newAccount', 'newOrder', 'newAuthz', 'revokeCert', 'keyChange', 'renewalInfo'])
    assert.ok(String(client.directory[name]).startsWith(`${publicUrl}/acme/web/`), name);
});

test('row 42, RFC 8555 §7.1.2.1: the orders list has what is not invalid, in pages', async () => {
  const many = await world.trusted();
  for (let index = 0; index < 103; index++)
    assert.equal((await many.post(many.directory['newOrder'] ?? '', dnsNames('a.example.com'))).status, 201);
  const account = await many.post(String(many.kid), '');
  const first = await many.post(account.body.orders, '');
  assert.equal(first.body.orders.length, 100);
  const [next = ''] = first.links('next');
  const second = await many.post(next, '');
  assert.equal(second.body.orders.length, 3);
  assert.deepEqual(second.links('next'), []);
  assert.equal(new Set([...first.body.orders, ...second.body.orders]).size, 103);
  const order = await many.post(second.body.orders[0], '');
  await many.post(order.body.authorizations[0], { status: 'deactivated' });
  assert.equal((await many.post(order.headers.location ?? second.body.orders[0], '')).body.status, 'invalid');
  assert.ok(!(await many.post(next, '')).body.orders.includes(second.body.orders[0]));
});

test('row 47, RFC 8555 §7.2: HEAD newNonce is 200, GET 204, neither is cached', async () => {
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
  ] as const) {
    const reply = await client.send(method, url('newNonce'));
    assert.equal(reply.status, status);
    assert.equal(reply.text, '');
    assert.equal(reply.headers['cache-control'], 'no-store');
    assert.match(String(reply.headers['replay-nonce']), /^[\w-]{43}$/);
    assert.equal(reply.headers['content-type'], undefined, 'ejabberd takes JSON only, or no media type');
  }
});

test('row 48, RFC 8555 §7.3: a new account is 201 with Location, status and orders, and shows nothing unknown', async () => {
  const open = await world.client('open');
  const reply = await newAccount(open, {
    termsOfServiceAgreed: true,
    contact: ['mailto:a@example.com'],
    orders: 'https://evil.test/',
    onlyReturnExisting: false,
    unknown: 1,
    status: 'deactivated',
  });
  assert.equal(reply.status, 201);
  assert.match(
    String(reply.headers.location),
    /^https:\/\/acme\.example\.test\/acme\/open\/account\/asa_[0-9a-z]{26}$/,
  );
  assert.deepEqual(reply.body, {
    status: 'valid',
    contact: ['mailto:a@example.com'],
    termsOfServiceAgreed: true,
    orders: `${String(reply.headers.location)}/orders`,
  });
});

test('row 49, RFC 8555 §7.3: terms that are not agreed to are userActionRequired', async () => {
  const open = await world.client('open');
  for (const payload of [{}, { termsOfServiceAgreed: false }, { termsOfServiceAgreed: 'true' }])
    assertProblem(await newAccount(open, payload), 403, 'userActionRequired');
});

test('rows 50 and 51, RFC 8555 §7.3: contacts are one mail address each', async () => {
  const open = await world.client('open');
  const asked = (contact: unknown) => newAccount(open, { termsOfServiceAgreed: true, contact });
  for (const contact of ['tel:+15555550100', 'https://example.com/', 'x'])
    assertProblem(await asked([contact]), 400, 'unsupportedContact');
  for (const contact of [
    'mailto:a@example.com?subject=x',
    'mailto:a@example.com,b@example.com',
    'mailto:',
    'mailto:a',
    'mailto:a@b@c',
    'mailto: ',
    'mailto:a @example.com',
    'mailto: a@example.com b@example.com',
  ])
    assertProblem(await asked([contact]), 400, 'invalidContact');
  for (const contact of ['text', [7], Array.from({ length: 11 }, () => 'mailto:a@example.com')])
    assertProblem(await asked(contact), 400, 'malformed');
});

test('row 51, RFC 8555 §7.3: a space before the mail address, as getssl sends it, is dropped', async () => {
  const open = await world.client('open');
  const reply = await newAccount(open, { termsOfServiceAgreed: true, contact: ['mailto: a@example.com'] });
  assert.equal(reply.status, 201, reply.text);
  assert.deepEqual(reply.body.contact, ['mailto:a@example.com']);
});

test('row 52, RFC 8555 §7.3.1: a key that is known gets its account, unchanged', async () => {
  const reply = await newAccount(client, { contact: ['mailto:other@example.com'], termsOfServiceAgreed: true });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.location, client.kid);
  assert.equal(reply.body.contact, undefined);
});

test('row 53, RFC 8555 §7.3.1: onlyReturnExisting makes no account, and wants no binding', async () => {
  const stranger = client.other();
  assertProblem(await newAccount(stranger, { onlyReturnExisting: true }), 400, 'accountDoesNotExist');
  assertProblem(await newAccount(stranger, { onlyReturnExisting: true }), 400, 'accountDoesNotExist');
  assert.equal((await newAccount(client, { onlyReturnExisting: true })).headers.location, client.kid);
});

test('row 54, RFC 8555 §7.3.2: contacts are replaced, and what may not be changed is ignored', async () => {
  const account = await world.trusted();
  const kid = String(account.kid);
  const changed = await account.post(kid, {
    contact: ['mailto:b@example.com'],
    status: 'revoked',
    termsOfServiceAgreed: false,
    orders: 'x',
  });
  assert.equal(changed.status, 200);
  assert.deepEqual(changed.body.contact, ['mailto:b@example.com']);
  assert.equal(changed.body.status, 'valid');
  assert.equal((await account.post(kid, {})).body.contact[0], 'mailto:b@example.com');
  assert.equal((await account.post(kid, { contact: [] })).body.contact, undefined);
});

test('row 55, RFC 8555 §7.3.3: changed terms stop orders until somebody agreed, and say where to', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'terms',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  const configure = (version: number) =>
    world.server.ok('PUT', 'acme/directories/terms', {
      external_account_required: false,
      terms_of_service: `https://example.com/terms/${version}`,
    });
  await configure(1);
  const account = await world.client('terms');
  await account.register({ termsOfServiceAgreed: true });
  await configure(2);
  const refused = await account.post(account.directory['newOrder'] ?? '', dnsNames('a.example.com'));
  assertProblem(refused, 403, 'userActionRequired');
  assert.equal(refused.body.instance, 'https://example.com/terms/2');
  assert.deepEqual(refused.links('terms-of-service'), ['https://example.com/terms/2']);
  await world.server.ok('POST', `acme/subscribers/${String(account.kid).split('/').at(-1)}/agree`);
  assert.equal((await account.post(account.directory['newOrder'] ?? '', dnsNames('a.example.com'))).status, 201);
});

test('row 56, RFC 8555 §7.3.4: without a binding the answer is externalAccountRequired', async () => {
  assertProblem(await newAccount(client.other(), { termsOfServiceAgreed: true }), 403, 'externalAccountRequired');
});

/** Registers with a binding that is wrong in one point. */
async function bind(
  key: BindingKey,
  change: (right: { header: object; payload: object }) => { header: object; payload: object },
) {
  const stranger = client.other();
  const right = { header: { alg: 'HS256', kid: key.key_id, url: url('newAccount') }, payload: stranger.key.jwk };
  const { header, payload } = change(right);
  const parts = {
    protected: encodeBase64url(JSON.stringify(header)),
    payload: encodeBase64url(JSON.stringify(payload)),
  };
  const mac = createHmac('sha256', keyOf(key).macKey).update(`${parts.protected}.${parts.payload}`).digest('base64url');
  return newAccount(stranger, { externalAccountBinding: { ...parts, signature: mac } });
}

test('row 57, RFC 8555 §7.3.4: a binding that is wrong in one point is refused (6 ways)', async () => {
  const key = await world.externalKey();
  const stranger = signingKeyOf(newKey());
  const header = (fields: object) => (right: { header: object; payload: object }) => ({
    ...right,
    header: { ...right.header, ...fields },
  });
  assertProblem(await bind(key, header({ alg: 'ES256' })), 400, 'malformed');
  assertProblem(await bind(key, header({ nonce: 'abc' })), 400, 'malformed');
  assertProblem(await bind(key, header({ url: url('newOrder') })), 400, 'malformed');
  assertProblem(await bind(key, header({ kid: 'ack_00000000000000000000000000' })), 403, 'unauthorized');
  assertProblem(
    await bind({ ...key, hmac_key: encodeBase64url(Buffer.alloc(32)) }, (right) => right),
    403,
    'unauthorized',
  );
  assertProblem(await bind(key, (right) => ({ ...right, payload: stranger.jwk })), 400, 'malformed');
  const none = client.other();
  for (const externalAccountBinding of [5, 'x', {}, []])
    assertProblem(await newAccount(none, { externalAccountBinding }), 400, 'malformed');
  assert.equal((await bind(key, (right) => right)).status, 201);
});

test('row 58, RFC 8555 §7.3.4: the binding is shown in the account, and a key that is used, revoked or expired is refused', async () => {
  const once = await world.externalKey();
  const account = client.other();
  const made = await account.register({}, once);
  assert.equal(made.status, 201);
  assert.deepEqual(
    made.body.externalAccountBinding,
    signExternalAccountBinding(keyOf(once), url('newAccount'), account.key.jwk),
  );
  const second = await client.other().register({}, once);
  assertProblem(second, 403, 'unauthorized');
  assert.match(second.body.detail, /has registered an account already.*max_accounts/);
  const revoked = await world.externalKey();
  await world.server.ok('POST', `acme/external-account-keys/${revoked.key_id}/revoke`);
  const refused = await client.other().register({}, revoked);
  assertProblem(refused, 403, 'unauthorized');
  assert.match(refused.body.detail, /was revoked/);
  // Whoever does not have the key itself hears nothing of it, not even that there is one.
  const guessed = { ...revoked, hmac_key: once.hmac_key };
  const unknown = { ...revoked, key_id: `ack_${'0'.repeat(26)}` };
  const answers = [await client.other().register({}, guessed), await client.other().register({}, unknown)];
  for (const answer of answers) assertProblem(answer, 403, 'unauthorized');
  assert.equal(answers[0]?.body.detail, answers[1]?.body.detail);
  const listed = await world.server.ok('GET', 'acme/external-account-keys?limit=5');
  const states = Object.fromEntries(
    listed.external_account_keys.map((row: { key_id: string; status: string }) => [row.key_id, row.status]),
  );
  assert.equal(states[once.key_id], 'used');
  assert.equal(states[revoked.key_id], 'revoked');
  assert.ok(!JSON.stringify(listed).includes(once.hmac_key));
});

test('row 58, RFC 8555 §7.3.4: of ten registrations at once with a key for one account, one passes', async () => {
  const once = await world.externalKey();
  const replies = await Promise.all(Array.from({ length: 10 }, () => client.other().register({}, once)));
  assert.equal(replies.filter(({ status }) => status === 201).length, 1);
  for (const reply of replies.filter(({ status }) => status !== 201)) assertProblem(reply, 403, 'unauthorized');
});

test('row 58: a key of one directory is none in another', async () => {
  const open = await world.client('open');
  assertProblem(await open.register({ termsOfServiceAgreed: true }, await world.externalKey()), 403, 'unauthorized');
});

test('revoking an external account key ends its accounts, unless they are to stay', async () => {
  const [ended, kept] = await Promise.all([world.trusted(), world.trusted()]);
  const listed = (await world.server.ok('GET', 'acme/subscribers')).subscribers as {
    account_id: string;
    external_account_key: string;
  }[];
  const keyFor = (each: RawClient) =>
    listed.find(({ account_id }) => String(each.kid).endsWith(account_id))?.external_account_key;
  const first = await world.server.ok('POST', `acme/external-account-keys/${keyFor(ended)}/revoke`);
  assert.equal(first.accounts_ended, 1);
  await world.server.ok('POST', `acme/external-account-keys/${keyFor(kept)}/revoke`, { deactivate_accounts: false });
  const reply = await ended.post(String(ended.kid), '');
  assertProblem(reply, 401, 'unauthorized');
  assert.match(reply.body.detail, /revoked/);
  assert.equal((await kept.post(String(kept.kid), '')).status, 200);
});

async function changeKey(
  account: RawClient,
  next: ReturnType<typeof signingKeyOf>,
  change: { header?: object; payload?: object; key?: ReturnType<typeof signingKeyOf> } = {},
) {
  const target = account.directory['keyChange'] ?? '';
  const payload = { account: account.kid, oldKey: account.key.jwk, ...change.payload };
  const header = { alg: next.algorithm, jwk: next.jwk, url: target, ...change.header };
  const entries = Object.entries(header).filter(([, value]) => value !== undefined);
  return account.post(target, signHeader(change.key ?? next, Object.fromEntries(entries), payload));
}

test('row 59, RFC 8555 §7.3.5: a key is changed, the old one counts no more, orders stay', async () => {
  const account = await world.trusted();
  const old = account.key;
  const made = await account.post(url('newOrder'), dnsNames('k.example.com'));
  const next = signingKeyOf(newKey());
  const reply = await changeKey(account, next);
  assert.equal(reply.status, 200, reply.text);
  assertProblem(await account.post(String(account.kid), ''), 400, 'malformed');
  account.become(account.kid, next);
  assert.equal((await account.post(made.headers.location ?? '', '')).body.status, 'ready');
  assert.equal((await issue(account, ['k.example.com'])).chain.status, 200);
  assertProblem(
    await newAccount(client.other(old.privateKey), { onlyReturnExisting: true }),
    400,
    'accountDoesNotExist',
  );
});

test('row 60, RFC 8555 §7.3.5: an inner JWS that is wrong in one point is malformed (6 ways)', async () => {
  const account = await world.trusted();
  const next = signingKeyOf(newKey());
  const faults = [
    { header: { jwk: undefined } },
    { header: { nonce: 'abc' } },
    { header: { url: url('newOrder') } },
    { key: signingKeyOf(newKey()) },
    { payload: { account: client.kid } },
    { payload: { oldKey: client.key.jwk } },
    { payload: { oldKey: undefined } },
    { header: { kid: account.kid } },
  ];
  for (const fault of faults) assertProblem(await changeKey(account, next, fault), 400, 'malformed', 'badPublicKey');
  assert.equal((await account.post(String(account.kid), '')).status, 200);
});

test('row 61, RFC 8555 §7.3.5: a key that has an account is 409 with the place of that account', async () => {
  const account = await world.trusted();
  const reply = await changeKey(account, client.key);
  assertProblem(reply, 409, 'malformed');
  assert.equal(reply.headers.location, client.kid);
  assert.equal((await account.post(String(account.kid), '')).status, 200);
});

test('rows 62 and 63, RFC 8555 §7.3.6: a deactivated account does nothing more, its orders are cancelled, its certificates stay', async () => {
  const account = await world.trusted();
  const { order } = await issue(account, ['l.example.com']);
  const open = await account.post(url('newOrder'), dnsNames('m.example.com'));
  const reply = await account.post(String(account.kid), { status: 'deactivated' });
  assert.equal(reply.body.status, 'deactivated');
  for (const each of [
    String(account.kid),
    order.headers.location ?? '',
    order.body.certificate,
    `${String(account.kid)}/orders`,
  ])
    assertProblem(await account.post(each, ''), 401, 'unauthorized');
  assertProblem(await account.post(url('newOrder'), dnsNames('m.example.com')), 401, 'unauthorized');
  assertProblem(await newAccount(account, {}), 401, 'unauthorized');
  const stored = await world.server.ok('GET', 'pki/certificates?name=l.example.com&status=valid');
  assert.equal(stored.certificates.length, 1);
  assert.equal(open.status, 201);
});

test('a principal that is disabled, or loses its right, gets no more certificates by ACME', async () => {
  await world.server.ok('POST', 'policies', {
    name: 'web-issuer',
    rules: [{ effect: 'allow', operations: ['pki.issue_certificate'], resources: ['pki/roles/web'] }],
  });
  await world.server.ok('POST', 'principals', { name: 'robot', kind: 'service', policies: ['web-issuer'] });
  const account = await world.trusted({ principal: 'robot' });
  const ready = await account.post(url('newOrder'), dnsNames('n.example.com'));
  assert.equal((await issue(account, ['n.example.com'])).chain.status, 200);
  await world.server.ok('PATCH', 'principals/robot', { disabled: true });
  assertProblem(await account.post(url('newOrder'), dnsNames('n.example.com')), 403, 'unauthorized');
  assertProblem(await account.post(ready.body.finalize, { csr: csr({ dns: ['n.example.com'] }) }), 403, 'unauthorized');
  await world.server.ok('PATCH', 'principals/robot', { disabled: false });
  await world.server.ok('PUT', 'policies/web-issuer', {
    rules: [
      {
        effect: 'allow',
        operations: ['pki.issue_certificate'],
        resources: ['pki/roles/web'],
        conditions: { approval: true },
      },
    ],
  });
  assertProblem(await account.post(url('newOrder'), dnsNames('n.example.com')), 403, 'unauthorized');
});

test('nobody binds an external account key to a principal with more rights than their own', async () => {
  await world.server.ok('POST', 'policies', {
    name: 'key-maker',
    rules: [{ effect: 'allow', operations: ['acme.create_external_account_key'], resources: ['acme/directories/web'] }],
  });
  await world.server.ok('POST', 'principals', { name: 'maker', kind: 'service', policies: ['key-maker'] });
  const { key } = await world.server.ok('POST', 'principals/maker/keys', {});
  const maker = world.server.as(key);
  assert.equal(
    (await maker.call('POST', 'acme/external-account-keys', { role: 'web', principal: 'admin' })).status,
    403,
  );
  assert.equal((await maker.call('POST', 'acme/external-account-keys', { role: 'web' })).status, 201);
  const { token } = await maker.ok('POST', 'tokens', { ttl: '1h', operations: ['acme.*'] });
  assert.equal((await world.server.as(token).call('POST', 'acme/external-account-keys', { role: 'web' })).status, 403);
});

test('tenants have directories of their own, and may not open private addresses', async () => {
  const { key } = await world.server.ok('POST', 'namespaces', { name: 'tenant' });
  const tenant = world.server.as(key);
  await foundPki(tenant);
  const theirs = await world.client('tenant~web');
  assert.equal(theirs.directory['newOrder'], `${publicUrl}/acme/tenant~web/new-order`);
  const binding = await newExternalKey(tenant, { skip_validation: true, allowed_identifiers: ['*.example.com'] });
  assertProblem(await client.other().register({}, binding), 403, 'unauthorized');
  assert.equal((await theirs.register({}, binding)).status, 201);
  const { order } = await issue(theirs, ['a.example.com']);
  assertProblem(await client.post(order.body.certificate, ''), 400, 'accountDoesNotExist');
  assert.equal(
    (await world.server.ok('GET', 'acme/subscribers?limit=1000')).subscribers.some(
      ({ account_id }: { account_id: string }) => String(theirs.kid).endsWith(account_id),
    ),
    false,
  );
  const reply = await tenant.call('PUT', 'acme/directories/web', { allowed_address_ranges: ['127.0.0.0/8'] });
  assert.equal(reply.status, 403);
  assert.equal((await tenant.call('PUT', 'acme/directories/none', {})).status, 404);
});

test('an inner JWS is no request: what one account signed for a key change is refused elsewhere', async () => {
  const inner = signJws(client.key, { url: url('newOrder'), kid: String(client.kid) }, dnsNames('a.example.com'));
  const reply = await client.send('POST', url('newOrder'), JSON.stringify(inner), {
    'content-type': 'application/jose+json',
  });
  assertProblem(reply, 400, 'badNonce');
});

test('a directory that is closed serves the accounts no more that came without a binding', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'closing',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  await world.server.ok('PUT', 'acme/directories/closing', { external_account_required: false });
  const anybody = await world.client('closing');
  await anybody.register({});
  const order = () => anybody.post(anybody.directory['newOrder'] ?? '', dnsNames('a.example.com'));
  assert.equal((await order()).status, 201);
  await world.server.ok('DELETE', 'acme/directories/closing');
  assertProblem(await order(), 403, 'unauthorized');
});

test('nobody opens a directory to everybody whose roles they may not issue by themselves', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'narrow',
    authority: 'issuing',
    allowed_domains: ['a.example.com'],
  });
  await world.server.ok('POST', 'policies', {
    name: 'narrow-directory',
    rules: [
      { effect: 'allow', operations: ['acme.configure_directory'], resources: ['acme/directories/narrow'] },
      { effect: 'allow', operations: ['pki.issue_certificate'], resources: ['pki/roles/narrow'] },
    ],
  });
  await world.server.ok('POST', 'principals', { name: 'opener', kind: 'service', policies: ['narrow-directory'] });
  const { key } = await world.server.ok('POST', 'principals/opener/keys', {});
  const configure = async (settings: object) =>
    (await world.server.as(key).call('PUT', 'acme/directories/narrow', settings)).status;
  const profiles = { wide: { description: 'All names', role: 'web' } };
  assert.equal(await configure({ external_account_required: false, profiles }), 403);
  assert.equal(await configure({ external_account_required: false }), 200);
  // With a binding the principal of the account is asked for the role of the profile.
  assert.equal(await configure({ profiles }), 200);
});
