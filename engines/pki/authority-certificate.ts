import { parseDnsName } from './identifier/dns-name.ts';
import { parseEmail } from './identifier/email.ts';
import { parseIpRange } from './identifier/ip-address.ts';
import { shown } from './identifier/malformed.ts';
import { AppError } from '#core/errors.ts';
import type { NameConstraintsInput } from './authority-schema.ts';
import { encodeExtension, encodeRawExtension } from '#pki/x509/extension.ts';
import type { NameConstraintsInput as EncodedConstraints, SubtreeInput } from '#pki/x509/name-extensions.ts';
import { encodeName, type NameAttributeInput } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { unprintable } from './role-entries.ts';
import type { PkiUrls } from './urls.ts';

/** What a certificate of an authority holds: extensions and subject (RFC 5280 §4.2.1, Baseline Requirements §7.1.2). */

export interface AuthorityExtensions {
  readonly subjectKeyId: Buffer;
  readonly issuer: {
    /** A root. It names its CRL, and neither an OCSP responder nor a certificate above, for there is none. */
    readonly isSelf: boolean;
    readonly keyId: Buffer;
    readonly number: number;
    readonly urls: PkiUrls;
    readonly crlShard: number;
  };
  readonly maxPathLength?: number | undefined;
  /** As it was asked for, or the value of the extension, DER, taken over from another certificate. */
  readonly nameConstraints?: NameConstraintsInput | Buffer | undefined;
}

const anyPolicy = '2.5.29.32.0';

export function authorityExtensions(parts: AuthorityExtensions): Buffer[] {
  const { issuer } = parts;
  const extensions = [
    encodeExtension('basic_constraints', { ca: true, pathLength: parts.maxPathLength }),
    encodeExtension('key_usage', ['key_cert_sign', 'crl_sign']),
    encodeExtension('subject_key_identifier', parts.subjectKeyId),
    encodeExtension('authority_key_identifier', { keyIdentifier: issuer.keyId }),
  ];
  if (!issuer.isSelf) extensions.push(encodeExtension('certificate_policies', [{ oid: anyPolicy }]));
  if (parts.nameConstraints) extensions.push(constraintsExtension(parts.nameConstraints));
  extensions.push(crlExtension(issuer.urls, issuer.number, issuer.crlShard));
  if (!issuer.isSelf) extensions.push(accessExtension(issuer.urls, issuer.number));
  return extensions;
}

/** The CRL that a certificate would be on (RFC 5280 §4.2.1.13). */
export function crlExtension(urls: PkiUrls, issuerNumber: number, crlShard: number): Buffer {
  const value = urls.crl(issuerNumber, crlShard);
  return encodeExtension('crl_distribution_points', [{ fullName: [{ kind: 'uri', value }] }]);
}

/** The OCSP responder and the certificate of the issuer, or one of them (RFC 5280 §4.2.2.1). */
export function accessExtension(
  urls: PkiUrls,
  issuerNumber: number,
  which: { readonly ocsp: boolean; readonly caIssuers: boolean } = { ocsp: true, caIssuers: true },
): Buffer {
  const at = (method: string, value: string) => ({ method, location: { kind: 'uri', value } as const });
  return encodeExtension('authority_info_access', [
    ...(which.ocsp ? [at(oids.accessOcsp, urls.ocsp)] : []),
    ...(which.caIssuers ? [at(oids.accessCaIssuers, urls.issuerCertificate(issuerNumber))] : []),
  ]);
}

export interface SubjectFields {
  readonly common_name?: string | undefined;
  readonly organization?: string | undefined;
  readonly organizational_unit?: string | undefined;
  readonly country?: string | undefined;
  readonly locality?: string | undefined;
  readonly province?: string | undefined;
}

/** Outermost first, as X.500 orders them. */
const subjectOrder = ['country', 'province', 'locality', 'organization', 'organizational_unit', 'common_name'] as const;

export function subjectAttributes(fields: SubjectFields): NameAttributeInput[] {
  return subjectOrder.flatMap((type) => {
    const value = fields[type];
    return value === undefined ? [] : [{ type, value }];
  });
}

