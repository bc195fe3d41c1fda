import { z } from 'zod';
import { duration, formatDuration, parseDuration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { keyTypes } from '#pki/x509/algorithm.ts';
import { backdate } from './backdate.ts';
import { readCommonName } from './common-names.ts';
import { keyUsagesFor, leafKeyUsages, uselessKeyUsages } from './key-purpose.ts';
import {
  entryList,
  readDomain,
  readEmail,
  readExtendedKeyUsage,
  readPolicyOid,
  readRange,
  readUriPattern,
  unprintable,
} from './role-entries.ts';

/**
 * What a role is made of. The defaults are the safe ones: P-256, no wildcard, no address, one extended key usage, no
 * common name, 24 hours. There is no way to allow any name at all: a role that would is a second certificate authority,
 * and an authority under name constraints is the honest form of one. Nor are there globs over domains.
 */

const notEmpty = (values: readonly unknown[]) => values.length > 0;
const once = <Value>(values: Value[]) => [...new Set(values)];

const attribute = (max: number, what: string) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((text) => !unprintable.test(text) && text.trim() === text, 'no invisible characters, no space at the ends')
    .describe(`${what} of every subject; the requester cannot change it`);

/** Like `duration`, and nothing at all is a duration too. */
const zeroOrDuration = z.union([z.string().max(32), z.number()]).transform((value, context) => {
  const seconds = value === 0 || value === '0' || value === '0s' ? 0 : parseDuration(value);
  if (seconds !== undefined) return seconds;
  context.addIssue({ code: 'custom', message: 'not a duration; write for example 0s, 90s or 15m' });
  return z.NEVER;
});
const maxLife = 10 * 365 * 86_400;

/** Every field without its default. */
const fields = {
  description: z.string().max(500).describe('What it is for'),
  allowed_domains: entryList(1000, 253, readDomain).describe('Domains whose names may be issued'),
  allow_bare_domains: z.boolean().describe('Whether the allowed domains themselves may be issued'),
  allow_subdomains: z.boolean().describe('Whether names below the allowed domains, at any depth, may be issued'),
  allow_wildcards: z
    .boolean()
    .describe('Whether *.domain may be issued; below an allowed domain allow_subdomains is needed as well'),
  allowed_ip_ranges: entryList(1000, 64, readRange).describe('CIDR ranges whose addresses may be issued: 10.1.0.0/16'),
  allowed_uris: entryList(200, 2048, readUriPattern).describe(
    'URIs that may be issued. In the path * stands for a part of one segment, a last /** for any further segments: spiffe://example.org/ns/*/sa/*',
  ),
  allowed_emails: entryList(1000, 254, readEmail).describe('Mailboxes that may be issued, or @host for all of a host'),
  allowed_common_names: entryList(200, 64, readCommonName).describe(
    'Common names that may be issued although they are none of the names of the certificate; matched exactly, or by a beginning of at least 4 letters, digits, _ and - with * after it: chy_ab12c_*',
  ),
  require_common_name: z.boolean().describe('Whether a common name must be asked for'),
  key_types: z
    .array(z.enum(keyTypes))
    .max(keyTypes.length)
    .refine(notEmpty, 'at least one')
    .transform((types) => once(types))
    .describe('Key types accepted; the first is made when the requester brings no key and names no type'),
  require_csr: z.boolean().describe('Whether the requester must bring a key, so that none is made here'),
  key_usages: z
    .array(z.enum(leafKeyUsages))
    .max(leafKeyUsages.length)
    .refine(notEmpty, 'at least one')
    .transform((usages) => once(usages))
    .describe('Key usages; each is written only for keys that can do it (key_encipherment: RSA, key_agreement: EC)'),
  extended_key_usages: entryList(10, 128, readExtendedKeyUsage)
    .refine(notEmpty, 'at least one')
    .describe('server_auth, client_auth, code_signing, email_protection, time_stamping, or dotted OIDs'),
  policy_oids: entryList(10, 128, readPolicyOid).describe('Certificate policies, dotted OIDs'),
  max_ttl: duration.refine((seconds) => seconds <= maxLife, 'at most 10y').describe('Longest life'),
  not_before_backdate: zeroOrDuration
    .refine((seconds) => seconds <= 86_400, 'at most 24h')
    .describe('How far validity begins before issuance, for clocks that are late; 0 to 24h'),
  max_names: z.number().int().min(1).max(1000).describe('Most names in one certificate, 1 to 1000'),
  short_lived: z.boolean().describe('Whether certificates of at most 7 days carry no CRL, OCSP and issuer addresses'),
  web_pki: z
    .boolean()
    .describe(
      'Whether certificates follow the Baseline Requirements for public TLS: subject empty, policy 2.23.140.1.2.1',
    ),
};

/** Fields that may be absent. */
const optionalFields = {
  default_ttl: duration
    .refine((seconds) => seconds <= maxLife, 'at most 10y')
    .describe('Life when none is asked for; default 24h, or max_ttl if that is shorter'),
  max_per_hour: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .describe('Most certificates that are issued in one hour of the clock (UTC), 1 to 1000000; default no limit'),
  max_valid: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .describe('Most certificates that are neither expired nor revoked at once, 1 to 10000; default no limit'),
  organization: attribute(64, 'O'),
  organizational_unit: attribute(64, 'OU'),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'two capital letters (ISO 3166-1)')
    .describe('C of every subject, two capital letters'),
  locality: attribute(128, 'L'),
  province: attribute(128, 'ST'),
};

