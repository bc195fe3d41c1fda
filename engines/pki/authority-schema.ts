import { z } from 'zod';
import { duration, formatDuration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { keyTypes } from '#pki/x509/algorithm.ts';

/** What the operations on authorities take and give. */

const text = (what: string, max: number) => z.string().min(1).max(max).describe(what);

/** Attributes of a subject beside its common name; bounds of RFC 5280 appendix A.1. */
const subjectFields = {
  organization: text('O of the subject', 64).optional(),
  organizational_unit: text('OU of the subject', 64).optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'two capital letters (ISO 3166-1)')
    .describe('C of the subject, two capital letters')
    .optional(),
  locality: text('L of the subject', 128).optional(),
  province: text('ST of the subject', 128).optional(),
};

const directoryName = z
  .strictObject({ common_name: text('CN', 64).optional(), ...subjectFields })
  .describe('A distinguished name, outermost attributes first: country, organization, unit, common name');

const subtrees = z.strictObject({
  dns_names: z.array(text('A domain; it and everything below it', 253)).max(100).optional(),
  ip_ranges: z.array(text('A CIDR range: 10.0.0.0/8', 64)).max(100).optional(),
  emails: z.array(text('A mailbox, a host, or .domain for every host below it', 254)).max(100).optional(),
  uris: z.array(text('A host, or .domain for every host below it', 253)).max(100).optional(),
  directory_names: z.array(directoryName).max(20).optional(),
});

/** RFC 5280 §4.2.1.10. */
export const nameConstraints = z
  .strictObject({
    permitted: subtrees.optional().describe('Names of these kinds must be within'),
    excluded: subtrees.optional().describe('Names within are forbidden'),
  })
  .describe('What names certificates below this authority may hold (RFC 5280 §4.2.1.10)');
export type NameConstraintsInput = z.output<typeof nameConstraints>;

const maxPathLength = z
  .number()
  .int()
  .min(0)
  .max(16)
  .describe('How many authorities may follow below it; absent: as many as its parent allows');

const pemCertificate = z.string().min(64).max(65_536).describe('One certificate, PEM');
const pemChain = z.string().max(262_144).describe('Certificates above it, PEM, nearest first');
export const authorityName = name.describe('Name of the authority');

/** Seconds. A CRL begins a minute before it is made, and must still be in force when it is rebuilt. */
const minCrlTtl = 600;

const settings = {
  crl_ttl: duration
    .refine((seconds) => seconds >= minCrlTtl, `must be at least ${formatDuration(minCrlTtl)}`)
    .default(7 * 86_400)
    .describe('How long a CRL is valid, at least 10m; it is rebuilt at half of this'),
  ocsp_ttl: duration.default(3600).describe('How long an OCSP answer is valid'),
};

const createAuthorityFields = z.strictObject({
  name: authorityName,
  description: z.string().max(500).default('').describe('What it is for'),
  kind: z
    .enum(['root', 'intermediate'])
    .optional()
    .describe(
      'root: signs itself. intermediate: signed by parent, or by an outside authority when parent is absent. May be left out with parent',
    ),
  parent: name.optional().describe('Name of the authority that signs it'),
  common_name: text('CN of the subject', 64),
  ...subjectFields,
  key_type: z.enum(keyTypes).default('ec-p256').describe('Key type'),
  ttl: duration.optional().describe('Life of its certificate; default 10y for a root, 5y for an intermediate'),
  not_before: z.iso
    .datetime()
    .optional()
    .describe('Start of validity (RFC 3339), so that trust can be spread before use'),
  max_path_length: maxPathLength.optional(),
  name_constraints: nameConstraints.optional(),
  ...settings,
});
export const createAuthorityInput = createAuthorityFields.superRefine(({ kind, parent }, context) => {
  const add = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
  if (kind === undefined && parent === undefined)
    add('kind', 'is missing without parent; say root, or intermediate for one that an outside authority signs');
  if (kind === 'root' && parent !== undefined)
    add('parent', 'a root signs itself and has no parent; leave it out, or use kind intermediate');
});
export type CreateAuthorityInput = z.output<typeof createAuthorityInput> & { readonly kind: 'root' | 'intermediate' };

