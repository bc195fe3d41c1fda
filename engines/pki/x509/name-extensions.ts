import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive } from '#pki/asn1/tag.ts';
import { contextOctets, element, sequence } from '#pki/asn1/writer.ts';
import { formatIp } from '#pki/identifier/ip-address.ts';
import {
  encodeGeneralName,
  encodeGeneralNames,
  type GeneralName,
  type GeneralNameInput,
  type IpGeneralName,
  readGeneralNames,
  readNameButIp,
} from './general-name.ts';

/** subjectAltName and issuerAltName (RFC 5280 §4.2.1.6, §4.2.1.7). */
export function readAltName(reader: DerReader): readonly GeneralName[] {
  return readGeneralNames(reader);
}

export function encodeAltName(names: readonly GeneralNameInput[]): Buffer {
  return encodeGeneralNames(names);
}

/** An iPAddress of a name constraint: a CIDR range. */
export interface IpSubtree {
  readonly kind: 'ip';
  /** `10.0.0.0/8`, `2001:db8::/32`. */
  readonly value: string;
  /** 4 or 16 octets; bits beyond the prefix are zero. */
  readonly bytes: Uint8Array;
  readonly prefix: number;
}

/** GeneralSubtree (RFC 5280 §4.2.1.10). */
export interface GeneralSubtree {
  readonly base: Exclude<GeneralName, IpGeneralName> | IpSubtree;
  /** Must be 0 and undefined by RFC 5280; others are read so that they can be refused with a reason. */
  readonly minimum: number;
  readonly maximum: number | undefined;
}

/** At least one of the two is there when the certificate conforms. */
export interface NameConstraints {
  readonly permitted?: readonly GeneralSubtree[] | undefined;
  readonly excluded?: readonly GeneralSubtree[] | undefined;
}

const ipTag = contextPrimitive(7);
const permittedTag = contextConstructed(0);
const excludedTag = contextConstructed(1);
const minimumTag = contextPrimitive(0);
const maximumTag = contextPrimitive(1);
const maxDistance = 0x7fff_ffff;

export function readNameConstraints(reader: DerReader): NameConstraints {
  return reader.readSequence(() => ({
    permitted: readSubtrees(reader, permittedTag),
    excluded: readSubtrees(reader, excludedTag),
  }));
}

function readSubtrees(reader: DerReader, type: number): GeneralSubtree[] | undefined {
  return reader.peek() === type ? reader.readSequenceOf(readSubtree, 1, type) : undefined;
}

function readSubtree(reader: DerReader): GeneralSubtree {
  return reader.readSequence(readSubtreeFields);
}

function readSubtreeFields(reader: DerReader): GeneralSubtree {
  const base = reader.peek() === ipTag ? readIpSubtree(reader) : readNameButIp(reader);
  const minimum = reader.peek() === minimumTag ? reader.readSmallInteger(maxDistance, minimumTag) : undefined;
  if (minimum === 0) reader.fail('the minimum of a subtree that has its default value is encoded');
  const maximum = reader.peek() === maximumTag ? reader.readSmallInteger(maxDistance, maximumTag) : undefined;
  return { base, minimum: minimum ?? 0, maximum };
}

/** Address and mask (RFC 5280 §4.2.1.10); a mask that is no prefix has no meaning in CIDR and is an error. */
function readIpSubtree(reader: DerReader): IpSubtree {
  const start = reader.offset;
  const octets = reader.readOctetString(ipTag);
  if (octets.length !== 8 && octets.length !== 32) reader.fail('an IP range has neither 8 nor 32 octets', start);
  const size = octets.length / 2;
  const mask = octets.subarray(size);
  const prefix = prefixOf(mask);
  if (prefix === undefined) return reader.fail('the mask of an IP range is not contiguous', start);
  const bytes = octets.subarray(0, size).map((octet, index) => octet & (mask[index] ?? 0));
  return { kind: 'ip', value: `${formatIp(bytes)}/${prefix}`, bytes, prefix };
}

function prefixOf(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, (octet) => octet.toString(2).padStart(8, '0')).join('');
  const prefix = bits.indexOf('0') === -1 ? bits.length : bits.indexOf('0');
  return bits.lastIndexOf('1') < prefix ? prefix : undefined;
}

/** What a subtree to be made is: any name, or a range of addresses (as `IpRange` of `#pki/identifier`). */
export type SubtreeInput =
  | Exclude<GeneralNameInput, { readonly kind: 'ip' }>
  | { readonly kind: 'ip' | 'range'; readonly bytes: Uint8Array; readonly prefix: number };

export interface NameConstraintsInput {
  readonly permitted?: readonly SubtreeInput[] | undefined;
  readonly excluded?: readonly SubtreeInput[] | undefined;
}

export function encodeNameConstraints({ permitted, excluded }: NameConstraintsInput): Buffer {
  return sequence([
    permitted && element(permittedTag, permitted.map(encodeSubtree)),
    excluded && element(excludedTag, excluded.map(encodeSubtree)),
  ]);
}

function encodeSubtree(base: SubtreeInput): Buffer {
  return sequence(['prefix' in base ? encodeRange(base.bytes, base.prefix) : encodeGeneralName(base)]);
}

function encodeRange(bytes: Uint8Array, prefix: number): Buffer {
  if ((bytes.length !== 4 && bytes.length !== 16) || !(prefix >= 0 && prefix <= bytes.length * 8))
    throw new RangeError('not a range of IP addresses');
  const mask = bytes.map((_, index) => (0xff00 >> Math.max(0, Math.min(8, prefix - 8 * index))) & 0xff);
  return contextOctets(7, Buffer.concat([bytes.map((octet, index) => octet & (mask[index] ?? 0)), mask]));
}
