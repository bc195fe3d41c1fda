import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DerError } from '#pki/asn1/der-error.ts';
import { type KeyType, sign, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { assembleCertificate, encodeTbsCertificate } from '#pki/x509/certificate.ts';
import { encodeExtension } from '#pki/x509/extension.ts';
import { type GeneratedKey, generateKeyPair } from '#pki/x509/key.ts';
import { encodeName } from '#pki/x509/name.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { decodeSpki, keyIdentifierOf } from '#pki/x509/spki.ts';

/** A key with a certificate, for tests of CRLs and OCSP against other programs, which use the real clock. */
export interface TestSigner {
  readonly keyType: KeyType;
  readonly key: GeneratedKey;
  /** Name, DER. */
  readonly name: Buffer;
  readonly keyIdentifier: Buffer;
  readonly certificate: Buffer;
  readonly pem: string;
  sign(data: Uint8Array): Buffer;
}

export const day = 86_400_000;
/** Whole seconds, as encodings have them. */
export const now = Math.floor(Date.now() / 1000) * 1000;

interface SignerOptions {
  readonly commonName: string;
  readonly serialNumber?: string;
  readonly keyType?: KeyType;
  /** Absent: it signs itself and is a CA. */
  readonly issuer?: TestSigner;
  /** Complete Extensions, DER. */
  readonly extensions?: readonly Buffer[];
}

export async function makeSigner(options: SignerOptions): Promise<TestSigner> {
  const { commonName, serialNumber = '01', keyType = 'ec-p256', issuer, extensions = [] } = options;
  const key = await generateKeyPair(keyType);
  const name = encodeName([{ type: 'common_name', value: commonName }]);
  const keyIdentifier = keyIdentifierOf(decodeSpki(key.spki));
  const self = { keyType, key, name, keyIdentifier, sign: (data: Uint8Array) => sign(key.privateKey, keyType, data) };
  const above = issuer ?? self;
  const forAuthority = [
    encodeExtension('basic_constraints', { ca: true }),
    encodeExtension('key_usage', ['key_cert_sign', 'crl_sign', 'digital_signature']),
  ];
  const tbs = encodeTbsCertificate({
    serialNumber,
    signatureAlgorithm: signatureAlgorithmOf(above.keyType),
    issuer: above.name,
    notBefore: now - day,
    notAfter: now + 30 * day,
    subject: name,
    spki: key.spki,
    extensions: [
      encodeExtension('subject_key_identifier', keyIdentifier),
      encodeExtension('authority_key_identifier', { keyIdentifier: above.keyIdentifier }),
      ...(issuer === undefined ? forAuthority : []),
      ...extensions,
    ],
  });
  const certificate = assembleCertificate(tbs, signatureAlgorithmOf(above.keyType), above.sign(tbs));
  return { ...self, certificate, pem: encodePem('CERTIFICATE', certificate) };
}

/** Writes the files into a folder that lives as long as `use`. */
export async function withFiles<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (path: (name: string) => string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'chancery-x509-'));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    return await use((name) => join(folder, name));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const runFile = promisify(execFile);

/** What the program wrote to both outputs. Throws when it ends with another status than 0. */
export async function run(program: string, parameters: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runFile(program, [...parameters], { timeout: 60_000 });
  return stdout + stderr;
}

/** True when `decode` refuses the input by a `DerError`, false when it takes it; anything else is thrown on. */
export function refuses(decode: () => unknown): boolean {
  try {
    decode();
    return false;
  } catch (thrown) {
    if (thrown instanceof DerError) return true;
    throw thrown;
  }
}

/** The input cut off at every length, and with every byte changed in several ways. */
export function* damaged(der: Buffer): Generator<Buffer> {
  for (let length = 0; length < der.length; length++) yield der.subarray(0, length);
  for (let at = 0; at < der.length; at++) {
    for (const value of [0x00, 0xff, 0x80, 0x30, (der[at] ?? 0) ^ 0x01, (der[at] ?? 0) ^ 0x20]) {
      const copy = Buffer.from(der);
      copy[at] = value;
      yield copy;
    }
  }
}
