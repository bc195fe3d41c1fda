import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import { test } from 'node:test';
import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import { type KeyType, keyTypes, sign, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { encodeExtension } from '#pki/x509/extension.ts';
import { formatGeneralName, type GeneralNameInput } from '#pki/x509/general-name.ts';
import { encodePrivateKeyPem, generateKeyPair } from '#pki/x509/key.ts';
import { decodeOrRefuse } from '#pki/x509/malformed.ts';
import { encodeName, formatName } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodeOnePem, encodePem } from '#pki/x509/pem.ts';
import { decodeRequest, encodeRequest } from '#pki/x509/request.ts';
import { opensslIn } from './x509-openssl.ts';
import { peculiar } from './x509-peculiar.ts';

const subject = encodeName([
  { type: 'organization', value: 'Größe' },
  { type: 'common_name', value: 'a.example' },
]);
const names: GeneralNameInput[] = [
  { kind: 'dns', value: 'a.example' },
  { kind: 'ip', bytes: Buffer.of(10, 0, 0, 1) },
];

async function requestOf(keyType: KeyType, extensions: readonly Uint8Array[] = []): Promise<Buffer> {
  const { privateKey, spki } = await generateKeyPair(keyType);
  return encodeRequest({ subject, names, extensions, keyType, spki, privateKey });
}

for (const keyType of keyTypes) {
  test(`a request with a ${keyType} key reads back as it was written`, async () => {
    const request = decodeRequest(await requestOf(keyType, [encodeExtension('basic_constraints', { ca: true })]));
    assert.equal(formatName(request.subject), 'CN=a.example,O=Größe');
    assert.deepEqual(request.names.map(formatGeneralName), ['dns:a.example', 'ip:10.0.0.1']);
    assert.deepEqual(request.otherExtensions, ['basicConstraints']);
    assert.equal(request.key.keyType, keyType);
    assert.deepEqual(request.keyFaults, []);
    assert.equal(request.publicKey.type, 'public');
  });
}

test('a request without names or extensions has an empty set of attributes', async () => {
  const { privateKey, spki } = await generateKeyPair('ec-p256');
  const der = encodeRequest({ subject: encodeName([]), keyType: 'ec-p256', spki, privateKey });
  assert.ok(der.includes(Buffer.concat([spki, Buffer.of(0xa0, 0)])));
  const request = decodeRequest(der);
  assert.deepEqual([request.names, request.otherExtensions, request.subject.rdns], [[], [], []]);
});

test('our request equals that of another library up to its signature', async () => {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const theirs = await peculiar.Pkcs10CertificateRequestGenerator.create({
    name: new peculiar.Name([{ O: [{ utf8String: 'Größe' }] }, { CN: [{ utf8String: 'a.example' }] }]),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new peculiar.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'a.example' },
        { type: 'ip', value: '10.0.0.1' },
      ]),
      new peculiar.BasicConstraintsExtension(true, undefined, true),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const ours = encodeRequest({
    subject,
    names,
    extensions: [encodeExtension('basic_constraints', { ca: true })],
    keyType: 'ec-p256',
    spki: Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey)),
    privateKey: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
  });
  const infoOf = (der: Buffer) =>
    readDer(der, 10_000, (reader) =>
      reader.readSequence(() => {
        const info = reader.readAny().toString('hex');
        while (!reader.atEnd) reader.skip();
        return info;
      }),
    );
  assert.equal(infoOf(ours), infoOf(Buffer.from(theirs.rawData)));
  assert.equal(formatName(decodeRequest(Buffer.from(theirs.rawData)).subject), 'CN=a.example,O=Größe');
});

test('openssl verifies our requests and reads the same from them', async (context) => {
  const { openssl, file } = await opensslIn(context);
  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'rsa-2048', 'rsa-4096'] as const) {
    const der = await requestOf(keyType, [encodeExtension('basic_constraints', { ca: true, pathLength: 1 })]);
    const path = await file('request.pem', encodePem('CERTIFICATE REQUEST', der));
    const text = await openssl(`req -in ${path} -verify -noout -text -nameopt RFC2253,-esc_msb,utf8`);
    assert.match(text, /Subject: CN=a\.example,O=Größe/);
    assert.match(text, /DNS:a\.example, IP Address:10\.0\.0\.1/);
    assert.match(text, /CA:TRUE, pathlen:1/);
    assert.equal(await openssl(`req -in ${path}`), encodePem('CERTIFICATE REQUEST', der));
  }
});

