import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';

/**
 * The syntax of the texts in GeneralNames (RFC 5280 §4.2.1.6), each read once; what is wrong is a set of bits, so that
 * every fault can be a rule of its own. Texts are ASCII, as the DER reader makes sure.
 */
export const nameFlaw = {
  empty: 1 << 0,
  space: 1 << 1,
  tooLong: 1 << 2,
  emptyLabel: 1 << 3,
  labelTooLong: 1 << 4,
  character: 1 << 5,
  underscore: 1 << 6,
  hyphen: 1 << 7,
  wildcard: 1 << 8,
  address: 1 << 9,
  /** A label begins with `xn--` and is no A-label. */
  aLabel: 1 << 10,
  /** A label has hyphens in third and fourth place and is no A-label (RFC 5890 §2.3.1). */
  reservedLabel: 1 << 11,
  uriRelative: 1 << 12,
  uriNothing: 1 << 13,
  uriCharacter: 1 << 14,
  uriHost: 1 << 15,
  /** A host of one label: it may be a fully qualified name, but hardly is. */
  uriUnqualified: 1 << 16,
  mailbox: 1 << 17,
  ipLength: 1 << 18,
} as const;

const dot = 0x2e;
const hyphen = 0x2d;
const longestName = 253;
const longestLabel = 63;

/** What each ASCII character means in a DNS name: nothing (letter, digit, hyphen) or a flaw. */
const dnsCharacter = Uint16Array.from({ length: 128 }, (_, code) => {
  if (/[A-Za-z0-9-]/.test(String.fromCharCode(code))) return 0;
  if (code === 0x5f) return nameFlaw.underscore;
  return code === 0x2a ? nameFlaw.wildcard : nameFlaw.character;
});

/** A dNSName: "preferred name syntax" of RFC 1034 §3.5 as RFC 1123 §2.1 changes it, or `*.` before one (RFC 9525 §6.3). */
export function dnsFlaws(text: string): number {
  if (text === '') return nameFlaw.empty;
  if (text === ' ') return nameFlaw.space;
  let flaws = text.length > longestName ? nameFlaw.tooLong : 0;
  let start = text.startsWith('*.') ? 2 : 0;
  let letters = start;
  for (let index = start; index <= text.length; index++) {
    const code = index === text.length ? dot : text.charCodeAt(index);
    if (code === dot) {
      flaws |= labelFlaws(text, start, index);
      start = index + 1;
    } else {
      flaws |= dnsCharacter[code] as number;
      if (code > 0x39) letters += 1;
    }
  }
  return letters === 0 && flaws === 0 ? nameFlaw.address : flaws;
}

function labelFlaws(text: string, start: number, end: number): number {
  if (start === end) return nameFlaw.emptyLabel;
  let flaws = end - start > longestLabel ? nameFlaw.labelTooLong : 0;
  if (text.charCodeAt(start) === hyphen || text.charCodeAt(end - 1) === hyphen) flaws |= nameFlaw.hyphen;
  if (end - start > 3 && text.charCodeAt(start + 2) === hyphen && text.charCodeAt(start + 3) === hyphen)
    flaws |= reservedLabelFlaws(text.slice(start, end));
  return flaws;
}

function reservedLabelFlaws(label: string): number {
  if (!/^xn--/i.test(label)) return nameFlaw.reservedLabel;
  // What cannot be decoded comes back as it was; what decodes to something not normalized encodes to another label.
  const unicode = domainToUnicode(label);
  const isALabel = !/^xn--/i.test(unicode) && domainToASCII(unicode) === label.toLowerCase();
  return isALabel ? 0 : nameFlaw.aLabel;
}

const percent = 0x25;
const uriCharacter = Uint8Array.from({ length: 128 }, (_, code) =>
  /[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]/.test(String.fromCharCode(code)) ? 1 : 0,
);
const schemeForm = /^[A-Za-z][A-Za-z0-9+.-]*:/;

