import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { decodeCrl } from '#pki/x509/crl.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { decodeOcspResponse } from '#pki/x509/ocsp-response.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import { type ChildServer, type Client, foundPki } from '#test/chancery.ts';
import { assertAuditVerifies, storedSerials } from './load.ts';
import { faketimeLibrary } from './machine.ts';
import { assertNoCrash, spawner, temporaryFolder } from './server.ts';

/** F9 of the fault list: the clock of the machine jumps while the server runs. */

const skip = process.platform !== 'linux' && `libfaketime is loaded by Linux, and this is ${process.platform}`;

interface ShiftedServer extends ChildServer {
  /** Sets the clock of the running server so far from the real one: `+40d`, `-3d`, `+0`. */
  readonly shift: (offset: string) => void;
}

/** A server whose clock can be set, beginning at an offset. Timers keep the real pace, as they do in such a jump. */
async function shiftedServer(context: TestContext, offset: string): Promise<ShiftedServer> {
  const file = join(temporaryFolder(context, 'clock'), 'offset');
  const shift = (to: string): void => writeFileSync(file, `${to}\n`);
  shift(offset);
  const server = await spawner(context)({
    env: {
      LD_PRELOAD: faketimeLibrary(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
  });
  return { ...server, shift };
}

function issue(client: Client) {
  return client.call('POST', 'pki/certificates', { role: 'web', dns_names: ['a.example.com'], ttl: '30d' });
}

const day = 86_400_000;

/** Milliseconds from the real time to a time that the server told. */
function ahead(time: string): number {
  return Date.parse(time) - Date.now();
}

async function crlNumberOf(server: Client): Promise<number> {
  const { crls } = await server.ok('GET', 'pki/authorities/issuing/crl');
  const [{ url }] = crls;
  const reply = await fetch(url);
  assert.equal(reply.status, 200);
  await reply.arrayBuffer();
  const after = await server.ok('GET', 'pki/authorities/issuing/crl');
  return after.crls[0].number;
}

async function crlOf(server: Client) {
  const { crls } = await server.ok('GET', 'pki/authorities/issuing/crl');
  const reply = await fetch(crls[0].url);
  assert.equal(reply.status, 200);
  return decodeCrl(Buffer.from(await reply.arrayBuffer()));
}

interface Issued {
  readonly chain: readonly string[];
  readonly serial_number: string;
}

/** What OCSP says, by an answer and a signer that are in force by the real clock. */
async function ocspStatusOf(server: Client, { chain, serial_number }: Issued): Promise<string> {
  const issuer = decodeCertificate(decodeOnePem(chain[0] ?? '', 'CERTIFICATE', 65_536));
  const certId = encodeCertId('sha1', hashIssuer(issuer.subject.der, issuer.spki), serial_number);
  const { url } = (await server.ok('GET', 'pki/authorities/issuing/crl')).crls[0];
  const reply = await fetch(new URL('/pki/issuing/ocsp', url), {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body: new Uint8Array(encodeOcspRequest([certId])),
  });
  const response = decodeOcspResponse(Buffer.from(await reply.arrayBuffer()));
  assert.ok(response.status === 'successful', response.status);
  const signer = decodeCertificate(response.basic.certificates[0] ?? Buffer.alloc(0));
  assert.ok(signer.notBefore <= Date.now() && signer.notAfter > Date.now(), 'the signer is not in force');
  const [single] = response.basic.responses;
  assert.ok(single && single.thisUpdate <= Date.now() + 1000, 'the answer is from the future');
  return single.status.kind;
}

/** Every certificate of the store lies within the validity of the certificate that signed it. */
async function assertWithinAuthority(server: Client): Promise<number> {
  const serials = await storedSerials(server);
  for (const serial of serials) {
    const { certificate, chain } = await server.ok('GET', `pki/certificates/${serial}`);
    const leaf = new X509Certificate(certificate);
    for (const above of chain) {
      const authority = new X509Certificate(above);
      assert.ok(leaf.validFromDate >= authority.validFromDate, `${serial} begins before ${authority.subject}`);
      assert.ok(leaf.validToDate <= authority.validToDate, `${serial} ends after ${authority.subject}`);
    }
  }
  return serials.length;
}

test('forty days ahead certificates and tokens are expired, CRLs are fresh, and back again they are what they were', {
  skip,
}, async (context) => {
  const server = await shiftedServer(context, '+0');
  await foundPki(server);
  const old = (await issue(server)).body.serial_number;
  const { token } = await server.ok('POST', 'tokens', { ttl: '30d' });
  const number = await crlNumberOf(server);

  server.shift('+40d');
  assert.equal((await server.ok('GET', `pki/certificates/${old}`)).status, 'expired');
  const listed = await server.ok('GET', 'pki/certificates?status=expired&kind=leaf');
  assert.deepEqual(
    listed.certificates.map((row: { serial_number: string }) => row.serial_number),
    [old],
  );
  assert.equal((await server.ok('GET', 'pki/certificates?status=valid&kind=leaf')).certificates.length, 0);
  assert.deepEqual((await server.as(token).call('GET', 'auth/whoami')).status, 401);
  const fresh = await issue(server);
  assert.equal(fresh.status, 201, JSON.stringify(fresh.body));
  assert.ok(Math.abs(ahead(fresh.body.not_after) - 70 * day) < day);
  const ahead40 = await crlNumberOf(server);
  assert.ok(ahead40 > number);
  const [crl] = (await server.ok('GET', 'pki/authorities/issuing/crl')).crls;
  assert.ok(ahead(crl.next_update) > 40 * day, `the CRL of ${crl.this_update} is served although it has run out`);

  server.shift('+0');
  assert.equal((await server.ok('GET', `pki/certificates/${old}`)).status, 'valid');
  assert.equal((await server.as(token).call('GET', 'auth/whoami')).status, 200);
  assert.equal((await issue(server)).status, 201);
  await server.ok('POST', `pki/certificates/${old}/revoke`, { reason: 'superseded' });
  assert.ok((await crlNumberOf(server)) > ahead40, 'the CRL number went down with the clock');
  assert.equal(await assertWithinAuthority(server), 3);
  await assertAuditVerifies(server);
  assertNoCrash(server);
});

test('before its authority is valid nothing is issued, and the audit log goes on in the order of what happened', {
  skip,
}, async (context) => {
  const server = await shiftedServer(context, '+0');
  await foundPki(server);
  assert.equal((await issue(server)).status, 201);
  server.shift('-3d');
  const { status, body } = await issue(server);
  assert.deepEqual([status, body.code], [422, 'refused'], JSON.stringify(body));
  assert.match(body.detail, /not valid yet/);
  assert.equal((await server.call('GET', 'pki/roles/web')).status, 200);
  assert.ok((await crlNumberOf(server)) > 0);
  server.shift('+0');
  assert.equal((await issue(server)).status, 201);
  assert.equal(await assertWithinAuthority(server), 2);
  const { events } = await server.ok('GET', 'audit/events?limit=100');
  const times = events.map((event: { at: string }) => Date.parse(event.at));
  assert.ok(
    times.some((time: number) => time < Date.now() - 2 * day),
    'the jump is not in the log',
  );
  await assertAuditVerifies(server);
  assertNoCrash(server);
});

test('three days back under an older authority every certificate lies within its validity', {
  skip,
}, async (context) => {
  const server = await shiftedServer(context, '-10d');
  await foundPki(server);
  server.shift('+0');
  assert.equal((await issue(server)).status, 201);
  server.shift('-3d');
  const back = await issue(server);
  assert.equal(back.status, 201, JSON.stringify(back.body));
  assert.ok(Math.abs(ahead(back.body.not_after) - 27 * day) < day);
  server.shift('+0');
  assert.equal((await issue(server)).status, 201);
  assert.equal(await assertWithinAuthority(server), 3);
  await assertAuditVerifies(server);
  assertNoCrash(server);
});

for (const jump of ['+8d', '+4y', '+1h'])
  test(`after the clock was at ${jump} for a while, CRL and OCSP are of now, and show what is revoked from now on`, {
    skip,
  }, async (context) => {
    const server = await shiftedServer(context, '+0');
    await foundPki(server);
    const first = await server.ok('POST', 'pki/certificates', {
      role: 'web',
      dns_names: ['a.example.com'],
      ttl: '24h',
    });
    const second = await server.ok('POST', 'pki/certificates', {
      role: 'web',
      dns_names: ['a.example.com'],
      ttl: '24h',
    });
    const before = await crlOf(server);
    assert.equal(await ocspStatusOf(server, first), 'good');

    server.shift(jump);
    if (jump === '+1h')
      await server.ok('POST', `pki/certificates/${second.serial_number}/revoke`, { reason: 'superseded' });
    await crlOf(server);
    await fetch(`${server.url}/pki/issuing/ocsp`, {
      method: 'POST',
      headers: { 'content-type': 'application/ocsp-request' },
    });

    server.shift('+0');
    const back = await crlOf(server);
    assert.ok(back.thisUpdate <= Date.now(), `the CRL is of ${new Date(back.thisUpdate).toISOString()}`);
    assert.ok((back.crlNumber ?? 0n) > (before.crlNumber ?? 0n), 'the CRL number went down with the clock');
    await server.ok('POST', `pki/certificates/${first.serial_number}/revoke`, { reason: 'key_compromise' });
    const after = await crlOf(server);
    assert.ok(after.thisUpdate <= Date.now());
    assert.ok(after.index().find(first.serial_number), 'the CRL does not list what was revoked');
    assert.equal(await ocspStatusOf(server, first), 'revoked');
    assertNoCrash(server);
  });
