import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive } from '#pki/asn1/tag.ts';
import { context, namedBits, oid, sequence } from '#pki/asn1/writer.ts';
import {
  encodeGeneralName,
  encodeGeneralNames,
  type GeneralName,
  type GeneralNameInput,
  readGeneralName,
  readGeneralNames,
} from './general-name.ts';
import { type RelativeName, readRelativeName } from './name.ts';

/** Bits of ReasonFlags (RFC 5280 §4.2.1.13), as `1 << n`; bit 0 is unused. */
export const reasonFlags = {
  key_compromise: 1 << 1,
  ca_compromise: 1 << 2,
  affiliation_changed: 1 << 3,
  superseded: 1 << 4,
  cessation_of_operation: 1 << 5,
  certificate_hold: 1 << 6,
  privilege_withdrawn: 1 << 7,
  aa_compromise: 1 << 8,
} as const;

/** DistributionPointName: one of the two. */
export interface DistributionPointName {
  readonly fullName?: readonly GeneralName[] | undefined;
  readonly relativeName?: RelativeName | undefined;
}

/** DistributionPoint (RFC 5280 §4.2.1.13). */
export interface DistributionPoint {
  readonly name?: DistributionPointName | undefined;
  /** Bits of `reasonFlags`; undefined: all reasons. */
  readonly reasons?: number | undefined;
  readonly crlIssuer?: readonly GeneralName[] | undefined;
}

const reasonsTag = contextPrimitive(1);
const crlIssuerTag = contextConstructed(2);

/** cRLDistributionPoints and freshestCRL. */
export function readDistributionPoints(reader: DerReader): readonly DistributionPoint[] {
  return reader.readSequenceOf(readDistributionPoint);
}

function readDistributionPoint(reader: DerReader): DistributionPoint {
  return reader.readSequence(() => ({
    name: reader.readOptionalContext(0, readDistributionPointName),
    reasons: reader.peek() === reasonsTag ? reader.readNamedBits(reasonsTag) : undefined,
    crlIssuer: reader.peek() === crlIssuerTag ? readGeneralNames(reader, crlIssuerTag) : undefined,
  }));
}

/** The CHOICE itself, inside its explicit tag; also used by the issuingDistributionPoint of CRLs. */
export function readDistributionPointName(reader: DerReader): DistributionPointName {
  if (reader.peek() === contextConstructed(1)) return { relativeName: readRelativeName(reader, contextConstructed(1)) };
  return { fullName: readGeneralNames(reader, contextConstructed(0)) };
}

export interface DistributionPointInput {
  readonly fullName?: readonly GeneralNameInput[] | undefined;
  readonly reasons?: number | undefined;
  readonly crlIssuer?: readonly GeneralNameInput[] | undefined;
}

export function encodeDistributionPoints(points: readonly DistributionPointInput[]): Buffer {
  return sequence(
    points.map(({ fullName, reasons, crlIssuer }) =>
      sequence([
        fullName && context(0, [encodeFullName(fullName)]),
        reasons === undefined ? undefined : namedBits(reasons, reasonsTag),
        crlIssuer && encodeGeneralNames(crlIssuer, crlIssuerTag),
      ]),
    ),
  );
}

/** The fullName choice of DistributionPointName, without the explicit tag around the CHOICE. */
export function encodeFullName(names: readonly GeneralNameInput[]): Buffer {
  return encodeGeneralNames(names, contextConstructed(0));
}

/** AccessDescription (RFC 5280 §4.2.2.1). */
export interface AccessDescription {
  /** Dotted identifier: `oids.accessOcsp`, `oids.accessCaIssuers`, … */
  readonly method: string;
  readonly location: GeneralName;
}

/** authorityInfoAccess and subjectInfoAccess. */
export function readInfoAccess(reader: DerReader): readonly AccessDescription[] {
  return reader.readSequenceOf(readAccessDescription);
}

function readAccessDescription(reader: DerReader): AccessDescription {
  return reader.readSequence(() => ({ method: reader.readOid(), location: readGeneralName(reader) }));
}

export interface AccessDescriptionInput {
  readonly method: string;
  readonly location: GeneralNameInput;
}

export function encodeInfoAccess(descriptions: readonly AccessDescriptionInput[]): Buffer {
  return sequence(descriptions.map(({ method, location }) => sequence([oid(method), encodeGeneralName(location)])));
}
