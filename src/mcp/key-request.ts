import { generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

/**
 * A key, and a PKCS#10 request (RFC 2986) that proves that it is there: no names, no attributes, since the names of the
 * certificate are parameters of the call.
 */
export interface KeyRequest {
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** PEM. */
  readonly csr: string;
}

const generate = promisify(generateKeyPair) as unknown as (type: string, options: object) => Promise<KeyPair>;

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Kind {
  readonly make: () => Promise<KeyPair>;
  /** AlgorithmIdentifier of the signature, DER in hex (RFC 5758 §3.2, RFC 8410 §3, RFC 4055 §5). */
  readonly algorithm: string;
  /** Null where the algorithm brings its own. */
  readonly digest: string | null;
}

const ecdsa = (namedCurve: string, bits: 256 | 384 | 512, last: string): Kind => ({
  make: () => generate('ec', { namedCurve }),
  algorithm: `300a06082a8648ce3d0403${last}`,
  digest: `sha${bits}`,
});
const rsa = (modulusLength: number): Kind => ({
  make: () => generate('rsa', { modulusLength }),
  algorithm: '300d06092a864886f70d01010b0500',
  digest: 'sha256',
});

const kinds: Readonly<Record<string, Kind>> = {
  'ec-p256': ecdsa('P-256', 256, '02'),
  'ec-p384': ecdsa('P-384', 384, '03'),
  'ec-p521': ecdsa('P-521', 512, '04'),
  ed25519: { make: () => generate('ed25519', {}), algorithm: '300506032b6570', digest: null },
  'rsa-2048': rsa(2048),
  'rsa-3072': rsa(3072),
  'rsa-4096': rsa(4096),
};

/** Undefined for types that are not made here (post-quantum ones). */
export async function makeKeyRequest(keyType: string): Promise<KeyRequest | undefined> {
  const kind = Object.hasOwn(kinds, keyType) ? kinds[keyType] : undefined;
  if (kind === undefined) return undefined;
  const { publicKey, privateKey } = await kind.make();
  const info = sequence(
    Buffer.from('0201003000', 'hex'),
    publicKey.export({ type: 'spki', format: 'der' }),
    Buffer.from('a000', 'hex'),
  );
  const signature = sign(kind.digest, info, privateKey);
  const request = sequence(info, Buffer.from(kind.algorithm, 'hex'), bitString(signature));
  return { privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }), csr: pem(request) };
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function bitString(octets: Uint8Array): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.of(0), octets]));
}

/** Definite lengths, as short as they go (X.690 §10.1). */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const octets = length < 0x1_00 ? [length] : [length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, 0x80 + octets.length, ...octets), content]);
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE REQUEST-----', ...lines, '-----END CERTIFICATE REQUEST-----', ''].join('\n');
}
