import assert from 'node:assert/strict';
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  sign as signWithKey,
  verify as verifyWithKey,
} from 'node:crypto';
import { test } from 'node:test';
import { readDer } from '#pki/asn1/reader.ts';
import * as write from '#pki/asn1/writer.ts';
import {
  type AlgorithmIdentifier,
  describeSignatureAlgorithm,
  type KeyType,
  keyTypes,
  readAlgorithmIdentifier,
  sign,
  signatureAlgorithmOf,
  verify,
} from '#pki/x509/algorithm.ts';
import { generateKeyPair } from '#pki/x509/key.ts';
import { oids } from '#pki/x509/oid.ts';

const data = Buffer.from('to be signed');

function identifier(...parts: (Buffer | undefined)[]): AlgorithmIdentifier {
  return readDer(write.sequence(parts), 1000, readAlgorithmIdentifier);
}

/** RFC 5758 §3.2, RFC 8410 §3, RFC 4055 §5, RFC 9881 §2. */
const identifiers: Readonly<Record<KeyType, string>> = {
  'ec-p256': '300a06082a8648ce3d040302',
  'ec-p384': '300a06082a8648ce3d040303',
  'ec-p521': '300a06082a8648ce3d040304',
  ed25519: '300506032b6570',
  'rsa-2048': '300d06092a864886f70d01010b0500',
  'rsa-3072': '300d06092a864886f70d01010b0500',
  'rsa-4096': '300d06092a864886f70d01010c0500',
  'ml-dsa-44': '300b0609608648016503040311',
  'ml-dsa-65': '300b0609608648016503040312',
  'ml-dsa-87': '300b0609608648016503040313',
};

for (const keyType of keyTypes) {
  test(`${keyType} signatures verify under their algorithm, data and key only`, async () => {
    const der = signatureAlgorithmOf(keyType);
    assert.equal(der.toString('hex'), identifiers[keyType]);
    const algorithm = readDer(der, 100, readAlgorithmIdentifier);
    const { privateKey } = await generateKeyPair(keyType);
    const publicKey = createPublicKey(privateKey);
    const signature = sign(privateKey, keyType, data);
    assert.equal(verify(publicKey, algorithm, data, signature), true);
    const changed = Buffer.from(signature);
    changed[changed.length - 5] = (changed.at(-5) ?? 0) ^ 1;
    assert.equal(verify(publicKey, algorithm, data, changed), false);
    assert.equal(verify(publicKey, algorithm, data, Buffer.alloc(0)), false);
    assert.equal(verify(publicKey, algorithm, Buffer.from('other'), signature), false);
    const foreign = keyType.startsWith('ec-') ? identifiers.ed25519 : identifiers['ec-p256'];
    const other = readDer(Buffer.from(foreign, 'hex'), 100, readAlgorithmIdentifier);
    assert.equal(verify(publicKey, other, data, signature), false);
  });
}

test('every key type of ours has a described, strong algorithm', () => {
  for (const keyType of keyTypes)
    assert.equal(
      describeSignatureAlgorithm(readDer(signatureAlgorithmOf(keyType), 100, readAlgorithmIdentifier))?.weak,
      false,
    );
});

test('parameters must be what the RFC of the algorithm wants', () => {
  const nothing = write.nullValue();
  const describe = (dotted: string, parameters?: Buffer) =>
    describeSignatureAlgorithm(identifier(write.oid(dotted), parameters))?.name;
  assert.equal(describe(oids.sha256WithRsa, nothing), 'sha256WithRSAEncryption');
  assert.equal(describe(oids.sha256WithRsa), 'sha256WithRSAEncryption');
  assert.equal(describe(oids.sha256WithRsa, write.integer(1)), undefined);
  for (const dotted of [oids.ecdsaWithSha256, oids.ed25519, oids.mlDsa44]) {
    assert.ok(describe(dotted) !== undefined);
    assert.equal(describe(dotted, nothing), undefined);
  }
  assert.equal(describe(oids.rsassaPss), undefined);
  assert.equal(describe('1.2.3'), undefined);
});

test('weak algorithms are recognised, and verified only when asked for', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  for (const [dotted, hash] of [
    [oids.sha1WithRsa, 'sha1'],
    [oids.md5WithRsa, 'md5'],
  ] as const) {
    const algorithm = identifier(write.oid(dotted), write.nullValue());
    const signature = signWithKey(hash, data, privateKey);
    assert.equal(describeSignatureAlgorithm(algorithm)?.weak, true);
    assert.equal(verify(publicKey, algorithm, data, signature), false);
    assert.equal(verify(publicKey, algorithm, data, signature, { allowWeak: true }), true);
  }
  for (const dotted of [oids.ecdsaWithSha1, oids.dsaWithSha1, oids.dsaWithSha256])
    assert.equal(describeSignatureAlgorithm(identifier(write.oid(dotted)))?.weak, true);
});

function pssParameters(hash: string | undefined, maskHash: string | undefined, salt: number | undefined): Buffer {
  const hashIdentifier = (dotted: string) => write.sequence([write.oid(dotted), write.nullValue()]);
  return write.sequence([
    hash === undefined ? undefined : write.context(0, [hashIdentifier(hash)]),
    maskHash === undefined
      ? undefined
      : write.context(1, [write.sequence([write.oid(oids.mgf1), hashIdentifier(maskHash)])]),
    salt === undefined ? undefined : write.context(2, [write.integer(salt)]),
  ]);
}

test('RSASSA-PSS is verified with the hash and salt that its parameters name', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  for (const [hash, dotted, saltLength] of [
    ['sha256', oids.sha256, 32],
    ['sha384', oids.sha384, 48],
    ['sha512', oids.sha512, 0],
  ] as const) {
    const key = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    const signature = signWithKey(hash, data, key);
    const algorithm = identifier(write.oid(oids.rsassaPss), pssParameters(dotted, dotted, saltLength));
    assert.equal(describeSignatureAlgorithm(algorithm)?.name, `RSASSA-PSS-${hash}`);
    assert.equal(verify(publicKey, algorithm, data, signature), true);
    const wrongSalt = identifier(write.oid(oids.rsassaPss), pssParameters(dotted, dotted, saltLength + 1));
    assert.equal(verify(publicKey, wrongSalt, data, signature), false);
    assert.equal(verifyWithKey(hash, data, publicKey, signature), false);
  }
  const describe = (parameters: Buffer) =>
    describeSignatureAlgorithm(identifier(write.oid(oids.rsassaPss), parameters));
  assert.equal(describe(pssParameters(undefined, undefined, undefined))?.weak, true);
  assert.equal(describe(pssParameters(oids.sha256, undefined, 32)), undefined);
  assert.equal(describe(pssParameters(oids.sha256, oids.sha512, 32)), undefined);
  assert.equal(describe(pssParameters('1.2.3', '1.2.3', 32)), undefined);
});
