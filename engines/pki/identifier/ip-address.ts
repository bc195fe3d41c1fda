import { type Malformed, malformed } from './malformed.ts';

export interface IpAddress {
  readonly kind: 'ip';
  /** Dotted decimal, or RFC 5952. */
  readonly value: string;
  /** 4 or 16 octets in network order: the iPAddress of RFC 5280 §4.2.1.6. */
  readonly bytes: Uint8Array;
}

/** A CIDR range (RFC 4632): every address whose first `prefix` bits are those of `bytes`. */
export interface IpRange {
  readonly kind: 'range';
  /** Canonical: `10.0.0.0/8`, `2001:db8::/32`. */
  readonly value: string;
  readonly bytes: Uint8Array;
  readonly prefix: number;
}

/**
 * Reads an IP address. IPv6 may be written in any form of RFC 4291 §2.2 and comes back as RFC 5952 has it. Refuses what
 * is read differently by different software: octal, hexadecimal and shortened IPv4, zone identifiers, and IPv4-mapped
 * IPv6 (the suggestion is the IPv4 address).
 */
export function parseIpAddress(text: string): IpAddress | Malformed {
  if (text === '') return malformed('is empty');
  if (text.length > 64) return malformed('is too long for an IP address');
  if (text.includes('/')) return malformed('is a range; a certificate names single addresses');
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  if (typeof bytes === 'string') return malformed(bytes, respell(text));
  if (bytes.length === 16 && isMapped(bytes)) {
    return malformed('is an IPv4 address mapped into IPv6', formatIp(bytes.subarray(12)));
  }
  return { kind: 'ip', value: formatIp(bytes), bytes };
}

/** Reads a CIDR range; a single address means itself. Refuses bits that are set beyond the prefix. */
export function parseIpRange(text: string): IpRange | Malformed {
  if (text.length > 64) return malformed('is too long for a range');
  const slash = text.indexOf('/');
  const address = parseIpAddress(slash === -1 ? text : text.slice(0, slash));
  if (address.kind === 'malformed') return address;
  const bits = address.bytes.length * 8;
  const digits = slash === -1 ? String(bits) : text.slice(slash + 1);
  const prefix = /^(?:0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(prefix <= bits)) return malformed(`needs a prefix length from 0 to ${bits} after the slash`);
  const masked = mask(address.bytes, prefix);
  const value = `${formatIp(masked)}/${prefix}`;
  if (formatIp(masked) !== address.value) return malformed('has bits set beyond its prefix length', value);
  return { kind: 'range', value, bytes: masked, prefix };
}

/** Whether the address lies in the range; an IPv4 address never lies in an IPv6 range. */
export function inRange(range: IpRange, address: IpAddress): boolean {
  if (range.bytes.length !== address.bytes.length) return false;
  const whole = range.prefix >> 3;
  for (let index = 0; index < whole; index++) if (range.bytes[index] !== address.bytes[index]) return false;
  const bits = (0xff00 >> (range.prefix & 7)) & 0xff;
  return (((range.bytes[whole] ?? 0) ^ (address.bytes[whole] ?? 0)) & bits) === 0;
}

/** The octets as text: dotted decimal for 4, RFC 5952 for 16. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
  const zeros = longestZeros(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (zeros.length < 2) return text(groups);
  return `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.length))}`;
}

/** The first of the longest runs of zero groups (RFC 5952 §4.2.3). */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}

/** Four octets, or what is wrong. */
function parseIpv4(text: string): Uint8Array | string {
  const parts = text.split('.');
  if (parts.length !== 4) return 'is not an IP address: IPv4 is four decimal numbers with dots, IPv6 has colons';
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^\d{1,3}$/.test(part)) return 'is not an IP address: IPv4 is four decimal numbers with dots';
    if (part.length > 1 && part.startsWith('0')) return 'has a number with a leading zero, which some read as octal';
    if (Number(part) > 255) return 'has a number above 255';
    bytes[index] = Number(part);
  }
  return bytes;
}

/** Sixteen octets, or what is wrong (RFC 4291 §2.2). */
function parseIpv6(text: string): Uint8Array | string {
  if (text.includes('%')) return 'has a zone identifier, which means nothing outside one host (RFC 4007 §11)';
  if (text.startsWith('[')) return 'is in brackets; those belong to URIs';
  const halves = text.split('::');
  if (halves.length > 2) return 'has :: twice';
  const left = parseGroups(halves[0] ?? '', halves.length === 1);
  const right = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (typeof left === 'string') return left;
  if (typeof right === 'string') return right;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return 'does not have the eight groups of an IPv6 address';
  const bytes = new Uint8Array(16);
  for (const [index, group] of left.entries()) setGroup(bytes, index, group);
  for (const [index, group] of right.entries()) setGroup(bytes, left.length + missing + index, group);
  return bytes;
}

function setGroup(bytes: Uint8Array, index: number, group: number): void {
  bytes[2 * index] = group >> 8;
  bytes[2 * index + 1] = group & 0xff;
}

/** Groups of sixteen bits; the last of the address may be two of them as dotted decimal. */
function parseGroups(text: string, endsAddress: boolean): number[] | string {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[\da-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    if (!endsAddress || index !== parts.length - 1 || !part.includes('.')) {
      return 'is not an IPv6 address: each group is one to four hexadecimal digits';
    }
    const tail = parseIpv4(part);
    if (typeof tail === 'string') return tail;
    groups.push(((tail[0] ?? 0) << 8) | (tail[1] ?? 0), ((tail[2] ?? 0) << 8) | (tail[3] ?? 0));
  }
  return groups;
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
function isMapped(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

function mask(bytes: Uint8Array, prefix: number): Uint8Array {
  return bytes.map((byte, index) => {
    const kept = Math.max(0, Math.min(8, prefix - 8 * index));
    return byte & (0xff00 >> kept) & 0xff;
  });
}

/** Without brackets or zone, if that is an address. A number with a leading zero has no safe reading. */
function respell(text: string): string | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '');
  if (bare === text) return undefined;
  const address = parseIpAddress(bare);
  return address.kind === 'ip' ? address.value : address.suggestion;
}

/** Ranges of the IANA special-purpose registries that are not reachable everywhere. */
const reserved = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
].flatMap((text) => {
  const range = parseIpRange(text);
  return range.kind === 'range' ? [range] : [];
});

/** Whether no public authority may certify the address (Baseline Requirements §4.2.2). */
export function isReservedAddress(address: IpAddress): boolean {
  const global = address.bytes.length === 4 || ((address.bytes[0] ?? 0) & 0xe0) === 0x20;
  return !global || reserved.some((range) => inRange(range, address));
}
