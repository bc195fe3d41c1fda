import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { openTarget, processorTime } from './attack.ts';
import {
  attribute,
  cn,
  extension,
  extensionRequest,
  generalName,
  type KeyPair,
  makeRequest,
  oids,
  p256,
  pem,
  raw,
  type RequestParts,
  privatePem,
  san,
  sealRequest,
  selfSigned,
} from './csr.ts';
import { bits, encode, int, leaf, type Node, oid, seq, set, wrap } from './der-tree.ts';
import {
  closePrimesPair,
  compressedPointSpki,
  explicitParametersSpki,
  oddNumber,
  offCurveSpki,
  rocaPair,
  rsaPair,
  rsaSpki,
  smallFactorPair,
} from './weak-keys.ts';

/** Certification requests that must not become certificates, or not the certificates that they ask for. */

const name = cn('a.example.com');
const issue = (der: Uint8Array) => ({ role: 'web', csr: pem(der) });

test('a CSR whose signature proves nothing is refused', async (context) => {
  const { refuse } = await openTarget(context);
  const good = makeRequest({ subject: [name] });
  const flipped = Buffer.from(good);
  flipped[flipped.length - 3] = (flipped.at(-3) ?? 0) ^ 1;
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sha1 = seq(oid('1.2.840.10045.4.1'));
  const info = Buffer.from('not what stands before it');
  const forged: Readonly<Record<string, Buffer>> = {
    'a flipped bit': flipped,
    'the key of somebody else': makeRequest({ subject: [name], signature: sign('sha256', info, other.privateKey) }),
    'a signature over something else': makeRequest({
      subject: [name],
      signature: sign('sha256', info, p256.privateKey),
    }),
    'no signature': makeRequest({ subject: [name], signature: Buffer.alloc(0) }),
    'a signature of zeros': makeRequest({ subject: [name], signature: encode(seq(int(0), int(0))) }),
    'SHA-1': makeRequest({ subject: [name], algorithm: sha1 }),
    'an algorithm of another key': makeRequest({
      subject: [name],
      algorithm: seq(oid(oids.sha256WithRsa), leaf(5, '')),
    }),
    'an algorithm that does not exist': makeRequest({ subject: [name], algorithm: seq(oid('1.2.3.4')) }),
    'a hash in place of a signature algorithm': makeRequest({
      subject: [name],
      algorithm: seq(oid('2.16.840.1.101.3.4.2.1')),
    }),
  };
  for (const [what, der] of Object.entries(forged)) {
    await refuse(what, 'pki/certificates', issue(der), { status: 400, code: 'invalid_request' });
    await refuse(what, 'pki/certificates/plan', issue(der), { status: 400, code: 'invalid_request' });
    await refuse(what, 'pki/authorities/root/sign-intermediate', { csr: pem(der) }, { status: 400 });
  }
});

