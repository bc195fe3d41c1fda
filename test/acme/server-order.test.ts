import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { encodeRawExtension } from '#pki/x509/extension.ts';
import { oids } from '#pki/x509/oid.ts';
import type { Clock } from '#core/clock.ts';
import type { RawClient, RawReply } from './raw-client.ts';
import { acmeWorld, assertProblem, csr, dnsNames, errorType, issue } from './server-world.ts';

/** Orders and authorizations: rows 39, 43 to 46 and 64 to 80 of the checklist in docs/acme.md. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
/** One that has to prove its names. */
let prover: RawClient;
let ahead = 0;
const clock: Clock = { now: () => Date.now() + ahead };
before(async () => {
  world = await acmeWorld(undefined, {}, clock);
  client = await world.trusted();
  prover = await world.client();
  await prover.register({}, await world.externalKey());
});
after(() => world.close());

const url = (name: string): string => client.directory[name] ?? '';
const order = (payload: object, from = client): Promise<RawReply> => from.post(url('newOrder'), payload);
const finalize = (made: RawReply, request: string, from = client) => from.post(made.body.finalize, { csr: request });

test('row 39, RFC 8555 §6.7.1: several bad identifiers are told one by one, each with its identifier', async () => {
  const reply = await order({
    identifiers: [
      { type: 'dns', value: 'good.example.com' },
      { type: 'dns', value: 'bad_name.example.com' },
      { type: 'email', value: 'a@example.com' },
    ],
  });
  assertProblem(reply, 400, 'compound');
  assert.equal(reply.body.identifier, undefined);
  assert.deepEqual(
    reply.body.subproblems.map(({ type, identifier }: { type: string; identifier: object }) => [type, identifier]),
    [
      [errorType('malformed'), { type: 'dns', value: 'bad_name.example.com' }],
      [errorType('unsupportedIdentifier'), { type: 'email', value: 'a@example.com' }],
    ],
  );
  const refused = await order(dnsNames('a.example.com', 'a.other.test', 'b.other.test'));
  assertProblem(refused, 403, 'rejectedIdentifier');
  assert.deepEqual(
    refused.body.subproblems.map(({ identifier }: { identifier: { value: string } }) => identifier.value),
    ['a.other.test', 'b.other.test'],
  );
});

test('row 39, RFC 8555 §6.7.1: one bad identifier among several is told with its identifier, a sole one is told once', async () => {
  const among = await client.post(url('newOrder'), dnsNames('a.example.com', 'a.example.org'));
  assertProblem(among, 403, 'rejectedIdentifier');
  assert.deepEqual(
    among.body.subproblems.map(({ identifier }: { identifier: { value: string } }) => identifier.value),
    ['a.example.org'],
  );
  for (const name of ['a.example.org', 'not a name', '127.0.0.1']) {
    const sole = await client.post(url('newOrder'), dnsNames(name));
    assert.ok(sole.status >= 400 && sole.body.detail.includes(name), sole.text);
    assert.equal(sole.body.subproblems, undefined);
  }
});

