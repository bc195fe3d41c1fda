import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import type { Identifier } from '#acme/challenge/contract.ts';
import { AcmeError, malformed, type ProblemType, type Subproblem } from './problem.ts';

/**
 * Identifiers of orders. Only their spelling is judged here, so that there is one for each (RFC 8555 §7.1.4, RFC 8738);
 * whether a name may be certified, the role of the PKI says.
 */

/** Most identifiers of one order; a role may allow fewer. */
export const mostIdentifiers = 100;

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const dnsName = new RegExp(`^(?:\\*\\.)?${label}(?:\\.${label})*$`);

/** Reads the `identifiers` of a new order: normalised, each once. Throws with a subproblem for each that is none. */
export function readIdentifiers(value: unknown): readonly Identifier[] {
  if (!Array.isArray(value) || value.length === 0) throw malformed('The order has no identifiers.');
  if (value.length > mostIdentifiers)
    throw malformed(`The order has ${value.length} identifiers; at most ${mostIdentifiers} are allowed.`);
  const read = value.map((each) => readIdentifier(each));
  const faults = read.filter((each) => 'detail' in each);
  if (faults.length > 0) throw together(faults, value.length);
  return [...new Map(read.filter((each) => 'value' in each).map((each) => [keyOf(each), each])).values()];
}

/** The one identifier of a pre-authorization (RFC 8555 §7.4.1). Throws as `readIdentifiers`. */
export function readOneIdentifier(value: unknown): Identifier {
  const read = readIdentifier(value);
  if ('detail' in read) throw together([read], 1);
  return read;
}

/**
 * RFC 8555 §6.7.1: several findings stand below one that is about them all. Of one finding among several identifiers the
 * subproblem says which it is about; where one was asked for it would say everything twice.
 */
export function together(faults: readonly Subproblem[], asked: number): AcmeError {
  const [first] = faults;
  const kinds = new Set(faults.map(({ type }) => type));
  const type: ProblemType = kinds.size === 1 && first !== undefined ? first.type : 'compound';
  const detail =
    faults.length === 1 && first !== undefined ? first.detail : `${faults.length} of the identifiers are refused.`;
  return new AcmeError(type, detail, asked === 1 ? {} : { subproblems: faults });
}

function readIdentifier(value: unknown): Identifier | Subproblem {
  const { type, value: text } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof type !== 'string' || typeof text !== 'string')
    throw malformed('An identifier is an object with the texts type and value.');
  if (text.length > 255) throw malformed('An identifier has more than 255 characters.');
  if (type === 'dns') return readDnsName(text);
  if (type === 'ip') return readAddress(text);
  return fault('unsupportedIdentifier', 'The type of the identifier is neither dns nor ip.', {
    type: type.slice(0, 40),
    value: text,
  } as unknown as Identifier);
}

function readDnsName(text: string): Identifier | Subproblem {
  const value = text.toLowerCase();
  const shown = { type: 'dns', value: text } as const;
  if (isIP(text) !== 0) return fault('malformed', `${quoted(text)} is an address: its type is ip (RFC 8738).`, shown);
  // What the public DNS has as U-labels is certified by its A-labels.
  if (!dnsName.test(value) || value.length > 253 || /(?:^|\.)\d+$/.test(value))
    return fault('malformed', `${quoted(text)} is no DNS name in A-labels without a dot at the end.`, shown);
  if (/(?:^|\.)..--/.test(value) && !/(?:^|\.)xn--/.test(value))
    return fault('malformed', `${quoted(text)} has a reserved label (RFC 5890 section 2.3.1).`, shown);
  return { type: 'dns', value };
}

/** RFC 8738 §3: the text of RFC 5952, and no other, so that the order says what the certificate will. */
function readAddress(text: string): Identifier | Subproblem {
  const canonical = isIPv4(text) ? text : isIPv6(text) ? canonicalIpv6(text) : undefined;
  if (canonical === text) return { type: 'ip', value: text };
  const detail = canonical === undefined ? 'is no IP address' : `is written ${canonical} (RFC 5952)`;
  return fault('malformed', `${quoted(text)} ${detail}.`, { type: 'ip', value: text });
}

function canonicalIpv6(text: string): string | undefined {
  try {
    return new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined; // a zone identifier
  }
}

function fault(type: ProblemType, detail: string, identifier: Identifier): Subproblem {
  return { type, detail, identifier };
}

/** JSON escapes what is not printable; the length was bounded. */
function quoted(text: string): string {
  return JSON.stringify(text.replaceAll(/[^\x20-\x7e]/g, '?'));
}

export function keyOf({ type, value }: Identifier): string {
  return `${type}:${value}`;
}

/** Whether two lists name the same, in whatever order. */
export function sameIdentifiers(left: readonly Identifier[], right: readonly Identifier[]): boolean {
  const keys = new Set(left.map(keyOf));
  return keys.size === new Set(right.map(keyOf)).size && right.every((each) => keys.has(keyOf(each)));
}

/** The name that is validated, and whether it stands for all directly below it (RFC 8555 §7.1.4). */
export function authorizedName({ type, value }: Identifier): { identifier: Identifier; wildcard: boolean } {
  const wildcard = type === 'dns' && value.startsWith('*.');
  return { identifier: { type, value: wildcard ? value.slice(2) : value }, wildcard };
}

/**
 * Whether an identifier is among those that an external account key allows: `a.example` that name, `*.example` every
 * name below it and wildcards, an address or a CIDR range of addresses.
 */
export function isAllowed(allowed: readonly string[], { type, value }: Identifier): boolean {
  return allowed.some((pattern) => (type === 'dns' ? allowsName(pattern, value) : allowsAddress(pattern, value)));
}

function allowsName(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) && name !== pattern.slice(1) : pattern === name;
}

function allowsAddress(pattern: string, address: string): boolean {
  const [net = '', bits] = pattern.split('/');
  const family = isIP(net);
  if (family === 0 || family !== isIP(address)) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(net, bits === undefined ? (family === 4 ? 32 : 128) : Number(bits), kind);
  return list.check(address, kind);
}

/** For the schema of `allowed_identifiers`. */
export function isIdentifierPattern(pattern: string): boolean {
  return isAddressRange(pattern) || (dnsName.test(pattern) && !/(?:^|\.)\d+$/.test(pattern));
}

/** An address, or a CIDR range. */
export function isAddressRange(text: string): boolean {
  const [net = '', bits, ...rest] = text.split('/');
  const family = isIP(net);
  if (family === 0 || rest.length > 0 || net.includes('%')) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
