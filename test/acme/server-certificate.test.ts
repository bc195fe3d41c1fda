import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Clock } from '#core/clock.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { extensionValue } from '#pki/x509/extension.ts';
import { signingKeyOf } from '#acme/jose/sign.ts';
import { newKey, type PostOptions, type RawClient } from './raw-client.ts';
import { acmeWorld, assertProblem, csr, dnsNames, issue } from './server-world.ts';

/** Certificates, revocation and renewal information: rows 76, 81 to 85 and 96 to 100 of the checklist in docs/acme.md. */

let world: Awaited<ReturnType<typeof acmeWorld>>;
let client: RawClient;
let ahead = 0;
const clock: Clock = { now: () => Date.now() + ahead };
before(async () => {
  world = await acmeWorld(undefined, {}, clock);
  client = await world.trusted();
});
after(() => world.close());

const url = (name: string): string => client.directory[name] ?? '';

function pems(text: string): X509Certificate[] {
  return (text.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? []).map((pem) => new X509Certificate(pem));
}

async function issued(name: string, from = client, key = newKey()) {
  const { order, chain } = await issue(from, [name], key);
  const [leaf] = pems(chain.text);
  assert.ok(leaf);
  const der = leaf.raw.toString('base64url');
  return { order, chain, leaf, der, key, certId: certIdOf(leaf.raw) };
}

function certIdOf(der: Buffer): string {
  const { extensions, serialOctets } = decodeCertificate(der);
  const { keyIdentifier } = extensionValue(extensions, 'authority_key_identifier') ?? {};
  return `${Buffer.from(keyIdentifier ?? []).toString('base64url')}.${Buffer.from(serialOctets).toString('base64url')}`;
}

const revoke = (payload: object, from = client, options: PostOptions = {}) =>
  from.post(url('revokeCert'), payload, options);

test('row 76, RFC 8555 §7.4.2: the chain begins with the leaf, each certifies the one before, the root is left out', async () => {
  const { chain } = await issued('chain.example.com');
  assert.equal(chain.headers['content-type'], 'application/pem-certificate-chain');
  const certificates = pems(chain.text);
  assert.equal(certificates.length, 2);
  assert.equal(certificates[0]?.subjectAltName, 'DNS:chain.example.com');
  assert.ok(certificates[0]?.verify(certificates[1]?.publicKey as never));
  assert.equal(certificates[1]?.subject, 'CN=Test Issuing');
});

test('row 76, RFC 8555 §7.4.2: a cross-certificate makes an alternate chain, told by Link and fetched by its URL', async () => {
  await world.server.ok('POST', 'pki/authorities', { name: 'old', kind: 'root', common_name: 'Old Root' });
  await world.server.ok('POST', 'pki/authorities/old/cross-sign', { authority: 'root' });
  const { order, chain } = await issued('alternate.example.com');
  const [alternate = ''] = chain.links('alternate');
  assert.ok(alternate.startsWith(order.body.certificate));
  const other = await client.post(alternate, '');
  const certificates = pems(other.text);
  assert.deepEqual(
    certificates.map(({ issuer }) => issuer),
    ['CN=Test Issuing', 'CN=Test Root', 'CN=Old Root'],
  );
  assert.deepEqual(other.links('alternate'), [order.body.certificate]);
  assertProblem(await client.post(`${String(order.body.certificate)}/7`, ''), 404, 'malformed');
});

test('row 81, RFC 8555 §7.6: the account that ordered revokes', async () => {
  const { der, leaf } = await issued('r1.example.com');
  assert.equal((await revoke({ certificate: der, reason: 4 })).status, 200);
  const shown = await world.server.ok('GET', `pki/certificates/${leaf.serialNumber.toLowerCase()}`);
  assert.equal(shown.status, 'revoked');
  assert.equal(shown.revocation_reason, 'superseded');
});

test('row 81, RFC 8555 §7.6: whoever has the key of the certificate revokes, without an account', async () => {
  const { der, key } = await issued('r2.example.com');
  const stranger = client.other();
  assertProblem(await revoke({ certificate: der }, stranger, { jwk: true }), 403, 'unauthorized');
  const options = { jwk: true, key: signingKeyOf(key) };
  assert.equal((await revoke({ certificate: der, reason: 1 }, stranger, options)).status, 200);
});