/** Requests signed with their key where it has a private half, else with octets of the right length. */
function weakKeys(): Readonly<Record<string, { parts: RequestParts; says: RegExp }>> {
  const junk = Buffer.alloc(256, 0x5a);
  const key = (pair: KeyPair, says: RegExp) => ({ parts: { key: pair }, says });
  const spki = (der: Buffer, says: RegExp) => ({
    parts: { spki: der, signature: junk, algorithm: seq(oid(oids.sha256WithRsa), leaf(5, '')) },
    says,
  });
  const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
  const ed25519 = (octets: Buffer) => encode(seq(seq(oid('1.3.101.112')), bits(octets)));
  return {
    'RSA with 16,384 bits': spki(rsaSpki(oddNumber(16_384)), /16384 bits/),
    'RSA with 8,192 bits': spki(rsaSpki(oddNumber(8192)), /8192 bits/),
    'RSA with 1,024 bits': key(rsaPair(1024), /1024 bits/),
    'RSA with 2,047 bits': spki(rsaSpki(oddNumber(2048) >> 1n), /2047 bits/),
    'RSA with the exponent 3': key(rsaPair(2048, 3), /exponent/),
    'RSA with the exponent 1': spki(rsaSpki(oddNumber(2048), 1), /exponent/),
    'RSA with an even exponent': spki(rsaSpki(oddNumber(2048), 65_536), /exponent/),
    'RSA with an exponent of 2,048 bits': spki(rsaSpki(oddNumber(2048), oddNumber(2048)), /exponent/),
    'RSA with an even modulus': spki(rsaSpki(oddNumber(2048) - 1n), /even/),
    'RSA with a small factor': key(smallFactorPair(), /small prime factor 751/),
    'RSA with primes that are close': key(closePrimesPair(), /close/),
    'RSA of the ROCA generator': key(rocaPair(), /ROCA/),
    'RSA bound to PSS': spki(
      encode(seq(seq(oid('1.2.840.113549.1.1.10')), bits(encode(seq(int(oddNumber(2048)), int(65_537)))))),
      /PSS/,
    ),
    'EC with explicit parameters': spki(explicitParametersSpki(), /name of a curve/),
    'EC with a compressed point': { parts: { spki: compressedPointSpki(p256), key: p256 }, says: /uncompressed/ },
    'EC off its curve': { parts: { spki: offCurveSpki(p256), key: p256 }, says: /not a valid key/ },
    'EC with the point at infinity': spki(
      encode(seq(seq(oid(oids.ecPublicKey), oid(oids.p256)), bits(Buffer.of(0)))),
      /uncompressed/,
    ),
    'EC on secp256k1': key(curve('secp256k1'), /curve 1\.3\.132\.0\.10/),
    'EC on P-192': key(curve('prime192v1'), /curve 1\.2\.840\.10045\.3\.1\.1/),
    'Ed25519 of small order': spki(ed25519(Buffer.from(`01${'00'.repeat(31)}`, 'hex')), /small order/),
    'Ed25519 cut short': spki(ed25519(Buffer.alloc(31, 7)), /31 octets/),
    Ed448: spki(generateKeyPairSync('ed448').publicKey.export({ format: 'der', type: 'spki' }), /not certified/),
    X25519: spki(generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }), /not certified/),
    'an algorithm that does not exist': spki(encode(seq(seq(oid('1.2.3.4')), bits(junk))), /not certified/),
  };
}

test('a key that is weak, broken or in a form that is not allowed is certified by no operation', async (context) => {
  const { refuse } = await openTarget(context, {
    key_types: ['ec-p256', 'rsa-2048', 'rsa-3072', 'rsa-4096', 'ed25519'],
  });
  for (const [what, { parts, says }] of Object.entries(weakKeys())) {
    const csr = pem(makeRequest({ subject: [name], ...parts }));
    for (const [path, body] of [
      ['pki/certificates', { role: 'web', csr }],
      ['pki/authorities/root/sign-intermediate', { csr, common_name: 'Weak' }],
    ] as const) {
      const { body: told } = await refuse(`${what} at ${path}`, path, body, { status: [400, 422] });
      assert.match(`${told.detail}`, says, `${what} at ${path}`);
    }
  }
});

