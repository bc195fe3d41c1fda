import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { defaultFalse, nullValue, octetString, oid, sequence } from '#pki/asn1/writer.ts';
import * as access from './access-extensions.ts';
import * as key from './key-extensions.ts';
import * as names from './name-extensions.ts';
import { oids } from './oid.ts';
import * as policy from './policy-extensions.ts';

/** Extension (RFC 5280 §4.2), its value not yet looked into. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** The content of extnValue: DER of the extension's own type. A view. */
  readonly value: Buffer;
}

/** Extensions by dotted identifier, in the order in which they stand. */
export type Extensions = ReadonlyMap<string, Extension>;

/** Reads Extensions; at least one, and none twice (RFC 5280 §4.2). Throws `DerError`. Values are not looked into. */
export function readExtensions(reader: DerReader): Extensions {
  const extensions = new Map<string, Extension>();
  reader.readSequenceOf(() => {
    const start = reader.offset;
    const extension = readExtension(reader);
    if (extensions.has(extension.oid)) reader.fail(`the extension ${extension.oid} stands twice`, start);
    extensions.set(extension.oid, extension);
  });
  return extensions;
}

/** Reads one Extension. */
export function readExtension(reader: DerReader): Extension {
  return reader.readSequence(readExtensionFields);
}

function readExtensionFields(reader: DerReader): Extension {
  return { oid: reader.readOid(), critical: reader.readDefaultFalse(), value: reader.readOctetString() };
}

/** An Extension of any kind around a value that is encoded already. */
export function encodeRawExtension(dotted: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence([oid(dotted), defaultFalse(critical), octetString(value)]);
}

interface Codec<Value, Input = Value> {
  readonly oid: string;
  /** What RFC 5280 says for conforming CAs; where it leaves the choice, what clients get along with. */
  readonly critical: boolean;
  readonly read: (reader: DerReader) => Value;
  readonly encode: (value: Input) => Buffer;
}

function codec<Value, Input>(
  dotted: string,
  critical: boolean,
  read: (reader: DerReader) => Value,
  encode: (value: Input) => Buffer,
): Codec<Value, Input> {
  return { oid: dotted, critical, read, encode };
}

/** Every extension that is understood. */
const codecs = {
  basic_constraints: codec(oids.basicConstraints, true, key.readBasicConstraints, key.encodeBasicConstraints),
  key_usage: codec(oids.keyUsage, true, key.readKeyUsage, key.encodeKeyUsage),
  extended_key_usage: codec(oids.extendedKeyUsage, false, key.readExtendedKeyUsage, key.encodeExtendedKeyUsage),
  subject_key_identifier: codec(oids.subjectKeyIdentifier, false, key.readKeyIdentifier, key.encodeKeyIdentifier),
  authority_key_identifier: codec(
    oids.authorityKeyIdentifier,
    false,
    key.readAuthorityKeyIdentifier,
    key.encodeAuthorityKeyIdentifier,
  ),
  subject_alt_name: codec(oids.subjectAltName, false, names.readAltName, names.encodeAltName),
  issuer_alt_name: codec(oids.issuerAltName, false, names.readAltName, names.encodeAltName),
  name_constraints: codec(oids.nameConstraints, true, names.readNameConstraints, names.encodeNameConstraints),
  crl_distribution_points: codec(
    oids.crlDistributionPoints,
    false,
    access.readDistributionPoints,
    access.encodeDistributionPoints,
  ),
  freshest_crl: codec(oids.freshestCrl, false, access.readDistributionPoints, access.encodeDistributionPoints),
  authority_info_access: codec(oids.authorityInfoAccess, false, access.readInfoAccess, access.encodeInfoAccess),
  subject_info_access: codec(oids.subjectInfoAccess, false, access.readInfoAccess, access.encodeInfoAccess),
  certificate_policies: codec(oids.certificatePolicies, false, policy.readPolicies, policy.encodePolicies),
  policy_mappings: codec(oids.policyMappings, true, policy.readPolicyMappings, policy.encodePolicyMappings),
  policy_constraints: codec(oids.policyConstraints, true, policy.readPolicyConstraints, policy.encodePolicyConstraints),
  inhibit_any_policy: codec(oids.inhibitAnyPolicy, true, policy.readInhibitAnyPolicy, policy.encodeInhibitAnyPolicy),
  ocsp_no_check: codec(oids.ocspNoCheck, false, readNoCheck, nullValue),
} as const;

/** RFC 6960 §4.2.2.2.1: the value is NULL; being there is all it says. */
function readNoCheck(reader: DerReader): true {
  reader.readNull();
  return true;
}

export type ExtensionKind = keyof typeof codecs;
export type ExtensionValue<Kind extends ExtensionKind> = ReturnType<(typeof codecs)[Kind]['read']>;
export type ExtensionInput<Kind extends ExtensionKind> = Parameters<(typeof codecs)[Kind]['encode']>[0];

const kindsByOid = new Map<string, ExtensionKind>(
  Object.entries(codecs).map(([kind, { oid: dotted }]) => [dotted, kind as ExtensionKind]),
);

/** The kind of extension that an identifier stands for; undefined when it is none that is understood. */
export function extensionKindOf(dotted: string): ExtensionKind | undefined {
  return kindsByOid.get(dotted);
}

/**
 * A complete Extension of this kind. `critical` defaults to what RFC 5280 §4.2.1 wants; a subjectAltName must be made
 * critical by the caller when the subject is empty (§4.2.1.6).
 */
export function encodeExtension<Kind extends ExtensionKind>(
  kind: Kind,
  value: ExtensionInput<Kind>,
  critical: boolean = codecs[kind].critical,
): Buffer {
  const { oid: dotted, encode } = codecs[kind] as Codec<unknown, ExtensionInput<Kind>>;
  return encodeRawExtension(dotted, critical, encode(value));
}

const decoded = new WeakMap<Extension, unknown>();

/** The extension of this kind with its value decoded, or undefined when there is none. Throws `DerError`. */
export function getExtension<Kind extends ExtensionKind>(
  extensions: Extensions,
  kind: Kind,
): { readonly critical: boolean; readonly value: ExtensionValue<Kind> } | undefined {
  const extension = extensions.get(codecs[kind].oid);
  if (extension === undefined) return undefined;
  let value = decoded.get(extension) as ExtensionValue<Kind> | undefined;
  if (value === undefined) {
    value = decodeExtensionValue(kind, extension.value);
    decoded.set(extension, value);
  }
  return { critical: extension.critical, value };
}

/** The decoded value alone; see `getExtension`. */
export function extensionValue<Kind extends ExtensionKind>(
  extensions: Extensions,
  kind: Kind,
): ExtensionValue<Kind> | undefined {
  return getExtension(extensions, kind)?.value;
}

/** Decodes the content of an extnValue. Throws `DerError`, with offsets in `value`. */
export function decodeExtensionValue<Kind extends ExtensionKind>(kind: Kind, value: Uint8Array): ExtensionValue<Kind> {
  return readDer(value, value.length, codecs[kind].read as (reader: DerReader) => ExtensionValue<Kind>);
}
