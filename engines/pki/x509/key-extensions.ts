import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import {
  contextOctets,
  defaultFalse,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  unsignedInteger,
} from '#pki/asn1/writer.ts';
import { encodeGeneralNames, type GeneralName, type GeneralNameInput, readGeneralNames } from './general-name.ts';
import { formatSerial } from './serial.ts';

/** RFC 5280 §4.2.1.9. */
export interface BasicConstraints {
  readonly ca: boolean;
  /** How many CA certificates may follow below; undefined: no limit. */
  readonly pathLength?: number | undefined;
}

const longestPath = 0x7fff_ffff;

export function readBasicConstraints(reader: DerReader): BasicConstraints {
  return reader.readSequence(() => ({
    ca: reader.readDefaultFalse(),
    pathLength: reader.peek() === tag.integer ? reader.readSmallInteger(longestPath) : undefined,
  }));
}

export function encodeBasicConstraints({ ca, pathLength }: BasicConstraints): Buffer {
  return sequence([defaultFalse(ca), pathLength === undefined ? undefined : integer(pathLength)]);
}

/** Key usages in the order of their bits (RFC 5280 §4.2.1.3). */
export const keyUsages = [
  'digital_signature',
  'content_commitment',
  'key_encipherment',
  'data_encipherment',
  'key_agreement',
  'key_cert_sign',
  'crl_sign',
  'encipher_only',
  'decipher_only',
] as const;
export type KeyUsage = (typeof keyUsages)[number];

/** May be empty, although RFC 5280 wants at least one. */
export function readKeyUsage(reader: DerReader): readonly KeyUsage[] {
  const bits = reader.readNamedBits();
  return keyUsages.filter((_, bit) => (bits & (1 << bit)) !== 0);
}

export function encodeKeyUsage(usages: readonly KeyUsage[]): Buffer {
  return namedBits(usages.reduce((bits, usage) => bits | (1 << keyUsages.indexOf(usage)), 0));
}

/** Dotted identifiers (RFC 5280 §4.2.1.12). */
export function readExtendedKeyUsage(reader: DerReader): readonly string[] {
  return reader.readSequenceOf(() => reader.readOid());
}

export function encodeExtendedKeyUsage(usages: readonly string[]): Buffer {
  return sequence(usages.map((usage) => oid(usage)));
}

/** RFC 5280 §4.2.1.2. */
export function readKeyIdentifier(reader: DerReader): Buffer {
  return reader.readOctetString();
}

export function encodeKeyIdentifier(identifier: Uint8Array): Buffer {
  return octetString(identifier);
}

/** RFC 5280 §4.2.1.1. */
export interface AuthorityKeyIdentifier {
  readonly keyIdentifier?: Uint8Array | undefined;
  readonly authorityCertIssuer?: readonly GeneralName[] | undefined;
  /** As `Certificate.serialNumber`. */
  readonly authorityCertSerialNumber?: string | undefined;
}

export function readAuthorityKeyIdentifier(reader: DerReader): AuthorityKeyIdentifier {
  return reader.readSequence(() => ({
    keyIdentifier: reader.peek() === contextPrimitive(0) ? reader.readOctetString(contextPrimitive(0)) : undefined,
    authorityCertIssuer:
      reader.peek() === contextConstructed(1) ? readGeneralNames(reader, contextConstructed(1)) : undefined,
    authorityCertSerialNumber:
      reader.peek() === contextPrimitive(2) ? formatSerial(reader.readInteger(contextPrimitive(2))) : undefined,
  }));
}

export interface AuthorityKeyIdentifierInput {
  readonly keyIdentifier?: Uint8Array | undefined;
  readonly authorityCertIssuer?: readonly GeneralNameInput[] | undefined;
  /** Lower-case hex, positive. */
  readonly authorityCertSerialNumber?: string | undefined;
}

export function encodeAuthorityKeyIdentifier(value: AuthorityKeyIdentifierInput): Buffer {
  const { keyIdentifier, authorityCertIssuer, authorityCertSerialNumber } = value;
  return sequence([
    keyIdentifier && contextOctets(0, keyIdentifier),
    authorityCertIssuer && encodeGeneralNames(authorityCertIssuer, contextConstructed(1)),
    authorityCertSerialNumber === undefined
      ? undefined
      : unsignedInteger(Buffer.from(authorityCertSerialNumber, 'hex'), contextPrimitive(2)),
  ]);
}
