import assert from 'node:assert/strict';
import { createPublicKey, hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import * as fc from 'fast-check';
import { tag } from '#pki/asn1/tag.ts';
import {
  bitString,
  context,
  contextOctets,
  element,
  enumerated,
  generalizedTime,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  time,
} from '#pki/asn1/writer.ts';
import { signatureAlgorithmOf, verify } from '#pki/x509/algorithm.ts';
import { encodeExtension, encodeRawExtension } from '#pki/x509/extension.ts';
import { encodeGeneralName } from '#pki/x509/general-name.ts';
import {
  certIdHashes,
  encodeCertId,
  hashIssuer,
  isFromIssuer,
  issuerLookupKey,
  issuerLookupKeys,
} from '#pki/x509/ocsp-cert-id.ts';
import { decodeOcspRequest, encodeOcspRequest, maxCertIds, maxOcspRequestBytes } from '#pki/x509/ocsp-request.ts';
import {
  assembleOcspResponse,
  decodeOcspResponse,
  encodeOcspError,
  encodeResponseData,
  type OcspErrorStatus,
  type ResponseDataFields,
  type SingleResponseFields,
} from '#pki/x509/ocsp-response.ts';
import { oids } from '#pki/x509/oid.ts';
import { type CrlReason, crlReasons } from '#pki/x509/revocation-reason.ts';
import { decodeSpki } from '#pki/x509/spki.ts';
import { damaged, day, makeSigner, now, refuses, run, type TestSigner, withFiles } from './revocation-fixture.ts';

const authority = await makeSigner({ commonName: 'Test CA' });
const hashes = hashIssuer(authority.name, authority.key.spki);
const first = await makeSigner({ commonName: 'a', serialNumber: '0c01', issuer: authority });
const second = await makeSigner({ commonName: 'b', serialNumber: '0c02', issuer: authority });
const third = await makeSigner({ commonName: 'c', serialNumber: '0c03', issuer: authority });
const files = { 'ca.pem': authority.pem, 'a.pem': first.pem, 'b.pem': second.pem, 'c.pem': third.pem };
const byKey = { byKey: hashes.sha1.keyHash };

function respond(fields: ResponseDataFields, signer: TestSigner = authority, certificates: Buffer[] = []): Buffer {
  const data = encodeResponseData(fields);
  return assembleOcspResponse(data, signatureAlgorithmOf(signer.keyType), signer.sign(data), certificates);
}

function answer(status: SingleResponseFields['status'], serialNumber = '0c01'): SingleResponseFields {
  return {
    certId: encodeCertId('sha1', hashes, serialNumber),
    status,
    thisUpdate: now - 60_000,
    nextUpdate: now + 3_600_000,
  };
}

test('a request that OpenSSL makes is read, with each hash, several certificates and its nonce', async () => {
  for (const algorithm of certIdHashes) {
    await withFiles(files, async (path) => {
      await run('openssl', [
        'ocsp',
        `-${algorithm}`,
        '-issuer',
        path('ca.pem'),
        '-cert',
        path('a.pem'),
        '-serial',
        '0x0c02',
        '-nonce',
        '-reqout',
        path('request.der'),
      ]);
      const request = decodeOcspRequest(await readFile(path('request.der')));
      assert.equal(request.items.length, 2);
      for (const { certId } of request.items) assert.ok(isFromIssuer(certId, hashes), algorithm);
      assert.deepEqual(
        request.items.map(({ certId }) => [certId.hash, certId.serialNumber]),
        [
          [algorithm, '0c01'],
          [algorithm, '0c02'],
        ],
      );
      assert.equal(request.nonce?.length, 16);
      assert.deepEqual([request.isSigned, request.unknownCritical], [false, []]);
      assert.deepEqual(request.items[0]?.certId.der, encodeCertId(algorithm, hashes, '0c01'));
    });
  }
});

test('a signed request is read, and what signs it is passed over', async () => {
  await withFiles({ ...files, 'a.key': first.key.pkcs8 }, async (path) => {
    await run('openssl', ['pkey', '-inform', 'DER', '-in', path('a.key'), '-out', path('a.key.pem')]);
    await run('openssl', [
      'ocsp',
      '-issuer',
      path('ca.pem'),
      '-cert',
      path('b.pem'),
      '-signer',
      path('a.pem'),
      '-signkey',
      path('a.key.pem'),
      '-reqout',
      path('request.der'),
    ]);
    const request = decodeOcspRequest(await readFile(path('request.der')));
    assert.equal(request.isSigned, true);
    assert.equal(request.items[0]?.certId.serialNumber, '0c02');
  });
});

test('OpenSSL as client takes what a responder says: good, revoked with reason, unknown; and checks the nonce', async () => {
  const statuses = new Map<string, SingleResponseFields['status']>([
    ['0c01', { kind: 'good' }],
    ['0c02', { kind: 'revoked', revokedAt: now - day, reason: 'key_compromise' }],
    ['0c03', { kind: 'unknown' }],
  ]);
  const reply = (request: Buffer, otherNonce?: Buffer) => {
    const { items, nonce } = decodeOcspRequest(request);
    const responses = items.map(({ certId }) => ({
      ...answer(statuses.get(certId.serialNumber) ?? assert.fail()),
      certId: certId.der,
    }));
    return respond({ responderId: byKey, producedAt: now, responses, nonce: otherNonce ?? nonce });
  };
  await withFiles(files, async (path) => {
    const certificates = ['a.pem', 'b.pem', 'c.pem'].flatMap((name) => ['-cert', path(name)]);
    const ask = (url: string) =>
      run('openssl', [
        'ocsp',
        '-issuer',
        path('ca.pem'),
        '-CAfile',
        path('ca.pem'),
        '-url',
        url,
        '-nonce',
        ...certificates,
      ]);
    const text = await withResponder(reply, ask);
    assert.match(text, /Response verify OK/);
    assert.doesNotMatch(text, /WARNING/);
    assert.match(text, /a\.pem: good/);
    assert.match(text, /b\.pem: revoked\n(?:.*\n)*?\s*Reason: keyCompromise\n\s*Revocation Time:/);
    assert.match(text, /c\.pem: unknown/);
    await assert.rejects(
      withResponder((request) => reply(request, randomBytes(32)), ask),
      /Nonce Verify error/,
    );
  });
});

async function withResponder<T>(reply: (request: Buffer) => Buffer, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/ocsp-response' }).end(reply(Buffer.concat(chunks)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.close();
  }
}

