import { domainToASCII } from 'node:url';
import { parseUri } from '#pki/identifier/uri.ts';
import type { GeneralName, OtherName } from '#pki/x509/general-name.ts';
import { attributeValues, type Name } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** A name of a certificate in the form in which subtrees are compared with it (RFC 5280 §4.2.1.10). */
export type ConstrainedName =
  | { readonly kind: 'dns'; readonly value: string; readonly wildcard: boolean; readonly isSound: boolean }
  | { readonly kind: 'ip'; readonly value: string; readonly bytes: Uint8Array }
  /** `host` is undefined where there is none or it is an address: constraints on URIs speak of host names only. */
  | { readonly kind: 'uri'; readonly value: string; readonly host: string | undefined }
  /** `local` without quotes, `host` in lower case; `local` is undefined when the text is no mailbox. */
  | { readonly kind: 'email'; readonly value: string; readonly local: string | undefined; readonly host: string }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'other' | 'registered_id' | 'x400' | 'edi_party'; readonly value: string };

const prepared = new WeakMap<ParsedCertificate, readonly ConstrainedName[]>();

/**
 * All names of a certificate that constraints bind: the subject, the subjectAltName, and e-mail addresses in the subject
 * where no subjectAltName is there (§4.2.1.10).
 */
export function constrainedNames(parsed: ParsedCertificate): readonly ConstrainedName[] {
  let names = prepared.get(parsed);
  if (names === undefined) prepared.set(parsed, (names = prepare(parsed)));
  return names;
}

function prepare(parsed: ParsedCertificate): ConstrainedName[] {
  const { subject } = parsed.certificate;
  const alternative = parsed.value('subject_alt_name');
  const names: ConstrainedName[] = subject.rdns.length === 0 ? [] : [{ kind: 'directory', name: subject }];
  if (alternative === undefined) names.push(...attributeValues(subject, oids.emailAddress).map(toEmail));
  else names.push(...alternative.flatMap(toConstrainedNames));
  return names;
}

function toConstrainedNames(name: GeneralName): ConstrainedName[] {
  return name.kind === 'other' ? toOthers(name) : [toConstrainedName(name)];
}

/** A mailbox in UTF-8 is bound by constraints on rfc822Name as well (RFC 9598 §6). */
function toOthers({ typeId, value }: OtherName): ConstrainedName[] {
  const other: ConstrainedName = { kind: 'other', value: typeId };
  return typeId === oids.smtpUtf8Mailbox ? [other, toEmail(value)] : [other];
}

function toConstrainedName(name: Exclude<GeneralName, OtherName>): ConstrainedName {
  switch (name.kind) {
    case 'dns':
      return toDns(name.value);
    case 'ip':
      return { kind: 'ip', value: name.value, bytes: name.bytes };
    case 'uri':
      return { kind: 'uri', value: name.value, host: uriHost(name.value) };
    case 'email':
      return toEmail(name.value);
    case 'directory':
      return { kind: 'directory', name: name.name };
    default:
      return { kind: name.kind, value: name.value };
  }
}

function toDns(text: string): ConstrainedName {
  const value = text.toLowerCase();
  const wildcard = value.startsWith('*.');
  return { kind: 'dns', value, wildcard, isSound: isHostName(wildcard ? value.slice(2) : value) };
}

function uriHost(text: string): string | undefined {
  const uri = parseUri(text);
  return uri.kind === 'uri' && uri.host !== null && isHostName(uri.host) ? uri.host : undefined;
}

/** A-labels stand for U-labels (RFC 9598 §5). */
function toEmail(text: string): ConstrainedName {
  const at = text.lastIndexOf('@');
  const given = text.slice(at + 1);
  // oxlint-disable-next-line no-control-regex -- the range is ASCII as a whole
  const isAscii = given.length > 253 || /^[\x00-\x7f]*$/.test(given);
  const host = (isAscii ? given : domainToASCII(given)).toLowerCase();
  const local = at > 0 && isHostName(host) ? unquoteLocalPart(text.slice(0, at)) : undefined;
  return { kind: 'email', value: text, local, host };
}

/** RFC 5321 §4.1.2, beyond ASCII RFC 6531 §3.3. */
const dotString = /^[^\s\p{Cc}()<>[\]:;@\\,."]+(?:\.[^\s\p{Cc}()<>[\]:;@\\,."]+)*$/u;
const quotedString = /^"(?:[^\p{Cc}"\\]|\\[^\p{Cc}])*"$/u;

/**
 * What the local part of a mailbox means: quoting it does not make another mailbox (RFC 5321 §4.1.2). Undefined when it
 * is none.
 */
export function unquoteLocalPart(text: string): string | undefined {
  if (dotString.test(text)) return text;
  return quotedString.test(text) ? text.slice(1, -1).replaceAll(/\\(.)/gu, '$1') : undefined;
}

const hostName = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** A host name in lower case; underscores are let pass, as they are in use, and addresses are none. */
export function isHostName(text: string): boolean {
  return text.length <= 253 && hostName.test(text) && !/(?:^|\.)\d+$/.test(text);
}
