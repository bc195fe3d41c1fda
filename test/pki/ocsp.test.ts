import assert from 'node:assert/strict';
import { createPublicKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { lintOcspResponse } from '#engines/pki/lint/ocsp.ts';
import { verify } from '#engines/pki/x509/algorithm.ts';
import { decodeCertificate } from '#engines/pki/x509/certificate.ts';
import { certIdHashes, encodeCertId, hashIssuer } from '#engines/pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#engines/pki/x509/ocsp-request.ts';
import { decodeOcspResponse, type OcspResponse } from '#engines/pki/x509/ocsp-response.ts';
import { decodeOnePem } from '#engines/pki/x509/pem.ts';
import { type IssuedCertificate, openRevocationHouse, type RevocationHouse } from './revocation-house.ts';

function certIdOf(issued: IssuedCertificate, hash: (typeof certIdHashes)[number] = 'sha1'): Buffer {
  const issuer = decodeCertificate(decodeOnePem(issued.chain[0] ?? '', 'CERTIFICATE', 65_536));
  return encodeCertId(hash, hashIssuer(issuer.subject.der, issuer.spki), issued.serial_number);
}

function post(house: RevocationHouse, body: Uint8Array, authority = 'issuing'): Promise<Response> {
  return fetch(`${house.url}/pki/${authority}/ocsp`, {
    method: 'POST',
    headers: { 'content-type': 'application/ocsp-request' },
    body: new Uint8Array(body),
  });
}

async function read(reply: Response): Promise<OcspResponse> {
  assert.equal(reply.headers.get('content-type'), 'application/ocsp-response');
  return decodeOcspResponse(Buffer.from(await reply.arrayBuffer()));
}

async function ask(house: RevocationHouse, body: Uint8Array, authority?: string) {
  const response = await read(await post(house, body, authority));
  assert.ok(response.status === 'successful', response.status);
  return response.basic;
}

test('OpenSSL accepts the answers of every kind of authority, with and without nonce', async (context) => {
  for (const keyType of ['ec-p384', 'ed25519', 'rsa-2048']) {
    const house = await openRevocationHouse(context, { keyType });
    const issued = await house.issue();
    assert.match(await house.ocsp(issued), /: good[^]*Response verify OK/);
    assert.match(await house.ocsp(issued, '-no_nonce'), /: good[^]*Response verify OK/);
    assert.match(await house.ocsp(issued, '-sha256'), /: good[^]*Response verify OK/);
  }
});

test('an authority with an ML-DSA key answers with an ML-DSA signer', async (context) => {
  const house = await openRevocationHouse(context, { keyType: 'ml-dsa-44' });
  const issued = await house.issue({ key_type: 'ml-dsa-44' });
  const basic = await ask(house, encodeOcspRequest([certIdOf(issued)]));
  assert.equal(basic.responses[0]?.status.kind, 'good');
  const { spki } = decodeCertificate(basic.certificates[0] ?? Buffer.alloc(0));
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  assert.equal(key.asymmetricKeyType, 'ml-dsa-44');
  assert.ok(verify(key, basic.signatureAlgorithm, basic.tbs, basic.signature));
});

test('answers are faultless, signed by a delegate that lives two weeks', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const der = Buffer.from(await (await post(house, encodeOcspRequest([certIdOf(issued)]))).arrayBuffer());
  assert.deepEqual(lintOcspResponse(der), []);
  const response = decodeOcspResponse(der);
  assert.ok(response.status === 'successful');
  const signer = decodeCertificate(response.basic.certificates[0] ?? Buffer.alloc(0));
  const { serial_number, kind, not_after } = await house.ok('GET', `pki/certificates/${signer.serialNumber}`);
  assert.deepEqual([serial_number, kind], [signer.serialNumber, 'ocsp_signer']);
  assert.ok(Date.parse(not_after) <= house.clock.now() + 14 * 86_400_000);
});

test('a CertID under every hash is understood', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  for (const hash of certIdHashes) {
    const basic = await ask(house, encodeOcspRequest([certIdOf(issued, hash)]));
    assert.equal(basic.responses[0]?.status.kind, 'good');
  }
});

test('the nonce comes back, and such an answer is not to be kept', async (context) => {
  const house = await openRevocationHouse(context);
  const nonce = randomBytes(32);
  const request = encodeOcspRequest([certIdOf(await house.issue())], nonce);
  const reply = await post(house, request);
  assert.equal(reply.headers.get('cache-control'), 'no-store');
  const response = await read(reply);
  assert.ok(response.status === 'successful');
  assert.deepEqual(response.basic.nonce, nonce);
});

test('several certificates in one request: good, revoked, held, and what was never issued is unknown', async (context) => {
  const house = await openRevocationHouse(context);
  const [good, revoked, held] = [await house.issue(), await house.issue(), await house.issue()];
  await house.revoke(revoked, { reason: 'key_compromise' });
  await house.revoke(held, { reason: 'certificate_hold' });
  const never = { ...good, serial_number: '4000000000000000000000000000000000000001' };
  const request = encodeOcspRequest([good, revoked, held, never].map((issued) => certIdOf(issued)));
  const { responses } = await ask(house, request);
  assert.deepEqual(
    responses.map(({ status }) => (status.kind === 'revoked' ? status.reason : status.kind)),
    ['good', 'key_compromise', 'certificate_hold', 'unknown'],
  );
});