test('row 43, RFC 8555 §7.1.3: an order has expires, and its identifiers and authorizations never change', async () => {
  const made = await order(dnsNames('z.example.com', 'a.example.com', 'm.example.com'));
  assert.match(made.body.expires, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const done = await finalize(made, csr({ dns: ['a.example.com', 'm.example.com', 'z.example.com'] }));
  assert.equal(done.body.status, 'valid');
  assert.match(done.body.expires, /Z$/);
  for (const member of ['identifiers', 'authorizations', 'finalize'])
    assert.deepEqual(done.body[member], made.body[member]);
  assert.deepEqual(
    made.body.identifiers.map(({ value }: { value: string }) => value),
    ['z.example.com', 'a.example.com', 'm.example.com'],
  );
});

test('row 44, RFC 8555 §7.1.4: a wildcard is authorized by its base name and dns-01 alone', async () => {
  const made = await order(dnsNames('*.w.example.com', 'w.example.com'), prover);
  assert.equal(made.status, 201);
  const [wild, plain] = await Promise.all(
    made.body.authorizations.map((each: string) => prover.post(each, '')) as [Promise<RawReply>, Promise<RawReply>],
  );
  assert.deepEqual(wild.body.identifier, { type: 'dns', value: 'w.example.com' });
  assert.equal(wild.body.wildcard, true);
  assert.deepEqual(typesOf(wild), ['dns-01']);
  assert.equal(plain.body.wildcard, undefined);
  assert.deepEqual(typesOf(plain), ['http-01', 'dns-01', 'tls-alpn-01']);
});

function typesOf(authorization: RawReply): string[] {
  return authorization.body.challenges.map(({ type }: { type: string }) => type);
}

test('row 45, RFC 8555 §7.1.4: names are folded to lower case, each once, and U-labels are refused', async () => {
  const made = await order(dnsNames('UPPER.Example.COM', 'upper.example.com'));
  assert.deepEqual(made.body.identifiers, [{ type: 'dns', value: 'upper.example.com' }]);
  assert.equal((await finalize(made, csr({ dns: ['Upper.example.com'] }))).body.status, 'valid');
  const bad = [
    'bücher.example.com',
    'a..example.com',
    'a.example.com.',
    '-a.example.com',
    'a b.example.com',
    '*',
    '*.*.example.com',
    'a.*.example.com',
    '',
    'x'.repeat(64) + '.example.com',
    'ab--c.example.com',
    '1.2.3',
    'a.example.com\u0000',
  ];
  for (const name of bad) assertProblem(await order(dnsNames(name)), 400, 'malformed');
});

test('row 46, RFC 8555 §7.1.6: an order is pending, ready, valid, and invalid as soon as an authorization is lost', async () => {
  const pending = await order(dnsNames('p.example.com'), prover);
  assert.equal(pending.body.status, 'pending');
  const made = await order(dnsNames('q.example.com', 'r.example.com'));
  assert.equal(made.body.status, 'ready');
  await client.post(made.body.authorizations[1], { status: 'deactivated' });
  const lost = await client.post(made.headers.location ?? '', '');
  assert.equal(lost.body.status, 'invalid');
  assertProblem(await finalize(made, csr({ dns: ['q.example.com', 'r.example.com'] })), 403, 'orderNotReady');
});

test('row 64, RFC 8555 §7.4: a new order is 201 with Location, and none has no identifiers', async () => {
  const made = await order({ ...dnsNames('a.example.com'), unknown: true });
  assert.equal(made.status, 201);
  assert.equal(made.body.unknown, undefined);
  assert.deepEqual((await client.post(made.headers.location ?? '', '')).body, made.body);
  const bad = [
    {},
    { identifiers: [] },
    { identifiers: 'a.example.com' },
    { identifiers: [null] },
    { identifiers: [{ type: 'dns' }] },
  ];
  for (const payload of bad) assertProblem(await order(payload), 400, 'malformed');
  const many = Array.from({ length: 101 }, (_, index) => `n${index}.example.com`);
  assertProblem(await order(dnsNames(...many)), 400, 'malformed');
});

test('row 64: members that a library writes as null, or profile and replaces as empty texts, are as if they were left out', async () => {
  const empty = { notBefore: null, notAfter: null, profile: null, replaces: null };
  for (const fields of [empty, { profile: '', replaces: '' }]) {
    const made = await order({ ...dnsNames('null.example.com'), ...fields });
    assert.equal(made.status, 201, made.text);
    for (const member of ['notAfter', 'profile', 'replaces']) assert.equal(made.body[member], undefined);
  }
  const account = client.other();
  const nothing = { contact: null, termsOfServiceAgreed: null, onlyReturnExisting: null };
  assert.equal((await account.register(nothing, await world.externalKey())).status, 201);
  const unbound = { externalAccountBinding: null };
  assertProblem(await client.other().post(url('newAccount'), unbound, { jwk: true }), 403, 'externalAccountRequired');
});

test('row 65, RFC 8555 §7.4: an identifier of another type is unsupportedIdentifier', async () => {
  assertProblem(
    await order({ identifiers: [{ type: 'permanent-identifier', value: 'x' }] }),
    400,
    'unsupportedIdentifier',
  );
});

test('row 66, RFC 8555 §7.4: names that the role or the external account key forbids are rejectedIdentifier', async () => {
  assertProblem(await order(dnsNames('other.test')), 403, 'rejectedIdentifier');
  const narrow = await world.trusted({ allowed_identifiers: ['one.example.com', '10.0.0.0/8'] });
  assert.equal((await narrow.post(url('newOrder'), dnsNames('one.example.com'))).status, 201);
  for (const name of ['two.example.com', 'x.one.example.com', '*.one.example.com'])
    assertProblem(await narrow.post(url('newOrder'), dnsNames(name)), 403, 'rejectedIdentifier');
});

test('row 67, RFC 8555 §7.4: an end that can be had is kept, and every other refused', async () => {
  const at = (hours: number) => new Date(clock.now() + hours * 3_600_000).toISOString();
  const made = await order({ ...dnsNames('a.example.com'), notAfter: at(2) });
  assert.equal(made.status, 201);
  const done = await finalize(made, csr({ dns: ['a.example.com'] }));
  const { certificates } = await world.server.ok('GET', 'pki/certificates?limit=1');
  assert.equal(certificates[0].not_after, done.body.notAfter);
  const bad = [
    { notAfter: at(24 * 4000) },
    { notAfter: at(-1) },
    { notAfter: 'soon' },
    { notAfter: 7 },
    { notBefore: at(1) },
  ];
  for (const each of bad) assertProblem(await order({ ...dnsNames('a.example.com'), ...each }), 400, 'malformed');
});

test('row 68, RFC 8555 §7.4: finalizing a pending order is orderNotReady', async () => {
  const pending = await order(dnsNames('s.example.com'), prover);
  assertProblem(await finalize(pending, csr({ dns: ['s.example.com'] }), prover), 403, 'orderNotReady');
});

test('row 69, RFC 8555 §7.4: another account cannot finalize', async () => {
  const made = await order(dnsNames('t.example.com'));
  assertProblem(await finalize(made, csr({ dns: ['t.example.com'] }), prover), 403, 'unauthorized');
});

test('row 70, RFC 8555 §7.4: a CSR with other names, extensions, weak keys or a wrong signature is badCSR, and the order stays ready', async () => {
  const names = ['u.example.com', 'v.example.com'];
  const made = await order(dnsNames(...names));
  const right = Buffer.from(csr({ dns: names }), 'base64url');
  const broken = Buffer.from(right);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  const mustStaple = encodeRawExtension(oids.tlsFeature, false, Buffer.from('3003020105', 'hex'));
  const bad: Record<string, string> = {
    missing: csr({ dns: ['u.example.com'] }),
    extra: csr({ dns: [...names, 'w.example.com'] }),
    'extra, and allowed by nothing': csr({ dns: [...names, 'evil.test'] }),
    'another common name': csr({ dns: names, commonName: 'w.example.com' }),
    'common name only, and of one of two': csr({ commonName: 'u.example.com' }),
    none: csr({}),
    'an address': csr({ dns: names, ip: [Uint8Array.of(127, 0, 0, 1)] }),
    'a wildcard': csr({ dns: ['*.example.com'] }),
    'another extension': csr({ dns: names, extensions: [mustStaple] }),
    'wrong signature': broken.toString('base64url'),
    'a weak key': weakRequest(names),
    'no DER': 'AAAA',
    empty: '',
  };
  for (const [what, request] of Object.entries(bad)) {
    const reply = await finalize(made, request);
    assertProblem(reply, 400, 'badCSR');
    assert.equal((await client.post(made.headers.location ?? '', '')).body.status, 'ready', what);
  }
  for (const payload of [{}, { csr: 7 }, { csr: right.toString('base64') + '=' }])
    assertProblem(await client.post(made.body.finalize, payload), 400, 'malformed');
  assert.equal((await finalize(made, csr({ dns: names, commonName: 'u.example.com' }))).body.status, 'valid');
});

/** With an RSA key of 1024 bits, as no code of ours would make it. */
function weakRequest(names: readonly string[]): string {
  const san = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`;
  const words = [
    'req',
    '-new',
    '-newkey',
    'rsa:1024',
    '-nodes',
    '-keyout',
    '/dev/null',
    '-subj',
    '/',
    '-outform',
    'DER',
  ];
  return execFileSync('openssl', [...words, '-addext', san], { stdio: ['ignore', 'pipe', 'ignore'] }).toString(
    'base64url',
  );
}

test('row 70, RFC 8555 §7.4: a name in the common name alone counts', async () => {
  const made = await order(dnsNames('cn.example.com'));
  assert.equal((await finalize(made, csr({ commonName: 'cn.example.com' }))).body.status, 'valid');
});

test('row 71, RFC 8555 §11.1: the key of an account is no key of a certificate', async () => {
  const made = await order(dnsNames('a.example.com'));
  for (const key of [client.key.privateKey, prover.key.privateKey])
    assertProblem(await finalize(made, csr({ dns: ['a.example.com'], key })), 400, 'badCSR');
  assert.equal((await client.post(made.headers.location ?? '', '')).body.status, 'ready');
});

test('row 72, RFC 8555 §7.4: the same finalize again answers the same, another is orderNotReady, and one certificate exists', async () => {
  const made = await order(dnsNames('once.example.com'));
  const request = csr({ dns: ['once.example.com'] });
  const replies = await Promise.all(Array.from({ length: 6 }, () => finalize(made, request)));
  for (const reply of replies) {
    if (reply.status !== 200) assertProblem(reply, 403, 'orderNotReady');
    else assert.ok(['processing', 'valid'].includes(reply.body.status), reply.text);
  }
  const again = await finalize(made, request);
  assert.equal(again.body.status, 'valid');
  assert.equal(again.headers.location, made.headers.location);
  assertProblem(await finalize(made, csr({ dns: ['once.example.com'] })), 403, 'orderNotReady');
  const { certificates } = await world.server.ok('GET', 'pki/certificates?name=once.example.com');
  assert.equal(certificates.length, 1);
  assert.match(certificates[0].purpose, /^acme order aso_[0-9a-z]{26} of asa_[0-9a-z]{26}$/);
});

test('row 73, RFC 8555 §7.4: a certificate URL is shown when the order is valid, not before', async () => {
  const made = await order(dnsNames('a.example.com'));
  assert.equal(made.body.certificate, undefined);
  assert.match((await finalize(made, csr({ dns: ['a.example.com'] }))).body.certificate, /\/certificate\/asx_/);
});

test('row 74, RFC 8555 §7.4: an order that has expired is invalid and cannot be finalized', async (context) => {
  const made = await order(dnsNames('late.example.com'));
  ahead = 25 * 3_600_000;
  context.after(() => (ahead = 0));
  assertProblem(await client.post(made.headers.location ?? '', ''), 400, 'badNonce');
  assert.equal((await client.post(made.headers.location ?? '', '')).body.status, 'invalid');
  assertProblem(await finalize(made, csr({ dns: ['late.example.com'] })), 403, 'orderNotReady');
});

test('row 75, RFC 8555 §7.4.1: a name is pre-authorized, a wildcard is not, and the order uses what was authorized', async () => {
  const made = await prover.post(url('newAuthz'), { identifier: { type: 'dns', value: 'pre.example.com' } });
  assert.equal(made.status, 201);
  assert.equal(made.body.status, 'pending');
  assert.match(String(made.headers.location), /\/authz\/asz_/);
  assertProblem(
    await prover.post(url('newAuthz'), { identifier: { type: 'dns', value: '*.example.com' } }),
    400,
    'malformed',
  );
  assertProblem(
    await prover.post(url('newAuthz'), { identifier: { type: 'dns', value: 'other.test' } }),
    403,
    'rejectedIdentifier',
  );
  assertProblem(await prover.post(url('newAuthz'), {}), 400, 'malformed');
  const valid = await client.post(url('newAuthz'), { identifier: { type: 'dns', value: 'pre.example.com' } });
  assert.equal(valid.body.status, 'valid');
  const used = await order(dnsNames('pre.example.com'));
  assert.deepEqual(used.body.authorizations, [valid.headers.location]);
});

test('row 77, RFC 8555 §7.5.1: a challenge is posted to with an object, and answers with the way to its authorization', async () => {
  const made = await order(dnsNames('ch.example.com'), prover);
  const authz = await prover.post(made.body.authorizations[0], '');
  const [challenge] = authz.body.challenges;
  const read = await prover.post(challenge.url, '');
  assert.deepEqual(read.body, challenge);
  assert.deepEqual(read.links('up'), [made.body.authorizations[0]]);
  for (const payload of ['[]', '7', '"x"', 'null', '{'])
    assertProblem(await prover.post(challenge.url, payload), 400, 'malformed');
});

test('rows 79 and 80, RFC 8555 §7.5.2: an authorization has expires, is deactivated for good, and takes no other status', async () => {
  const made = await order(dnsNames('de.example.com'));
  const [authzUrl] = made.body.authorizations;
  const authz = await client.post(authzUrl, '');
  assert.equal(authz.body.status, 'valid');
  assert.match(authz.body.expires, /Z$/);
  for (const payload of [{ status: 'valid' }, { status: 'revoked' }, {}, { identifier: 1 }])
    assertProblem(await client.post(authzUrl, payload), 400, 'malformed');
  assert.equal((await client.post(authzUrl, { status: 'deactivated' })).body.status, 'deactivated');
  assert.equal((await client.post(authzUrl, { status: 'deactivated' })).body.status, 'deactivated');
  const again = await order(dnsNames('de.example.com'));
  assert.notDeepEqual(again.body.authorizations, made.body.authorizations);
});

test('row 95, RFC 8738: addresses are identifiers of their own type in the text of RFC 5952', async () => {
  const addresses = {
    identifiers: [
      { type: 'ip', value: '127.0.0.1' },
      { type: 'ip', value: '::1' },
    ],
  };
  const made = await order(addresses, prover);
  assert.equal(made.status, 201, made.text);
  for (const each of made.body.authorizations)
    assert.deepEqual(typesOf(await prover.post(each, '')), ['http-01', 'tls-alpn-01']);
  for (const value of [
    '127.0.0.01',
    '0:0:0:0:0:0:0:1',
    '::FFFF',
    '127.1',
    'fe80::1%eth0',
    '10.0.0.0/8',
    'a.example.com',
  ])
    assertProblem(await order({ identifiers: [{ type: 'ip', value }] }), 400, 'malformed');
  for (const value of ['127.0.0.1', '::1']) assertProblem(await order(dnsNames(value)), 400, 'malformed');
  const trusted = await world.trusted({ allowed_identifiers: ['127.0.0.0/8'] });
  const ready = await order({ identifiers: [{ type: 'ip', value: '127.0.0.2' }] }, trusted);
  const done = await finalize(ready, csr({ ip: [Uint8Array.of(127, 0, 0, 2)] }), trusted);
  assert.equal(done.body.status, 'valid');
});

test('row 101, draft-ietf-acme-profiles: an order shows its profile, whose role issues; an unknown one is invalidProfile', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'short',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    default_ttl: '1h',
    max_ttl: '1h',
  });
  await world.server.ok('PUT', 'acme/directories/web', {
    profiles: { brief: { description: 'An hour', role: 'short' } },
  });
  const made = await order({ ...dnsNames('pr.example.com'), profile: 'brief' });
  assert.equal(made.body.profile, 'brief');
  const done = await finalize(made, csr({ dns: ['pr.example.com'] }));
  assert.equal(done.body.profile, 'brief');
  const { certificates } = await world.server.ok('GET', 'pki/certificates?name=pr.example.com');
  assert.equal(certificates[0].role, 'short');
  for (const profile of ['long', 'constructor', ' '])
    assertProblem(await order({ ...dnsNames('a.example.com'), profile }), 400, 'invalidProfile');
  assertProblem(await order({ ...dnsNames('a.example.com'), profile: 7 }), 400, 'malformed');
  const gone = await world.server.call('PUT', 'acme/directories/web', {
    profiles: { x: { description: 'x', role: 'gone' } },
  });
  assert.equal(gone.status, 400);
  await world.server.ok('DELETE', 'acme/directories/web');
});

test('rows 102 and 103: dns-account-01 and dns-persist-01 are not offered, and cannot be switched on', async () => {
  const made = await order(dnsNames('offered.example.com'), prover);
  const authz = await prover.post(made.body.authorizations[0], '');
  assert.deepEqual(typesOf(authz), ['http-01', 'dns-01', 'tls-alpn-01']);
  for (const type of ['dns-account-01', 'dns-persist-01'])
    assert.equal((await world.server.call('PUT', 'acme/directories/web', { challenge_types: [type] })).status, 400);
});

test('a role that wants a CSR and a common name is served', async () => {
  await world.server.ok('POST', 'pki/roles', {
    name: 'strict',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
    require_csr: true,
    require_common_name: true,
    key_types: ['ec-p256'],
  });
  const strict = await world.client('strict');
  await strict.register(
    {},
    await world.externalKey({ role: 'strict', skip_validation: true, allowed_identifiers: ['*.example.com'] }),
  );
  const { order: done } = await issue(strict, ['s1.example.com']);
  assert.equal(done.body.status, 'valid');
});

test('the end that a policy sets holds for certificates by ACME as well', async () => {
  await world.server.ok('POST', 'policies', {
    name: 'brief-web',
    rules: [
      {
        effect: 'allow',
        operations: ['pki.issue_certificate'],
        resources: ['pki/roles/web'],
        conditions: { max_ttl: '2h' },
      },
    ],
  });
  await world.server.ok('POST', 'principals', { name: 'brief', kind: 'service', policies: ['brief-web'] });
  const account = await world.trusted({ principal: 'brief' });
  await issue(account, ['brief.example.com']);
  const { certificates } = await world.server.ok('GET', 'pki/certificates?name=brief.example.com');
  const life = Date.parse(certificates[0].not_after) - clock.now();
  assert.ok(life <= 2 * 3_600_000 && life > 3_500_000, String(life));
  const far = new Date(clock.now() + 5 * 3_600_000).toISOString();
  assertProblem(
    await account.post(url('newOrder'), { ...dnsNames('brief.example.com'), notAfter: far }),
    400,
    'malformed',
  );
});
