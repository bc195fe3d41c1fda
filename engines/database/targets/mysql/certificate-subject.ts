import { TargetError } from '#database/target.ts';

/**
 * The one line in which MySQL and MariaDB compare names of certificates: OpenSSL's `X509_NAME_oneline`, the attributes in the
 * order of the certificate (`/O=Example/CN=app`). RFC 4514 writes them the other way round (§2.1).
 *
 * The line has no escapes for `/` and `=`, so that `/O=a/CN=b` is one attribute or two. A subject with a `/` in a value is
 * refused, since another certificate could have the same line.
 */
export function oneLineName(name: string, what: 'subject' | 'issuer'): string {
  const attributes = parseName(name);
  if (attributes.length === 0) throw refuse(what, name, 'it has no attribute');
  return attributes
    .toReversed()
    .map(({ type, value }) => {
      const title = titles.get(type.toUpperCase());
      if (title === undefined) throw refuse(what, name, `the attribute ${type} is not known here`);
      if (what === 'subject' && value.includes('/')) throw refuse(what, name, 'a value has a slash');
      return `/${title}=${printable(value)}`;
    })
    .join('');
}

/** RFC 4514 §3, and OpenSSL's short names for them. */
const titles = new Map(
  ['CN', 'L', 'ST', 'O', 'OU', 'C', 'DC', 'UID', 'STREET', 'SERIALNUMBER']
    .map((title): [string, string] => [title, title])
    .concat([
      ['STREET', 'street'],
      ['SERIALNUMBER', 'serialNumber'],
      ['2.5.4.5', 'serialNumber'],
      ['2.5.4.9', 'street'],
    ]),
);

interface Attribute {
  readonly type: string;
  readonly value: string;
}

/** RFC 4514 §3, without multi-valued RDNs and `#` values. */
function parseName(name: string): Attribute[] {
  const attributes: Attribute[] = [];
  const pattern =
    /\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*((?:\\[0-9A-Fa-f]{2}|\\[^0-9A-Fa-f]|[^\\,+;"<>])*)(,|$)/y;
  for (let more = name !== ''; more; ) {
    const at = pattern.lastIndex;
    const [whole, type = '', value = '', end] = pattern.exec(name) ?? [];
    if (whole === undefined || value.startsWith('#')) {
      throw refuse('subject', name, `it cannot be read from character ${at + 1} on`);
    }
    attributes.push({ type, value: unescape(value) });
    more = end === ',';
  }
  return attributes;
}

/** RFC 4514 §2.4: pairs of hexadecimal digits are bytes of UTF-8. White space at the ends counts only when escaped. */
function unescape(value: string): string {
  const trimmed = value.replace(/^ +/, '').replace(/^((?:\\.|[^\\])*?) +$/s, '$1');
  return trimmed.replaceAll(/(?:\\[0-9A-Fa-f]{2})+|\\(.)/gs, (found, char: string | undefined) =>
    char === undefined ? Buffer.from(found.replaceAll('\\', ''), 'hex').toString() : char,
  );
}

/** OpenSSL writes bytes outside `' '..'~'` as `\xHH`. */
function printable(value: string): string {
  return Array.from(Buffer.from(value), (byte) =>
    byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}

function refuse(what: string, name: string, why: string): TargetError {
  return new TargetError(
    'statement',
    `The ${what} "${name.slice(0, 200)}" cannot be required by this server: ${why}.`,
    {
      hint: 'Use single-valued CN, O, OU, L, ST, C, DC, UID, STREET or serialNumber.',
    },
  );
}
