import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair as generateWithCallback,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { type KeyType, readAlgorithmIdentifier } from './algorithm.ts';
import { oids } from './oid.ts';
import { encodePem } from './pem.ts';
import { decodeSpki } from './spki.ts';

/** A key that was just made, in every form that is needed. */
export interface GeneratedKey {
  readonly privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  /** PKCS#8 PrivateKeyInfo, DER, not encrypted. Secret: seal it or hand it out, and `fill(0)` it. */
  readonly pkcs8: Buffer;
}

const generateOffLoop = promisify(generateWithCallback);

/**
 * Makes a key. P-256, Ed25519 and ML-DSA keys take 30 to 300 µs and are made at once; the others, up to a second for
 * RSA-4096, are made by libuv's threads, so that they never hold up the event loop.
 */
export async function generateKeyPair(keyType: KeyType): Promise<GeneratedKey> {
  switch (keyType) {
    case 'ec-p256':
      return generateP256();
    case 'ed25519':
      return exported(generateKeyPairSync('ed25519'));
    case 'ml-dsa-44':
    case 'ml-dsa-65':
    case 'ml-dsa-87':
      return exported(generateKeyPairSync(keyType));
    case 'ec-p384':
      return exported(await generateOffLoop('ec', { namedCurve: 'P-384' }));
    case 'ec-p521':
      return exported(await generateOffLoop('ec', { namedCurve: 'P-521' }));
    default:
      return exported(
        await generateOffLoop('rsa', { modulusLength: Number(keyType.slice(4)), publicExponent: 65_537 }),
      );
  }
}

function exported({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }): GeneratedKey {
  return {
    privateKey,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    pkcs8: privateKey.export({ type: 'pkcs8', format: 'der' }),
  };
}

/** PrivateKeyInfo and ECPrivateKey (RFC 5958 §2, RFC 5915 §3) of a P-256 key, up to d, and from d to the point. */
const p256Pkcs8Head = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
const p256Pkcs8Middle = Buffer.from('a14403420004', 'hex');
/** SubjectPublicKeyInfo of a P-256 key (RFC 5480 §2), up to the coordinates. */
const p256SpkiHead = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

const coordinate = 32;
const pkcs8DAt = p256Pkcs8Head.length;
const pkcs8PointAt = pkcs8DAt + coordinate + p256Pkcs8Middle.length;

/**
 * The hot path. OpenSSL's DER encoders cost more than making the key (19 µs for PKCS#8, 42 µs for SPKI); the numbers of
 * the key come out as JWK in 6 µs, and everything else in both encodings is constant.
 */
function generateP256(): GeneratedKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d = '', x = '', y = '' } = privateKey.export({ format: 'jwk' });
  const pkcs8 = Buffer.alloc(pkcs8PointAt + 2 * coordinate);
  pkcs8.set(p256Pkcs8Head);
  pkcs8.set(p256Pkcs8Middle, pkcs8DAt + coordinate);
  const written =
    pkcs8.write(d, pkcs8DAt, 'base64url') +
    pkcs8.write(x, pkcs8PointAt, 'base64url') +
    pkcs8.write(y, pkcs8PointAt + coordinate, 'base64url');
  if (written !== 3 * coordinate) throw new Error('the numbers of a P-256 key are not 32 octets each');
  const spki = Buffer.allocUnsafe(p256SpkiHead.length + 2 * coordinate);
  spki.set(p256SpkiHead);
  pkcs8.copy(spki, p256SpkiHead.length, pkcs8PointAt);
  return { privateKey, spki, pkcs8 };
}

/** PKCS#8 PEM of a PrivateKeyInfo. */
export function encodePrivateKeyPem(pkcs8: Uint8Array): string {
  return encodePem('PRIVATE KEY', pkcs8);
}

/** A private key from outside, or from the store. */
export interface ImportedKey {
  readonly privateKey: KeyObject;
  readonly keyType: KeyType;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

const maxPkcs8Bytes = 16_384;
const maxImportedModulusOctets = 512;

/**
 * Reads a PKCS#8 PrivateKeyInfo, DER, not encrypted, of one of our key types. Throws `DerError` for anything else; the
 * error says nothing of the key. The public half is computed from the private one, never taken from the input.
 */
export function importPrivateKey(pkcs8: Uint8Array): ImportedKey {
  readDer(pkcs8, maxPkcs8Bytes, refuseLargeRsa);
  const { privateKey, spki } = parsePrivateKey(pkcs8);
  const { keyType } = decodeSpki(spki);
  if (keyType === undefined) throw new DerError('the private key is of no supported type', 0);
  return { privateKey, keyType, spki };
}

/** OneAsymmetricKey (RFC 5958 §2); a large modulus is refused before OpenSSL computes with it. */
function refuseLargeRsa(reader: DerReader): void {
  reader.readSequence(() => {
    reader.readSmallInteger(1);
    const isRsa = readAlgorithmIdentifier(reader).oid === oids.rsaEncryption;
    if (isRsa) reader.readEncapsulated(refuseLargeModulus);
    else reader.readOctetString();
    while (!reader.atEnd) reader.skip();
  });
}

function refuseLargeModulus(reader: DerReader): void {
  reader.readSequence(() => {
    reader.readSmallInteger(0);
    if (reader.readUnsignedInteger().length > maxImportedModulusOctets)
      reader.fail('an RSA private key is larger than 4096 bits');
    while (reader.peek() === tag.integer) reader.readInteger();
  });
}

function parsePrivateKey(pkcs8: Uint8Array): { privateKey: KeyObject; spki: Buffer } {
  try {
    const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    return { privateKey, spki: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }) };
  } catch {
    throw new DerError('the private key is not a valid PKCS#8 key', 0);
  }
}