test('OpenSSL verifies a response of a delegated signer, named by its name', async () => {
  const extensions = [
    encodeExtension('extended_key_usage', [oids.ocspSigning]),
    encodeExtension('ocsp_no_check', true),
  ];
  for (const keyType of ['ec-p256', 'rsa-2048', 'ed25519'] as const) {
    const signer = await makeSigner({ commonName: 'OCSP', serialNumber: '0d', issuer: authority, keyType, extensions });
    const response = respond(
      { responderId: { byName: signer.name }, producedAt: now, responses: [answer({ kind: 'good' })] },
      signer,
      [signer.certificate],
    );
    await withFiles(files, async (path) => {
      const text = await checkWithOpenssl(path, response, ['-cert', path('a.pem'), '-no_nonce']);
      assert.match(text, /Response verify OK/, keyType);
      assert.match(text, /a\.pem: good/, keyType);
    });
  }
});

test('OpenSSL does not take a response that somebody else signed', async () => {
  const stranger = await makeSigner({ commonName: 'Test CA' });
  const response = respond({ responderId: byKey, producedAt: now, responses: [answer({ kind: 'good' })] }, stranger);
  await withFiles(files, async (path) => {
    await assert.rejects(
      checkWithOpenssl(path, response, ['-cert', path('a.pem'), '-no_nonce']),
      /Response Verify Failure/,
    );
  });
});

async function checkWithOpenssl(path: (name: string) => string, response: Buffer, more: string[]): Promise<string> {
  await writeFile(path('response.der'), response);
  return run('openssl', [
    'ocsp',
    '-issuer',
    path('ca.pem'),
    '-CAfile',
    path('ca.pem'),
    '-respin',
    path('response.der'),
    ...more,
  ]);
}

