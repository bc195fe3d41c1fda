import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { bits, encode, int, leaf, type Node, octets, oid, seq, set, wrap } from './der-tree.ts';

/** Certification requests (PKCS#10, RFC 2986) made by hand, so that every part can be wrong. */

export const oids = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  emailAddress: '1.2.840.113549.1.9.1',
  challengePassword: '1.2.840.113549.1.9.7',
  extensionRequest: '1.2.840.113549.1.9.14',
  subjectKeyIdentifier: '2.5.29.14',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  rsaEncryption: '1.2.840.113549.1.1.1',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
} as const;

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** One P-256 key for all requests that are not about keys. */
export const p256: KeyPair = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export interface RequestParts {
  /** RDNs; default none. */
  readonly subject?: readonly Node[];
  /** SubjectPublicKeyInfo, DER; default that of `key`. */
  readonly spki?: Buffer;
  readonly attributes?: readonly Node[];
  /** Signs; default `p256`. */
  readonly key?: KeyPair;
  readonly algorithm?: Node;
  /** Default: the signature that is right. */
  readonly signature?: Buffer;
}

export function makeRequest(parts: RequestParts = {}): Buffer {
  const { subject = [], attributes = [], key = p256 } = parts;
  const spki = parts.spki ?? key.publicKey.export({ format: 'der', type: 'spki' });
  const info = encode(seq(int(0), seq(...subject), raw(spki), wrap(0xa0, ...attributes)));
  return sealRequest(info, parts);
}

/** The same around octets that claim to be a CertificationRequestInfo: whatever they are, the signature over them is right. */
export function sealRequest(info: Buffer, { key = p256, algorithm, signature }: RequestParts = {}): Buffer {
  const isRsa = key.privateKey.asymmetricKeyType === 'rsa';
  const named = algorithm ?? (isRsa ? seq(oid(oids.sha256WithRsa), leaf(0x05, '')) : seq(oid(oids.ecdsaWithSha256)));
  const signed = signature ?? sign('sha256', info, key.privateKey);
  const content = Buffer.concat([info, encode(named), encode(bits(signed))]);
  return encode({ tag: 0x30, content });
}

/** A certificate of an authority, signed with its own key; ten years from 2026. */
export function selfSigned(key: KeyPair, commonName: string): Buffer {
  const isRsa = key.privateKey.asymmetricKeyType === 'rsa';
  const algorithm = isRsa ? seq(oid(oids.sha256WithRsa), leaf(0x05, '')) : seq(oid(oids.ecdsaWithSha256));
  const subject = seq(cn(commonName));
  const spki = key.publicKey.export({ format: 'der', type: 'spki' });
  const keyId = createHash('sha1').update(spki).digest();
  const tbs = encode(
    seq(
      wrap(0xa0, int(2)),
      int(BigInt(`0x4${randomBytes(15).toString('hex')}`)),
      algorithm,
      subject,
      seq(leaf(0x17, '260101000000Z'), leaf(0x17, '360101000000Z')),
      subject,
      raw(spki),
      wrap(
        0xa3,
        seq(
          extension(oids.basicConstraints, seq(leaf(0x01, Buffer.of(0xff))), true),
          extension(oids.keyUsage, leaf(0x03, Buffer.of(1, 0x06)), true),
          extension(oids.subjectKeyIdentifier, octets(keyId)),
        ),
      ),
    ),
  );
  const signature = bits(sign('sha256', tbs, key.privateKey));
  return encode({ tag: 0x30, content: Buffer.concat([tbs, encode(algorithm), encode(signature)]) });
}

/** PKCS#8, PEM. */
export function privatePem({ privateKey }: KeyPair): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' });
}

/** An element that is encoded already. */
export function raw(der: Buffer): Node {
  const header = 2 + ((der[1] as number) > 0x80 ? (der[1] as number) & 0x7f : 0);
  return { tag: der[0] as number, content: der.subarray(header) };
}

export function attribute(type: string, value: Node): Node {
  return set(seq(oid(type), value));
}

export function cn(text: string): Node {
  return attribute(oids.commonName, leaf(0x0c, text));
}

export function extension(type: string, value: Node, critical = false): Node {
  return seq(oid(type), ...(critical ? [leaf(0x01, Buffer.of(0xff))] : []), octets(value));
}

export function extensionRequest(...extensions: readonly Node[]): Node {
  return seq(oid(oids.extensionRequest), set(seq(...extensions)));
}

/** subjectAltName with GeneralNames as given. */
export function san(...names: readonly Node[]): Node {
  return extensionRequest(extension(oids.subjectAltName, seq(...names)));
}

/** GeneralName by kind (RFC 5280 §4.2.1.6); text is written as it is, whether IA5String may hold it or not. */
export const generalName = {
  other: (type: string, text: string) => wrap(0xa0, oid(type), wrap(0xa0, leaf(0x0c, text))),
  email: (text: string) => leaf(0x81, text),
  dns: (text: string | Uint8Array) => leaf(0x82, text),
  x400: () => wrap(0xa3),
  directory: (...rdns: readonly Node[]) => wrap(0xa4, seq(...rdns)),
  ediParty: (text: string) => wrap(0xa5, wrap(0xa1, leaf(0x0c, text))),
  uri: (text: string) => leaf(0x86, text),
  ip: (...bytes: readonly number[]) => leaf(0x87, Uint8Array.from(bytes)),
  registeredId: (dotted: string) => leaf(0x88, encode(oid(dotted)).subarray(2)),
} as const;

export function pem(der: Uint8Array, label = 'CERTIFICATE REQUEST'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
