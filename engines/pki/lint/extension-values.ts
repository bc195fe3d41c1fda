import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { isTextTag } from '#pki/asn1/text.ts';
import { oids } from '#pki/x509/oid.ts';
import { constraintFlaws, emailFlaws, nameFlaw } from './name-syntax.ts';
import {
  type GeneralNamesView,
  type GeneralNameView,
  nameTag,
  readGeneralNamesView,
  readGeneralNameView,
  readNameView,
} from './names-view.ts';

/** The values of extensions as the rules see them; every reader throws `DerError` for what is not of its type. */

const largest = 0x7fff_ffff;

export interface BasicConstraintsView {
  readonly ca: boolean;
  readonly pathLength: number | undefined;
}

export function readBasicConstraints(reader: DerReader): BasicConstraintsView {
  return reader.readSequence(readBasicConstraintsFields);
}

function readBasicConstraintsFields(reader: DerReader): BasicConstraintsView {
  const ca = reader.readDefaultFalse();
  return { ca, pathLength: reader.peek() === tag.integer ? reader.readSmallInteger(largest) : undefined };
}

/** Bits of KeyUsage (RFC 5280 §4.2.1.3). */
export const usage = {
  digitalSignature: 1 << 0,
  contentCommitment: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const;

export function readKeyUsage(reader: DerReader): number {
  return reader.readNamedBits();
}

/** Dotted identifiers. */
export function readExtendedKeyUsage(reader: DerReader): readonly string[] {
  return reader.readSequenceOf(readOid);
}

function readOid(reader: DerReader): string {
  return reader.readOid();
}

export function readSubjectKeyIdentifier(reader: DerReader): Buffer {
  return reader.readOctetString();
}

export interface AuthorityKeyIdentifierView {
  readonly keyIdentifier: Buffer | undefined;
  readonly issuer: GeneralNamesView | undefined;
  readonly hasSerial: boolean;
}

const keyIdentifierTag = contextPrimitive(0);
const issuerTag = contextConstructed(1);
const serialTag = contextPrimitive(2);

export function readAuthorityKeyIdentifier(reader: DerReader): AuthorityKeyIdentifierView {
  return reader.readSequence(readAuthorityKeyIdentifierFields);
}

function readAuthorityKeyIdentifierFields(reader: DerReader): AuthorityKeyIdentifierView {
  const keyIdentifier = reader.peek() === keyIdentifierTag ? reader.readOctetString(keyIdentifierTag) : undefined;
  const issuer = reader.peek() === issuerTag ? readGeneralNamesView(reader, issuerTag) : undefined;
  const hasSerial = reader.peek() === serialTag;
  if (hasSerial) reader.readInteger(serialTag);
  return { keyIdentifier, issuer, hasSerial };
}

export function readAltName(reader: DerReader): GeneralNamesView {
  return readGeneralNamesView(reader);
}

/** GeneralSubtree (RFC 5280 §4.2.1.10). */
export interface SubtreeView {
  /** One of `nameTag`. */
  readonly tag: number;
  /** Of a dNSName, URI or rfc822Name; else empty. */
  readonly text: string;
  /** Address and mask. */
  readonly octets: Buffer | undefined;
  /** Bits of `nameFlaw`. */
  readonly flaws: number;
  /** The encoding has a minimum, which it must not have when it is 0. */
  readonly hasMinimum: boolean;
  readonly hasMaximum: boolean;
}

export interface NameConstraintsView {
  readonly permitted: readonly SubtreeView[];
  readonly excluded: readonly SubtreeView[];
}

const permittedTag = contextConstructed(0);
const excludedTag = contextConstructed(1);
const minimumTag = contextPrimitive(0);
const maximumTag = contextPrimitive(1);

export function readNameConstraints(reader: DerReader): NameConstraintsView {
  return reader.readSequence(readNameConstraintsFields);
}

function readNameConstraintsFields(reader: DerReader): NameConstraintsView {
  const permitted = reader.peek() === permittedTag ? reader.readSequenceOf(readSubtree, 1, permittedTag) : [];
  const excluded = reader.peek() === excludedTag ? reader.readSequenceOf(readSubtree, 1, excludedTag) : [];
  return { permitted, excluded };
}

function readSubtree(reader: DerReader): SubtreeView {
  return reader.readSequence(readSubtreeFields);
}

function readSubtreeFields(reader: DerReader): SubtreeView {
  const base = readSubtreeBase(reader);
  const hasMinimum = reader.peek() === minimumTag;
  if (hasMinimum) reader.readSmallInteger(largest, minimumTag);
  const hasMaximum = reader.peek() === maximumTag;
  if (hasMaximum) reader.readSmallInteger(largest, maximumTag);
  return { ...base, hasMinimum, hasMaximum };
}

type SubtreeBase = Pick<SubtreeView, 'tag' | 'text' | 'octets' | 'flaws'>;

function readSubtreeBase(reader: DerReader): SubtreeBase {
  const type = reader.peek();
  if (type === nameTag.ip) {
    const octets = reader.readOctetString(type);
    return { tag: type, text: '', octets, flaws: isRange(octets) ? 0 : nameFlaw.ipLength };
  }
  if (type === nameTag.dns || type === nameTag.uri || type === nameTag.email) {
    const text = reader.readText(tag.ia5String, type);
    return { tag: type, text, octets: undefined, flaws: subtreeFlaws(type, text) };
  }
  // An empty directoryName is the root of all names.
  if (type === nameTag.directory) reader.readConstructed(type, readNameView);
  else readGeneralNameView(reader);
  return { tag: type, text: '', octets: undefined, flaws: 0 };
}

function subtreeFlaws(type: number, text: string): number {
  // An empty dNSName or rfc822Name is how all names of the kind are excluded.
  if (text === '') return type === nameTag.uri ? nameFlaw.empty : 0;
  return type === nameTag.email && text.includes('@') ? emailFlaws(text) : constraintFlaws(text);
}

/** Address and mask, the mask a prefix (RFC 4632 §5.1, as RFC 5280 §4.2.1.10 has it). */
function isRange(octets: Buffer): boolean {
  if (octets.length !== 8 && octets.length !== 32) return false;
  const mask = octets.toString('hex', octets.length / 2);
  return /^f*[8ce]?0*$/.test(mask);
}

export interface QualifierView {
  readonly id: string;
  /** The URI of a CPS pointer. */
  readonly cps: string | undefined;
  readonly notice: NoticeView | undefined;
}

export interface NoticeView {
  readonly hasReference: boolean;
  /** Identifier octet of explicitText; -1 when there is none. */
  readonly tag: number;
  readonly text: string;
}

export interface PolicyView {
  readonly oid: string;
  readonly qualifiers: readonly QualifierView[];
}

const none: readonly QualifierView[] = [];

export function readPolicies(reader: DerReader): readonly PolicyView[] {
  return reader.readSequenceOf(readPolicy);
}

function readPolicy(reader: DerReader): PolicyView {
  return reader.readSequence(readPolicyFields);
}

function readPolicyFields(reader: DerReader): PolicyView {
  return { oid: reader.readOid(), qualifiers: reader.atEnd ? none : reader.readSequenceOf(readQualifier) };
}

function readQualifier(reader: DerReader): QualifierView {
  return reader.readSequence(readQualifierFields);
}

function readQualifierFields(reader: DerReader): QualifierView {
  const id = reader.readOid();
  if (id === oids.policyCps) return { id, cps: reader.readText(tag.ia5String), notice: undefined };
  if (id === oids.policyUserNotice) return { id, cps: undefined, notice: reader.readSequence(readNotice) };
  reader.skip();
  return { id, cps: undefined, notice: undefined };
}

function readNotice(reader: DerReader): NoticeView {
  const hasReference = reader.peek() === tag.sequence;
  if (hasReference) reader.skip();
  const type = reader.peek();
  if (type === -1) return { hasReference, tag: -1, text: '' };
  if (!isTextTag(type)) reader.fail('the text of a user notice is no character string');
  return { hasReference, tag: type, text: reader.readText(type) };
}

export interface PolicyMappingView {
  readonly issuerPolicy: string;
  readonly subjectPolicy: string;
}

export function readPolicyMappings(reader: DerReader): readonly PolicyMappingView[] {
  return reader.readSequenceOf(readPolicyMapping);
}

function readPolicyMapping(reader: DerReader): PolicyMappingView {
  return reader.readSequence(() => ({ issuerPolicy: reader.readOid(), subjectPolicy: reader.readOid() }));
}

export interface PolicyConstraintsView {
  readonly requireExplicitPolicy: number | undefined;
  readonly inhibitPolicyMapping: number | undefined;
}

export function readPolicyConstraints(reader: DerReader): PolicyConstraintsView {
  return reader.readSequence(() => ({
    requireExplicitPolicy: readSkip(reader, contextPrimitive(0)),
    inhibitPolicyMapping: readSkip(reader, contextPrimitive(1)),
  }));
}

function readSkip(reader: DerReader, type: number): number | undefined {
  return reader.peek() === type ? reader.readSmallInteger(largest, type) : undefined;
}

export function readInhibitAnyPolicy(reader: DerReader): number {
  return reader.readSmallInteger(largest);
}

/** DistributionPoint (RFC 5280 §4.2.1.13). */
export interface DistributionPointView {
  readonly fullName: GeneralNamesView | undefined;
  readonly hasRelativeName: boolean;
  readonly hasReasons: boolean;
  readonly issuer: GeneralNamesView | undefined;
}

/** cRLDistributionPoints and freshestCRL; the names are those of all points together. */
export interface DistributionPointsView extends GeneralNamesView {
  readonly points: readonly DistributionPointView[];
}

const reasonsTag = contextPrimitive(1);
const crlIssuerTag = contextConstructed(2);

export function readDistributionPoints(reader: DerReader): DistributionPointsView {
  const points = reader.readSequenceOf(readDistributionPoint);
  const names: GeneralNameView[] = [];
  let flaws = 0;
  for (const { fullName } of points) {
    if (fullName === undefined) continue;
    names.push(...fullName.names);
    flaws |= fullName.flaws;
  }
  return { points, names, flaws };
}

function readDistributionPoint(reader: DerReader): DistributionPointView {
  return reader.readSequence(readDistributionPointFields);
}

function readDistributionPointFields(reader: DerReader): DistributionPointView {
  const name = reader.readOptionalContext(0, readPointName);
  const hasReasons = reader.peek() === reasonsTag;
  if (hasReasons) reader.readNamedBits(reasonsTag);
  const issuer = reader.peek() === crlIssuerTag ? readGeneralNamesView(reader, crlIssuerTag) : undefined;
  return { fullName: name?.fullName, hasRelativeName: name?.hasRelativeName ?? false, hasReasons, issuer };
}

/** DistributionPointName: fullName [0], or nameRelativeToCRLIssuer [1], a RelativeDistinguishedName. */
export function readPointName(reader: DerReader): Pick<DistributionPointView, 'fullName' | 'hasRelativeName'> {
  const type = reader.peek();
  if (type !== contextConstructed(1))
    return { fullName: readGeneralNamesView(reader, contextConstructed(0)), hasRelativeName: false };
  reader.readSetOf(skipOne, 1, type);
  return { fullName: undefined, hasRelativeName: true };
}

function skipOne(reader: DerReader): void {
  reader.skip();
}

/** AccessDescription (RFC 5280 §4.2.2.1). */
export interface AccessView {
  readonly method: string;
  readonly location: GeneralNameView;
}

/** authorityInfoAccess and subjectInfoAccess; the names are the locations. */
export interface InfoAccessView extends GeneralNamesView {
  readonly accesses: readonly AccessView[];
}

export function readInfoAccess(reader: DerReader): InfoAccessView {
  const accesses = reader.readSequenceOf(readAccess);
  let flaws = 0;
  for (const { location } of accesses) flaws |= location.flaws;
  return { accesses, names: accesses.map(locationOf), flaws };
}

function locationOf({ location }: AccessView): GeneralNameView {
  return location;
}

function readAccess(reader: DerReader): AccessView {
  return reader.readSequence(readAccessFields);
}

function readAccessFields(reader: DerReader): AccessView {
  return { method: reader.readOid(), location: readGeneralNameView(reader) };
}

/** SubjectDirectoryAttributes (RFC 5280 §4.2.1.8): attributes, each with at least one value. */
export function readDirectoryAttributes(reader: DerReader): number {
  return reader.readSequenceOf(readDirectoryAttribute).length;
}

function readDirectoryAttribute(reader: DerReader): void {
  reader.readSequence(() => {
    reader.readOid();
    reader.readSetOf(skipOne);
  });
}

export function readNull(reader: DerReader): true {
  reader.readNull();
  return true;
}

export function readOctets(reader: DerReader): Buffer {
  return reader.readOctetString();
}

/** Features of TLS (RFC 7633 §6): numbers of extensions. */
export function readTlsFeature(reader: DerReader): readonly number[] {
  return reader.readSequenceOf(() => reader.readSmallInteger(0xffff), 0);
}
