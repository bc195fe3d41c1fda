import type { KeyObject } from 'node:crypto';
import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { contextConstructed } from '#pki/asn1/tag.ts';
import { bitString, element, integer, oid, sequence, setOf } from '#pki/asn1/writer.ts';
import {
  type AlgorithmIdentifier,
  describeSignatureAlgorithm,
  type KeyType,
  readAlgorithmIdentifier,
  sign,
  signatureAlgorithmOf,
  verify,
} from './algorithm.ts';
import { encodeExtension, type Extensions, extensionValue, readExtensions } from './extension.ts';
import type { GeneralName, GeneralNameInput } from './general-name.ts';
import { type Name, readName } from './name.ts';
import { oidName, oids } from './oid.ts';
import { importPublicKey, type PublicKeyInfo, readSpki } from './spki.ts';
import { inspectPublicKey, isGrave, type KeyFault } from './weak-key.ts';

/** Largest request that is read. */
export const maxRequestBytes = 65_536;

/** A certification request (PKCS#10, RFC 2986) as it stands. Whoever sent it need not have its key. */
export interface ParsedRequest {
  /** The whole request. */
  readonly der: Buffer;
  readonly subject: Name;
  readonly key: PublicKeyInfo;
  /** The subjectAltName that is asked for, as it stands; empty when there is none. */
  readonly names: readonly GeneralName[];
  /** Names of the other extensions that are asked for (`oids` names, or dotted). They are never copied. */
  readonly otherExtensions: readonly string[];
  /** The proof of possession: a signature over `info`, yet to be verified. */
  readonly proof: Pick<RequestParts, 'info' | 'signatureAlgorithm' | 'signature'>;
}

/** A request whose key may be certified, if the proof holds. */
export interface UnprovenRequest extends ParsedRequest {
  /** Faults of the key that a caller may tolerate: only ever `rsa_exponent`. All others are thrown. */
  readonly keyFaults: readonly KeyFault[];
}

/** A request whose signature proves possession of its key. */
export interface CertificateRequest extends UnprovenRequest {
  /** The key of `key`, imported. */
  readonly publicKey: KeyObject;
}

interface RequestParts {
  readonly info: Buffer;
  readonly subject: Name;
  readonly key: PublicKeyInfo;
  readonly extensions: Extensions;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Buffer;
}

/**
 * Reads a request, checks its key and verifies its signature. Throws `DerError` when it is malformed, larger than 64
 * KiB or signed by an algorithm that proves nothing, `AppError('refused')` when the key is weak or of a kind that is not
 * certified, `AppError('invalid_request')` when it is not signed with its own key.
 */
export function decodeRequest(der: Uint8Array): CertificateRequest {
  const request = decodeUnprovenRequest(der);
  return { ...request, publicKey: proveRequest(request) };
}

/** As `decodeRequest`, but leaves the proof to `proveRequest`: it is by far the dearest step, and may run elsewhere. */
export function decodeUnprovenRequest(der: Uint8Array): UnprovenRequest {
  const request = parseRequest(der);
  const faults = inspectPublicKey(request.key);
  if (faults.some(isGrave)) throw refusedKey(faults);
  return { ...request, keyFaults: faults };
}

/** Reads a request, and judges neither its key nor its signature. Throws `DerError` as `decodeRequest` does. */
export function parseRequest(der: Uint8Array): ParsedRequest {
  const { extensions, subject, key, ...proof } = readDer(der, maxRequestBytes, (reader) => {
    const request = reader.readSequence(readParts);
    refuseUnknownAlgorithm(reader, request.signatureAlgorithm);
    return request;
  });
  return {
    der: Buffer.from(der.buffer, der.byteOffset, der.byteLength),
    subject,
    key,
    names: extensionValue(extensions, 'subject_alt_name') ?? [],
    otherExtensions: otherExtensions(extensions),
    proof,
  };
}

/**
 * Verifies that the request is signed with the key in it (RFC 2986 §3), and returns that key. Throws
 * `AppError('refused')` when the key is none, `AppError('invalid_request')` when the signature does not verify.
 */
export function proveRequest({ key, proof }: Pick<ParsedRequest, 'key' | 'proof'>): KeyObject {
  const publicKey = importKey(key);
  if (!verify(publicKey, proof.signatureAlgorithm, proof.info, proof.signature)) throw notProven();
  return publicKey;
}