/** A uniformResourceIdentifier: an absolute URI (RFC 3986 §4.3); with an authority, the host is a full name or an address. */
export function uriFlaws(text: string): number {
  if (text === '') return nameFlaw.empty;
  const flaws = hasUriCharacters(text) ? 0 : nameFlaw.uriCharacter;
  const colon = text.indexOf(':');
  if (colon === -1 || !schemeForm.test(text)) return flaws | nameFlaw.uriRelative;
  if (colon === text.length - 1) return flaws | nameFlaw.uriNothing;
  if (!text.startsWith('//', colon + 1)) return flaws;
  return flaws | hostFlaws(text.slice(0, colon).toLowerCase(), uriHost(text, colon + 3));
}

/** Unreserved and reserved characters, and octets in percent-encoding (RFC 3986 §2). */
function hasUriCharacters(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (uriCharacter[code] !== 1) return false;
    if (code === percent && !/^%[\dA-Fa-f]{2}/.test(text.slice(index, index + 3))) return false;
  }
  return true;
}

/** The host of an authority that begins at `start`, with the brackets of an IPv6 address; undefined when the port is none. */
function uriHost(text: string, start: number): string | undefined {
  const rest = text.slice(start);
  const end = rest.search(/[/?#]/);
  const authority = end === -1 ? rest : rest.slice(0, end);
  const place = authority.slice(authority.lastIndexOf('@') + 1);
  if (!place.includes(':')) return place;
  return /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(place)?.[1];
}

function hostFlaws(scheme: string, host: string | undefined): number {
  if (host === undefined) return nameFlaw.uriHost;
  // RFC 5280 §4.2.1.13 has `ldap:///cn=…` itself, for a directory that the client knows.
  if (host === '') return scheme === 'ldap' ? 0 : nameFlaw.uriHost;
  // A trust domain names an authority but is no host: a-z, 0-9, dot, hyphen and underscore (SPIFFE-ID §2.1).
  if (scheme === 'spiffe') return /^[a-z0-9._-]+$/.test(host) ? 0 : nameFlaw.uriHost;
  if (host.startsWith('[')) return isIPv6(host.slice(1, -1)) ? 0 : nameFlaw.uriHost;
  const flaws = dnsFlaws(host);
  if (flaws === nameFlaw.address && isIPv4(host)) return 0;
  if (flaws !== 0 || host.startsWith('*')) return nameFlaw.uriHost;
  return host.includes('.') ? 0 : nameFlaw.uriUnqualified;
}

/** The host part of a URI, or undefined when it has none; for rules that look into it. */
export function hostOf(uri: string): string | undefined {
  const colon = uri.indexOf(':');
  return colon !== -1 && uri.startsWith('//', colon + 1) ? uriHost(uri, colon + 3) : undefined;
}

const atoms = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/;
const quotedLocalPart = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"$/;
const addressLiteral = /^\[(?:IPv6:)?([^\]]*)\]$/i;

/** An rfc822Name: a Mailbox of RFC 5321 §4.1.2, without a phrase before it, a comment after it or `<>` around it. */
export function emailFlaws(text: string): number {
  if (text === '') return nameFlaw.empty;
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  const sound = local.length <= 64 && (atoms.test(local) || quotedLocalPart.test(local));
  return sound && isMailHost(text.slice(at + 1)) ? 0 : nameFlaw.mailbox;
}

function isMailHost(host: string): boolean {
  const literal = addressLiteral.exec(host)?.[1];
  if (literal !== undefined) return isIPv4(literal) || isIPv6(literal);
  return dnsFlaws(host) === 0 && !host.startsWith('*');
}

/** A dNSName, rfc822Name or URI of a name constraint (RFC 5280 §4.2.1.10): a host or domain, or a domain after a dot. */
export function constraintFlaws(text: string): number {
  const domain = text.startsWith('.') ? text.slice(1) : text;
  const flaws = dnsFlaws(domain);
  return domain.startsWith('*') ? flaws | nameFlaw.wildcard : flaws;
}
