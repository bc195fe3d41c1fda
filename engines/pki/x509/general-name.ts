import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { context, contextOctets, element, ia5String, oid, sequence, utf8String } from '#pki/asn1/writer.ts';
import { formatIp } from '#pki/identifier/ip-address.ts';
import { escapeInvisible, formatName, type Name, readName } from './name.ts';
import { oids } from './oid.ts';

/** otherName (RFC 5280 §4.2.1.6). */
export interface OtherName {
  readonly kind: 'other';
  readonly typeId: string;
  /** The text of a UPN or SmtpUTF8Mailbox; else `#` and the hex of the encoding. */
  readonly value: string;
  /** The value as one element. */
  readonly der: Buffer;
}

/** An iPAddress as 4 or 16 octets. */
export interface IpGeneralName {
  readonly kind: 'ip';
  /** Dotted decimal, or RFC 5952. */
  readonly value: string;
  readonly bytes: Uint8Array;
}

/** A name kind that is carried along but not understood: x400Address, ediPartyName. */
export interface OpaqueName {
  readonly kind: 'x400' | 'edi_party';
  readonly value: string;
  readonly der: Buffer;
}

interface TextName {
  readonly kind: 'dns' | 'uri' | 'email' | 'registered_id';
  readonly value: string;
}

export interface DirectoryName {
  readonly kind: 'directory';
  readonly name: Name;
}

/** GeneralName (RFC 5280 §4.2.1.6). Texts are as they stand in the certificate: ASCII, but otherwise unchecked. */
export type GeneralName = TextName | IpGeneralName | DirectoryName | OtherName | OpaqueName;

/** What can be encoded: also an identifier of `#pki/identifier`, and a directory name given by its DER alone. */
export type GeneralNameInput =
  | { readonly kind: 'dns' | 'uri' | 'email' | 'registered_id'; readonly value: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly name: { readonly der: Uint8Array } }
  | { readonly kind: 'upn'; readonly value: string }
  | { readonly kind: 'other'; readonly typeId: string; readonly der: Uint8Array }
  | { readonly kind: 'x400' | 'edi_party'; readonly der: Uint8Array };

const primitive = {
  email: contextPrimitive(1),
  dns: contextPrimitive(2),
  uri: contextPrimitive(6),
  ip: contextPrimitive(7),
  registeredId: contextPrimitive(8),
};
const constructed = {
  other: contextConstructed(0),
  x400: contextConstructed(3),
  directory: contextConstructed(4),
  ediParty: contextConstructed(5),
};

/** Reads a GeneralName; an iPAddress must have 4 or 16 octets. Throws `DerError`. */
export function readGeneralName(reader: DerReader): GeneralName {
  return reader.peek() === primitive.ip ? readIp(reader) : readNameButIp(reader);
}

/** GeneralNames: at least one. `type` is the identifier octet of the list. */
export function readGeneralNames(reader: DerReader, type: number = tag.sequence): GeneralName[] {
  return reader.readSequenceOf(readGeneralName, 1, type);
}

/** Reads every kind but iPAddress, whose octets mean something else in name constraints. */
export function readNameButIp(reader: DerReader): Exclude<GeneralName, IpGeneralName> {
  const type = reader.peek();
  switch (type) {
    case primitive.dns:
      return { kind: 'dns', value: reader.readText(tag.ia5String, type) };
    case primitive.uri:
      return { kind: 'uri', value: reader.readText(tag.ia5String, type) };
    case primitive.email:
      return { kind: 'email', value: reader.readText(tag.ia5String, type) };
    case constructed.directory:
      return { kind: 'directory', name: reader.readConstructed(type, readName) };
    case constructed.other:
      return reader.readConstructed(type, readOtherName);
    case primitive.registeredId:
      return { kind: 'registered_id', value: reader.readOid(type) };
    case constructed.x400:
      return readOpaque(reader, 'x400');
    case constructed.ediParty:
      return readOpaque(reader, 'edi_party');
    default:
      return reader.fail('a GeneralName is of no known kind');
  }
}

function readIp(reader: DerReader): IpGeneralName {
  const start = reader.offset;
  const bytes = reader.readOctetString(primitive.ip);
  if (bytes.length !== 4 && bytes.length !== 16) reader.fail('an iPAddress has neither 4 nor 16 octets', start);
  return { kind: 'ip', value: formatIp(bytes), bytes };
}

function readOpaque(reader: DerReader, kind: OpaqueName['kind']): OpaqueName {
  const der = reader.readAny();
  return { kind, value: `#${der.toString('hex')}`, der };
}

function readOtherName(reader: DerReader): OtherName {
  const typeId = reader.readOid();
  return reader.readContext(0, () => {
    const start = reader.offset;
    const isText =
      reader.peek() === tag.utf8String && (typeId === oids.userPrincipalName || typeId === oids.smtpUtf8Mailbox);
    const text = isText ? reader.readText(tag.utf8String) : undefined;
    const der = text === undefined ? reader.readAny() : reader.since(start);
    return { kind: 'other', typeId, value: text ?? `#${der.toString('hex')}`, der };
  });
}

/** Encodes a GeneralName. Throws `RangeError` when the value does not fit its type (text that is not ASCII, say). */
export function encodeGeneralName(name: GeneralNameInput): Buffer {
  switch (name.kind) {
    case 'dns':
      return ia5String(name.value, primitive.dns);
    case 'uri':
      return ia5String(name.value, primitive.uri);
    case 'email':
      return ia5String(name.value, primitive.email);
    case 'ip':
      return encodeIp(name.bytes);
    case 'directory':
      return context(4, [name.name.der]);
    case 'registered_id':
      return oid(name.value, primitive.registeredId);
    case 'upn':
      return encodeOtherName(oids.userPrincipalName, utf8String(name.value));
    case 'other':
      return encodeOtherName(name.typeId, name.der);
    default:
      return Buffer.from(name.der);
  }
}

function encodeIp(bytes: Uint8Array): Buffer {
  if (bytes.length !== 4 && bytes.length !== 16) throw new RangeError('an IP address has 4 or 16 octets');
  return contextOctets(7, bytes);
}

function encodeOtherName(typeId: string, value: Uint8Array): Buffer {
  return context(0, [oid(typeId), context(0, [value])]);
}

/** GeneralNames; at least one. `type` is the identifier octet of the list. */
export function encodeGeneralNames(names: readonly GeneralNameInput[], type: number = tag.sequence): Buffer {
  if (names.length === 0) throw new RangeError('GeneralNames must hold a name');
  return type === tag.sequence ? sequence(names.map(encodeGeneralName)) : element(type, names.map(encodeGeneralName));
}

/** One line for people and logs: `dns:a.example`, `ip:10.0.0.1`, `directory:CN=x`; what cannot be seen is escaped. */
export function formatGeneralName(name: GeneralName): string {
  if (name.kind === 'directory') return `directory:${formatName(name.name)}`;
  const text = name.kind === 'other' ? `${name.typeId}:${name.value}` : name.value;
  return `${name.kind}:${escapeInvisible(text)}`;
}
