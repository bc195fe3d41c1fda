import { DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { element, enumerated, generalizedTime, sequence, time, unsignedInteger } from '#pki/asn1/writer.ts';
import { unknownCritical } from './critical-extensions.ts';
import { encodeRawExtension, type Extension, type Extensions, readExtensions } from './extension.ts';
import { type GeneralName, readGeneralNames } from './general-name.ts';
import { oids } from './oid.ts';
import { type CrlReason, crlReasonOf, crlReasons } from './revocation-reason.ts';
import { formatSerial, serialOctets } from './serial.ts';

/** A revoked certificate, to be put on a CRL. Times are milliseconds; part seconds are cut off. */
export interface CrlEntry {
  /** Lower-case hex, positive, at most 20 octets; or the octets of the magnitude, however many. */
  readonly serialNumber: string | Uint8Array;
  readonly revokedAt: number;
  /** `unspecified` is left out of the encoding, as RFC 5280 §5.3.1 wants; `remove_from_crl` is for delta CRLs only. */
  readonly reason?: CrlReason | undefined;
  /** When the key is known or feared to have been lost (RFC 5280 §5.3.2). */
  readonly invalidityDate?: number | undefined;
}

/** A revoked certificate, as it stands on a CRL. */
export interface RevokedCertificate {
  /** As `Certificate.serialNumber`. */
  readonly serialNumber: string;
  readonly revokedAt: number;
  readonly reason?: CrlReason | undefined;
  readonly invalidityDate?: number | undefined;
  /**
   * Who issued the certificate, on an indirect CRL: of this entry or of the last one before it that says so
   * (RFC 5280 §5.3.3). Undefined: the issuer of the CRL.
   */
  readonly certificateIssuer?: readonly GeneralName[] | undefined;
  /** Critical extensions that are not understood: with one of them the whole CRL must not be used (RFC 5280 §5.3). */
  readonly unknownCritical: readonly string[];
}

const reasonExtensions = new Map<CrlReason, Buffer>(
  Object.entries(crlReasons).map(([reason, code]) => [
    reason as CrlReason,
    encodeRawExtension(oids.reasonCode, false, enumerated(code)),
  ]),
);
const reasonsAlone = new Map([...reasonExtensions].map(([reason, extension]) => [reason, sequence([extension])]));

/**
 * One element of revokedCertificates (RFC 5280 §5.1.2.6), DER: 39 octets where the serial has 20, 53 with a reason, 79
 * with an invalidity date as well. The bytes depend on nothing but the entry, so they can be kept, and joined, and
 * handed to `encodeTbsCertList` again and again. Throws `RangeError` for what is no serial.
 */
export function encodeCrlEntry(entry: CrlEntry): Buffer {
  const { serialNumber, revokedAt } = entry;
  const serial =
    typeof serialNumber === 'string'
      ? element(tag.integer, [serialOctets(serialNumber)])
      : unsignedInteger(serialNumber);
  return sequence([serial, time(revokedAt), encodeEntryExtensions(entry)]);
}

function encodeEntryExtensions({ reason = 'unspecified', invalidityDate }: CrlEntry): Buffer | undefined {
  const said = reason !== 'unspecified';
  if (invalidityDate === undefined) return said ? reasonsAlone.get(reason) : undefined;
  const date = encodeRawExtension(oids.invalidityDate, false, generalizedTime(invalidityDate));
  return sequence([said ? reasonExtensions.get(reason) : undefined, date]);
}

/** One reader reads at most `maxNodes` elements; a new one every so many entries leaves each its share of 300. */
const entriesPerReader = 64;

/** An entry with the offset at which it stands in the list. */
export interface LocatedEntry {
  readonly offset: number;
  readonly entry: RevokedCertificate;
}

/**
 * Reads the content octets of revokedCertificates entry by entry. Throws `DerError`, with an offset of its own count,
 * when the reading comes to something malformed.
 */
export function* readCrlEntries(content: Buffer): Generator<LocatedEntry> {
  let certificateIssuer: readonly GeneralName[] | undefined;
  for (let base = 0; base < content.length; ) {
    const reader = new DerReader(content.subarray(base));
    for (let count = 0; count < entriesPerReader && !reader.atEnd; count++) {
      const offset = base + reader.offset;
      const entry = readCrlEntry(reader);
      certificateIssuer = entry.certificateIssuer ?? certificateIssuer;
      yield { offset, entry: certificateIssuer === undefined ? entry : { ...entry, certificateIssuer } };
    }
    base += reader.offset;
  }
}

/** Reads the one entry at the cursor, without regard to those before it. */
export function readCrlEntry(reader: DerReader): RevokedCertificate {
  return reader.readSequence(readEntryFields);
}

const none: readonly string[] = [];
const understood: ReadonlySet<string> = new Set([oids.reasonCode, oids.invalidityDate, oids.certificateIssuer]);

function readEntryFields(reader: DerReader): RevokedCertificate {
  const serialNumber = formatSerial(reader.readInteger());
  const revokedAt = reader.readTime();
  if (reader.atEnd) return { serialNumber, revokedAt, unknownCritical: none };
  return { serialNumber, revokedAt, ...readEntryExtensions(readExtensions(reader)) };
}

interface EntryExtensions {
  reason?: CrlReason;
  invalidityDate?: number;
  certificateIssuer?: readonly GeneralName[];
  unknownCritical: readonly string[];
}

function readEntryExtensions(extensions: Extensions): EntryExtensions {
  const found: EntryExtensions = { unknownCritical: unknownCritical(extensions, understood) };
  for (const extension of extensions.values()) {
    if (extension.oid === oids.reasonCode) found.reason = readValue(extension, readReason);
    else if (extension.oid === oids.invalidityDate) found.invalidityDate = readValue(extension, readDate);
    else if (extension.oid === oids.certificateIssuer) found.certificateIssuer = readValue(extension, readNames);
  }
  return found;
}

function readValue<T>({ value }: Extension, decode: (reader: DerReader) => T): T {
  return readDer(value, value.length, decode);
}

/** CRLReason; also used by OCSP. */
export function readReason(reader: DerReader): CrlReason {
  const start = reader.offset;
  return crlReasonOf(reader.readSmallInteger(255, tag.enumerated)) ?? reader.fail('a CRLReason is none', start);
}

function readDate(reader: DerReader): number {
  return reader.readGeneralizedTime();
}

function readNames(reader: DerReader): readonly GeneralName[] {
  return readGeneralNames(reader);
}