test('nor does an authority with such a key come in by import or cross-signing', async (context) => {
  const { server, refuse } = await openTarget(context);
  const check = async (what: string, pair: KeyPair, expected: object) => {
    const certificate = pem(selfSigned(pair, what), 'CERTIFICATE');
    const own = { certificate, private_key: privatePem(pair) };
    await refuse(`import: ${what}`, 'pki/authorities/outside/import', own, expected);
    await refuse(`cross-signing: ${what}`, 'pki/authorities/root/cross-sign', { certificate }, expected);
  };
  const keys = {
    'exponent 3': rsaPair(2048, 3),
    'small factor': smallFactorPair(),
    ROCA: rocaPair(),
    'close primes': closePrimesPair(),
  };
  for (const [what, pair] of Object.entries(keys)) await check(what, pair, { status: 422, code: 'refused' });
  await check('1,024 bits', rsaPair(1024), { status: [400, 422] });
  const lost = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await server.ok('POST', 'pki/compromised-keys', { private_key: privatePem(lost) });
  await check('a lost key', lost, { status: 422, code: 'refused' });
  const sound = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const own = { certificate: pem(selfSigned(sound, 'Sound'), 'CERTIFICATE'), private_key: privatePem(sound) };
  await server.ok('POST', 'pki/authorities/outside/import', own);
  for (const [what, more] of [
    ['another private key', { private_key: privatePem(lost) }],
    ['an encrypted private key', { private_key: privatePem(sound).replaceAll('PRIVATE', 'ENCRYPTED PRIVATE') }],
    ['a SEC 1 private key', { private_key: sound.privateKey.export({ format: 'pem', type: 'sec1' }) }],
    ['a certificate in place of the key', { private_key: own.certificate }],
    ['a key in place of the certificate', { certificate: own.private_key }],
    ['a chain that it is not signed by', { chain: pem(selfSigned(lost, 'Lost'), 'CERTIFICATE') }],
  ] as const)
    await refuse(`import: ${what}`, 'pki/authorities/another/import', { ...own, ...more }, { status: [400, 422] });
});

test('a key that was reported as compromised is certified by no operation', async (context) => {
  const { server, refuse } = await openTarget(context);
  const csr = pem(makeRequest({ subject: [name] }));
  const { serial_number: serial } = await server.ok('POST', 'pki/certificates', { role: 'web', csr });
  await server.ok('POST', 'pki/compromised-keys', { csr });
  assert.equal((await server.ok('GET', `pki/certificates/${serial}`)).status, 'revoked');
  const { body } = await refuse(
    'a blocked key',
    'pki/certificates',
    { role: 'web', csr },
    { status: 422, code: 'refused' },
  );
  assert.match(body.detail, /compromised/);
  await refuse(
    'a blocked key for an authority',
    'pki/authorities/root/sign-intermediate',
    { csr, common_name: 'X' },
    { status: 422 },
  );
});

const wanted = {
  'an authority': extension(oids.basicConstraints, seq(leaf(0x01, Buffer.of(0xff)), int(9)), true),
  'signing certificates': extension(oids.keyUsage, leaf(0x03, Buffer.of(1, 0x06)), true),
  'code signing': extension(oids.extendedKeyUsage, seq(oid('1.3.6.1.5.5.7.3.3'), oid('2.5.29.37.0'))),
  'name constraints': extension(oids.nameConstraints, seq(wrap(0xa0, seq(generalName.dns('com')))), true),
  policies: extension(oids.certificatePolicies, seq(seq(oid('2.23.140.1.1')))),
  'an extension that nobody knows': extension('1.2.3.4.5', leaf(0x0c, 'smuggled'), true),
  'its own validity of a year': extension(
    '2.5.29.16',
    seq(leaf(0x80, '20250101000000Z'), leaf(0x81, '20350101000000Z')),
  ),
} satisfies Readonly<Record<string, Node>>;

test('nothing but key and names is taken from a CSR, whatever it asks for', async (context) => {
  const { server } = await openTarget(context);
  const subject = [name, attribute(oids.organization, leaf(0x0c, 'Smuggled Organization'))];
  const password = seq(oid(oids.challengePassword), set(leaf(0x0c, 'smuggled password')));
  const plain = new X509Certificate(
    (await server.ok('POST', 'pki/certificates', issue(makeRequest({ subject: [name] })))).certificate,
  );
  const requests = [
    ...Object.values(wanted).map((each) => ({ subject, attributes: [extensionRequest(each)] })),
    { subject, attributes: [extensionRequest(...Object.values(wanted))] },
    { subject, attributes: [password] },
    { subject, attributes: [seq(oid('1.2.3.4.5'), set(leaf(0x0c, 'smuggled attribute')))] },
  ];
  for (const parts of requests) {
    const issued = await server.ok('POST', 'pki/certificates', issue(makeRequest(parts)));
    const certificate = new X509Certificate(issued.certificate);
    assert.equal(certificate.ca, false);
    assert.deepEqual(certificate.keyUsage, plain.keyUsage);
    assert.equal(certificate.subject, plain.subject);
    assert.equal(certificate.subjectAltName, 'DNS:a.example.com');
    assert.equal(certificate.raw.length - plain.raw.length <= 3, true, 'it holds more than the plain one');
    assert.equal(certificate.raw.includes('muggled'), false);
  }
});