/** A default with the description on the outside, where the generators look for it. */
function withDefault<Schema extends z.ZodType>(schema: Schema, value: z.input<Schema>): z.ZodPrefault<Schema> {
  return schema.prefault(value as never).describe(schema.description ?? '');
}

function maybe<Schema extends z.ZodType>(schema: Schema): z.ZodOptional<Schema> {
  return schema.optional().describe(schema.description ?? '');
}

/** The fields of a role as a request gives them: spread these into the input of an operation. */
export const roleFields = {
  name: name.describe('Name of the role'),
  authority: name.describe('Name of the authority that issues'),
  description: withDefault(fields.description, ''),
  allowed_domains: withDefault(fields.allowed_domains, []),
  allow_bare_domains: withDefault(fields.allow_bare_domains, true),
  allow_subdomains: withDefault(fields.allow_subdomains, false),
  allow_wildcards: withDefault(fields.allow_wildcards, false),
  allowed_ip_ranges: withDefault(fields.allowed_ip_ranges, []),
  allowed_uris: withDefault(fields.allowed_uris, []),
  allowed_emails: withDefault(fields.allowed_emails, []),
  allowed_common_names: withDefault(fields.allowed_common_names, []),
  require_common_name: withDefault(fields.require_common_name, false),
  key_types: withDefault(fields.key_types, ['ec-p256']),
  require_csr: withDefault(fields.require_csr, false),
  key_usages: withDefault(fields.key_usages, ['digital_signature']),
  extended_key_usages: withDefault(fields.extended_key_usages, ['server_auth']),
  policy_oids: withDefault(fields.policy_oids, []),
  default_ttl: maybe(optionalFields.default_ttl),
  max_ttl: withDefault(fields.max_ttl, '30d'),
  not_before_backdate: withDefault(fields.not_before_backdate, `${backdate / 1000}s`),
  max_per_hour: maybe(optionalFields.max_per_hour),
  max_valid: maybe(optionalFields.max_valid),
  organization: maybe(optionalFields.organization),
  organizational_unit: maybe(optionalFields.organizational_unit),
  country: maybe(optionalFields.country),
  locality: maybe(optionalFields.locality),
  province: maybe(optionalFields.province),
  max_names: withDefault(fields.max_names, 100),
  short_lived: withDefault(fields.short_lived, false),
  web_pki: withDefault(fields.web_pki, false),
} as const;

/**
 * A role, strictly: every field known and in its one spelling, and the fields not at odds with each other. Parsing what
 * was parsed changes nothing, so the parsed form is what is stored.
 */
export const roleSchema = z.strictObject(roleFields).superRefine((role, context) => {
  for (const { field, message } of contradictions(role)) {
    context.addIssue({ code: 'custom', path: [field], message });
  }
});
export type Role = z.output<z.ZodObject<typeof roleFields, z.core.$strict>>;

/** Changes to a role: lay what is given over the stored role and parse the whole with `roleSchema`. Null removes. */
export const roleChanges = z.strictObject({
  name: roleFields.name,
  authority: maybe(roleFields.authority),
  ...optional(fields),
  ...removable(optionalFields),
});

