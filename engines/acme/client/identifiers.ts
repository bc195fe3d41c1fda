import { isIP, SocketAddress } from 'node:net';
import { domainToASCII } from 'node:url';
import { z } from 'zod';

/** What a certificate is ordered for (RFC 8555 §7.1.3, RFC 8738 §3). */
export interface Identifier {
  readonly type: 'dns' | 'ip';
  /** A DNS name in lower case and A-labels, maybe with `*.`; or an address as RFC 5952 writes it. */
  readonly value: string;
}

const dnsName = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What may stand in a name before it is put into A-labels: that reads a URL, and takes `a` from `a/b`. */
const inNames = /^[\p{L}\p{M}\p{N}._-]+$/u;

/** Undefined for what is neither. */
export function readIdentifier(text: string): Identifier | undefined {
  if (isIP(text) !== 0) return { type: 'ip', value: canonicalAddress(text) };
  const wildcard = text.startsWith('*.');
  const name = wildcard ? text.slice(2) : text;
  if (!inNames.test(name)) return undefined;
  const ascii = domainToASCII(name);
  const value = `${wildcard ? '*.' : ''}${ascii}`;
  if (value.length > 253 || !dnsName.test(value) || isIP(ascii) !== 0) return undefined;
  return { type: 'dns', value };
}

export function canonicalAddress(address: string): string {
  return new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' }).address;
}

/** The name that is proved: that of a wildcard is the one below it (RFC 8555 §7.1.4). */
export function baseName({ value }: Identifier): string {
  return value.startsWith('*.') ? value.slice(2) : value;
}

export function isWildcard({ value }: Identifier): boolean {
  return value.startsWith('*.');
}

export function sameNames(left: readonly Identifier[], right: readonly Identifier[]): boolean {
  const keys = (list: readonly Identifier[]) => new Set(list.map(({ type, value }) => `${type}:${value}`));
  return keys(left).symmetricDifference(keys(right)).size === 0;
}

const longestText = 255;

/** Everything is looked at in the one step, so that what comes after it sees identifiers only. */
export const identifierText = z.string().transform((text, issues): Identifier => {
  const identifier = text.length > longestText ? undefined : readIdentifier(text.trim());
  if (identifier !== undefined) return identifier;
  issues.addIssue({ code: 'custom', message: 'neither a DNS name (*.example.com for a wildcard) nor an IP address' });
  return z.NEVER;
});
