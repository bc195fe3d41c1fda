import { DerReader } from '#pki/asn1/reader.ts';
import { type RevokedCertificate, readCrlEntries, readCrlEntry } from './crl-entry.ts';
import type { GeneralName } from './general-name.ts';

/** The entries of one CRL by serial number. */
export interface CrlIndex {
  readonly size: number;
  /** Critical entry extensions that are not understood, each once. */
  readonly unknownCritical: readonly string[];
  /** The entries with this serial number: none, one, or several on an indirect CRL. */
  find(serialNumber: string): readonly RevokedCertificate[];
}

/** Where an indirect CRL turns to the certificates of another issuer. */
interface IssuerTurn {
  readonly offset: number;
  readonly certificateIssuer: readonly GeneralName[];
}

/**
 * Reads all entries once and remembers where each stands, which takes a tenth of the memory of the entries themselves.
 * Throws `DerError` when any of them is malformed.
 */
export function indexCrlEntries(content: Buffer): CrlIndex {
  const offsets = new Map<string, number | number[]>();
  const turns: IssuerTurn[] = [];
  const unknownCritical = new Set<string>();
  let size = 0;
  for (const { offset, entry } of readCrlEntries(content)) {
    size += 1;
    remember(offsets, entry.serialNumber, offset);
    for (const oid of entry.unknownCritical) unknownCritical.add(oid);
    const { certificateIssuer } = entry;
    if (certificateIssuer !== undefined && turns.at(-1)?.certificateIssuer !== certificateIssuer)
      turns.push({ offset, certificateIssuer });
  }
  const find = (serialNumber: string) =>
    [offsets.get(serialNumber) ?? []].flat().map((offset) => readAt(content, turns, offset));
  return { size, unknownCritical: [...unknownCritical], find };
}

function remember(offsets: Map<string, number | number[]>, serialNumber: string, offset: number): void {
  const known = offsets.get(serialNumber);
  if (known === undefined) offsets.set(serialNumber, offset);
  else if (typeof known === 'number') offsets.set(serialNumber, [known, offset]);
  else known.push(offset);
}

function readAt(content: Buffer, turns: readonly IssuerTurn[], offset: number): RevokedCertificate {
  const entry = readCrlEntry(new DerReader(content.subarray(offset)));
  const turn = turns.findLast((candidate) => candidate.offset <= offset);
  return turn === undefined ? entry : { ...entry, certificateIssuer: turn.certificateIssuer };
}
