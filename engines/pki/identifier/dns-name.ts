import { domainToASCII, domainToUnicode } from 'node:url';
import { type Malformed, malformed, shown } from './malformed.ts';

/** A DNS name as it stands in a certificate: lower-case A-labels, no dot at the end (RFC 5280 §4.2.1.6, RFC 1034 §3.5). */
export interface DnsName {
  readonly kind: 'dns';
  readonly value: string;
  /** Whether the leftmost label is `*` (RFC 9525 §6.3). */
  readonly wildcard: boolean;
}

const maxLength = 253;
const maxLabel = 63;
const dot = 0x2e;
const hyphen = 0x2d;

/**
 * Reads a DNS name. Accepts either case, because DNS does not distinguish them (RFC 4343), and answers lower case.
 * Refuses everything else that has a second spelling or a second meaning: a dot at the end, U-labels (the suggestion
 * has the A-labels), underscores, labels that only look like A-labels, names that software reads as an IPv4 address,
 * and a `*` that is not the whole leftmost label above at least two others.
 */
export function parseDnsName(text: string): DnsName | Malformed {
  const flaw = findFlaw(text);
  if (flaw === undefined) return { kind: 'dns', value: text.toLowerCase(), wildcard: text.charCodeAt(0) === 0x2a };
  return malformed(flaw, respell(text));
}

/** The first thing that is wrong with the name; undefined when nothing is. */
function findFlaw(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (text.length > maxLength) return `is longer than ${maxLength} characters`;
  const first = text.startsWith('*.') ? 2 : 0;
  let start = first;
  let labels = 0;
  for (let index = first; index <= text.length; index++) {
    const code = index === text.length ? dot : text.charCodeAt(index);
    if (code === dot) {
      const flaw = labelFlaw(text, start, index);
      if (flaw !== undefined) return flaw;
      labels++;
      start = index + 1;
    } else if (!isLdh(code)) {
      return characterFlaw(code);
    }
  }
  if (first > 0 && labels < 2) return 'is a wildcard over a whole top-level domain; at least two labels must follow *';
  return endsInNumber(text) ? 'ends like an IP address; the last label of a DNS name is not a number' : undefined;
}

/** Letters, digits, hyphen: the preferred name syntax of RFC 1034 §3.5 with RFC 1123 §2.1. */
function isLdh(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === hyphen ||
    (code >= 0x41 && code <= 0x5a)
  );
}

function labelFlaw(text: string, start: number, end: number): string | undefined {
  if (end === start) {
    if (end === text.length && start > 1) return 'ends with a dot; names in certificates do not (RFC 5280 §4.2.1.6)';
    return 'has an empty label';
  }
  if (end - start > maxLabel) return `has a label of more than ${maxLabel} characters`;
  if (text.charCodeAt(start) === hyphen || text.charCodeAt(end - 1) === hyphen) {
    return 'has a label that begins or ends with a hyphen';
  }
  if (text.charCodeAt(start + 2) !== hyphen || text.charCodeAt(start + 3) !== hyphen || end - start < 4)
    return undefined;
  return reservedLabelFlaw(text.slice(start, end).toLowerCase());
}

/** RFC 5890 §2.3.1: of the labels with hyphens in third and fourth place only A-labels have a meaning. */
function reservedLabelFlaw(label: string): string | undefined {
  if (!label.startsWith('xn--')) return `has the label ${label}, and hyphens in third and fourth place are reserved`;
  const decoded = domainToUnicode(label);
  if (decoded !== label && domainToASCII(decoded) === label) return undefined;
  return `has the label ${label}, which is no A-label: it does not decode to one and back (RFC 5890 §2.3.2.1)`;
}

function characterFlaw(code: number): string {
  if (code === 0x2a) return 'has a * that is not the whole leftmost label';
  if (code === 0x5f) return 'has an underscore, which host names do not hold (RFC 1123 §2.1)';
  if (code > 0x7e) return 'has characters outside ASCII, which certificates hold as A-labels only (RFC 5890 §2.3.2.1)';
  if (code < 0x21) return 'has white space or a control character';
  return `has the character ${shown(String.fromCharCode(code))}, which DNS names do not hold`;
}

/** Whether URL parsers would read the name as an IPv4 address (WHATWG URL, "ends in a number"). */
function endsInNumber(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  const hexDigit = (last >= 0x30 && last <= 0x39) || (last >= 0x61 && last <= 0x66) || (last >= 0x41 && last <= 0x46);
  const maybe = hexDigit || last === 0x78 || last === 0x58;
  return maybe && /^(?:\d+|0[xX][\da-fA-F]*)$/.test(text.slice(text.lastIndexOf('.') + 1));
}

/** The spelling that was probably meant: without the dot at the end, with A-labels. */
function respell(text: string): string | undefined {
  if (text.length > 1024) return undefined;
  const candidates = [text.endsWith('.') ? text.slice(0, -1) : text];
  // oxlint-disable-next-line no-control-regex -- the range is ASCII as a whole
  if (/[^\x00-\x7f]/.test(text)) candidates.push(domainToASCII(text), domainToASCII(text).replace(/\.$/, ''));
  return candidates.find((candidate) => findFlaw(candidate) === undefined)?.toLowerCase();
}

/**
 * The names of RFC 6761 and the IANA registry of special-use domains that no public authority may certify
 * (Baseline Requirements §4.2.2: internal names).
 */
const specialUse = /(?:^|\.)(?:test|localhost|local|internal|invalid|example|onion|alt|home\.arpa)$/;

/** Whether the name, canonical, is one that the public DNS cannot resolve. */
export function isInternalName(name: DnsName): boolean {
  return !name.value.includes('.') || specialUse.test(name.value);
}