test('row 81, RFC 8555 §7.6: another account that holds authorizations for all names revokes', async () => {
  const { der } = await issued('r3.example.com');
  const other = await world.trusted();
  assertProblem(await revoke({ certificate: der }, other), 403, 'unauthorized');
  await other.post(url('newAuthz'), { identifier: { type: 'dns', value: 'r3.example.com' } });
  assert.equal((await revoke({ certificate: der }, other)).status, 200);
});

test('row 82, RFC 8555 §7.6: an account without all authorizations is unauthorized', async () => {
  const { chain } = await issue(client, ['r4.example.com', 'r5.example.com']);
  const [leaf] = pems(chain.text);
  const other = await world.trusted();
  await other.post(url('newAuthz'), { identifier: { type: 'dns', value: 'r4.example.com' } });
  assertProblem(await revoke({ certificate: leaf?.raw.toString('base64url') }, other), 403, 'unauthorized');
});

test('row 83, RFC 8555 §7.6: a second revocation is alreadyRevoked, however the first came', async () => {
  const first = await issued('r6.example.com');
  assert.equal((await revoke({ certificate: first.der })).status, 200);
  assertProblem(await revoke({ certificate: first.der }), 400, 'alreadyRevoked');
  const second = await issued('r7.example.com');
  await world.server.ok('POST', `pki/certificates/${second.leaf.serialNumber.toLowerCase()}/revoke`, {
    reason: 'superseded',
  });
  assertProblem(await revoke({ certificate: second.der }), 400, 'alreadyRevoked');
});

test('row 84, RFC 8555 §7.6: reasons that are none, or not for subscribers, are badRevocationReason', async () => {
  const { der } = await issued('r8.example.com');
  for (const reason of [2, 6, 7, 8, 10, 11, -1, 1.5, 'x', '1', false, [1]])
    assertProblem(await revoke({ certificate: der, reason }), 400, 'badRevocationReason');
  for (const reason of [0, 1, 3, 4, 5, 9])
    assert.equal((await revoke({ certificate: (await issued('r9.example.com')).der, reason })).status, 200);
});

test('row 85, RFC 8555 §7.6: what is not ours, no certificate, or expired cannot be revoked', async (context) => {
  const foreign = await world.server.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['x.example.com'] });
  const raw = new X509Certificate(foreign.certificate).raw.toString('base64url');
  for (const certificate of [raw, 'MAA', 'AAAA', '']) assertProblem(await revoke({ certificate }), 404, 'malformed');
  for (const payload of [{}, { certificate: 7 }, { certificate: '+/' }])
    assertProblem(await revoke(payload), 400, 'malformed');
  const { der } = await issued('r10.example.com');
  ahead = 40 * 86_400_000;
  context.after(() => (ahead = 0));
  assertProblem(await revoke({ certificate: der }), 400, 'badNonce');
  assertProblem(await revoke({ certificate: der }), 400, 'malformed');
});

test('row 96, RFC 9773 §4.1: renewal information is told to anybody, with a window and Retry-After', async () => {
  const { certId, leaf } = await issued('ari.example.com');
  const reply = await client.send('GET', `${url('renewalInfo')}/${certId}`);
  assert.equal(reply.status, 200, reply.text);
  const { start, end } = reply.body.suggestedWindow;
  const [begin, finish] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  const middle = begin + (finish - begin) / 2;
  assert.ok(Date.parse(start) < middle && middle < Date.parse(end), `${start} ${end}`);
  assert.ok(Date.parse(end) < finish);
  assert.ok(Number(reply.headers['retry-after']) >= 60);
  assert.equal(reply.headers['access-control-allow-origin'], '*');
});