function notProven(): AppError {
  return new AppError('invalid_request', 'The signature of the request does not verify under the key in it.', {
    hint: 'Make the request again with the private key that belongs to its public key.',
  });
}

function readParts(reader: DerReader): RequestParts {
  const start = reader.offset;
  const fields = reader.readSequence(readInfo);
  const info = reader.since(start);
  return {
    ...fields,
    info,
    signatureAlgorithm: readAlgorithmIdentifier(reader),
    signature: reader.readOctetBitString(),
  };
}

function readInfo(reader: DerReader): Pick<RequestParts, 'subject' | 'key' | 'extensions'> {
  // RFC 2986 §4.1 has version 0 only. Some tools write that of certificates, and it means nothing.
  if (reader.readSmallInteger(2) === 1) reader.fail('the version is neither 0 nor 2');
  return { subject: readName(reader), key: readSpki(reader), extensions: readAttributes(reader) };
}

const noExtensions: Extensions = new Map();

/** [0] IMPLICIT SET OF Attribute; of them only extensionRequest (RFC 2985 §5.4.2) says something that is used. */
function readAttributes(reader: DerReader): Extensions {
  let extensions: Extensions | undefined;
  reader.readSetOf(
    () =>
      reader.readSequence(() => {
        const start = reader.offset;
        if (reader.readOid() !== oids.extensionRequest) return reader.readSetOf(skip);
        if (extensions !== undefined) reader.fail('the attribute extensionRequest stands twice', start);
        const values = reader.readSetOf(readExtensions);
        if (values.length !== 1) reader.fail('the attribute extensionRequest has more than one value', start);
        extensions = values[0];
        return values;
      }),
    0,
    contextConstructed(0),
  );
  return extensions ?? noExtensions;
}

function skip(reader: DerReader): void {
  reader.skip();
}

function refuseUnknownAlgorithm(reader: DerReader, algorithm: AlgorithmIdentifier): void {
  const described = describeSignatureAlgorithm(algorithm);
  if (described === undefined) reader.fail(`the signature algorithm ${oidName(algorithm.oid)} is not known`, 0);
  if (described.weak) reader.fail(`the signature algorithm ${described.name} is too weak to prove anything`, 0);
}

function importKey(key: PublicKeyInfo): KeyObject {
  try {
    return importPublicKey(key);
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    throw refusedKey([{ code: 'invalid_key', message: `The key is refused: ${thrown.reason}.` }]);
  }
}

function refusedKey(faults: readonly KeyFault[]): AppError {
  return new AppError('refused', faults.find(isGrave)?.message ?? 'The key of the request cannot be used.', {
    hint: 'Make a new key: P-256, P-384, P-521, Ed25519, RSA of 2048 to 4096 bits, or ML-DSA.',
    details: faults.map(({ code, message }) => ({ at: code, message })),
  });
}

function otherExtensions(extensions: Extensions): string[] {
  const others: string[] = [];
  for (const dotted of extensions.keys()) if (dotted !== oids.subjectAltName) others.push(oidName(dotted));
  return others;
}

/** What a request of ours asks for. */
export interface RequestInput {
  /** Name, DER. */
  readonly subject: Uint8Array;
  /** subjectAltName to ask for; none when empty or absent. */
  readonly names?: readonly GeneralNameInput[] | undefined;
  /** Other complete Extensions, DER, to ask for: basicConstraints and keyUsage of an authority. */
  readonly extensions?: readonly Uint8Array[] | undefined;
  readonly keyType: KeyType;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly privateKey: KeyObject;
}

/** A certification request signed with its own key, DER (RFC 2986 §4). */
export function encodeRequest(input: RequestInput): Buffer {
  const { subject, names = [], extensions = [], keyType, spki, privateKey } = input;
  const wanted = names.length === 0 ? extensions : [encodeExtension('subject_alt_name', names), ...extensions];
  const attributes = wanted.length === 0 ? [] : [sequence([oid(oids.extensionRequest), setOf([sequence(wanted)])])];
  const info = sequence([integer(0), subject, spki, element(contextConstructed(0), attributes)]);
  return sequence([info, signatureAlgorithmOf(keyType), bitString(sign(privateKey, keyType, info))]);
}
