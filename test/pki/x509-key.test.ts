import assert from 'node:assert/strict';
import {
  checkPrimeSync,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { test } from 'node:test';
import { DerError } from '#pki/asn1/der-error.ts';
import * as write from '#pki/asn1/writer.ts';
import { type KeyType, keyTypes, sign } from '#pki/x509/algorithm.ts';
import { encodePrivateKeyPem, generateKeyPair, importPrivateKey } from '#pki/x509/key.ts';
import { oids } from '#pki/x509/oid.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { decodeSpki, importPublicKey, keyIdentifierOf, spkiSha256 } from '#pki/x509/spki.ts';
import { checkPublicKey } from '#pki/x509/weak-key.ts';
import { opensslIn } from './x509-openssl.ts';

const expectedBits: Readonly<Record<KeyType, number>> = {
  'ec-p256': 256,
  'ec-p384': 384,
  'ec-p521': 521,
  ed25519: 256,
  'rsa-2048': 2048,
  'rsa-3072': 3072,
  'rsa-4096': 4096,
  'ml-dsa-44': 10_496,
  'ml-dsa-65': 15_616,
  'ml-dsa-87': 20_736,
};

for (const keyType of keyTypes) {
  test(`a new ${keyType} key is sound in every form that it comes in`, async () => {
    const { privateKey, spki, pkcs8 } = await generateKeyPair(keyType);
    assert.deepEqual(pkcs8, privateKey.export({ type: 'pkcs8', format: 'der' }));
    assert.deepEqual(spki, createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
    assert.equal(encodePrivateKeyPem(pkcs8), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const info = decodeSpki(spki);
    assert.equal(info.keyType, keyType);
    assert.equal(info.bits, expectedBits[keyType]);
    assert.deepEqual(checkPublicKey(info).faults, []);
    assert.ok(checkPublicKey(info).publicKey?.equals(createPublicKey(privateKey)));
    const imported = importPrivateKey(pkcs8);
    assert.equal(imported.keyType, keyType);
    assert.deepEqual(imported.spki, spki);
    assert.ok(imported.privateKey.equals(privateKey));
    assert.ok(sign(privateKey, keyType, Buffer.from('x')).length >= 64);
  });
}

test('P-256 keys keep their fixed form when a number begins with zeros', async () => {
  const seen = new Set<boolean>();
  for (let count = 0; count < 2000 && seen.size < 2; count++) {
    const { privateKey, spki, pkcs8 } = await generateKeyPair('ec-p256');
    const short = [pkcs8[36], pkcs8[74], pkcs8[106]].includes(0);
    if (seen.has(short)) continue;
    seen.add(short);
    assert.deepEqual(pkcs8, privateKey.export({ type: 'pkcs8', format: 'der' }));
    assert.deepEqual(spki, createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
  }
  assert.equal(seen.size, 2);
});

test('the event loop turns while RSA keys are made', async () => {
  let turns = 0;
  let done = false;
  const turn = () => {
    turns += 1;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  await generateKeyPair('rsa-2048');
  done = true;
  assert.ok(turns > 10);
});

test('openssl finds the keys sound and writes them as we do', async (context) => {
  const { openssl, file } = await opensslIn(context);
  for (const keyType of ['ec-p256', 'ec-p384', 'ec-p521', 'ed25519', 'rsa-2048'] as const) {
    const { pkcs8, spki } = await generateKeyPair(keyType);
    const path = await file('key.pem', encodePrivateKeyPem(pkcs8));
    await openssl(`pkey -in ${path} -check -noout`);
    assert.equal(await openssl(`pkey -in ${path}`), encodePrivateKeyPem(pkcs8));
    assert.equal(await openssl(`pkey -in ${path} -pubout`), encodePem('PUBLIC KEY', spki));
  }
});

test('private keys that are not ours, not PKCS#8 or too large are refused', () => {
  const der = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'der' });
  const sec1 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'sec1', format: 'der' });
  const large = write.sequence([
    write.integer(0),
    write.unsignedInteger(randomBytes(513).fill(0xff, 0, 1)),
    write.integer(3),
  ]);
  const refused = [
    sec1,
    Buffer.alloc(0),
    der(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey),
    der(generateKeyPairSync('x25519').privateKey),
    der(generateKeyPairSync('ed448').privateKey),
    der(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey),
    write.sequence([
      write.integer(0),
      write.sequence([write.oid(oids.rsaEncryption), write.nullValue()]),
      write.octetString(large),
    ]),
    write.sequence([write.integer(0), write.sequence([write.oid(oids.ed25519)]), write.octetString(Buffer.of(1))]),
  ];
  for (const pkcs8 of refused) assert.throws(() => importPrivateKey(pkcs8), DerError);
});

const ecKey = (curve: Buffer, point: Buffer) =>
  write.sequence([write.sequence([write.oid(oids.ecPublicKey), curve]), write.bitString(point)]);
const generator = Buffer.from(
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
  'hex',
);
const fixedKey = (dotted: string, octets: Buffer, ...parameters: Buffer[]) =>
  write.sequence([write.sequence([write.oid(dotted), ...parameters]), write.bitString(octets)]);

test('public keys in forms that the RFCs forbid are refused', () => {
  const p256 = write.oid(oids.p256);
  const compressed = Buffer.concat([Buffer.of(3), generator.subarray(1, 33)]);
  const hybrid = Buffer.concat([Buffer.of(7), generator.subarray(1)]);
  assert.equal(decodeSpki(ecKey(p256, generator)).curve, 'P-256');
  for (const spki of [
    ecKey(p256, compressed),
    ecKey(p256, hybrid),
    ecKey(p256, Buffer.of(0)),
    ecKey(p256, Buffer.alloc(0)),
    ecKey(p256, Buffer.concat([generator, Buffer.of(0)])),
    ecKey(write.oid(oids.p384), generator),
    ecKey(write.nullValue(), generator),
    ecKey(write.sequence([write.integer(1)]), generator),
    write.sequence([write.sequence([write.oid(oids.ecPublicKey)]), write.bitString(generator)]),
    fixedKey(oids.ed25519, Buffer.alloc(31)),
    fixedKey(oids.ed25519, Buffer.alloc(32), write.nullValue()),
    fixedKey(oids.mlDsa44, Buffer.alloc(1311)),
    fixedKey(oids.mlDsa65, Buffer.alloc(1953)),
    fixedKey(oids.mlDsa87, Buffer.alloc(2592), write.nullValue()),
    fixedKey(oids.rsaEncryption, write.sequence([write.integer(15), write.integer(3)])),
    fixedKey(oids.rsaEncryption, write.sequence([write.integer(-15), write.integer(3)]), write.nullValue()),
    fixedKey(oids.rsaEncryption, write.sequence([write.integer(15)]), write.nullValue()),
    Buffer.from('3000', 'hex'),
  ])
    assert.throws(() => decodeSpki(spki), DerError, spki.toString('hex'));
});

test('keys that cannot be used, or that we do not certify, have a fault', () => {
  const off = Buffer.from(generator);
  off[64] = (off[64] ?? 0) ^ 1;
  const codes = (spki: Buffer) => checkPublicKey(decodeSpki(spki)).faults.map((fault) => fault.code);
  const spkiOf = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });
  assert.deepEqual(codes(ecKey(write.oid(oids.p256), generator)), []);
  assert.deepEqual(codes(ecKey(write.oid(oids.p256), off)), ['invalid_key']);
  assert.deepEqual(codes(ecKey(write.oid(oids.p256), Buffer.concat([Buffer.of(4), Buffer.alloc(64)]))), [
    'invalid_key',
  ]);
  assert.deepEqual(codes(spkiOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)), [
    'curve_not_allowed',
  ]);
  assert.deepEqual(codes(spkiOf(generateKeyPairSync('ed448').publicKey)), ['unknown_algorithm']);
  assert.deepEqual(codes(spkiOf(generateKeyPairSync('x25519').publicKey)), ['unknown_algorithm']);
  assert.deepEqual(codes(spkiOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)), [
    'unknown_algorithm',
  ]);
  assert.throws(() => importPublicKey(decodeSpki(ecKey(write.oid(oids.p256), off))), DerError);
  assert.throws(() => importPublicKey(decodeSpki(ecKey(write.oid('1.2.3'), off))), DerError);
  for (const first of [0x00, 0x01]) {
    const smallOrder = Buffer.alloc(32);
    smallOrder[0] = first;
    assert.deepEqual(codes(fixedKey(oids.ed25519, smallOrder)), ['ed25519_small_order']);
    smallOrder[31] = 0x80;
    assert.deepEqual(codes(fixedKey(oids.ed25519, smallOrder)), ['ed25519_small_order']);
  }
});

