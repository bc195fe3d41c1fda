import { DerError } from './der-error.ts';

/** Longest content of an OBJECT IDENTIFIER that is read: far above any in use, and small enough to decode at once. */
const maxOctets = 64;
/** The caches stop growing here, so that hostile input can neither fill memory nor push out what is used. */
const maxCached = 1024;
/** Identifiers made to have one hash are not cached beyond this, so that looking one up stays cheap. */
const maxSameHash = 4;

interface CachedOid {
  readonly octets: Uint8Array;
  readonly dotted: string;
  readonly next: CachedOid | undefined;
}

const byHash = new Map<number, CachedOid>();
const byDotted = new Map<string, Buffer>();
let cached = 0;

/**
 * The dotted form of the content octets `bytes[start, end)`. Throws `DerError` on an empty, unfinished, non-minimal or overlong encoding (X.690 §8.19).
 */
export function decodeOid(bytes: Uint8Array, start: number, end: number): string {
  let hash = end - start;
  for (let index = start; index < end; index++) hash = (Math.imul(hash, 31) + (bytes[index] as number)) | 0;
  const head = byHash.get(hash);
  let sameHash = 0;
  for (let entry = head; entry !== undefined; entry = entry.next) {
    if (sameOctets(entry.octets, bytes, start, end)) return entry.dotted;
    sameHash += 1;
  }
  const dotted = decodeArcs(bytes, start, end);
  if (cached < maxCached && sameHash < maxSameHash) {
    cached += 1;
    byHash.set(hash, { octets: new Uint8Array(bytes.subarray(start, end)), dotted, next: head });
  }
  return dotted;
}

function sameOctets(octets: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (octets.length !== end - start) return false;
  for (let index = 0; index < octets.length; index++) if (octets[index] !== bytes[start + index]) return false;
  return true;
}

function decodeArcs(bytes: Uint8Array, start: number, end: number): string {
  if (start === end) throw new DerError('an OBJECT IDENTIFIER is empty', start);
  if (end - start > maxOctets) throw new DerError(`an OBJECT IDENTIFIER is longer than ${maxOctets} octets`, start);
  let dotted = '';
  for (let at = start; at < end; ) {
    if (bytes[at] === 0x80) throw new DerError('an arc of an OBJECT IDENTIFIER is not minimal', at);
    let last = at;
    while (last < end && (bytes[last] as number) >= 0x80) last += 1;
    if (last === end) throw new DerError('the last arc of an OBJECT IDENTIFIER is not finished', at);
    const arc = last - at < 7 ? smallArc(bytes, at, last) : largeArc(bytes, at, last);
    dotted += at === start ? firstArcs(arc) : `.${arc}`;
    at = last + 1;
  }
  return dotted;
}

/** At most seven octets: 49 bits. */
function smallArc(bytes: Uint8Array, first: number, last: number): number {
  let arc = 0;
  for (let index = first; index <= last; index++) arc = arc * 128 + ((bytes[index] as number) & 0x7f);
  return arc;
}

function largeArc(bytes: Uint8Array, first: number, last: number): bigint {
  let arc = 0n;
  for (let index = first; index <= last; index++) arc = (arc << 7n) | BigInt((bytes[index] as number) & 0x7f);
  return arc;
}

/** X.690 §8.19.4: the first subidentifier holds two arcs, 40·a + b. */
function firstArcs(subidentifier: number | bigint): string {
  if (subidentifier < 40) return `0.${subidentifier}`;
  if (subidentifier < 80) return `1.${Number(subidentifier) - 40}`;
  return `2.${typeof subidentifier === 'bigint' ? subidentifier - 80n : subidentifier - 80}`;
}

const dottedForm = /^[0-2](?:\.(?:0|[1-9][0-9]{0,38}))+$/;

/** True when the text is a dotted object identifier that can be encoded. */
export function isOid(dotted: string): boolean {
  if (dotted.length > 256 || !dottedForm.test(dotted)) return false;
  const second = Number(dotted.split('.', 2)[1]);
  return dotted.startsWith('2') || second < 40;
}

/** The content octets of a dotted object identifier; do not change the returned bytes. Throws `RangeError` when it is none. */
export function encodeOid(dotted: string): Buffer {
  const known = byDotted.get(dotted);
  if (known !== undefined) return known;
  if (!isOid(dotted)) throw new RangeError('not a dotted object identifier');
  const [first, second, ...rest] = dotted.split('.').map(BigInt) as [bigint, bigint, ...bigint[]];
  const octets = Buffer.from([first * 40n + second, ...rest].flatMap(base128));
  if (octets.length > maxOctets) throw new RangeError(`the object identifier is longer than ${maxOctets} octets`);
  if (byDotted.size < maxCached) byDotted.set(dotted, octets);
  return octets;
}

function base128(value: bigint): number[] {
  const octets = [Number(value & 0x7fn)];
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) octets.unshift(Number(rest & 0x7fn) | 0x80);
  return octets;
}
