import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store } from '#storage/store.ts';
import { DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { encodeCrlEntry, readCrlEntry } from '#pki/x509/crl-entry.ts';
import { type CrlReason, crlReasons } from '#pki/x509/revocation-reason.ts';

/** Entries of CRLs: read from the store in pages, joined, ordered by serial number, and compared with an earlier CRL. */

export interface EntryList {
  /** The entries, DER, one after the other, by serial number. */
  readonly der: Buffer;
  readonly count: number;
}

interface RevokedRow {
  readonly serial_number: string;
  readonly revoked_at: number;
  readonly revocation_reason: string | null;
  readonly invalidity_date: number | null;
}

/** A page is read and encoded within two milliseconds; then others have their turn. */
const pageSize = 1000;

/**
 * What stands on the CRL of a shard now. An entry leaves only after a scheduled CRL was issued beyond the end of its
 * certificate (RFC 5280 §3.3): `scheduledAt` is the time of the last scheduled CRL, which therefore listed whatever
 * was revoked and had expired by then.
 *
 * No entry is dated later than `thisUpdate`, which is backdated: for a client whose clock is late, such a revocation would be
 * one to come. It still lies after every CRL that was made before it (RFC 5280 §5.3.2).
 */
export async function readEntries(
  store: Store,
  issuerId: string,
  shard: number,
  scheduledAt: number,
  thisUpdate: number,
): Promise<EntryList> {
  const parts: Buffer[] = [];
  let count = 0;
  for (let after = ''; ; ) {
    const page = await store.all<RevokedRow>(
      `SELECT serial_number, revoked_at, revocation_reason, invalidity_date FROM pki_certificates
       WHERE issuer_id = ? AND crl_shard = ? AND serial_number > ? AND status <> 'valid'
         AND (not_after >= ? OR revoked_at >= ?)
       ORDER BY serial_number LIMIT ${pageSize}`,
      [issuerId, shard, after, scheduledAt, scheduledAt],
    );
    count += page.length;
    // Joined page by page: a hundred thousand small buffers would cost more than their content.
    if (page.length > 0) parts.push(Buffer.concat(page.map((row) => encodeRow(row, thisUpdate))));
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return { der: Buffer.concat(parts), count };
    after = last.serial_number;
    await nextTurn();
  }
}

function encodeRow(row: RevokedRow, thisUpdate: number): Buffer {
  return encodeCrlEntry({
    serialNumber: row.serial_number,
    revokedAt: Math.min(row.revoked_at, thisUpdate),
    reason: reasonOf(row.revocation_reason),
    invalidityDate: row.invalidity_date ?? undefined,
  });
}

/** The reason as it is stored. */
export function reasonOf(stored: string | null): CrlReason {
  return stored !== null && stored in crlReasons ? (stored as CrlReason) : 'unspecified';
}

/** Of a CRL of our own. */
export const maxStoredBytes = 16 * 1024 * 1024;

/** The entries of a CRL of our own: the content of its revokedCertificates, unread. */
export function entriesOf(crl: Uint8Array): Buffer {
  return readDer(crl, maxStoredBytes, (certificateList) =>
    certificateList.readSequence((reader) => {
      const revoked = reader.readSequence(readRevoked);
      reader.skip();
      reader.skip();
      return revoked;
    }),
  );
}

/** TBSCertList (RFC 5280 §5.1): version, algorithm, issuer and two times stand before the entries, extensions behind. */
function readRevoked(reader: DerReader): Buffer {
  for (let field = 0; field < 5; field++) reader.skip();
  const revoked = reader.peek() === tag.sequence ? reader.readOctetString(tag.sequence) : Buffer.alloc(0);
  reader.skip();
  return revoked;
}

/**
 * What a delta CRL says (RFC 5280 §5.2.4): every entry of `current` that `base` does not hold in the same words, and
 * remove_from_crl for every entry that only `base` holds. Both are ordered by serial number, so one walk over both does;
 * when a whole shard was released it writes 12,000 entries, so others have a turn now and then.
 */
export async function differences(base: Buffer, current: Buffer): Promise<EntryList> {
  const parts: Buffer[] = [];
  const before = new EntryCursor(base);
  const now = new EntryCursor(current);
  for (let step = 1; !before.atEnd || !now.atEnd; step++) {
    if (step % pageSize === 0) await nextTurn();
    const order = before.atEnd ? 1 : now.atEnd ? -1 : before.compareSerial(now);
    if (order < 0) parts.push(removal(before.entry));
    else if (order > 0 || !before.entry.equals(now.entry)) parts.push(now.entry);
    if (order <= 0) before.next();
    if (order >= 0) now.next();
  }
  return { der: Buffer.concat(parts), count: parts.length };
}

function removal(entry: Buffer): Buffer {
  const { serialNumber, revokedAt } = readCrlEntry(new DerReader(entry));
  return encodeCrlEntry({ serialNumber, revokedAt, reason: 'remove_from_crl' });
}

/** Steps through joined entries. They are our own encoding, so lengths are read and nothing is checked again. */
class EntryCursor {
  readonly #der: Buffer;
  #start = 0;
  #end = 0;
  #serialStart = 0;
  #serialEnd = 0;

  constructor(der: Buffer) {
    this.#der = der;
    this.next();
  }

  get atEnd(): boolean {
    return this.#start === this.#der.length;
  }

  get entry(): Buffer {
    return this.#der.subarray(this.#start, this.#end);
  }

  compareSerial(other: EntryCursor): number {
    return this.#der.compare(other.#der, other.#serialStart, other.#serialEnd, this.#serialStart, this.#serialEnd);
  }

  /** An entry has at most 79 octets, so every length in it is one octet. */
  next(): void {
    this.#start = this.#end;
    if (this.atEnd) return;
    this.#end = this.#start + 2 + this.#der.readUInt8(this.#start + 1);
    this.#serialStart = this.#start + 4;
    this.#serialEnd = this.#serialStart + this.#der.readUInt8(this.#start + 3);
  }
}