test('OpenSSL reads every answer that is an error', async () => {
  const names: Readonly<Record<OcspErrorStatus, string>> = {
    malformed_request: 'malformedrequest (1)',
    internal_error: 'internalerror (2)',
    try_later: 'trylater (3)',
    sig_required: 'sigrequired (5)',
    unauthorized: 'unauthorized (6)',
  };
  for (const status of Object.keys(names) as OcspErrorStatus[]) {
    const der = encodeOcspError(status);
    assert.deepEqual(decodeOcspResponse(der), { status });
    assert.equal(der.length, 5);
    await withFiles({ 'response.der': der }, async (path) => {
      const text = await run('openssl', ['ocsp', '-respin', path('response.der'), '-resp_text', '-noverify']).catch(
        (thrown: Error & { stdout?: string; stderr?: string }) => `${thrown.stdout}${thrown.stderr}`,
      );
      assert.ok(text.includes(names[status]), text);
    });
  }
});

test('the hashes of an issuer are those of its name and of the bits of its key, for every kind of key', async () => {
  for (const keyType of ['ec-p256', 'ec-p521', 'ed25519', 'rsa-2048', 'ml-dsa-44'] as const) {
    const signer = await makeSigner({ commonName: keyType, keyType });
    const all = hashIssuer(signer.name, signer.key.spki);
    const { keyBits } = decodeSpki(signer.key.spki);
    for (const algorithm of certIdHashes) {
      assert.deepEqual(all[algorithm].nameHash, hash(algorithm, signer.name, 'buffer'));
      assert.deepEqual(all[algorithm].keyHash, hash(algorithm, keyBits, 'buffer'));
    }
  }
});

test('a CertID is of an issuer only when both name and key are its', async () => {
  const namesake = await makeSigner({ commonName: 'Test CA' });
  const renamed = hashIssuer(first.name, authority.key.spki);
  for (const algorithm of certIdHashes) {
    const [item] = decodeOcspRequest(encodeOcspRequest([encodeCertId(algorithm, hashes, '01')])).items;
    const certId = item?.certId ?? assert.fail();
    assert.ok(isFromIssuer(certId, hashes));
    assert.ok(!isFromIssuer(certId, hashIssuer(namesake.name, namesake.key.spki)));
    assert.ok(!isFromIssuer(certId, renamed));
    assert.ok(issuerLookupKeys(hashes).includes(issuerLookupKey(certId) ?? ''));
    assert.ok(!issuerLookupKeys(renamed).includes(issuerLookupKey(certId) ?? ''));
  }
  assert.equal(new Set(issuerLookupKeys(hashes)).size, certIdHashes.length);
});

test('a CertID with a hash that is not known is read, echoed and of nobody', () => {
  const digest = octetString(Buffer.alloc(16));
  const certId = sequence([sequence([oid('1.2.840.113549.2.5'), nullValue()]), digest, digest, integer(5)]);
  const [item] = decodeOcspRequest(encodeOcspRequest([certId])).items;
  assert.deepEqual([item?.certId.hash, item?.certId.serialNumber], [undefined, '05']);
  assert.deepEqual(item?.certId.der, certId);
  assert.ok(item && !isFromIssuer(item.certId, hashes) && issuerLookupKey(item.certId) === undefined);
});

test('the parameters of the hash may be NULL or absent, and are echoed as they came', () => {
  const withNull = encodeCertId('sha256', hashes, '0c01');
  const { nameHash, keyHash } = hashes.sha256;
  const without = sequence([
    sequence([oid(oids.sha256)]),
    octetString(nameHash),
    octetString(keyHash),
    integer(0x0c01),
  ]);
  const { items } = decodeOcspRequest(encodeOcspRequest([withNull, without]));
  assert.ok(items.every(({ certId }) => isFromIssuer(certId, hashes)));
  assert.deepEqual(
    items.map(({ certId }) => certId.der),
    [withNull, without],
  );
});

