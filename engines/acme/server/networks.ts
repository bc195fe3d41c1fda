import { isIPv6 } from 'node:net';

/**
 * Whose requests are counted together: an IPv4 address, or the /64 of an IPv6 address, since that is the least that
 * anybody is given and whoever has one has all of its addresses. What is no address stands for itself.
 */
export function networkOf(address: string): string {
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare)) return address;
  const groups = groupsOf(bare);
  // IPv4 as seen by a socket for both (RFC 4291 §2.5.5.2).
  if (groups.slice(0, 6).join(':') === '0:0:0:0:0:ffff') return dotted(groups);
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** All eight, without leading zeros. */
function groupsOf(address: string): string[] {
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before;
  const after = tail === '' ? [] : tail.split(':');
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
}

function dotted(groups: readonly string[]): string {
  return groups
    .slice(6)
    .flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 255];
    })
    .join('.');
}
