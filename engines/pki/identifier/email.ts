import { parseDnsName } from './dns-name.ts';
import { type Malformed, malformed } from './malformed.ts';

/** A mailbox for rfc822Name (RFC 5280 §4.2.1.6). */
export interface Email {
  readonly kind: 'email';
  /** `local@host` with the host in lower case; the local part as given, because only its host may fold it (RFC 5321 §2.4). */
  readonly value: string;
  readonly host: string;
}

/**
 * Dot-string of RFC 5321 §4.1.2, without the atoms that route, list or match elsewhere (`! % / | , ; *`) and without
 * quoted strings.
 */
const localPart = /^[\w+='~-]+(?:\.[\w+='~-]+)*$/;

/** Reads a mailbox: ASCII only, no display name, no quoted local part, no address literal. */
export function parseEmail(text: string): Email | Malformed {
  if (text === '') return malformed('is empty');
  if (text.length > 254) return malformed('is longer than 254 characters');
  const at = text.indexOf('@');
  if (at === -1 || at !== text.lastIndexOf('@')) return malformed('is not one mailbox: it needs one @');
  const local = text.slice(0, at);
  if (local.length > 64) return malformed('has more than 64 characters before the @');
  if (!localPart.test(local)) {
    return malformed("may have before the @ only ASCII letters, digits and . _ + - = ' ~ (dots not at its ends)");
  }
  const host = parseDnsName(text.slice(at + 1));
  if (host.kind === 'malformed') {
    const suggestion = host.suggestion === undefined ? undefined : `${local}@${host.suggestion}`;
    return malformed(`has a host that ${host.problem}`, suggestion);
  }
  if (host.wildcard) return malformed('has a wildcard in its host');
  return { kind: 'email', value: `${local}@${host.value}`, host: host.value };
}
