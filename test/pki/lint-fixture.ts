import { tag } from '#pki/asn1/tag.ts';
import {
  bitString,
  boolean,
  context,
  contextOctets,
  element,
  ia5String,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  time,
  utf8String,
} from '#pki/asn1/writer.ts';
import type { LintOptions } from '#pki/lint/certificate.ts';
import { oids } from '#pki/x509/oid.ts';

/** Sound certificates of every kind, put together from parts so that a test can spoil any single one. */

export interface Parts {
  /** [0] EXPLICIT; undefined: version 1. */
  readonly version: Buffer | undefined;
  readonly serial: Buffer;
  readonly signature: Buffer;
  readonly issuer: Buffer;
  readonly validity: Buffer;
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly uniqueIdentifier?: Buffer;
  /** Complete Extensions by a name of the test's own; undefined: left out. */
  readonly extensions: Readonly<Record<string, Buffer | undefined>>;
}

export interface Sample {
  readonly options: LintOptions;
  readonly parts: Parts;
}

export type Change = Partial<Omit<Parts, 'extensions'>> & { readonly extensions?: Parts['extensions'] };

/** The TBSCertificate of a sample with some parts changed. */
export function prepare({ parts }: Sample, change: Change = {}): Buffer {
  const all: Parts = { ...parts, ...change, extensions: { ...parts.extensions, ...change.extensions } };
  return sequence([
    all.version,
    all.serial,
    all.signature,
    all.issuer,
    all.validity,
    all.subject,
    all.spki,
    all.uniqueIdentifier,
    context(3, [sequence(Object.values(all.extensions))]),
  ]);
}

export function extension(dotted: string, value: Uint8Array, critical = false): Buffer {
  return sequence([oid(dotted), critical ? boolean(true) : undefined, octetString(value)]);
}

/** A Name of attributes, one to an RDN; a value that is text is a UTF8String. */
export function nameOf(...attributes: readonly (readonly [type: string, value: string | Buffer])[]): Buffer {
  return sequence(attributes.map((attribute) => setOf([attributeOf(attribute)])));
}

export function attributeOf([type, value]: readonly [type: string, value: string | Buffer]): Buffer {
  return sequence([oid(type), typeof value === 'string' ? utf8String(value) : value]);
}

export const dns = (text: string) => ia5String(text, 0x82);
export const uri = (text: string) => ia5String(text, 0x86);
export const email = (text: string) => ia5String(text, 0x81);
export const ip = (...octets: readonly number[]) => contextOctets(7, Buffer.from(octets));
export const registeredId = oid('1.2.3.4', 0x88);
export const directoryName = (name: Buffer) => context(4, [name]);

export function altName(names: readonly Buffer[], critical: boolean, type: string = oids.subjectAltName): Buffer {
  return extension(type, sequence(names), critical);
}

/** Bits of KeyUsage by their numbers. */
export function keyUsage(...bits: readonly number[]): Buffer {
  return extension(oids.keyUsage, namedBits(bits.reduce((all, bit) => all | (1 << bit), 0)), true);
}

export function purposes(list: readonly string[], critical = false): Buffer {
  return extension(oids.extendedKeyUsage, sequence(list.map((purpose) => oid(purpose))), critical);
}

export function policies(...list: readonly (readonly [policy: string, ...qualifiers: Buffer[]])[]): Buffer {
  const encoded = list.map(([policy, ...qualifiers]) =>
    sequence([oid(policy), qualifiers.length === 0 ? undefined : sequence(qualifiers)]),
  );
  return extension(oids.certificatePolicies, sequence(encoded));
}

/** One DistributionPoint with these names as its fullName, and what follows. */
export function distributionPoints(names: readonly Buffer[], ...rest: readonly Buffer[]): Buffer {
  const name = names.length === 0 ? undefined : context(0, [element(0xa0, names)]);
  return extension(oids.crlDistributionPoints, sequence([sequence([name, ...rest])]));
}

export function infoAccess(...list: readonly (readonly [method: string, location: Buffer])[]): Buffer {
  const encoded = list.map(([method, location]) => sequence([oid(method), location]));
  return extension(oids.authorityInfoAccess, sequence(encoded));
}

export function basicConstraints(ca: boolean, pathLength?: number, critical = true): Buffer {
  const length = pathLength === undefined ? undefined : integer(pathLength);
  return extension(oids.basicConstraints, sequence([ca ? boolean(true) : undefined, length]), critical);
}

export const algorithm = {
  ecdsa: sequence([oid(oids.ecdsaWithSha256)]),
  rsa: sequence([oid(oids.sha256WithRsa), nullValue()]),
  ed25519: sequence([oid(oids.ed25519)]),
};

export function ecKey(point: Buffer, curve: Buffer = oid(oids.p256)): Buffer {
  return sequence([sequence([oid(oids.ecPublicKey), curve]), bitString(point)]);
}

export function rsaKey(modulus: Buffer, exponent: number, parameters: Buffer | undefined = nullValue()): Buffer {
  const key = sequence([element(tag.integer, [modulus]), integer(exponent)]);
  return sequence([sequence([oid(oids.rsaEncryption), parameters]), bitString(key)]);
}

