import { type DnsName, parseDnsName } from './dns-name.ts';
import { type Email, parseEmail } from './email.ts';
import { type IpAddress, parseIpAddress } from './ip-address.ts';
import type { Malformed } from './malformed.ts';
import { parseUri, type Uri } from './uri.ts';

/** A name that a certificate can hold, read and in its one spelling. */
export type Identifier = DnsName | IpAddress | Uri | Email;
export type IdentifierKind = Identifier['kind'];

/** In the order in which a certificate holds them. */
export const identifierKinds = ['dns', 'ip', 'uri', 'email'] as const satisfies readonly IdentifierKind[];

/** How people call each kind. */
export const kindTitles: Readonly<Record<IdentifierKind, string>> = {
  dns: 'DNS name',
  ip: 'IP address',
  uri: 'URI',
  email: 'e-mail address',
};

const parsers: Readonly<Record<IdentifierKind, (text: string) => Identifier | Malformed>> = {
  dns: parseDnsName,
  ip: parseIpAddress,
  uri: parseUri,
  email: parseEmail,
};

export function parseIdentifier(kind: IdentifierKind, text: string): Identifier | Malformed {
  return parsers[kind](text);
}

/** Which kind of name a text without a declared kind (a common name) can only be. It need not be well formed. */
export function guessKind(text: string): IdentifierKind {
  if (text.includes('://') || text.startsWith('urn:')) return 'uri';
  if (text.includes('@')) return 'email';
  if (text.includes(':') || /^[\d./]+$/.test(text)) return 'ip';
  return 'dns';
}
