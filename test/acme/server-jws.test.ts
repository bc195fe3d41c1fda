import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeBase64url } from '#acme/jose/base64url.ts';
import { signingKeyOf } from '#acme/jose/sign.ts';
import { foundPki, startChancery } from '#test/chancery.ts';
import { newKey, type PostOptions, type RawClient, rawClient, signHeader } from './raw-client.ts';
import { acmeWorld, assertProblem, csr, dnsNames, errorType, issue, publicUrl } from './server-world.ts';

/** How requests are authenticated: rows 1 to 40 of the checklist in docs/acme.md. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
before(async () => {
  world = await acmeWorld(undefined);
  client = await world.trusted({ max_accounts: 1 });
});
after(() => world.close());

const newOrderUrl = (): string => client.directory['newOrder'] ?? '';
const order = (options?: PostOptions) => client.post(newOrderUrl(), dnsNames('a.example.com'), options);

test('row 1, RFC 8555 §6.1: ACME is refused where the public URL is not https, and works over real TLS', async (context) => {
  const plain = await startChancery(context, {});
  await foundPki(plain);
  const refused = await fetch(`${plain.url}/acme/web/directory`);
  assert.equal(refused.status, 400);
  assert.equal(((await refused.json()) as { type: string }).type, errorType('malformed'));
  const folder = plain.folder;
  const port = new URL(plain.url).port;
  await plain.stop();
  const address = `127.0.0.1:${port}`;
  const tls = await startChancery(context, {
    folder,
    env: { CHANCERY_TLS: 'self', CHANCERY_LISTEN: address, CHANCERY_PUBLIC_URL: `https://${address}` },
  });
  const ca = readFileSync(join(folder, 'tls-root.pem'), 'utf8');
  const secure = await rawClient({ connect: tls.url, publicUrl: `https://${address}`, segment: 'web', ca });
  assert.equal(secure.directory['newNonce'], `https://${address}/acme/web/new-nonce`);
  assertProblem(await secure.register({}), 403, 'externalAccountRequired');
  secure.close();
});

test('row 2, RFC 8555 §6.1: base64url with padding is refused wherever it stands', async () => {
  for (const member of ['protected', 'payload', 'signature'])
    assertProblem(
      await order({ change: (jws) => ({ ...jws, [member]: `${String(jws[member])}=` }) }),
      400,
      'malformed',
    );
  const made = await order();
  const padded = `${csr({ dns: ['a.example.com'] }).slice(0, -1)}==`;
  assertProblem(await client.post(made.body.finalize, { csr: padded }), 400, 'malformed');
  assertProblem(await client.post(client.directory['revokeCert'] ?? '', { certificate: 'MAA=' }), 400, 'malformed');
});

test('row 3, RFC 8555 §6.1: answers may be read by scripts of any origin', async () => {
  const { headers } = await client.send('GET', client.directory['newNonce'] ?? '', undefined, {
    origin: 'https://a.test',
  });
  assert.equal(headers['access-control-allow-origin'], '*');
  assert.equal(headers['access-control-expose-headers'], '*');
  const preflight = await client.send('OPTIONS', newOrderUrl(), undefined, {
    origin: 'https://a.test',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'content-type',
  });
  assert.equal(preflight.status, 204);
  assert.match(String(preflight.headers['access-control-allow-methods']), /POST/);
  assert.match(String(preflight.headers['access-control-allow-headers']), /content-type/i);
});

test('RFC 8555 §7.4: no other header names the Location, since getssl takes each that does for one', async () => {
  const { status, headers } = await client.post(newOrderUrl(), dnsNames('a.example.com'));
  assert.equal(status, 201);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`);
  assert.deepEqual(
    lines.filter((line) => /location/i.test(line)),
    [`location: ${headers.location}`],
  );
});

test('row 4, RFC 8555 §6.2: another content type is 415 malformed', async () => {
  for (const contentType of ['application/json', 'application/x-www-form-urlencoded', 'text/plain'])
    assertProblem(await order({ contentType }), 415, 'malformed');
});

test('row 5, RFC 8555 §6.2: a body that is no flattened JWS is malformed', async () => {
  const send = (body: string) => client.send('POST', newOrderUrl(), body, { 'content-type': 'application/jose+json' });
  for (const body of ['', '{', '[]', 'null', '"a.b.c"', '{}', '\u0000'])
    assertProblem(await send(body), 400, 'malformed');
  for (const member of ['protected', 'payload', 'signature'])
    assertProblem(await order({ change: (jws) => ({ ...jws, [member]: undefined }) }), 400, 'malformed');
  assertProblem(await order({ change: (jws) => ({ ...jws, payload: 7 }) }), 400, 'malformed');
});

test('row 6, RFC 8555 §6.2: several signatures are malformed', async () => {
  const change: NonNullable<PostOptions['change']> = ({ payload, ...rest }) => ({ payload, signatures: [rest] });
  assertProblem(await order({ change }), 400, 'malformed');
  assertProblem(await order({ change: (jws) => ({ ...jws, signatures: [jws] }) }), 400, 'malformed');
});

test('row 7, RFC 8555 §6.2: an unprotected header is malformed', async () => {
  assertProblem(await order({ change: (jws) => ({ ...jws, header: { kid: 'x' } }) }), 400, 'malformed');
});

test('row 8, RFC 7797: an unencoded payload, or anything critical, is malformed', async () => {
  assertProblem(await order({ header: { b64: false, crit: ['b64'] } }), 400, 'malformed');
  assertProblem(await order({ header: { crit: ['exp'], exp: 1 } }), 400, 'malformed');
});

test('rows 9, 10 and 11, RFC 8555 §6.2: none, MACs and unknown algorithms are answered with those that are accepted', async () => {
  for (const alg of ['none', 'HS256', 'PS256', 'RS1', 7, undefined]) {
    const reply = await order({ header: { alg } });
    assertProblem(reply, 400, 'badSignatureAlgorithm');
    assert.ok(reply.body.algorithms.includes('ES256') && reply.body.algorithms.includes('EdDSA'));
    assert.ok(!reply.body.algorithms.includes('HS256'));
  }
});

test('row 10, RFC 8555 §6.2: a MAC with the public key as secret proves nothing', async () => {
  const jws = await client.body(newOrderUrl(), dnsNames('a.example.com'), { header: { alg: 'HS256' } });
  const secret = client.key.key.export({ type: 'spki', format: 'pem' });
  const signature = createHmac('sha256', secret)
    .update(`${String(jws['protected'])}.${String(jws['payload'])}`)
    .digest('base64url');
  const reply = await client.send('POST', newOrderUrl(), JSON.stringify({ ...jws, signature }), {
    'content-type': 'application/jose+json',
  });
  assertProblem(reply, 400, 'badSignatureAlgorithm');
});

test('row 12, RFC 8555 §6.2: ES256, ES384, ES512, EdDSA and RS256 accounts work', async () => {
  const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys = [
    rsa,
    generateKeyPairSync('ed25519').privateKey,
    ...['P-256', 'P-384', 'P-521'].map((namedCurve) => generateKeyPairSync('ec', { namedCurve }).privateKey),
  ];
  const external = await world.externalKey({
    max_accounts: keys.length,
    skip_validation: true,
    allowed_identifiers: ['*.example.com'],
  });
  for (const key of keys) {
    const other = client.other(key);
    assert.equal((await other.register({}, external)).status, 201, other.key.algorithm);
    assert.equal((await issue(other, ['b.example.com'])).chain.status, 200, other.key.algorithm);
  }
});

test('row 13, RFC 8555 §6.2: an algorithm that does not fit the key is refused', async () => {
  assertProblem(await order({ header: { alg: 'ES512' } }), 400, 'badPublicKey', 'malformed');
  assertProblem(await order({ header: { alg: 'RS256' } }), 400, 'badPublicKey', 'malformed');
});

test('rows 14 and 21, RFC 8555 §6.2: weak, broken, foreign and private keys are bad public keys', async () => {
  const url = client.directory['newAccount'] ?? '';
  const { jwk } = client.key;
  assert.equal(jwk.kty, 'EC');
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  const keys = [
    rsa1024,
    { ...jwk, y: (jwk as { x: string }).x },
    { kty: 'oct', k: 'AAAA' },
    { ...jwk, crv: 'secp256k1' },
    newKey().export({ format: 'jwk' }),
    'text',
    null,
  ];
  for (const shown of keys)
    assertProblem(await client.post(url, {}, { jwk: true, header: { jwk: shown } }), 400, 'badPublicKey');
  const stored = await world.server.ok('GET', 'acme/subscribers');
  assert.ok(!JSON.stringify(stored).includes('"d"'));
});

test('rows 15 and 16, RFC 8555 §6.2: both jwk and kid, or neither, is malformed', async () => {
  assertProblem(await order({ header: { jwk: client.key.jwk } }), 400, 'malformed');
  assertProblem(await order({ header: { kid: undefined } }), 400, 'malformed');
});

test('row 17, RFC 8555 §6.2: newAccount takes jwk only, newOrder kid only', async () => {
  assertProblem(await client.post(client.directory['newAccount'] ?? '', {}), 400, 'malformed');
  assertProblem(await order({ jwk: true }), 400, 'malformed');
});

test('rows 18 and 19, RFC 8555 §6.2: an unknown kid, or one of another host or directory, is accountDoesNotExist', async () => {
  const kids = [
    `${publicUrl}/acme/web/account/asa_00000000000000000000000000`,
    `${publicUrl}/acme/web/account/`,
    `${publicUrl}/acme/other/account/${String(client.kid).split('/').at(-1)}`,
    String(client.kid).replace(publicUrl, 'https://evil.test'),
    '',
  ];
  for (const kid of kids) assertProblem(await order({ header: { kid } }), 400, 'accountDoesNotExist');
  assertProblem(await order({ header: { kid: 7 } }), 400, 'malformed');
});

test('row 20, RFC 8555 §6.2: a wrong signature is malformed, and uses up no nonce', async () => {
  const nonce = await client.nonce();
  const bad = await order({ header: { nonce }, key: signingKeyOf(newKey()) });
  assertProblem(bad, 400, 'malformed');
  assert.equal((await order({ header: { nonce } })).status, 201);
});

test('row 22, RFC 8555 §6.3: plain GET is 405 malformed wherever a signature is needed', async () => {
  const { order: done } = await issue(client, ['c.example.com']);
  const urls = [
    ...['newOrder', 'newAccount', 'newAuthz', 'revokeCert', 'keyChange'].map((name) => client.directory[name] ?? ''),
    String(client.kid),
    `${String(client.kid)}/orders`,
    done.headers.location ?? '',
    done.body.authorizations[0],
    done.body.certificate,
  ];
  for (const url of urls) {
    const reply = await client.send('GET', url);
    assertProblem(reply, 405, 'malformed');
    assert.equal(reply.headers.allow, 'POST');
  }
});

test('rows 23 and 24, RFC 8555 §6.3: POST-as-GET reads everything, and a payload of {} is none', async () => {
  const made = await client.post(newOrderUrl(), dnsNames('d.example.com'));
  const { order: done } = await issue(client, ['d.example.com']);
  const urls = [
    made.headers.location ?? '',
    made.body.authorizations[0],
    done.body.certificate,
    String(client.kid),
    `${String(client.kid)}/orders`,
  ];
  for (const url of urls) assert.equal((await client.post(url, '')).status, 200, url);
  for (const url of [made.headers.location ?? '', done.body.certificate, `${String(client.kid)}/orders`])
    assertProblem(await client.post(url, {}), 400, 'malformed');
});

test('row 25, RFC 8555 §6.3: directory and newNonce are read by GET and by POST-as-GET', async () => {
  const directoryUrl = `${publicUrl}/acme/web/directory`;
  const read = await client.send('GET', directoryUrl);
  assert.equal(read.status, 200);
  assert.equal(
    read.headers['replay-nonce'],
    undefined,
    'acme-client of Ruby can keep none before it has the directory',
  );
  const signed = await client.post(directoryUrl, '');
  assert.deepEqual(signed.body, client.directory);
  assert.match(String(signed.headers['replay-nonce']), /^[\w-]{43}$/);
  assert.equal((await client.send('GET', client.directory['newNonce'] ?? '')).status, 204);
  assert.equal((await client.post(client.directory['newNonce'] ?? '', '')).status, 204);
});

test('row 26, RFC 8555 §6.3: what is of another account is not shown, and answers like what does not exist', async () => {
  const { order: done } = await issue(client, ['e.example.com']);
  const pending = await world.client();
  await pending.register({}, await world.externalKey());
  const open = await pending.post(newOrderUrl(), dnsNames('e.example.com'));
  const authz = await pending.post(open.body.authorizations[0], '');
  const theirs = [done.headers.location ?? '', done.body.authorizations[0], done.body.certificate];
  for (const url of theirs) {
    const reply = await pending.post(url, '');
    assertProblem(reply, 403, 'unauthorized');
    const missing = await pending.post(url.replace(/[0-9a-z]{6}$/, '000000'), '');
    assert.deepEqual(missing.body, reply.body);
  }
  assertProblem(await client.post(authz.body.challenges[0].url, ''), 403, 'unauthorized');
  assertProblem(await client.post(authz.body.challenges[0].url, {}), 403, 'unauthorized');
  assertProblem(await client.post(String(pending.kid), ''), 403, 'unauthorized');
  assertProblem(await client.post(`${String(pending.kid)}/orders`, ''), 403, 'unauthorized');
});

test('row 27, RFC 8555 §6.4: a url that is not that of the request is unauthorized', async () => {
  const url = newOrderUrl();
  const others = [
    url.replace(publicUrl, 'https://other.test'),
    `${url}/`,
    `${url}?a=1`,
    url.replace('https:', 'http:'),
    client.directory['newAuthz'] ?? '',
    url.toUpperCase(),
  ];
  for (const signed of others) assertProblem(await order({ header: { url: signed } }), 403, 'unauthorized');
  assertProblem(await order({ to: `${url}?a=1` }), 403, 'unauthorized');
  const told = await order({ header: { url: url.replace(publicUrl, 'https://proxy.test') } });
  for (const each of ['https://proxy.test', publicUrl])
    assert.ok(told.body.detail.includes(`"${each}/acme/`), told.text);
});

test('row 28, RFC 8555 §6.4: a missing url is malformed', async () => {
  assertProblem(await order({ header: { url: undefined } }), 400, 'malformed');
  assertProblem(await order({ header: { url: [newOrderUrl()] } }), 400, 'malformed');
});

test('row 29, RFC 8555 §6.4: the public URL counts, not the Host that a proxy or an attacker writes', async () => {
  const jws = JSON.stringify(await client.body(newOrderUrl(), dnsNames('a.example.com')));
  const reply = await client.send('POST', newOrderUrl(), jws, {
    'content-type': 'application/jose+json',
    host: 'evil.test',
    'x-forwarded-host': 'evil.test',
  });
  assert.equal(reply.status, 201);
  assert.ok(!reply.text.includes('evil.test'));
});

test('rows 30 and 40, RFC 8555 §6.5 and §7.1: every answer to a POST has a nonce and the index, errors too', async () => {
  const replies = [await order(), await order({ header: { url: 'x' } }), await order({ contentType: 'text/plain' })];
  for (const { headers, links, status } of replies) {
    assert.match(String(headers['replay-nonce']), /^[A-Za-z0-9_-]{43}$/, String(status));
    assert.deepEqual(links('index'), [`${publicUrl}/acme/web/directory`]);
    assert.equal(headers['cache-control'], 'no-store');
  }
  assert.deepEqual((await client.send('GET', `${publicUrl}/acme/web/directory`)).links('index'), []);
});

test('rows 31 and 35, RFC 8555 §6.5: a missing nonce is badNonce, one that is not base64url malformed', async () => {
  assertProblem(await order({ header: { nonce: undefined } }), 400, 'badNonce');
  for (const nonce of ['a b', 'abc=', 7]) assertProblem(await order({ header: { nonce } }), 400, 'malformed');
});

test('rows 32 and 33, RFC 8555 §6.5: unknown, forged and used nonces are badNonce, with one that can be used', async () => {
  const used = await client.nonce();
  assert.equal((await order({ header: { nonce: used } })).status, 201);
  const forged = Buffer.from(await client.nonce(), 'base64url');
  forged[9] = (forged[9] ?? 0) ^ 1;
  for (const nonce of [used, forged.toString('base64url'), encodeBase64url(Buffer.alloc(32)), 'AAAA', '']) {
    const reply = await order({ header: { nonce } });
    assertProblem(reply, 400, 'badNonce');
    assert.equal((await order({ header: { nonce: reply.headers['replay-nonce'] } })).status, 201);
  }
});

test('row 32, RFC 8555 §6.5: a body that is sent again is refused', async () => {
  const body = JSON.stringify(await client.body(newOrderUrl(), dnsNames('a.example.com')));
  const send = () => client.send('POST', newOrderUrl(), body, { 'content-type': 'application/jose+json' });
  assert.equal((await send()).status, 201);
  assertProblem(await send(), 400, 'badNonce');
});

test('row 34, RFC 8555 §6.5: of twenty requests at once with one nonce exactly one passes', async () => {
  const nonce = await client.nonce();
  const replies = await Promise.all(Array.from({ length: 20 }, () => order({ header: { nonce } })));
  assert.equal(replies.filter(({ status }) => status === 201).length, 1);
  for (const reply of replies.filter(({ status }) => status !== 201)) assertProblem(reply, 400, 'badNonce');
});

test('row 36, RFC 8555 §6.5.1: nonces are unique and of the alphabet of base64url, and cost nothing until they are used', async () => {
  const nonces = new Set<string>();
  for (let index = 0; index < 200; index++) {
    const { headers } = await client.send('HEAD', client.directory['newNonce'] ?? '');
    nonces.add(String(headers['replay-nonce']));
  }
  assert.equal(nonces.size, 200);
  for (const nonce of nonces) assert.match(nonce, /^[A-Za-z0-9_-]+$/);
});

test('row 37, RFC 8555 §6.6: beyond a limit the answer is 429 rateLimited with Retry-After', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'slow',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  await world.server.ok('PUT', 'acme/directories/slow', { limits: { orders_per_account: 3, accounts_per_address: 2 } });
  const slow = await world.client('slow');
  const external = await world.externalKey({
    role: 'slow',
    max_accounts: 10,
    skip_validation: true,
    allowed_identifiers: ['*.example.com'],
  });
  await slow.register({}, external);
  const replies = await Promise.all(
    Array.from({ length: 8 }, () => slow.post(slow.directory['newOrder'] ?? '', dnsNames('a.example.com'))),
  );
  assert.equal(replies.filter(({ status }) => status === 201).length, 3);
  for (const reply of replies.filter(({ status }) => status !== 201)) {
    assertProblem(reply, 429, 'rateLimited');
    const seconds = Number(reply.headers['retry-after']);
    assert.ok(seconds >= 1 && seconds <= 3600, String(seconds));
  }
  assert.equal((await slow.other().register({}, external)).status, 201);
  assertProblem(await slow.other().register({}, external), 429, 'rateLimited');
});

test('row 38, RFC 8555 §6.7: errors of HTTP below a directory are problem documents with a registered type', async () => {
  const replies = [
    await client.send('GET', `${publicUrl}/acme/web/nothing`),
    await client.send('POST', `${publicUrl}/acme/web/nothing`, '{}', { 'content-type': 'application/jose+json' }),
    await client.send('GET', `${publicUrl}/acme/no-such-role/directory`),
    await client.send('GET', `${publicUrl}/acme/NO~such/directory`),
    await client.send('GET', `${publicUrl}/acme/root~web/directory`),
    await client.send('POST', newOrderUrl(), 'x'.repeat(70_000), { 'content-type': 'application/jose+json' }),
  ];
  assert.deepEqual(
    replies.map(({ status }) => status),
    [404, 404, 404, 404, 404, 413],
  );
  for (const reply of replies) assertProblem(reply, reply.status, 'malformed');
});

test('whoever leaves out the end of the URL of a directory is told the whole of it', async () => {
  for (const path of ['/acme/web', '/acme/web/', '/acme/web/dir', '/acme/web/acme/directory']) {
    const reply = await client.send('GET', `${publicUrl}${path}`);
    assertProblem(reply, 404, 'malformed');
    assert.ok(reply.body.detail.endsWith(` ${publicUrl}/acme/web/directory`), reply.text);
  }
  for (const path of ['/acme', '/acme/no-such-role', '/acme/directory', '/acme/no-such-role/directory']) {
    const reply = await client.send('GET', `${publicUrl}${path}`);
    assertProblem(reply, 404, 'malformed');
    assert.ok(reply.body.detail.includes(`${publicUrl}/acme/ROLE/directory`), reply.text);
  }
});

test('row 40, RFC 8555 §7.1: a signature over another payload is not taken for this one', async () => {
  const jws = await client.body(newOrderUrl(), dnsNames('a.example.com'));
  const payload = encodeBase64url(JSON.stringify(dnsNames('b.example.com')));
  const reply = await client.send('POST', newOrderUrl(), JSON.stringify({ ...jws, payload }), {
    'content-type': 'application/jose+json',
  });
  assertProblem(reply, 400, 'malformed');
  const header = { alg: 'ES256', kid: client.kid, nonce: await client.nonce(), url: newOrderUrl() };
  const wrong = signHeader(signingKeyOf(newKey()), header, dnsNames('a.example.com'));
  const other = await client.send('POST', newOrderUrl(), JSON.stringify(wrong), {
    'content-type': 'application/jose+json',
  });
  assertProblem(other, 400, 'malformed');
});