function rsaSpki(modulus: bigint, exponent = 65_537n): Buffer {
  const key = write.sequence([write.integer(modulus), write.integer(exponent)]);
  return write.sequence([write.sequence([write.oid(oids.rsaEncryption), write.nullValue()]), write.bitString(key)]);
}

function rsaFaults(modulus: bigint, exponent?: bigint): string[] {
  return checkPublicKey(decodeSpki(rsaSpki(modulus, exponent))).faults.map((fault) => fault.code);
}

/** A modulus of exactly this many bits from two random primes. */
function randomModulus(bits: number): bigint {
  for (;;) {
    const p = generatePrimeSync(bits / 2, { bigint: true });
    const q = generatePrimeSync(bits / 2, { bigint: true });
    if ((p * q).toString(2).length === bits) return p * q;
  }
}

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n;
  while (!checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

test('RSA sizes and exponents outside the bounds have a fault, a very large key too', () => {
  const sound = randomModulus(2048);
  assert.deepEqual(rsaFaults(sound), []);
  assert.deepEqual(rsaFaults(sound, 3n), ['rsa_exponent']);
  assert.ok(checkPublicKey(decodeSpki(rsaSpki(sound, 3n))).publicKey !== undefined);
  for (const exponent of [1n, 2n, 65_536n, (1n << 64n) + 1n])
    assert.deepEqual(rsaFaults(sound, exponent), ['rsa_exponent_invalid']);
  assert.throws(() => importPublicKey(decodeSpki(rsaSpki(sound, (1n << 64n) + 1n))), DerError);
  assert.deepEqual(rsaFaults(randomModulus(1024)), ['rsa_size']);
  assert.deepEqual(rsaFaults((sound << 4n) | 1n), ['rsa_size']);
  assert.deepEqual(rsaFaults((1n << 16_383n) | 1n), ['rsa_size']);
  assert.throws(() => importPublicKey(decodeSpki(rsaSpki((1n << 16_383n) | 1n))), DerError);
  assert.deepEqual(rsaFaults(sound & ~1n), ['rsa_modulus_even']);
  assert.equal(decodeSpki(rsaSpki(sound)).keyType, 'rsa-2048');
  assert.equal(decodeSpki(rsaSpki(1n << 2055n)).keyType, undefined);
});

test('an RSA modulus with a small prime factor is found', () => {
  for (const factor of [3n, 251n, 997n]) {
    const cofactor = nextPrime((1n << 2047n) / factor + (1n << 2030n));
    assert.deepEqual(rsaFaults(cofactor * factor), ['rsa_small_factor']);
  }
});

test('an RSA modulus with close primes is found', () => {
  const p = generatePrimeSync(1024, { bigint: true }) | (3n << 1022n);
  const first = nextPrime(p);
  assert.deepEqual(rsaFaults(first * nextPrime(first + 2n)), ['rsa_close_primes']);
  const further = nextPrime(first + (1n << 516n));
  assert.deepEqual(rsaFaults(first * further), ['rsa_close_primes']);
  assert.deepEqual(rsaFaults(first * first), ['rsa_close_primes']);
  const far = nextPrime(first ^ (1n << 1000n));
  assert.deepEqual(rsaFaults(first * far), []);
});

/** A prime of the form k·M + (65537^a mod M), M the product of the primes below 168: how the broken generator works. */
function rocaPrime(): bigint {
  let product = 2n;
  for (let prime = 3n; prime < 168n; prime += 2n) if (checkPrimeSync(prime)) product *= prime;
  let power = 1n;
  for (let step = randomBytes(1)[0] ?? 0; step >= 0; step--) power = (power * 65_537n) % product;
  let k = ((3n << 1022n) | BigInt(`0x${randomBytes(100).toString('hex')}`)) / product;
  while (!checkPrimeSync(k * product + power)) k += 1n;
  return k * product + power;
}

test('an RSA modulus with the fingerprint of ROCA is found', () => {
  assert.deepEqual(rsaFaults(rocaPrime() * rocaPrime()), ['rsa_roca']);
});

test('names of keys are hashes of the key alone (RFC 7093 §2 method 1)', async () => {
  const { privateKey, spki } = await generateKeyPair('ec-p256');
  const { x = '', y = '' } = privateKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
  assert.equal(spkiSha256(spki), sha256(spki).toString('hex'));
  assert.deepEqual(keyIdentifierOf(decodeSpki(spki)), sha256(point).subarray(0, 20));
});