function optional<Fields extends Readonly<Record<string, z.ZodType>>>(
  from: Fields,
): { [Key in keyof Fields]: z.ZodOptional<Fields[Key]> } {
  const entries = Object.entries(from).map(([key, schema]) => [key, maybe(schema)]);
  return Object.fromEntries(entries) as { [Key in keyof Fields]: z.ZodOptional<Fields[Key]> };
}

function removable<Fields extends Readonly<Record<string, z.ZodType>>>(
  from: Fields,
): { [Key in keyof Fields]: z.ZodOptional<z.ZodNullable<Fields[Key]>> } {
  const entries = Object.entries(from).map(([key, schema]) => [
    key,
    schema
      .nullable()
      .optional()
      .describe(`${schema.description ?? ''}; null removes it`),
  ]);
  return Object.fromEntries(entries) as { [Key in keyof Fields]: z.ZodOptional<z.ZodNullable<Fields[Key]>> };
}

/** The role after the changes, parsed anew. Throws the ZodError of `roleSchema` when they contradict what stays. */
export function changeRole(role: Role, changes: z.output<typeof roleChanges>): Role {
  const laid = Object.entries({ ...role, ...changes }).filter(([, value]) => value !== undefined && value !== null);
  return roleSchema.parse(Object.fromEntries(laid));
}

interface Contradiction {
  readonly field: string;
  readonly message: string;
}

function contradictions(role: Role): Contradiction[] {
  const found: Contradiction[] = [];
  const add = (field: string, message: string) => found.push({ field, message });
  if (role.default_ttl !== undefined && role.default_ttl > role.max_ttl) {
    add('default_ttl', `${formatDuration(role.default_ttl)} is longer than max_ttl, ${formatDuration(role.max_ttl)}`);
  }
  if (role.extended_key_usages.includes('time_stamping') && role.extended_key_usages.length > 1) {
    add('extended_key_usages', 'time_stamping must be the only one (RFC 3161 §2.3)');
  }
  for (const usage of uselessKeyUsages(role.key_usages, role.extended_key_usages)) {
    add('key_usages', `${usage} serves none of the extended_key_usages (RFC 5280 §4.2.1.12)`);
  }
  for (const type of role.key_types) {
    if (keyUsagesFor(type, role.key_usages).length === 0)
      add('key_usages', `a key of type ${type} can do none of these`);
  }
  return role.web_pki ? [...found, ...webPkiContradictions(role)] : found;
}

/** The longest life of a certificate of the public Web PKI today, in seconds (Baseline Requirements §6.3.2). */
const longestWebPkiLife = 200 * 86_400;

/** What the Baseline Requirements for TLS server certificates forbid (§7.1.2.7). */
function webPkiContradictions(role: Role): Contradiction[] {
  const subject = ['organization', 'organizational_unit', 'country', 'locality', 'province'] as const;
  const usages = role.extended_key_usages;
  const rules: readonly (readonly [field: string, broken: boolean, message: string])[] = [
    ['extended_key_usages', usages.length !== 1 || usages[0] !== 'server_auth', 'must be server_auth alone'],
    ['allowed_uris', role.allowed_uris.length > 0, 'must be empty: only DNS names and addresses are issued'],
    ['allowed_emails', role.allowed_emails.length > 0, 'must be empty: only DNS names and addresses are issued'],
    ['allowed_common_names', role.allowed_common_names.length > 0, 'must be empty: no common name is written'],
    ['require_common_name', role.require_common_name, 'must be false: no common name is written'],
    ['key_types', !role.key_types.every((type) => /^(?:rsa|ec)-/.test(type)), 'must be RSA or EC'],
    [
      'key_usages',
      !role.key_usages.every((usage) => usage === 'digital_signature' || usage === 'key_encipherment'),
      'may be digital_signature and key_encipherment',
    ],
    [
      'max_ttl',
      role.max_ttl + role.not_before_backdate >= longestWebPkiLife,
      `must be less than ${formatDuration(longestWebPkiLife)} with not_before_backdate`,
    ],
    [
      'allowed_domains',
      role.allowed_domains.some((domain) => !domain.includes('.')),
      'must not hold a whole top-level domain',
    ],
    ...subject.map((field) => [field, role[field] !== undefined, 'must be absent: the subject is empty'] as const),
  ];
  return rules
    .filter(([, broken]) => broken)
    .map(([field, , message]) => ({ field, message: `with web_pki: ${message}` }));
}
