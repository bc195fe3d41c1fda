import { domainToASCII } from 'node:url';
import { isInternalName, parseDnsName } from '#pki/identifier/dns-name.ts';
import { formatIp, parseIpAddress } from '#pki/identifier/ip-address.ts';
import { shown } from '#pki/identifier/malformed.ts';
import type { GeneralName } from '#pki/x509/general-name.ts';
import { attributeValues } from '#pki/x509/name.ts';
import { isHostName } from './constrained-name.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

type Breach = readonly [found: string, expected: string, section: string];

/** What the Baseline Requirements say of the names of subscriber certificates (§7.1.2.7.12, §7.1.4.2, §7.1.4.3). */
export function subscriberNameFindings(parsed: ParsedCertificate): Breach[] {
  const names = parsed.value('subject_alt_name');
  const critical = parsed.isCritical('subject_alt_name');
  const hasSubject = parsed.certificate.subject.rdns.length > 0;
  if (names === undefined)
    return critical === undefined ? [['no subjectAltName', 'the names of the peer', 'RFC 9525 §2']] : [];
  const breaches: Breach[] = [];
  if (critical === hasSubject) {
    const [found, expected] = critical ? ['critical', 'not critical'] : ['not critical', 'critical'];
    const beside = hasSubject ? 'beside a subject' : 'with an empty subject';
    breaches.push([`subjectAltName ${found} ${beside}`, expected, 'RFC 5280 §4.2.1.6']);
  }
  const unsound = names.find((name) => name.kind === 'dns' && !isSoundDns(name.value));
  if (unsound !== undefined && 'value' in unsound)
    breaches.push([`the dNSName ${shown(unsound.value)}`, 'a host name, or *. and one', 'RFC 5280 §4.2.1.6']);
  const [common, second] = attributeValues(parsed.certificate.subject, 'common_name');
  if (second !== undefined) breaches.push(['several common names', 'one at most', 'Baseline Requirements §7.1.4.3']);
  if (common !== undefined && !isSoundCommonName(common, names))
    breaches.push([
      `the common name ${shown(common)}`,
      'a value of the subjectAltName, letter for letter',
      'Baseline Requirements §7.1.4.3',
    ]);
  return breaches;
}

/** A wildcard needs at least two labels behind it: one alone is a whole top-level domain. */
function isSoundDns(text: string): boolean {
  const value = text.toLowerCase();
  if (!value.startsWith('*.')) return isHostName(value);
  return value.slice(2).includes('.') && isHostName(value.slice(2));
}

/**
 * §7.1.4.3 wants the common name to be one of the subjectAltName's values. Two misuses are refused: another spelling of
 * such a value, which readers may take for another name, and a public domain that lies elsewhere than the names that the
 * authority vouches for. What names nothing that a client would look for (a person, a product, the domain above all of
 * the names) is let pass, since clients must not look at it anyway (RFC 9525 §6.1).
 */
function isSoundCommonName(common: string, names: readonly GeneralName[]): boolean {
  if (names.some((name) => 'value' in name && name.value === common)) return true;
  const meaning = normalize(common);
  if (names.some((name) => (name.kind === 'dns' || name.kind === 'ip') && normalize(name.value) === meaning))
    return false;
  return !claimsOtherDomain(meaning, names);
}

function claimsOtherDomain(common: string, names: readonly GeneralName[]): boolean {
  if (!isPublicDomain(common)) return false;
  const domains = names.flatMap((name) => (name.kind === 'dns' ? [name.value.toLowerCase()] : []));
  return domains.length > 0 && domains.every((domain) => isPublicDomain(domain) && !domain.endsWith(`.${common}`));
}

function isPublicDomain(text: string): boolean {
  const name = parseDnsName(text.replace(/^\*\./, ''));
  return name.kind === 'dns' && !isInternalName(name);
}

/** One text for everything that some reader takes for the same host: letter case, U-labels, spellings of addresses. */
function normalize(text: string): string {
  const address = parseIpAddress(text);
  if (address.kind === 'ip') return address.value;
  const octets = looseIpv4(text);
  if (octets !== undefined) return formatIp(octets);
  // oxlint-disable-next-line no-control-regex -- the range is ASCII as a whole
  const ascii = /[^\x00-\x7f]/.test(text) ? domainToASCII(text) : text;
  return ascii.toLowerCase().replace(/\.$/, '');
}

/** IPv4 as inet_aton reads it: one to four numbers, decimal, octal or hexadecimal; leading zeros also as decimal. */
function looseIpv4(text: string): Uint8Array | undefined {
  if (!/^(?:0[xX][\da-fA-F]{1,8}|\d{1,10})(?:\.(?:0[xX][\da-fA-F]{1,8}|\d{1,10})){0,3}$/.test(text)) return undefined;
  const numbers = text.split('.').map(Number);
  const last = numbers.pop() ?? 0;
  const room = 4 - numbers.length;
  if (numbers.some((number) => number > 255) || last >= 256 ** room) return undefined;
  const tail = Array.from({ length: room }, (_, index) => Math.floor(last / 256 ** (room - 1 - index)) % 256);
  return Uint8Array.from([...numbers, ...tail]);
}