test('a CSR that says one thing twice is refused', async (context) => {
  const { refuse } = await openTarget(context);
  const [one, other] = [generalName.dns('a.example.com'), generalName.dns('evil.example')];
  const sanOf = (node: Node) => extension(oids.subjectAltName, seq(node));
  const twice: Readonly<Record<string, readonly Node[]>> = {
    'two subjectAltName': [extensionRequest(sanOf(one), sanOf(other))],
    'two extensionRequest': [san(one), san(other)],
    'two values of extensionRequest': [seq(oid(oids.extensionRequest), set(seq(sanOf(one)), seq(sanOf(other))))],
    'two basicConstraints': [extensionRequest(wanted['an authority'], wanted['an authority'])],
  };
  for (const [what, attributes] of Object.entries(twice))
    await refuse(what, 'pki/certificates', issue(makeRequest({ subject: [name], attributes })), { status: 400 });
});

const csr = pem(makeRequest({ subject: [name] }));
const [first = '', ...rest] = csr.trimEnd().split('\n');
const base64 = rest.slice(0, -1);
const last = rest.at(-1) ?? '';
const lines = (...all: readonly string[]) => `${all.join('\n')}\n`;

test('a PEM that is not exactly one block of the right label is refused', async (context) => {
  const { refuse } = await openTarget(context);
  const broken: Readonly<Record<string, string>> = {
    'text before that is almost a block': `----BEGIN CERTIFICATE REQUEST-----\n${csr}`,
    'text after that is almost a block': `${csr}-----BEGIN-----\n`,
    'two blocks': csr + csr,
    'another label': csr.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE'),
    'a private key': csr.replaceAll('CERTIFICATE REQUEST', 'PRIVATE KEY'),
    'labels that differ': csr.replace('END CERTIFICATE REQUEST', 'END CERTIFICATE'),
    'a label in lower case': csr.replaceAll('CERTIFICATE REQUEST', 'certificate request'),
    'an older label with a suffix': csr.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE REQUEST '),
    'no end': lines(first, ...base64),
    'no beginning': lines(...base64, last),
    'nothing inside': lines(first, last).padEnd(64, '\n'),
    'header lines': lines(first, 'Proc-Type: 4,ENCRYPTED', '', ...base64, last),
    'characters that base64 has not': lines(first, `${base64[0]}!`, ...base64.slice(1), last),
    'base64 of URLs': lines(first, ...base64.map((line) => line.replaceAll('/', '_').replaceAll('A', '-')), last),
    'padding in the middle': lines(first, '====', ...base64, last),
    'bits that nobody reads': lines(
      first,
      ...base64.slice(0, -1),
      `${base64.at(-1)?.replace(/.{1,2}=*$/, 'B=')}`,
      last,
    ),
    'a NUL character': csr.replace('\n', '\n\0'),
    'a zero-width space': csr.replace('\n', '\n\u200b'),
    'a Unicode line separator': csr.replaceAll('\n', '\u2028'),
    'DER cut off': pem(makeRequest({ subject: [name] }).subarray(0, -7)),
    'octets after the DER': pem(Buffer.concat([makeRequest({ subject: [name] }), Buffer.of(0)])),
    'no DER at all': pem(Buffer.from('not DER at all, only text in a block that claims to be')),
    'a certificate in it': pem(encode(seq(raw(makeRequest()), raw(makeRequest())))),
  };
  for (const [what, text] of Object.entries(broken)) {
    await refuse(what, 'pki/certificates', { role: 'web', csr: text }, { status: 400, code: 'invalid_request' });
    await refuse(
      what,
      'pki/authorities/root/sign-intermediate',
      { csr: text },
      { status: 400, code: 'invalid_request' },
    );
  }
});

