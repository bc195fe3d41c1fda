import { DerReader } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { oids } from '#pki/x509/oid.ts';
import { firstLongTime } from './certificate-view.ts';
import { type GeneralNamesView, nameTag, readGeneralNamesView } from './names-view.ts';
import { repeated } from './rule.ts';

/**
 * The entries of a CRL. There can be a hundred thousand: each is read once, and what is remarkable about it is a set of
 * bits, so that rules look at the entries one by one only when there is something to find.
 */
export interface CrlEntries {
  readonly entries: readonly CrlEntryView[];
  /** The flaws of all of them. */
  readonly entryFlaws: number;
  /** Milliseconds; minus infinity when there is no entry. */
  readonly lastRevocation: number;
}

/** One of revokedCertificates (RFC 5280 §5.1.2.6). */
export interface CrlEntryView {
  /** Content octets of the INTEGER. */
  readonly serial: Buffer;
  /** Milliseconds. */
  readonly revokedAt: number;
  /** Bits of `entryFlaw`. */
  readonly flaws: number;
  /** The certificateIssuer that the entry itself has. */
  readonly issuer: GeneralNamesView | undefined;
}

export const entryFlaw = {
  serial: 1 << 0,
  earlyGeneralizedTime: 1 << 1,
  extensionRepeated: 1 << 2,
  unknownCritical: 1 << 3,
  reasonCritical: 1 << 4,
  reasonUnspecified: 1 << 5,
  reasonUnknown: 1 << 6,
  /** A flaw unless the CRL is a delta CRL. */
  removeFromCrl: 1 << 7,
  /** A reason that the Baseline Requirements do not allow. */
  reasonNotWebPki: 1 << 8,
  invalidityDateCritical: 1 << 9,
  /** A flaw unless the CRL is indirect. */
  issuer: 1 << 10,
  issuerNotCritical: 1 << 11,
  issuerWithoutName: 1 << 12,
} as const;

/** A reader stops at `maxNodes` elements: with a new one every so many entries that bounds entries, not the list. */
const entriesPerReader = 64;

/** Reads the content octets of revokedCertificates. Throws `DerError`. */
export function readEntries(content: Buffer): CrlEntries {
  const entries: CrlEntryView[] = [];
  let entryFlaws = 0;
  let lastRevocation = Number.NEGATIVE_INFINITY;
  for (let start = 0; start < content.length; ) {
    const reader = new DerReader(content.subarray(start));
    for (let count = 0; count < entriesPerReader && !reader.atEnd; count++) {
      const entry = reader.readSequence(readEntry);
      entries.push(entry);
      entryFlaws |= entry.flaws;
      if (entry.revokedAt > lastRevocation) lastRevocation = entry.revokedAt;
    }
    start += reader.offset;
  }
  return { entries, entryFlaws, lastRevocation };
}

function readEntry(reader: DerReader): CrlEntryView {
  const serial = reader.readInteger();
  const isLong = reader.peek() === tag.generalizedTime;
  const revokedAt = reader.readTime();
  const flaws = isUsualSerial(serial) ? 0 : entryFlaw.serial;
  const timeFlaws = isLong && revokedAt < firstLongTime ? flaws | entryFlaw.earlyGeneralizedTime : flaws;
  if (reader.atEnd) return { serial, revokedAt, flaws: timeFlaws, issuer: undefined };
  const extensions = readExtensions(reader);
  return { serial, revokedAt, flaws: timeFlaws | extensions.flaws, issuer: extensions.issuer };
}

function isUsualSerial(serial: Buffer): boolean {
  const first = serial[0] ?? 0;
  return serial.length <= 20 && first < 0x80 && (serial.length > 1 || first !== 0);
}

interface EntryExtensions {
  flaws: number;
  issuer: GeneralNamesView | undefined;
}

/** Extensions of an entry (RFC 5280 §5.3): at least one. */
function readExtensions(reader: DerReader): EntryExtensions {
  const found: EntryExtensions = { flaws: 0, issuer: undefined };
  const types = reader.readSequenceOf(() => reader.readSequence(() => readExtension(reader, found)));
  if (types.length > 1 && repeated(types) !== undefined) found.flaws |= entryFlaw.extensionRepeated;
  return found;
}

function readExtension(reader: DerReader, found: EntryExtensions): string {
  const type = reader.readOid();
  const critical = reader.readDefaultFalse();
  switch (type) {
    case oids.reasonCode:
      found.flaws |= reasonFlaws(reader.readEncapsulated(readReason));
      if (critical) found.flaws |= entryFlaw.reasonCritical;
      break;
    case oids.invalidityDate:
      reader.readEncapsulated(readDate);
      if (critical) found.flaws |= entryFlaw.invalidityDateCritical;
      break;
    case oids.certificateIssuer:
      found.issuer = reader.readEncapsulated(readIssuer);
      found.flaws |= issuerFlaws(found.issuer, critical);
      break;
    default:
      reader.readEncapsulated(skipOne);
      if (critical) found.flaws |= entryFlaw.unknownCritical;
  }
  return type;
}

function readReason(reader: DerReader): number {
  return reader.readSmallInteger(255, tag.enumerated);
}

function readDate(reader: DerReader): number {
  return reader.readGeneralizedTime();
}

function readIssuer(reader: DerReader): GeneralNamesView {
  return readGeneralNamesView(reader);
}

function skipOne(reader: DerReader): void {
  reader.skip();
}

const unspecified = 0;
const unused = 7;
const removeFromCrl = 8;
const lastReason = 10;
/** keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn. */
const webPkiReasons: ReadonlySet<number> = new Set([1, 3, 4, 5, 9]);

function reasonFlaws(code: number): number {
  const flaws = webPkiReasons.has(code) ? 0 : entryFlaw.reasonNotWebPki;
  if (code === unspecified) return flaws | entryFlaw.reasonUnspecified;
  if (code === unused || code > lastReason) return flaws | entryFlaw.reasonUnknown;
  return code === removeFromCrl ? flaws | entryFlaw.removeFromCrl : flaws;
}

function issuerFlaws({ names }: GeneralNamesView, critical: boolean): number {
  const flaws = critical ? entryFlaw.issuer : entryFlaw.issuer | entryFlaw.issuerNotCritical;
  const isNamed = names.some(({ tag: kind }) => kind === nameTag.directory);
  return isNamed ? flaws : flaws | entryFlaw.issuerWithoutName;
}