test('we read the requests of openssl, whatever key and hash they use', async (context) => {
  const { openssl, file } = await opensslIn(context);
  const config = await file(
    'openssl.cnf',
    '[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\nattributes=attributes\nstring_mask=utf8only\n' +
      '[dn]\nC=DE\nCN=b.example\n[attributes]\nchallengePassword=secret\nunstructuredName=name\n' +
      '[ext]\nsubjectAltName=DNS:b.example,URI:spiffe://b.example/x\nkeyUsage=digitalSignature\n1.2.3.4=DER:0500\n',
  );
  for (const [keyType, more] of [
    ['ec-p256', '-sha384'],
    ['ec-p384', '-sha256'],
    ['ec-p521', '-sha512'],
    ['ed25519', ''],
    ['rsa-2048', '-sha512'],
    ['rsa-3072', '-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32'],
  ] as const) {
    const key = await file('key.pem', encodePrivateKeyPem((await generateKeyPair(keyType)).pkcs8));
    const pem = await openssl(`req -new -key ${key} -config ${config} ${more}`.trim());
    const request = decodeRequest(decodeOnePem(pem, 'CERTIFICATE REQUEST', 65_536));
    assert.equal(formatName(request.subject), 'CN=b.example,C=DE');
    assert.deepEqual(request.names.map(formatGeneralName), ['dns:b.example', 'uri:spiffe://b.example/x']);
    assert.deepEqual(request.otherExtensions, ['keyUsage', '1.2.3.4']);
    assert.equal(request.key.keyType, keyType);
  }
});

/** A request put together by hand, so that single parts can be wrong, and soundly signed all the same. */
async function handMade(change: {
  version?: Buffer;
  attributes?: Buffer | null;
  after?: Buffer;
  signatureAlgorithm?: Buffer;
  spki?: Buffer;
}): Promise<Buffer> {
  const { privateKey, spki } = await generateKeyPair('ec-p256');
  const info = write.sequence([
    change.version ?? write.integer(0),
    subject,
    change.spki ?? spki,
    change.attributes === null ? undefined : (change.attributes ?? write.context(0, [])),
    change.after,
  ]);
  const algorithm = change.signatureAlgorithm ?? signatureAlgorithmOf('ec-p256');
  return write.sequence([info, algorithm, write.bitString(sign(privateKey, 'ec-p256', info))]);
}

const extensionRequest = (...values: Buffer[]) =>
  write.sequence([write.oid(oids.extensionRequest), write.setOf(values)]);
const sanList = write.sequence([encodeExtension('subject_alt_name', names)]);

test('version 2, which acme-client of Ruby writes as if it were a certificate, is taken for the only one there is', async () => {
  const request = decodeRequest(await handMade({ version: write.integer(2) }));
  assert.equal(request.key.keyType, 'ec-p256');
});