export const importAuthorityInput = z.strictObject({
  name: authorityName,
  certificate: pemCertificate,
  chain: pemChain.optional(),
  private_key: z
    .string()
    .max(16_384)
    .optional()
    .describe('PKCS#8, PEM. Needed for an authority that is new here; not for the answer to a CSR of ours'),
  description: z.string().max(500).default('').describe('What it is for'),
  ...settings,
});
export type ImportAuthorityInput = z.output<typeof importAuthorityInput>;

export const signIntermediateInput = z.strictObject({
  name: authorityName,
  csr: z.string().min(64).max(65_536).describe('PKCS#10 request of the other authority, PEM'),
  common_name: text('CN of the subject; default: that of the request', 64).optional(),
  ...subjectFields,
  ttl: duration.optional().describe('Life of the certificate; default 5y'),
  max_path_length: maxPathLength.optional(),
  name_constraints: nameConstraints.optional(),
});
export type SignIntermediateInput = z.output<typeof signIntermediateInput>;

export const crossSignInput = z.strictObject({
  name: authorityName.describe('The authority that signs'),
  certificate: pemCertificate.optional().describe('Certificate of the authority to cross-sign, PEM'),
  authority: name.optional().describe('Or the name of an authority of ours to cross-sign'),
  ttl: duration.optional().describe('Life of the certificate; default: to the end of the one that is cross-signed'),
  max_path_length: maxPathLength.optional(),
  name_constraints: nameConstraints.optional(),
});
export type CrossSignInput = z.output<typeof crossSignInput>;

export const rotateAuthorityInput = z.strictObject({
  name: authorityName,
  key_type: z.enum(keyTypes).optional().describe('Key type of the new key; default: as before'),
  ttl: duration.optional().describe('Life of the new certificate; default: as before'),
  cross_sign: z
    .boolean()
    .default(true)
    .describe(
      'Have the old key sign the new one, so that clients that trust the old root accept what the new one signs',
    ),
});
export type RotateAuthorityInput = z.output<typeof rotateAuthorityInput>;

export const retireAuthorityInput = z.strictObject({ name: authorityName });

const issuerOutput = z.strictObject({
  number: z.number().int().describe('1, 2, 3 … in the order of rotation'),
  state: z.enum(['pending', 'active', 'retiring']).describe('Only the active one signs certificates'),
  key_type: z.enum(keyTypes),
  subject_key_sha256: z.string().describe('SHA-256 of the SubjectPublicKeyInfo, hex'),
  serial_number: z.string().nullable(),
  certificate: z.string().nullable().describe('PEM; null while a CSR is out'),
  cross_certificates: z.array(z.string()).describe('Other certificates for the same key, PEM'),
  not_before: z.string().nullable(),
  not_after: z.string().nullable(),
});

export const authorityOutput = z.strictObject({
  name: z.string(),
  description: z.string(),
  kind: z.enum(['root', 'intermediate']),
  state: z.enum(['active', 'pending', 'retired']).describe('pending: its CSR waits for a certificate'),
  parent: z.string().nullable().describe('Name of the authority above it; null for a root or an outside parent'),
  subject: z.string().describe('RFC 4514'),
  key_type: z.enum(keyTypes),
  serial_number: z.string().nullable().describe('Of the current certificate, lower-case hex'),
  certificate: z.string().nullable().describe('The current certificate, PEM; null while pending'),
  chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
  csr: z.string().nullable().describe('The request that waits for a certificate, PEM'),
  not_before: z.string().nullable(),
  not_after: z.string().nullable(),
  max_path_length: z.number().int().nullable(),
  issuers: z.array(issuerOutput),
  urls: z.strictObject({ ca: z.string(), ocsp: z.string(), crl: z.string() }).describe('Where clients fetch from'),
  adjustments: z.array(z.string()).optional().describe('What was made smaller than the default, and why'),
});
export type AuthorityOutput = z.output<typeof authorityOutput>;

export const signedAuthorityOutput = z.strictObject({
  serial_number: z.string().describe('Lower-case hex'),
  certificate: z.string().describe('PEM'),
  chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
  not_before: z.string(),
  not_after: z.string(),
});

/** Stored with the authority. */
export interface AuthoritySettings {
  /** Seconds. */
  readonly crlTtl: number;
  /** Seconds. */
  readonly ocspTtl: number;
}