test('row 97, RFC 9773 §4.1: identifiers that are malformed or padded are 400, unknown ones 404', async () => {
  const { certId } = await issued('ari2.example.com');
  for (const bad of ['x', 'a.b.c', `${certId}=`, '.', `${certId.split('.')[0]}.`, 'a.QR', `${'A'.repeat(300)}.AAAA`])
    assertProblem(await client.send('GET', `${url('renewalInfo')}/${bad}`), 400, 'malformed');
  assertProblem(await client.send('GET', `${url('renewalInfo')}/AAAA.AAAA`), 404, 'malformed');
});

test('row 98, RFC 9773 §4.2: the window of a revoked certificate lies in the past', async () => {
  const { certId, der } = await issued('ari3.example.com');
  await revoke({ certificate: der });
  const { body } = await client.send('GET', `${url('renewalInfo')}/${certId}`);
  assert.ok(Date.parse(body.suggestedWindow.start) < Date.parse(body.suggestedWindow.end));
  assert.ok(Date.parse(body.suggestedWindow.end) < clock.now());
});

test('row 99, RFC 9773 §5: replaces is shown, and must be of this account and have a name in common', async () => {
  const { certId } = await issued('rep1.example.com');
  const replace = (name: string, replaces: string, from = client) =>
    from.post(url('newOrder'), { ...dnsNames(name), replaces });
  assertProblem(await replace('rep1.example.com', certId, await world.trusted()), 403, 'unauthorized');
  assertProblem(await replace('other.example.com', certId), 400, 'malformed');
  assertProblem(await replace('rep1.example.com', 'AAAA.AAAA'), 404, 'malformed');
  const made = await replace('rep1.example.com', certId);
  assert.equal(made.status, 201);
  assert.equal(made.body.replaces, certId);
});

test('row 100, RFC 9773 §5: a certificate is replaced once; of orders at once one wins, and an invalid one frees it', async () => {
  const { certId } = await issued('rep2.example.com');
  const replace = () => client.post(url('newOrder'), { ...dnsNames('rep2.example.com'), replaces: certId });
  const replies = await Promise.all(Array.from({ length: 6 }, replace));
  const won = replies.filter(({ status }) => status === 201);
  assert.equal(won.length, 1);
  for (const reply of replies.filter(({ status }) => status !== 201)) assertProblem(reply, 409, 'alreadyReplaced');
  await client.post(won[0]?.body.authorizations[0], { status: 'deactivated' });
  const again = await replace();
  assert.equal(again.status, 201, again.text);
  const done = await client.post(again.body.finalize, { csr: csr({ dns: ['rep2.example.com'] }) });
  assert.equal(done.body.status, 'valid');
  assertProblem(await replace(), 409, 'alreadyReplaced');
});

test('row 100, RFC 9773 §5: a limit of orders is passed by the first order that replaces a certificate, and by no other', async () => {
  const role = { name: 'few', authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };
  await world.server.ok('POST', 'pki/roles', role);
  await world.server.ok('PUT', 'acme/directories/few', { limits: { orders_per_account: 1 } });
  const few = await world.client('few');
  const allowed = { role: 'few', skip_validation: true, allowed_identifiers: ['*.example.com'] };
  await few.register({}, await world.externalKey(allowed));
  const { certId } = await issued('few.example.com', few);
  const order = (fields: object) =>
    few.post(few.directory['newOrder'] ?? '', { ...dnsNames('few.example.com'), ...fields });
  assertProblem(await order({}), 429, 'rateLimited');
  const first = await order({ replaces: certId });
  assert.equal(first.status, 201, first.text);
  await few.post(first.body.authorizations[0], { status: 'deactivated' });
  assertProblem(await order({ replaces: certId }), 429, 'rateLimited');
});

test('revocation is refused to the account that lost the name to another directory', async () => {
  const { der } = await issued('r11.example.com');
  await world.server.ok('POST', 'pki/roles', {
    name: 'second',
    authority: 'issuing',
    allowed_domains: ['example.com'],
    allow_subdomains: true,
  });
  const other = await world.client('second');
  await other.register(
    {},
    await world.externalKey({ role: 'second', skip_validation: true, allowed_identifiers: ['*.example.com'] }),
  );
  assertProblem(await other.post(other.directory['revokeCert'] ?? '', { certificate: der }), 404, 'malformed');
});
