import type { DerReader } from '#pki/asn1/reader.ts';
import { contextPrimitive, tag } from '#pki/asn1/tag.ts';
import { isTextTag } from '#pki/asn1/text.ts';
import { ia5String, integer, oid, sequence, utf8String } from '#pki/asn1/writer.ts';
import { oids } from './oid.ts';

/** PolicyQualifierInfo (RFC 5280 §4.2.1.4). */
export interface PolicyQualifier {
  readonly id: string;
  /** Where the certification practice statement is; qualifiers of type id-qt-cps only. */
  readonly cps?: string | undefined;
  /** The explicitText of a user notice, where there is one. */
  readonly noticeText?: string | undefined;
  /** The qualifier as one element. */
  readonly der: Buffer;
}

/** PolicyInformation. */
export interface CertificatePolicy {
  readonly oid: string;
  readonly qualifiers: readonly PolicyQualifier[];
}

export function readPolicies(reader: DerReader): readonly CertificatePolicy[] {
  return reader.readSequenceOf(readPolicy);
}

function readPolicy(reader: DerReader): CertificatePolicy {
  return reader.readSequence(() => ({
    oid: reader.readOid(),
    qualifiers: reader.atEnd ? [] : reader.readSequenceOf(readQualifier),
  }));
}

function readQualifier(reader: DerReader): PolicyQualifier {
  return reader.readSequence(() => {
    const id = reader.readOid();
    const start = reader.offset;
    const cps = id === oids.policyCps ? reader.readText(tag.ia5String) : undefined;
    const noticeText = id === oids.policyUserNotice ? reader.readSequence(readUserNotice) : undefined;
    if (cps === undefined && id !== oids.policyUserNotice) reader.skip();
    return { id, cps, noticeText, der: reader.since(start) };
  });
}

/** UserNotice ::= SEQUENCE { noticeRef SEQUENCE OPTIONAL, explicitText DisplayText OPTIONAL } */
function readUserNotice(reader: DerReader): string | undefined {
  if (reader.peek() === tag.sequence) reader.skip();
  if (reader.atEnd) return undefined;
  const type = reader.peek();
  if (!isTextTag(type)) reader.fail('the text of a user notice is no character string');
  return reader.readText(type);
}

export interface CertificatePolicyInput {
  readonly oid: string;
  /** URI of the certification practice statement. */
  readonly cps?: string | undefined;
  /** Text of a user notice; at most 200 characters (RFC 5280 §4.2.1.4). */
  readonly noticeText?: string | undefined;
}

export function encodePolicies(policies: readonly CertificatePolicyInput[]): Buffer {
  return sequence(policies.map(encodePolicy));
}

function encodePolicy({ oid: dotted, cps, noticeText }: CertificatePolicyInput): Buffer {
  const qualifiers = [
    cps === undefined ? undefined : sequence([oid(oids.policyCps), ia5String(cps)]),
    noticeText === undefined ? undefined : sequence([oid(oids.policyUserNotice), sequence([utf8String(noticeText)])]),
  ];
  const none = cps === undefined && noticeText === undefined;
  return sequence([oid(dotted), none ? undefined : sequence(qualifiers)]);
}

/** One pair of PolicyMappings (RFC 5280 §4.2.1.5), dotted identifiers. */
export interface PolicyMapping {
  readonly issuerDomainPolicy: string;
  readonly subjectDomainPolicy: string;
}

export function readPolicyMappings(reader: DerReader): readonly PolicyMapping[] {
  return reader.readSequenceOf(() =>
    reader.readSequence(() => ({ issuerDomainPolicy: reader.readOid(), subjectDomainPolicy: reader.readOid() })),
  );
}

export function encodePolicyMappings(mappings: readonly PolicyMapping[]): Buffer {
  return sequence(
    mappings.map(({ issuerDomainPolicy, subjectDomainPolicy }) =>
      sequence([oid(issuerDomainPolicy), oid(subjectDomainPolicy)]),
    ),
  );
}

/** RFC 5280 §4.2.1.11: after how many certificates each begins to hold. At least one is there when it conforms. */
export interface PolicyConstraints {
  readonly requireExplicitPolicy?: number | undefined;
  readonly inhibitPolicyMapping?: number | undefined;
}

const maxSkip = 0x7fff_ffff;
const explicitTag = contextPrimitive(0);
const mappingTag = contextPrimitive(1);

export function readPolicyConstraints(reader: DerReader): PolicyConstraints {
  return reader.readSequence(() => ({
    requireExplicitPolicy: reader.peek() === explicitTag ? reader.readSmallInteger(maxSkip, explicitTag) : undefined,
    inhibitPolicyMapping: reader.peek() === mappingTag ? reader.readSmallInteger(maxSkip, mappingTag) : undefined,
  }));
}

export function encodePolicyConstraints(value: PolicyConstraints): Buffer {
  const { requireExplicitPolicy, inhibitPolicyMapping } = value;
  return sequence([
    requireExplicitPolicy === undefined ? undefined : integer(requireExplicitPolicy, explicitTag),
    inhibitPolicyMapping === undefined ? undefined : integer(inhibitPolicyMapping, mappingTag),
  ]);
}

/** After how many certificates anyPolicy stops matching (RFC 5280 §4.2.1.14). */
export function readInhibitAnyPolicy(reader: DerReader): number {
  return reader.readSmallInteger(maxSkip);
}

export function encodeInhibitAnyPolicy(skipCertificates: number): Buffer {
  return integer(skipCertificates);
}