test('who did not issue it does not answer for it', async (context) => {
  const house = await openRevocationHouse(context);
  const request = encodeOcspRequest([certIdOf(await house.issue())]);
  for (const authority of ['root', 'nobody', 'other.issuing']) {
    assert.equal((await read(await post(house, request, authority))).status, 'unauthorized');
  }
});

test('by GET in every spelling of base64 that clients use', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const request = encodeOcspRequest([certIdOf(issued)]);
  // Publication and the making of the signer drop kept answers; after them nothing happens any more.
  await house.crl();
  await (await fetch(`${house.url}/pki/root/crl/1-0.crl`)).arrayBuffer();
  await ask(house, request);
  const base64 = request.toString('base64');
  const spellings = [
    encodeURIComponent(base64),
    base64,
    `/${encodeURIComponent(base64)}`,
    request.toString('base64url'),
    `${encodeURIComponent(base64)}?x=1`,
  ];
  for (const spelling of spellings) {
    const reply = await fetch(`${house.url}/pki/issuing/ocsp/${spelling}`);
    const response = await read(reply);
    assert.ok(response.status === 'successful', spelling);
    assert.match(reply.headers.get('cache-control') ?? '', /^max-age=\d+, public, no-transform, must-revalidate$/);
    const again = { headers: { 'if-none-match': reply.headers.get('etag') ?? '' } };
    assert.equal((await fetch(`${house.url}/pki/issuing/ocsp/${spelling}`, again)).status, 304);
  }
});

test('a kept answer is dropped at once by a revocation and by a release', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const request = encodeOcspRequest([certIdOf(issued)]);
  const kind = async () => (await ask(house, request)).responses[0]?.status.kind;
  assert.deepEqual([await kind(), await kind()], ['good', 'good']);
  await house.revoke(issued, { reason: 'certificate_hold' });
  assert.equal(await kind(), 'revoked');
  await house.ok('POST', `pki/certificates/${issued.serial_number}/release`);
  assert.equal(await kind(), 'good');
});

test('what is no OCSP request is answered as malformed, and nothing else happens', async (context) => {
  const house = await openRevocationHouse(context);
  const valid = encodeOcspRequest([certIdOf(await house.issue())]);
  const hostile = [
    Buffer.alloc(0),
    Buffer.from('hello'),
    Buffer.alloc(60_000, 0x30),
    valid.subarray(0, -1),
    Buffer.concat([valid, Buffer.from([0])]),
  ];
  for (const body of hostile) assert.equal((await read(await post(house, body))).status, 'malformed_request');
  for (const path of ['%', '%zz', '!!!!', 'a'.repeat(5000), '..%2f..%2f', 'MAA']) {
    const reply = await fetch(`${house.url}/pki/issuing/ocsp/${path}`);
    if (reply.status === 200) assert.equal((await read(reply)).status, 'malformed_request');
    else assert.ok([400, 404, 414].includes(reply.status), `${path.slice(0, 10)}: ${reply.status}`);
  }
  const wrong = await fetch(`${house.url}/pki/issuing/ocsp`, { method: 'POST', body: 'x' });
  assert.equal(wrong.status, 415);
  assert.equal((await post(house, Buffer.alloc(70_000))).status, 413);
});

test('the signer is renewed by hand and by its job, and replaced when it is revoked', async (context) => {
  const house = await openRevocationHouse(context);
  const issued = await house.issue();
  const signer = async () => {
    const { certificates } = await ask(house, encodeOcspRequest([certIdOf(issued)], randomBytes(8)));
    return decodeCertificate(certificates[0] ?? Buffer.alloc(0)).serialNumber;
  };
  const first = await signer();
  const kept = await house.ok('POST', 'pki/authorities/issuing/ocsp-signer/renew', {});
  assert.deepEqual([kept.signers[0].serial_number, kept.signers[0].renewed], [first, false]);
  const forced = await house.ok('POST', 'pki/authorities/issuing/ocsp-signer/renew', { force: true });
  assert.equal(await signer(), forced.signers[0].serial_number);
  await house.ok('POST', `pki/certificates/${forced.signers[0].serial_number}/revoke`, { reason: 'key_compromise' });
  const third = await signer();
  assert.notEqual(third, forced.signers[0].serial_number);
  house.clock.advance(8 * 86_400_000);
  const aged = await house.ok('POST', 'pki/authorities/issuing/ocsp-signer/renew', {});
  assert.equal(aged.signers[0].renewed, true);
  house.clock.advance(20 * 86_400_000);
  assert.notEqual(await signer(), aged.signers[0].serial_number);
});

test('after a rotation both keys answer for what they signed', async (context) => {
  const house = await openRevocationHouse(context);
  const old = await house.issue();
  await house.ok('POST', 'pki/authorities/issuing/rotate', {});
  const fresh = await house.issue();
  await house.revoke(old, { reason: 'superseded' });
  assert.match(await house.ocsp(old), /: revoked[^]*Response verify OK/);
  assert.match(await house.ocsp(fresh), /: good[^]*Response verify OK/);
});