/** Structures that cost a careless reader its stack, its memory or its time. All within the 64 KiB that are read. */
function bombs(): Readonly<Record<string, Buffer>> {
  const size = 40_000;
  const nested = (tag: number, levels: number): Buffer => {
    const parts: Buffer[] = [];
    let length = 0;
    for (let level = 0; level < levels; level++) {
      const header = length < 128 ? Buffer.of(tag, length) : Buffer.of(tag, 0x82, length >> 8, length & 0xff);
      parts.unshift(header);
      length += header.length;
    }
    return Buffer.concat(parts);
  };
  const many = (element: Buffer) =>
    Buffer.concat(Array.from({ length: Math.floor(size / element.length) }, () => element));
  const inside = (subject: Buffer) => {
    const spki = p256.publicKey.export({ format: 'der', type: 'spki' });
    return sealRequest(encode(seq(int(0), raw(subject), raw(spki), wrap(0xa0))));
  };
  const set5000 = encode({ tag: 0x31, content: many(Buffer.of(0x05, 0)) });
  const giantInteger = encode(seq(leaf(0x02, Buffer.alloc(size, 0x7f))));
  const longOid = encode(seq(seq(leaf(0x06, Buffer.alloc(size, 0x81)), leaf(5, ''))));
  const arcs = encode(seq(seq(leaf(0x06, Buffer.alloc(size, 0x01)), leaf(5, ''))));
  return {
    'sequences 10,000 deep': nested(0x30, 10_000),
    'sets 10,000 deep': nested(0x31, 10_000),
    'octet strings that claim to be constructed': nested(0x24, 10_000),
    'a sequence of 20,000 NULL': encode({ tag: 0x30, content: many(Buffer.of(0x05, 0)) }),
    'an integer of 40,000 octets': giantInteger,
    'an identifier with one arc of 40,000 octets': longOid,
    'an identifier of 40,000 arcs': arcs,
    'a subject 10,000 deep': inside(nested(0x30, 10_000)),
    'a subject of 3,600 empty sets': inside(encode({ tag: 0x30, content: many(Buffer.of(0x31, 0)) })),
    'a subject of 3,000 names': inside(
      encode({
        tag: 0x30,
        content: many(encode(name))
          .subarray(0, -1)
          .subarray(0, Math.floor(size / encode(name).length) * encode(name).length),
      }),
    ),
    'a set in a subject': inside(encode({ tag: 0x30, content: set5000 })),
    '13,000 attributes': sealRequest(
      encode(
        seq(int(0), seq(), raw(p256.publicKey.export({ format: 'der', type: 'spki' })), {
          tag: 0xa0,
          content: many(encode(seq(oid('1.2.3'), set()))),
        }),
      ),
    ),
    '4,000 extensions': makeRequest({
      attributes: [extensionRequest({ tag: 0x30, content: many(encode(wanted.policies).subarray(2)) })],
    }),
    'indefinite lengths': many(Buffer.of(0x30, 0x80)),
    'lengths of 127 octets': many(Buffer.concat([Buffer.of(0x30, 0xff), Buffer.alloc(127, 0xff)])),
    'tags of many octets': many(Buffer.of(0x3f, 0xff, 0xff, 0xff, 0x7f, 0)),
    'text of all kinds': inside(
      encode(
        seq(
          ...[0x0c, 0x13, 0x14, 0x16, 0x1c, 0x1e].map((tag) =>
            set(seq(oid(oids.commonName), leaf(tag, Buffer.alloc(6000, 0xd8)))),
          ),
        ),
      ),
    ),
  };
}

test('structures that are deep, wide or endless are refused at once', async (context) => {
  const { refuse } = await openTarget(context);
  for (const [what, der] of Object.entries(bombs())) {
    const { seconds } = await processorTime(() => refuse(what, 'pki/certificates', issue(der), { status: [400, 422] }));
    assert.ok(seconds < 1, `${what} cost ${seconds} s`);
  }
});
