import { hash } from 'node:crypto';
import type { DerReader } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { element, nullValue, octetString, oid, sequence } from '#pki/asn1/writer.ts';
import { readAlgorithmIdentifier } from './algorithm.ts';
import { oids } from './oid.ts';
import { formatSerial, serialOctets } from './serial.ts';
import { decodeSpki } from './spki.ts';

/** The hashes by which a CertID may name the issuer. SHA-1 protects nothing here, and RFC 5019 §2.1.1 demands it. */
export const certIdHashes = ['sha1', 'sha256', 'sha384', 'sha512'] as const;
export type CertIdHash = (typeof certIdHashes)[number];

/** CertID (RFC 6960 §4.1.1): one certificate, by hashes of its issuer's name and key and by its serial number. */
export interface CertId {
  /** The exact bytes, to be echoed in the answer. */
  readonly der: Buffer;
  /** Undefined when the hash is none of `certIdHashes`: such a certificate is nobody's we know. */
  readonly hash: CertIdHash | undefined;
  readonly issuerNameHash: Buffer;
  readonly issuerKeyHash: Buffer;
  /** As `Certificate.serialNumber`. */
  readonly serialNumber: string;
}

const hashesByOid = new Map<string, CertIdHash>(certIdHashes.map((name) => [oids[name], name]));

/** Throws `DerError`. */
export function readCertId(reader: DerReader): CertId {
  const start = reader.offset;
  const fields = reader.readSequence(readCertIdFields);
  return { der: reader.since(start), ...fields };
}

function readCertIdFields(reader: DerReader): Omit<CertId, 'der'> {
  const { oid: dotted, parameters } = readAlgorithmIdentifier(reader);
  const plain = parameters === undefined || (parameters.length === 2 && parameters[0] === tag.null);
  return {
    hash: plain ? hashesByOid.get(dotted) : undefined,
    issuerNameHash: reader.readOctetString(),
    issuerKeyHash: reader.readOctetString(),
    serialNumber: formatSerial(reader.readInteger()),
  };
}

/** Hashes of one issuer's name and key. */
export interface IssuerHash {
  readonly nameHash: Buffer;
  readonly keyHash: Buffer;
}
export type IssuerHashes = Readonly<Record<CertIdHash, IssuerHash>>;

/**
 * The hashes of an issuer under every algorithm that a CertID may use: of its Name in DER, and of the octets of its
 * public key, without algorithm, tag and length (RFC 6960 §4.1.1). Both are taken from the issuer's certificate. To be
 * computed once per issuer. Throws `DerError` as `decodeSpki` does.
 */
export function hashIssuer(name: Uint8Array, spki: Uint8Array): IssuerHashes {
  const key = decodeSpki(spki).keyBits;
  const hashWith = (algorithm: CertIdHash): IssuerHash => ({
    nameHash: hash(algorithm, name, 'buffer'),
    keyHash: hash(algorithm, key, 'buffer'),
  });
  return { sha1: hashWith('sha1'), sha256: hashWith('sha256'), sha384: hashWith('sha384'), sha512: hashWith('sha512') };
}

/** True when the CertID names a certificate of this issuer. */
export function isFromIssuer(
  { hash: algorithm, issuerNameHash, issuerKeyHash }: CertId,
  hashes: IssuerHashes,
): boolean {
  if (algorithm === undefined) return false;
  const { nameHash, keyHash } = hashes[algorithm];
  return issuerKeyHash.equals(keyHash) && issuerNameHash.equals(nameHash);
}

/** The text under which `issuerLookupKeys` lists the issuer that a CertID names; undefined for an unknown hash. */
export function issuerLookupKey({ hash: algorithm, issuerNameHash, issuerKeyHash }: CertId): string | undefined {
  return algorithm && lookupKey(algorithm, issuerNameHash, issuerKeyHash);
}

/** One key per hash algorithm, for a map from CertIDs to issuers where there are many. */
export function issuerLookupKeys(hashes: IssuerHashes): string[] {
  return certIdHashes.map((algorithm) => lookupKey(algorithm, hashes[algorithm].nameHash, hashes[algorithm].keyHash));
}

function lookupKey(algorithm: CertIdHash, nameHash: Buffer, keyHash: Buffer): string {
  return `${algorithm}:${nameHash.toString('base64')}:${keyHash.toString('base64')}`;
}

const identifiers = Object.fromEntries(
  certIdHashes.map((name) => [name, sequence([oid(oids[name]), nullValue()])]),
) as Readonly<Record<CertIdHash, Buffer>>;

/** A CertID, DER. `serialNumber` is hex, positive, at most 20 octets, else `RangeError`. */
export function encodeCertId(algorithm: CertIdHash, hashes: IssuerHashes, serialNumber: string): Buffer {
  const { nameHash, keyHash } = hashes[algorithm];
  const serial = element(tag.integer, [serialOctets(serialNumber)]);
  return sequence([identifiers[algorithm], octetString(nameHash), octetString(keyHash), serial]);
}
