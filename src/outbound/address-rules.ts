import { BlockList, isIP } from 'node:net';

/** Which addresses are of the public Internet (IANA Special-Purpose Address Registries, RFC 6890). */

/** IPv4 that is not globally reachable, or is reachable as something else than one host. */
const specialIpv4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

/**
 * All of IPv6 but 2000::/3 is special, also what carries an IPv4 address in it (::ffff:0:0/96, 64:ff9b::/96). Within it
 * so are the registry's protocol blocks, tunnels that carry IPv4 (Teredo, 6to4), and documentation.
 */
const globalIpv6 = ['2000::', 3] as const;
const specialIpv6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
];

const special = new BlockList();
for (const [net, bits] of specialIpv4) special.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of specialIpv6) special.addSubnet(net, bits, 'ipv6');
const global = new BlockList();
global.addSubnet(...globalIpv6, 'ipv6');

/** Whether an address in the usual text form is one host of the public Internet. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !special.check(address, 'ipv4');
  return family === 6 && global.check(address, 'ipv6') && !special.check(address, 'ipv6');
}

/** Addresses and CIDR ranges that may be reached although they are not public. Throws `RangeError` for what is none. */
export function allowedRanges(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [net = '', bits] = range.split('/');
    const family = isIP(net);
    if (family === 0) throw new RangeError(`${range.slice(0, 60)} is no address and no CIDR range`);
    const type = family === 4 ? 'ipv4' : 'ipv6';
    list.addSubnet(net, bits === undefined ? (family === 4 ? 32 : 128) : Number(bits), type);
  }
  // An IPv4 address in IPv6 clothes would match a range of IPv4: no one who wrote the range meant that.
  return (address) => !address.startsWith('::ffff:') && list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}