/** Content octets of an odd INTEGER of so many bits. */
export function odd(bits: number): Buffer {
  return Buffer.concat([Buffer.of(0, 0x80), Buffer.alloc(bits / 8 - 2, 7), Buffer.of(1)]);
}

export const key = {
  p256: ecKey(Buffer.concat([Buffer.of(4), Buffer.alloc(64, 7)])),
  rsa: rsaKey(odd(2048), 65_537),
  ed25519: sequence([sequence([oid(oids.ed25519)]), bitString(Buffer.alloc(32, 7))]),
};

const day = 86_400_000;
export const from = Date.UTC(2026, 10, 21);

export function validity(days: number): Buffer {
  return sequence([time(from), time(from + days * day - 1000)]);
}

export const keyIdentifier = Buffer.alloc(20, 0x17);
const authorityName = nameOf(
  [oids.countryName, printableString('DE')],
  [oids.organizationName, 'Lint Test'],
  [oids.commonName, 'Lint Root'],
);

export const subjectKeyIdentifier = extension(oids.subjectKeyIdentifier, octetString(keyIdentifier));
export const authorityKeyIdentifier = extension(
  oids.authorityKeyIdentifier,
  sequence([contextOctets(0, keyIdentifier)]),
);

const version3 = context(0, [integer(2)]);

const leafParts: Parts = {
  version: version3,
  serial: element(tag.integer, [Buffer.alloc(20, 0x4a)]),
  signature: algorithm.ecdsa,
  issuer: authorityName,
  validity: validity(30),
  subject: nameOf(),
  spki: key.p256,
  extensions: {
    keyUsage: keyUsage(0),
    purposes: purposes([oids.serverAuth]),
    authorityKeyIdentifier,
    subjectKeyIdentifier,
    names: altName([dns('a.example.com')], true),
  },
};

export const leaf: Sample = { options: { kind: 'leaf', profile: 'rfc5280' }, parts: leafParts };

/** The same with RSA, for what EC keys must not have. */
export const rsaLeaf: Sample = { ...leaf, parts: { ...leafParts, spki: key.rsa } };

export const domainValidated = '2.23.140.1.2.1';
export const organizationValidated = '2.23.140.1.2.2';
const ocspUri = 'http://ca.example.com/ocsp';
export const crlUri = 'http://ca.example.com/1.crl';
const issuerUri = 'http://ca.example.com/ca.cer';

const pointers = {
  crl: distributionPoints([uri(crlUri)]),
  access: infoAccess([oids.accessOcsp, uri(ocspUri)], [oids.accessCaIssuers, uri(issuerUri)]),
};

const webParts: Parts = {
  ...leafParts,
  extensions: {
    ...leafParts.extensions,
    subjectKeyIdentifier: undefined,
    policies: policies([domainValidated]),
    ...pointers,
  },
};

export const webLeaf: Sample = { options: { kind: 'leaf', profile: 'web_pki' }, parts: webParts };
export const webRsaLeaf: Sample = { ...webLeaf, parts: { ...webParts, spki: key.rsa } };

export const webNames = altName([dns('a.example.com')], false);

export const organizationSubject = [
  [oids.countryName, printableString('DE')],
  [oids.localityName, 'Köln'],
  [oids.organizationName, 'Lint Test'],
] as const;

/** A certificate whose subject is a validated organization. */
export const organizationLeaf: Sample = {
  ...webLeaf,
  parts: {
    ...webParts,
    subject: nameOf(...organizationSubject),
    extensions: { ...webParts.extensions, names: webNames, policies: policies([organizationValidated]) },
  },
};

const rootParts: Parts = {
  ...leafParts,
  validity: validity(9000),
  subject: authorityName,
  extensions: { basicConstraints: basicConstraints(true), keyUsage: keyUsage(5, 6), subjectKeyIdentifier },
};

export const root: Sample = { options: { kind: 'authority', profile: 'rfc5280' }, parts: rootParts };
export const webRoot: Sample = { options: { kind: 'authority', profile: 'web_pki' }, parts: rootParts };

const authorityParts: Parts = {
  ...rootParts,
  validity: validity(1000),
  subject: nameOf(
    [oids.countryName, printableString('DE')],
    [oids.organizationName, 'Lint Test'],
    [oids.commonName, 'Lint Issuing'],
  ),
  extensions: {
    ...rootParts.extensions,
    authorityKeyIdentifier,
    policies: policies([oids.anyPolicy]),
    purposes: purposes([oids.serverAuth]),
    ...pointers,
  },
};

export const authority: Sample = { options: { kind: 'authority', profile: 'rfc5280' }, parts: authorityParts };
export const webAuthority: Sample = { options: { kind: 'authority', profile: 'web_pki' }, parts: authorityParts };

const responderParts: Parts = {
  ...leafParts,
  subject: nameOf([oids.commonName, 'Lint OCSP']),
  extensions: {
    keyUsage: keyUsage(0),
    purposes: purposes([oids.ocspSigning]),
    authorityKeyIdentifier,
    noCheck: extension(oids.ocspNoCheck, nullValue()),
  },
};

export const responder: Sample = { options: { kind: 'ocsp_signer', profile: 'rfc5280' }, parts: responderParts };
export const webResponder: Sample = { options: { kind: 'ocsp_signer', profile: 'web_pki' }, parts: responderParts };
