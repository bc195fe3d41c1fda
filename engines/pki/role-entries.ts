import { z } from 'zod';
import { oids } from '#pki/x509/oid.ts';
import { parseDnsName } from './identifier/dns-name.ts';
import { parseEmail } from './identifier/email.ts';
import { parseIpRange } from './identifier/ip-address.ts';
import { type Malformed, malformed, shown } from './identifier/malformed.ts';
import { parseUriPattern } from './identifier/uri-pattern.ts';
import { extendedKeyUsageOids } from './key-purpose.ts';

/** How the entries of a role's lists are read: each into its one spelling, or into what is wrong with it. */

/** A list whose entries `read` brings into their canonical spelling, once each; every entry that it cannot read is told. */
export function entryList(max: number, length: number, read: (text: string) => string | Malformed) {
  return z
    .array(z.string().min(1).max(length))
    .max(max)
    .transform((texts, context) => {
      const values = texts.map((text, index) => {
        const value = read(text);
        if (typeof value === 'string') return value;
        const meant = value.suggestion === undefined ? '' : `; write ${value.suggestion}`;
        context.addIssue({ code: 'custom', path: [index], message: `${shown(text)} ${value.problem}${meant}` });
        return '';
      });
      return [...new Set(values)];
    });
}

export function readDomain(text: string): string | Malformed {
  if (text.startsWith('*.') || text.startsWith('.')) {
    const problem = 'is not a domain; list the domain and turn on allow_subdomains or allow_wildcards';
    const bare = parseDnsName(text.replace(/^\*?\./, ''));
    return malformed(problem, bare.kind === 'dns' && !bare.wildcard ? bare.value : undefined);
  }
  const domain = parseDnsName(text);
  return domain.kind === 'malformed' ? domain : domain.value;
}

export function readRange(text: string): string | Malformed {
  const range = parseIpRange(text);
  return range.kind === 'malformed' ? range : range.value;
}

export function readUriPattern(text: string): string | Malformed {
  const pattern = parseUriPattern(text);
  return pattern.kind === 'malformed' ? pattern : pattern.value;
}

export function readEmail(text: string): string | Malformed {
  if (text.startsWith('@')) {
    const host = parseDnsName(text.slice(1));
    if (host.kind === 'malformed') {
      return malformed(host.problem, host.suggestion === undefined ? undefined : `@${host.suggestion}`);
    }
    if (!host.wildcard) return `@${host.value}`;
  }
  const mailbox = parseEmail(text);
  return mailbox.kind === 'malformed' ? mailbox : mailbox.value;
}

/** Controls, formatting and direction marks, private use, unassigned; and lone surrogates. */
export const unprintable = /\p{C}/u;

const dottedOid = /^(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9]\d{0,8}))(?:\.(?:0|[1-9]\d{0,8})){1,18}$/;

/** Of the responders of our own authorities only, and of everything: neither is for a role to give. */
const refusedUsages = new Set(['ocsp_signing', oids.ocspSigning, 'any', oids.anyExtendedKeyUsage]);

export function readExtendedKeyUsage(text: string): string | Malformed {
  if (refusedUsages.has(text)) return malformed('is not given by roles');
  if (Object.hasOwn(extendedKeyUsageOids, text)) return text;
  if (dottedOid.test(text)) return Object.entries(extendedKeyUsageOids).find(([, oid]) => oid === text)?.[0] ?? text;
  const known = Object.keys(extendedKeyUsageOids).join(', ');
  return malformed(`is neither ${known} nor a dotted OID`);
}

export function readPolicyOid(text: string): string | Malformed {
  if (text === oids.anyPolicy) return malformed('is anyPolicy, which only authorities assert');
  return dottedOid.test(text) ? text : malformed('is not a dotted OID');
}
