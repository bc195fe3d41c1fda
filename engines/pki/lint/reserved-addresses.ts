/**
 * Addresses that no public certificate may name (Baseline Requirements §4.2.2, §7.1.2.7.12): what the IANA registries of
 * special-purpose addresses do not call globally reachable, multicast, and IPv6 outside 2000::/3.
 */
const reservedV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];

/** Within 2000::/3, as hex of the leading octets. */
const reservedV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'];

interface Range {
  readonly octets: readonly number[];
  readonly prefix: number;
}

const rangesV4 = reservedV4.map((text) => toRange(text, (address) => address.split('.').map(Number)));
const rangesV6 = reservedV6.map((text) => toRange(text, groupsToOctets));

function toRange(text: string, parse: (address: string) => number[]): Range {
  const [address = '', prefix] = text.split('/');
  return { octets: parse(address), prefix: Number(prefix) };
}

/** Of addresses that end with `::`, as all in the table do. */
function groupsToOctets(address: string): number[] {
  const groups = address.replace(/::$/, '').split(':');
  const octets = groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
  return [...octets, ...Array.from({ length: 16 - octets.length }, () => 0)];
}

/** True for an address of 4 or 16 octets that is reserved. */
export function isReservedAddress(octets: Uint8Array): boolean {
  if (octets.length === 4) return rangesV4.some((range) => sharesPrefix(range.octets, octets, range.prefix));
  if (octets.length !== 16) return false;
  return !isGlobalUnicast(octets) || rangesV6.some((range) => sharesPrefix(range.octets, octets, range.prefix));
}

function isGlobalUnicast(octets: Uint8Array): boolean {
  return ((octets[0] ?? 0) & 0xe0) === 0x20;
}

/**
 * True when a range, given as address and mask of 8 or 32 octets, has a reserved address in it. All addresses
 * together, 0.0.0.0/0 and ::/0, stand for "none of this kind" in name constraints and are not meant.
 */
export function hasReservedAddress(range: Uint8Array): boolean {
  const size = range.length / 2;
  const address = range.subarray(0, size);
  const prefix = countBits(range.subarray(size));
  if (prefix === 0) return false;
  if (size === 16 && (prefix < 3 || !isGlobalUnicast(address))) return true;
  const ranges = size === 4 ? rangesV4 : rangesV6;
  return ranges.some((reserved) => sharesPrefix(reserved.octets, address, Math.min(reserved.prefix, prefix)));
}

function countBits(mask: Uint8Array): number {
  let bits = 0;
  for (const octet of mask) bits += octet.toString(2).replaceAll('0', '').length;
  return bits;
}

function sharesPrefix(left: ArrayLike<number>, right: ArrayLike<number>, bits: number): boolean {
  for (let index = 0; index * 8 < bits; index++) {
    const mask = (0xff00 >> Math.min(8, bits - index * 8)) & 0xff;
    if ((((left[index] ?? 0) ^ (right[index] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}