test('malformed requests are refused even when they are soundly signed', async () => {
  const cases: [string, Parameters<typeof handMade>[0]][] = [
    ['version 1', { version: write.integer(1) }],
    ['version 3', { version: write.integer(3) }],
    ['no attributes', { attributes: null }],
    ['something after the attributes', { after: write.nullValue() }],
    ['an empty extensionRequest', { attributes: write.context(0, [extensionRequest()]) }],
    [
      'two values',
      {
        attributes: write.context(0, [
          extensionRequest(sanList, write.sequence([encodeExtension('key_usage', ['crl_sign'])])),
        ]),
      },
    ],
    ['two extensionRequests', { attributes: write.context(0, [extensionRequest(sanList), extensionRequest(sanList)]) }],
    ['no extensions', { attributes: write.context(0, [extensionRequest(write.sequence([]))]) }],
    ['no names', { attributes: write.context(0, [extensionRequest(write.sequence([encodeRawSan('3000')]))]) }],
    [
      'a bad address',
      { attributes: write.context(0, [extensionRequest(write.sequence([encodeRawSan('3003870101')]))]) },
    ],
    ['an unknown algorithm', { signatureAlgorithm: write.sequence([write.oid('1.2.3')]) }],
    ['a weak algorithm', { signatureAlgorithm: write.sequence([write.oid(oids.ecdsaWithSha1)]) }],
    [
      'parameters where none belong',
      { signatureAlgorithm: write.sequence([write.oid(oids.ecdsaWithSha256), write.nullValue()]) },
    ],
  ];
  for (const [what, change] of cases) {
    const der = await handMade(change);
    assert.throws(() => decodeRequest(der), DerError, what);
  }
  const sound = await handMade({ attributes: write.context(0, [extensionRequest(sanList)]) });
  assert.equal(decodeRequest(sound).names.length, 2);
  assert.throws(() => decodeRequest(Buffer.concat([sound, Buffer.of(0)])), DerError);
  assert.throws(() => decodeRequest(Buffer.alloc(65_537, 0x30)), /larger than 65536/);
});

function encodeRawSan(value: string): Buffer {
  return write.sequence([write.oid(oids.subjectAltName), write.octetString(Buffer.from(value, 'hex'))]);
}

function isRefusal(code: string, pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code && pattern.test(error.message);
}

test('a request that was not signed with its own key is refused', async () => {
  const { spki } = await generateKeyPair('ec-p256');
  const stolen = await handMade({ spki });
  assert.throws(() => decodeRequest(stolen), isRefusal('invalid_request', /does not verify under the key/));
  const { spki: edwards } = await generateKeyPair('ed25519');
  const otherKind = await handMade({ spki: edwards });
  assert.throws(() => decodeRequest(otherKind), isRefusal('invalid_request', /does not verify under the key/));
  const changed = await requestOf('ec-p256');
  const at = changed.indexOf('a.example');
  changed[at] = 0x62;
  assert.throws(() => decodeRequest(changed), isRefusal('invalid_request', /does not verify under the key/));
});

test('weak and unusual keys are refused before their signature is looked at, an exponent of 3 is only reported', async () => {
  const spkiOf = (modulusLength: number, publicExponent = 65_537) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent });
    return publicKey.export({ type: 'spki', format: 'der' });
  };
  const small = await handMade({ spki: spkiOf(1024) });
  assert.throws(() => decodeRequest(small), isRefusal('refused', /1024 bits; 2048 to 4096/));
  const huge = write.sequence([
    write.sequence([write.oid(oids.rsaEncryption), write.nullValue()]),
    write.bitString(write.sequence([write.unsignedInteger(Buffer.alloc(2048, 0xff)), write.integer(65_537)])),
  ]);
  const oversized = await handMade({ spki: huge });
  assert.throws(() => decodeRequest(oversized), isRefusal('refused', /16384 bits/));
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const koblitz = await handMade({ spki: publicKey.export({ type: 'spki', format: 'der' }) });
  assert.throws(() => decodeRequest(koblitz), isRefusal('refused', /curve/));
  const three = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
  const request = decodeRequest(
    encodeRequest({
      subject,
      keyType: 'rsa-2048',
      spki: three.publicKey.export({ type: 'spki', format: 'der' }),
      privateKey: three.privateKey,
    }),
  );
  assert.deepEqual(
    request.keyFaults.map((fault) => fault.code),
    ['rsa_exponent'],
  );
});

test('callers get a malformed request as an error that says what and where', () => {
  assert.throws(
    () => decodeOrRefuse('The CSR', () => decodeRequest(Buffer.from('3080', 'hex'))),
    isRefusal('invalid_request', /^The CSR is malformed: an indefinite length is not DER \(at byte 2\)\.$/),
  );
  const other = new TypeError('not ours');
  assert.throws(
    () =>
      decodeOrRefuse('x', () => {
        throw other;
      }),
    other,
  );
});
