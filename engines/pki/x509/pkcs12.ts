import { createCipheriv, createHmac, hash, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { tag } from '#pki/asn1/tag.ts';
import {
  context,
  contextOctets,
  element,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  setOf,
} from '#pki/asn1/writer.ts';
import { derivePkcs12MacKey } from './pkcs12-kdf.ts';

export interface Pkcs12Contents {
  /** PKCS#8 PrivateKeyInfo, DER, not encrypted. */
  readonly privateKeyPkcs8: Uint8Array;
  /** The certificate of that key, DER. */
  readonly certificate: Uint8Array;
  /** The certificates above it, DER, nearest first. */
  readonly chain: readonly Uint8Array[];
  /** Name of the entry (Java: the alias), 1 to 255 characters of the Basic Multilingual Plane. */
  readonly friendlyName: string;
  /** 1 to 1024 characters of printable ASCII: Java opens PBES2 with no others. */
  readonly password: string;
  /** Iterations of each key derivation; default 100,000. */
  readonly iterations?: number;
}

const defaultIterations = 100_000;
const saltLength = 16;
const passwordForm = /^[\x20-\x7e]{1,1024}$/;
const deriveKey = promisify(pbkdf2);

const data = oid('1.2.840.113549.1.7.1');
const encryptedData = oid('1.2.840.113549.1.7.6');
const pkcs8ShroudedKeyBag = oid('1.2.840.113549.1.12.10.1.2');
const certBag = oid('1.2.840.113549.1.12.10.1.3');
const x509Certificate = oid('1.2.840.113549.1.9.22.1');
const friendlyNameAttribute = oid('1.2.840.113549.1.9.20');
const localKeyIdAttribute = oid('1.2.840.113549.1.9.21');
const pbes2 = oid('1.2.840.113549.1.5.13');
const pbkdf2Oid = oid('1.2.840.113549.1.5.12');
const aes256Cbc = oid('2.16.840.1.101.3.4.1.42');
const hmacWithSha256 = sequence([oid('1.2.840.113549.2.9'), nullValue()]);
const sha256 = sequence([oid('2.16.840.1.101.3.4.2.1'), nullValue()]);

/**
 * A PKCS#12 file (RFC 7292) with one private key, its certificate and the chain, in the form that OpenSSL 3, Java and
 * NSS all read: key and certificates under PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC; RFC 8018 §6.2), the whole
 * under an HMAC-SHA-256 with the key derivation of RFC 7292 appendix B. PBMAC1 (RFC 9579) would be the better MAC, but
 * OpenSSL before 3.4 cannot read it. The MAC must not be the cheap way to guess the password, so
 * its derivation gets as many iterations as the others. Throws `RangeError` for a name or password out of bounds.
 */
export async function encodePkcs12(contents: Pkcs12Contents): Promise<Buffer> {
  const { password, certificate, iterations = defaultIterations } = contents;
  if (!passwordForm.test(password))
    throw new RangeError('the password of a PKCS#12 file must have 1 to 1024 characters of printable ASCII');
  const attributes = setOf([
    attribute(friendlyNameAttribute, bmpString(contents.friendlyName)),
    attribute(localKeyIdAttribute, octetString(hash('sha256', certificate, 'buffer'))),
  ]);
  const certificates = sequence([
    certificateBag(certificate, attributes),
    ...contents.chain.map((above) => certificateBag(above)),
  ]);
  const sealedCertificates = await encrypt(certificates, password, iterations);
  const sealedKey = await encrypt(contents.privateKeyPkcs8, password, iterations);
  const key = sequence([
    pkcs8ShroudedKeyBag,
    context(0, [sequence([sealedKey.algorithm, octetString(sealedKey.ciphertext)])]),
    attributes,
  ]);
  const authenticatedSafe = sequence([encryptedContent(sealedCertificates), dataContent(sequence([key]))]);
  const mac = await macData(authenticatedSafe, password, iterations);
  return sequence([integer(3), dataContent(authenticatedSafe), mac]);
}

interface Encrypted {
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Buffer;
  readonly ciphertext: Buffer;
}

/** PBES2 (RFC 8018 §6.2). */
async function encrypt(plaintext: Uint8Array, password: string, iterations: number): Promise<Encrypted> {
  const salt = randomBytes(saltLength);
  const iv = randomBytes(16);
  const key = await deriveKey(password, salt, iterations, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  key.fill(0);
  const derivation = sequence([pbkdf2Oid, sequence([octetString(salt), integer(iterations), hmacWithSha256])]);
  const algorithm = sequence([pbes2, sequence([derivation, sequence([aes256Cbc, octetString(iv)])])]);
  return { algorithm, ciphertext };
}

/** CertBag in a SafeBag (RFC 7292 §4.2.3). */
function certificateBag(certificate: Uint8Array, attributes?: Buffer): Buffer {
  const bag = sequence([x509Certificate, context(0, [octetString(certificate)])]);
  return sequence([certBag, context(0, [bag]), attributes]);
}

function attribute(type: Buffer, value: Buffer): Buffer {
  return sequence([type, setOf([value])]);
}

/** ContentInfo of type data (RFC 5652 §4). */
function dataContent(content: Uint8Array): Buffer {
  return sequence([data, context(0, [octetString(content)])]);
}

/** ContentInfo of type encrypted-data (RFC 5652 §8). */
function encryptedContent({ algorithm, ciphertext }: Encrypted): Buffer {
  const info = sequence([data, algorithm, contextOctets(0, ciphertext)]);
  return sequence([encryptedData, context(0, [sequence([integer(0), info])])]);
}

/** MacData (RFC 7292 §4): HMAC over the content octets of the authenticated safe. */
async function macData(authenticatedSafe: Uint8Array, password: string, iterations: number): Promise<Buffer> {
  const salt = randomBytes(saltLength);
  const key = await derivePkcs12MacKey(password, salt, iterations);
  const mac = createHmac('sha256', key).update(authenticatedSafe).digest();
  key.fill(0);
  return sequence([sequence([sha256, octetString(mac)]), octetString(salt), integer(iterations)]);
}

function bmpString(text: string): Buffer {
  if (text.length === 0 || text.length > 255 || /[\ud800-\udfff]/.test(text))
    throw new RangeError('a friendly name must have 1 to 255 characters of the Basic Multilingual Plane');
  return element(tag.bmpString, [Buffer.from(text, 'utf16le').swap16()]);
}