test('a nonce of 1 to 128 octets is taken, others make the request malformed', () => {
  const certId = encodeCertId('sha1', hashes, '01');
  for (const length of [1, 16, 32, 33, 128])
    assert.equal(decodeOcspRequest(encodeOcspRequest([certId], Buffer.alloc(length, 7))).nonce?.length, length);
  for (const value of [octetString(), octetString(Buffer.alloc(129)), Buffer.alloc(32, 7), Buffer.alloc(0)]) {
    const der = rawRequest([sequence([certId])], [encodeRawExtension(oids.ocspNonce, false, value)]);
    assert.ok(refuses(() => decodeOcspRequest(der)));
  }
  assert.throws(() => encodeOcspRequest([certId], Buffer.alloc(0)), RangeError);
  assert.throws(() => encodeOcspRequest([certId], Buffer.alloc(129)), RangeError);
});

function rawRequest(items: Buffer[], extensions: Buffer[] = [], ...before: Buffer[]): Buffer {
  const last = extensions.length === 0 ? undefined : context(2, [sequence(extensions)]);
  return sequence([sequence([...before, sequence(items), last])]);
}

test('a request may ask about 64 certificates in 64 KiB, and no more', () => {
  const certId = encodeCertId('sha512', hashes, '7f'.repeat(20));
  const many = Array.from({ length: maxCertIds }, () => certId);
  assert.equal(decodeOcspRequest(encodeOcspRequest(many)).items.length, 64);
  assert.throws(() => decodeOcspRequest(encodeOcspRequest([...many, certId])), {
    name: 'DerError',
    message: /more than 64 certificates/,
  });
  assert.ok(refuses(() => decodeOcspRequest(encodeOcspRequest([]))));
  const filler = (length: number) =>
    rawRequest([sequence([certId])], [encodeRawExtension('1.2.3', false, Buffer.alloc(length))]);
  const spare = maxOcspRequestBytes - filler(60_000).length;
  assert.equal(decodeOcspRequest(filler(60_000 + spare)).items.length, 1);
  assert.throws(() => decodeOcspRequest(filler(60_001 + spare)), { name: 'DerError', message: /larger than 65536/ });
});

test('critical extensions of a request that are not understood are reported where they stand', () => {
  const critical = encodeRawExtension('1.2.3.4', true, nullValue());
  const single = encodeRawExtension('1.2.3.5', true, nullValue());
  const acceptable = encodeRawExtension('1.3.6.1.5.5.7.48.1.4', true, sequence([oid('1.3.6.1.5.5.7.48.1.1')]));
  const certId = encodeCertId('sha1', hashes, '01');
  const item = sequence([certId, context(0, [sequence([single])])]);
  const request = decodeOcspRequest(rawRequest([sequence([certId]), item], [acceptable, critical]));
  assert.deepEqual(request.unknownCritical, ['1.2.3.4']);
  assert.deepEqual(
    request.items.map(({ unknownCritical }) => unknownCritical),
    [[], ['1.2.3.5']],
  );
});

test('a requestor name and the version that is the default are read over; another version is not', () => {
  const item = sequence([encodeCertId('sha1', hashes, '01')]);
  const name = context(1, [encodeGeneralName({ kind: 'directory', name: { der: first.name } })]);
  const version = (value: number) => context(0, [integer(value)]);
  assert.equal(decodeOcspRequest(rawRequest([item], [], version(0), name)).items.length, 1);
  assert.ok(refuses(() => decodeOcspRequest(rawRequest([item], [], version(1)))));
  assert.ok(refuses(() => decodeOcspRequest(rawRequest([item], [], name, version(0)))));
});

/** As the decoders make them, so that they can be compared. */
const plainObjects = { noNullPrototype: true };
const wholeSeconds = fc.integer({ min: 0, max: 253_402_300_799 }).map((seconds) => seconds * 1000);
const serialNumber = fc
  .uint8Array({ minLength: 1, maxLength: 19 })
  .filter((octets) => (octets[0] as number) > 0)
  .map((octets) => Buffer.from(octets).toString('hex'));
