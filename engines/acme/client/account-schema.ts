import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { name } from '#core/ids.ts';
import { accountKeyTypes } from './keys.ts';
import { directories, directoryUrlOf } from './presets.ts';
import type { AccountRow } from './tables.ts';

export const accountName = name.describe('Name of the ACME account');

const presetNames = Object.keys(directories).join(', ');

const directory = z
  .string()
  .max(1024)
  .transform(directoryUrlOf)
  .refine(
    (url) => URL.canParse(url) && new URL(url).protocol === 'https:' && new URL(url).username === '',
    `must be an https URL, or one of ${presetNames}`,
  )
  .describe(`Directory of the authority: an https URL, or one of ${presetNames}`);

/** RFC 8555 §7.3: authorities must take mailto with one address and no header fields. */
const contact = z
  .string()
  .max(320)
  .regex(/^mailto:[^\s,?@]+@[^\s,?@]+$/, 'must be mailto: and one address')
  .describe('mailto: and one address');

const contacts = z.array(contact).max(10);

function isBundle(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.length > 0 && blocks.every((block) => new X509Certificate(block).raw.length > 0);
  } catch {
    return false;
  }
}

const base64url = /^[A-Za-z0-9_-]+={0,2}$/;

const allowedNames = z
  .array(
    z
      .string()
      .max(255)
      .toLowerCase()
      .regex(/^[a-z0-9*._:-]+$/, 'must be a name, *.name for all names below it, or an address'),
  )
  .max(200)
  .describe('What may be ordered by this account: names, *.name for all names below it, addresses; empty: anything');

const roots = z
  .string()
  .max(65_536)
  .regex(/^[\x20-\x7e\s]*$/, 'must be certificates in PEM')
  .refine(isBundle, 'must be certificates in PEM');

export const createAccountInput = z.strictObject({
  name: accountName,
  directory,
  contacts: contacts.default([]).describe('Where the authority may write to'),
  ca_certificate: roots
    .optional()
    .describe('Roots that the TLS certificate of the authority is verified by, PEM; default: the public ones'),
  agree_terms_of_service: z
    .boolean()
    .default(false)
    .describe('Whether you agree to the terms of service of the authority; a refusal shows where they are'),
  external_account: z
    .strictObject({
      key_id: z
        .string()
        .min(1)
        .max(1024)
        .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
        .describe('Key identifier that the authority gave you'),
      hmac_key: z
        .string()
        .min(8)
        .max(1024)
        .regex(base64url, 'must be base64url')
        .describe('HMAC key that the authority gave you, base64url; it is never shown again'),
    })
    .optional()
    .describe('External account binding (RFC 8555 section 7.3.4), where the authority asks for one'),
  allowed_names: allowedNames.default([]).describe(allowedNames.description ?? ''),
  key_type: z.enum(accountKeyTypes).default('ec-p256').describe('Type of the account key, which is made here'),
  re_register: z
    .boolean()
    .default(true)
    .describe('Whether to register the same key again when the authority says that it does not know the account'),
});
export type CreateAccountInput = z.output<typeof createAccountInput>;

export const updateAccountInput = z.strictObject({
  name: accountName,
  contacts: contacts.optional().describe('Where the authority may write to; replaces all of them'),
  allowed_names: allowedNames.optional().describe(allowedNames.description ?? ''),
  ca_certificate: roots
    .nullable()
    .optional()
    .describe('Other roots that the TLS certificate of the authority is verified by, PEM; null: the public ones'),
  re_register: createAccountInput.shape.re_register.unwrap().optional(),
});

/** What the row keeps beside its columns; no secret. */
const definition = z.strictObject({
  contacts: z.array(z.string()),
  ca_certificate: z.string().optional(),
  agreed: z.boolean(),
  allowed_names: z.array(z.string()).default([]),
  key_type: z.enum(accountKeyTypes),
  re_register: z.boolean(),
  external_key_id: z.string().optional(),
});
export type AccountDefinition = z.output<typeof definition>;

export function parseAccount(row: AccountRow): AccountDefinition {
  return definition.parse(JSON.parse(row.definition));
}

export const accountOutput = z.strictObject({
  id: z.string(),
  name: z.string(),
  state: z
    .enum(['creating', 'active', 'deactivated'])
    .describe('creating: the authority has not confirmed it; create it again with the same name to go on'),
  directory: z.string().describe('URL'),
  url: z.string().nullable().describe('What the authority calls the account'),
  contacts: z.array(z.string()),
  allowed_names: z.array(z.string()).describe('What may be ordered by it; empty: anything'),
  key_type: z.string(),
  re_register: z.boolean(),
  external_key_id: z.string().nullable().describe('Key identifier of the external account binding'),
  private_roots: z.boolean().describe('Whether the authority is trusted by roots of its own'),
  key_change_open: z.boolean().describe('Whether a change of the account key is under way'),
  created_at: z.string(),
  updated_at: z.string(),
});

export function viewAccount(row: AccountRow): z.output<typeof accountOutput> {
  const stored = parseAccount(row);
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    directory: row.directory,
    url: row.url,
    contacts: stored.contacts,
    allowed_names: stored.allowed_names,
    key_type: stored.key_type,
    re_register: stored.re_register,
    external_key_id: stored.external_key_id ?? null,
    private_roots: stored.ca_certificate !== undefined,
    key_change_open: row.next_key !== null,
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}
