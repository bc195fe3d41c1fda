import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { decodeBase64url, encodeBase64url } from '#acme/jose/base64url.ts';
import { JoseError } from '#acme/jose/errors.ts';
import { parseJwk } from '#acme/jose/jwk.ts';
import { parseJws, readJws } from '#acme/jose/jws.ts';
import { signExternalAccountBinding, signingKeyOf, signJws } from '#acme/jose/sign.ts';
import { verifyJws, verifyMac } from '#acme/jose/verify.ts';

const fault = (expected: string, message?: RegExp) => (thrown: unknown) =>
  thrown instanceof JoseError && thrown.fault === expected && (message === undefined || message.test(thrown.message));

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const keys: Readonly<Record<string, KeyObject>> = {
  ES256: p256,
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  ES512: generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey,
  EdDSA: generateKeyPairSync('ed25519').privateKey,
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
};

for (const [algorithm, privateKey] of Object.entries(keys))
  test(`a JWS signed by ${algorithm} is verified, and one that was changed is not`, () => {
    const key = signingKeyOf(privateKey);
    assert.equal(key.algorithm, algorithm);
    const jws = signJws(key, { url: 'https://ca.example/x', nonce: 'abc' }, { a: 1 });
    const parsed = parseJws(Buffer.from(JSON.stringify(jws)));
    const shown = parseJwk(parsed.header['jwk']);
    assert.equal(shown.thumbprint, key.thumbprint);
    verifyJws(parsed, shown);
    const changed = readJws({ ...jws, payload: encodeBase64url('{"a":2}') });
    assert.throws(() => verifyJws(changed, shown), fault('malformed', /signature/));
  });

test('RFC 7638 §3.1: the thumbprint of the example key', () => {
  const { thumbprint } = parseJwk({
    kty: 'RSA',
    n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
    e: 'AQAB',
    alg: 'RS256',
    kid: '2011-04-29',
  });
  assert.equal(thumbprint, 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
});

test('RFC 8037 Appendix A: the Ed25519 example is verified by EdDSA and has its thumbprint', () => {
  const key = parseJwk({ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' });
  assert.equal(key.thumbprint, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  verifyJws(
    readJws({
      protected: 'eyJhbGciOiJFZERTQSJ9',
      payload: 'RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc',
      signature: 'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
    }),
    key,
  );
});

test('RFC 7515 A.3: the ES256 example is verified', () => {
  const key = parseJwk({
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  });
  const payload = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
  const signature = 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';
  verifyJws(readJws({ protected: 'eyJhbGciOiJFUzI1NiJ9', payload, signature }), key);
});

test('an external account binding is verified by its key and by no other', () => {
  const macKey = Buffer.alloc(32, 7);
  const { jwk } = signingKeyOf(p256);
  const jws = readJws(signExternalAccountBinding({ keyId: 'k1', macKey }, 'https://ca.example/new-account', jwk));
  verifyMac(jws, macKey);
  assert.equal(jws.header['kid'], 'k1');
  assert.deepEqual(JSON.parse(jws.payload.toString()), jwk);
  assert.throws(() => verifyMac(jws, Buffer.alloc(32, 8)), fault('malformed', /signature/));
  const outer = readJws(signJws(signingKeyOf(p256), { url: 'https://ca.example/' }, jwk));
  assert.throws(() => verifyMac(outer, macKey), fault('malformed', /HS256/));
});

test('what is no flattened JWS is malformed', () => {
  const good = signJws(signingKeyOf(p256), { url: 'https://ca.example/x', nonce: 'abc' }, {});
  const header = (fields: object) => encodeBase64url(JSON.stringify(fields));
  const cases: Record<string, unknown> = {
    'an array': [good],
    'no payload': { protected: good.protected, signature: good.signature },
    'no signature': { protected: good.protected, payload: good.payload },
    signatures: { ...good, signatures: [] },
    'unprotected header': { ...good, header: {} },
    'padding in the payload': { ...good, payload: 'eyJhIjoxfQ==' },
    'padding in the signature': { ...good, signature: `${good.signature}==` },
    'padding in the header': { ...good, protected: `${good.protected}=` },
    'standard base64': { ...good, payload: '+/' },
    'stray bits': { ...good, payload: 'QR' },
    'a header that is a list': { ...good, protected: encodeBase64url('[]') },
    b64: { ...good, protected: header({ alg: 'ES256', b64: false, crit: ['b64'] }) },
    crit: { ...good, protected: header({ alg: 'ES256', crit: ['x'] }) },
  };
  for (const [what, value] of Object.entries(cases))
    assert.throws(() => parseJws(Buffer.from(JSON.stringify(value))), fault('malformed'), what);
  assert.throws(() => parseJws(Buffer.from('{"protected":')), fault('malformed', /not JSON/));
});

test('keys that are weak, broken, private or of another kind are bad public keys', () => {
  const { jwk } = signingKeyOf(p256);
  const rsa = (bits: number) =>
    createPublicKey(generateKeyPairSync('rsa', { modulusLength: bits }).privateKey).export({ format: 'jwk' });
  const good = rsa(2048);
  const off = jwk.kty === 'EC' ? { ...jwk, y: jwk.x } : jwk;
  const cases: Record<string, unknown> = {
    text: 'key',
    nothing: undefined,
    'RSA of 1024 bits': rsa(1024),
    'a point off the curve': off,
    'another curve': { ...jwk, crv: 'secp256k1' },
    'a curve from the prototype': { ...jwk, crv: 'constructor' },
    'kty oct': { kty: 'oct', k: 'AAAA' },
    'a private member': p256.export({ format: 'jwk' }),
    'a short coordinate': { ...jwk, x: 'AAAA' },
    'a leading zero': {
      ...good,
      n: encodeBase64url(Buffer.concat([Buffer.of(0), Buffer.from(good.n ?? '', 'base64url')])),
    },
    'an exponent of 3': { ...good, e: 'Aw' },
    padding: { ...good, e: 'AQAB=' },
    X25519: { kty: 'OKP', crv: 'X25519', x: encodeBase64url(Buffer.alloc(32)) },
  };
  for (const [what, value] of Object.entries(cases)) assert.throws(() => parseJwk(value), fault('badPublicKey'), what);
});

test('an algorithm that does not fit the key, or is none of ours, is refused before the signature is looked at', () => {
  const key = signingKeyOf(p256);
  const good = signJws(key, { url: 'https://ca.example/x' }, {});
  const by = (alg: unknown) => readJws({ ...good, protected: encodeBase64url(JSON.stringify({ alg })) });
  for (const alg of ['none', 'HS256', 'PS256', 'constructor', 7, undefined])
    assert.throws(() => verifyJws(by(alg), key), fault('badSignatureAlgorithm', /ES256/), String(alg));
  assert.throws(() => verifyJws(by('ES512'), key), fault('badPublicKey'));
  assert.throws(() => verifyJws(by('RS256'), key), fault('badPublicKey'));
});

test('base64url has one text for each value', () => {
  assert.deepEqual(decodeBase64url('QQ', 'it'), Buffer.from('A'));
  for (const text of ['QR', 'Q', 'QQ=', 'Q Q', 'QQ\n', 'Qé'])
    assert.throws(() => decodeBase64url(text, 'it'), fault('malformed'), text);
});