const anyStatus = fc.oneof(
  fc.constant({ kind: 'good' as const }),
  fc.constant({ kind: 'unknown' as const }),
  fc.record(
    {
      kind: fc.constant('revoked' as const),
      revokedAt: wholeSeconds,
      reason: fc.constantFrom(undefined, ...(Object.keys(crlReasons) as CrlReason[])),
    },
    plainObjects,
  ),
);
const anyAnswer = fc.record(
  {
    algorithm: fc.constantFrom(...certIdHashes),
    serialNumber,
    status: anyStatus,
    thisUpdate: wholeSeconds,
    nextUpdate: fc.option(wholeSeconds, { nil: undefined }),
  },
  plainObjects,
);

test('a response is read back as it was written, and its signature is over the bytes it names', () => {
  const publicKey = createPublicKey(authority.key.privateKey);
  const property = fc.property(
    fc.array(anyAnswer, { minLength: 1, maxLength: 8 }),
    wholeSeconds,
    fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined }),
    fc.boolean(),
    (answers, producedAt, nonce, named) => {
      const responses = answers.map(({ algorithm, serialNumber: serial, ...rest }) => ({
        ...rest,
        certId: encodeCertId(algorithm, hashes, serial),
      }));
      const responderId = named ? { byName: authority.name } : byKey;
      const read = decodeOcspResponse(
        respond({ responderId, producedAt, responses, nonce }, authority, [first.certificate]),
      );
      assert.ok(read.status === 'successful');
      const { basic } = read;
      assert.deepEqual(
        basic.responses.map(({ certId, status, thisUpdate, nextUpdate }) => ({
          algorithm: certId.hash,
          serialNumber: certId.serialNumber,
          status,
          thisUpdate,
          nextUpdate,
        })),
        answers.map((one) => ({ ...one, status: withoutUnspecified(one.status) })),
      );
      assert.equal(basic.producedAt, producedAt);
      assert.deepEqual(basic.nonce, nonce && Buffer.from(nonce));
      assert.deepEqual(basic.certificates, [first.certificate]);
      const { responderId: id } = basic;
      assert.deepEqual(id.kind === 'name' ? id.name.der : id.keyHash, named ? authority.name : byKey.byKey);
      assert.ok(verify(publicKey, basic.signatureAlgorithm, basic.tbs, basic.signature));
    },
  );
  fc.assert(property, { numRuns: 100 });
});

/** The reason unspecified is not written. */
function withoutUnspecified(status: SingleResponseFields['status']): SingleResponseFields['status'] {
  return status.kind === 'revoked' && status.reason === 'unspecified' ? { ...status, reason: undefined } : status;
}

test('a request is read back as it was written', () => {
  const asked = fc.record({ algorithm: fc.constantFrom(...certIdHashes), serialNumber }, plainObjects);
  fc.assert(
    fc.property(
      fc.array(asked, { minLength: 1, maxLength: maxCertIds }),
      fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 }), { nil: undefined }),
      (list, nonce) => {
        const certIds = list.map((one) => encodeCertId(one.algorithm, hashes, one.serialNumber));
        const request = decodeOcspRequest(encodeOcspRequest(certIds, nonce));
        assert.deepEqual(
          request.items.map(({ certId }) => ({ algorithm: certId.hash, serialNumber: certId.serialNumber })),
          list,
        );
        assert.deepEqual(
          request.items.map(({ certId }) => certId.der),
          certIds,
        );
        assert.deepEqual(request.nonce, nonce && Buffer.from(nonce));
      },
    ),
  );
});

test('extensions of a response and of its parts are kept, and critical ones reported', () => {
  const extension = encodeRawExtension('1.2.3.4', true, nullValue());
  const archiveCutoff = encodeRawExtension('1.3.6.1.5.5.7.48.1.6', false, generalizedTime(now));
  const single = { ...answer({ kind: 'good' }), extensions: [archiveCutoff, extension] };
  const response = respond({ responderId: byKey, producedAt: now, responses: [single], extensions: [extension] });
  const read = decodeOcspResponse(response);
  assert.ok(read.status === 'successful');
  assert.deepEqual(read.basic.unknownCritical, ['1.2.3.4']);
  assert.deepEqual(read.basic.responses[0]?.unknownCritical, ['1.2.3.4']);
  assert.deepEqual([...(read.basic.responses[0]?.extensions.keys() ?? [])], ['1.3.6.1.5.5.7.48.1.6', '1.2.3.4']);
});