/**
 * The subject as a Name. Throws `invalid_request` for text that a name cannot hold or that nobody could see: direction
 * marks and zero-width characters make one authority look like another.
 */
export function encodeSubject(fields: SubjectFields): Buffer {
  const attributes = subjectAttributes(fields);
  try {
    if (!attributes.some(({ value }) => unprintable.test(value))) return encodeName(attributes);
  } catch (cause) {
    throw unfitSubject(cause);
  }
  throw unfitSubject();
}

function unfitSubject(cause?: unknown): AppError {
  return new AppError('invalid_request', 'The subject holds text that a distinguished name cannot hold.', {
    hint: 'Leave out control and invisible characters and keep to the lengths of RFC 5280 appendix A.1.',
    cause,
  });
}

function constraintsExtension(constraints: NameConstraintsInput | Buffer): Buffer {
  if (Buffer.isBuffer(constraints)) return encodeRawExtension(oids.nameConstraints, true, constraints);
  return encodeExtension('name_constraints', encodeConstraints(constraints));
}

type Subtrees = NonNullable<NameConstraintsInput['permitted']>;

function encodeConstraints({ permitted, excluded }: NameConstraintsInput): EncodedConstraints {
  const constraints = { permitted: permitted && subtrees(permitted), excluded: excluded && subtrees(excluded) };
  if ([constraints.permitted, constraints.excluded].every((side) => side === undefined || side.length === 0)) {
    // RFC 5280 §4.2.1.10: CAs must not issue certificates where name constraints is an empty sequence.
    throw new AppError('invalid_request', 'The name constraints are empty.', {
      hint: 'Give a permitted or excluded name, or leave name_constraints out.',
    });
  }
  return {
    permitted: constraints.permitted?.length ? constraints.permitted : undefined,
    excluded: constraints.excluded?.length ? constraints.excluded : undefined,
  };
}

function subtrees(side: Subtrees): SubtreeInput[] {
  return [
    ...(side.dns_names ?? []).map((text) => ({ kind: 'dns', value: readHost(text, 'dns_names') }) as const),
    ...(side.ip_ranges ?? []).map(ipSubtree),
    ...(side.emails ?? []).map((text) => ({ kind: 'email', value: readMailboxes(text) }) as const),
    ...(side.uris ?? []).map((text) => ({ kind: 'uri', value: readHost(text, 'uris') }) as const),
    ...(side.directory_names ?? []).map(
      (fields) => ({ kind: 'directory', name: { der: encodeSubject(fields) } }) as const,
    ),
  ];
}

function ipSubtree(text: string): SubtreeInput {
  const range = parseIpRange(text);
  if (range.kind === 'range') return range;
  throw unreadable(text, 'ip_ranges', 'is not a CIDR range');
}

/** A mailbox, a host, or `.domain` for every host below it. */
function readMailboxes(text: string): string {
  if (!text.includes('@')) return readHost(text, 'emails');
  const mailbox = parseEmail(text);
  if (mailbox.kind === 'email') return mailbox.value;
  throw unreadable(text, 'emails', mailbox.problem);
}

/** A host or domain, or with a dot in front what is below it. */
function readHost(text: string, field: keyof typeof examples): string {
  const dot = text.startsWith('.') ? '.' : '';
  const host = parseDnsName(text.slice(dot.length));
  if (host.kind === 'dns' && !host.wildcard) return `${dot}${host.value}`;
  throw unreadable(text, field, host.kind === 'dns' ? 'is a wildcard' : host.problem);
}

const examples = {
  dns_names: 'example.com',
  ip_ranges: '10.0.0.0/8 or 2001:db8::/32',
  emails: 'someone@example.com, example.com or .example.com',
  uris: 'example.com or .example.com',
} as const;

/** What validators cannot read they take for nothing or for everything, each its own way; so it is not signed. */
function unreadable(text: string, field: keyof typeof examples, problem: string): AppError {
  return new AppError('invalid_request', `The name constraint ${shown(text)} of ${field} ${problem}.`, {
    hint: `Write for example ${examples[field]}.`,
  });
}
