import { isIPv4, isIPv6 } from 'node:net';

/**
 * Domain names on the wire (RFC 1035 §3.1, §4.1.4). As text they are lower case, without a dot at the end, and octets
 * that are no printable ASCII, a dot or a backslash within a label are `\DDD` (RFC 1035 §5.1): two names are the same
 * when their texts are. The root is the empty text.
 */

/** A message or a name that is not what RFC 1035 allows. Holds nothing of what was received. */
export class DnsFormatError extends Error {
  override readonly name = 'DnsFormatError';
}

const maxName = 255;
const maxLabel = 63;

/** Uncompressed wire form. Throws `DnsFormatError` for labels over 63 octets, empty ones, and names over 255. */
export function encodeName(text: string): Buffer {
  const name = text.endsWith('.') && !text.endsWith('\\.') ? text.slice(0, -1) : text;
  if (name.length > maxName * 4) throw new DnsFormatError('a name is longer than 255 octets');
  const parts: Buffer[] = [];
  for (const label of name === '' ? [] : name.split('.')) {
    const octets = Buffer.from(unescaped(label), 'latin1');
    if (octets.length === 0 || octets.length > maxLabel) throw new DnsFormatError('a label has no or over 63 octets');
    parts.push(Buffer.of(octets.length), octets);
  }
  const wire = Buffer.concat([...parts, Buffer.of(0)]);
  if (wire.length > maxName) throw new DnsFormatError('a name is longer than 255 octets');
  return wire;
}

function unescaped(label: string): string {
  return label.toLowerCase().replace(/\\(\d{3})/g, (_, octet: string) => String.fromCharCode(Number(octet) & 0xff));
}

/** A name and the position after it. Pointers lead backwards only, so that reading ends (RFC 1035 §4.1.4). */
export function decodeName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let [position, end, bound, length] = [start, -1, start, 1];
  for (;;) {
    const octet = message[position];
    if (octet === undefined) throw new DnsFormatError('a name runs past the message');
    if (octet === 0) return { name: labels.join('.'), end: end < 0 ? position + 1 : end };
    if (octet < 0x40) {
      const label = message.subarray(position + 1, position + 1 + octet);
      length += octet + 1;
      if (label.length < octet || length > maxName) throw new DnsFormatError('a name is cut off or too long');
      labels.push(escaped(label));
      position += 1 + octet;
      continue;
    }
    const target = ((octet & 0x3f) << 8) | (message[position + 1] ?? 0);
    if (octet < 0xc0 || position + 1 >= message.length || target >= bound)
      throw new DnsFormatError('a compressed name leads nowhere');
    if (end < 0) end = position + 2;
    position = target;
    bound = target;
  }
}

function escaped(label: Buffer): string {
  let text = '';
  for (const octet of label) {
    const isPlain = octet > 0x20 && octet < 0x7f && octet !== 0x2e && octet !== 0x5c;
    text += isPlain ? String.fromCharCode(octet) : `\\${String(octet).padStart(3, '0')}`;
  }
  return text.toLowerCase();
}

/** The name one label up; of the last label, the root. */
export function parentName(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(dot + 1);
}

/** `in-addr.arpa` and `ip6.arpa` names of an address (RFC 1035 §3.5, RFC 3596 §2.5), as RFC 8738 §6 wants them in SNI. */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').toReversed().join('.')}.in-addr.arpa`;
  return `${addressOctets(address).toString('hex').split('').toReversed().join('.')}.ip6.arpa`;
}

/** The 4 or 16 octets of an address in text form. Throws `DnsFormatError` for what is no address. */
export function addressOctets(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address) || address.includes('%')) throw new DnsFormatError('this is no IP address');
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...octets: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = octets.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [left = '', right] = text.split('::');
  const before = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  const groups = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