test('a response that is not what RFC 6960 describes is refused', () => {
  const basicType = oid('1.3.6.1.5.5.7.48.1.1');
  const algorithm = signatureAlgorithmOf('ec-p256');
  const wrap = (basic: Buffer, type = basicType, status = enumerated(0)) =>
    sequence([status, context(0, [sequence([type, octetString(basic)])])]);
  const basicOf = (data: Buffer) => wrap(sequence([data, algorithm, bitString(Buffer.alloc(8))]));
  const one = (status: Buffer, at = generalizedTime(now)) =>
    sequence([sequence([encodeCertId('sha1', hashes, '01'), status, at])]);
  const good = contextOctets(0, Buffer.alloc(0));
  const id = context(2, [octetString(Buffer.alloc(20))]);
  const dataOf = (responses: Buffer) => basicOf(sequence([id, generalizedTime(now), responses]));
  assert.equal(decodeOcspResponse(dataOf(one(good))).status, 'successful');
  const bad: readonly [string, Buffer][] = [
    ['no response bytes', sequence([enumerated(0)])],
    ['response bytes with an error', wrap(sequence([]), basicType, enumerated(3))],
    ['status 4', sequence([enumerated(4)])],
    ['status 7', sequence([enumerated(7)])],
    ['a status that is an INTEGER', sequence([integer(1)])],
    ['another type', wrap(sequence([]), oid('1.2.3'))],
    ['no answers', dataOf(sequence([]))],
    ['an answer of no kind', dataOf(one(contextOctets(3, Buffer.alloc(0))))],
    ['a good that is not empty', dataOf(one(contextOctets(0, Buffer.of(0))))],
    ['a good that is constructed', dataOf(one(context(0, [])))],
    ['revoked without a time', dataOf(one(context(1, [])))],
    ['revoked for reason 7', dataOf(one(context(1, [generalizedTime(now), context(0, [enumerated(7)])])))],
    ['a time in UTCTime', dataOf(one(good, time(now)))],
    ['no responder', basicOf(sequence([generalizedTime(now), one(good)]))],
    ['something behind it', Buffer.concat([encodeOcspError('try_later'), nullValue()])],
    ['an answer twice as long as it says', element(tag.sequence, [enumerated(1), enumerated(1)])],
  ];
  for (const [what, der] of bad)
    assert.ok(
      refuses(() => decodeOcspResponse(der)),
      what,
    );
});

test('a response larger than the limit is refused before it is read', () => {
  assert.throws(() => decodeOcspResponse(Buffer.alloc(262_145)), { name: 'DerError', message: /larger than 262144/ });
  const small = encodeOcspError('try_later');
  assert.ok(refuses(() => decodeOcspResponse(small, 4)));
});

test('whatever is done to a request or a response, reading it ends in a value or in a DerError', () => {
  const request = encodeOcspRequest([encodeCertId('sha256', hashes, '0c01')], randomBytes(32));
  const status = { kind: 'revoked', revokedAt: now, reason: 'superseded' } as const;
  const response = respond(
    { responderId: { byName: authority.name }, producedAt: now, responses: [answer(status)], nonce: randomBytes(16) },
    authority,
    [first.certificate],
  );
  for (const [decode, der] of [
    [decodeOcspRequest, request],
    [decodeOcspResponse, response],
  ] as const) {
    const results = [...damaged(der)].map((bad) => refuses(() => decode(bad)));
    const refused = results.filter(Boolean).length;
    assert.ok(refused > results.length / 3 && refused < results.length, `${refused} of ${results.length} refused`);
  }
});

test('random bytes are never read as a request or a response by accident, nor break the reader', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 300 }), (bytes) => {
      for (const der of [bytes, sequence([bytes]), sequence([sequence([bytes])])]) {
        assert.ok(refuses(() => decodeOcspRequest(der)));
        assert.ok(refuses(() => decodeOcspResponse(der)));
      }
    }),
  );
});
