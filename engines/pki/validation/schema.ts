import { z } from 'zod';
import { purposes } from './certificate-rules.ts';
import { findingCodes } from './finding.ts';
import { revocationModes } from './revocation.ts';

/** What `pki.validate_certificate` takes and gives. */

const pem = z.string().min(64).max(262_144);
const pems = (what: string, most: number) => z.array(pem).max(most).optional().describe(what);

export const validateCertificateInput = z.strictObject({
  certificate: pem.describe('Certificate to validate, PEM. Certificates that follow it count as intermediates'),
  intermediates: pems('Certificates that may stand between it and a trust anchor, PEM, in any order', 100),
  trust_anchors: pems('Certificates to trust, PEM; default: every root of this namespace', 100),
  crls: pems('CRLs of the issuers, PEM: for authorities that are not ours', 50),
  ocsp_responses: z
    .array(z.base64().min(4).max(350_000))
    .max(20)
    .optional()
    .describe('OCSP responses, DER in base64, for example stapled ones: for authorities that are not ours'),
  at: z.iso.datetime().optional().describe('Time for which the answer holds (RFC 3339); default: now'),
  dns_name: z.string().min(1).max(253).optional().describe('Host name that the certificate must hold (RFC 9525)'),
  ip_address: z.string().min(2).max(64).optional().describe('IP address that the certificate must hold'),
  uri: z.string().min(3).max(2048).optional().describe('URI that the certificate must hold, for example a SPIFFE ID'),
  email: z.string().min(3).max(254).optional().describe('E-mail address that the certificate must hold'),
  purpose: z
    .enum(purposes)
    .optional()
    .describe('What it is to be used for; default: server_auth with dns_name or ip_address, else any'),
  profile: z
    .enum(['rfc5280', 'web_pki'])
    .default('rfc5280')
    .describe('rfc5280: RFC 5280 §6. web_pki: also what RFC 5280 §4 and the Baseline Requirements ask of authorities'),
  check_revocation: z
    .enum(revocationModes)
    .default('soft')
    .describe(
      'From our own records, the given crls and ocsp_responses. none: not looked at. soft: unknown passes. hard: unknown does not',
    ),
  fetch_revocation: z
    .boolean()
    .default(false)
    .describe(
      'Where a revocation is unknown, ask the OCSP responders and fetch the CRLs that the certificates name (public addresses only)',
    ),
  policies: z
    .array(z.string().regex(/^[0-2](\.(0|[1-9]\d{0,38})){1,40}$/, 'must be a dotted object identifier'))
    .min(1)
    .max(50)
    .optional()
    .describe('Certificate policies of which one must hold for the whole path, dotted identifiers; default: any'),
  require_explicit_policy: z
    .boolean()
    .default(false)
    .describe('The path must be valid for at least one policy (initial-explicit-policy of RFC 5280 §6.1.1)'),
  inhibit_policy_mapping: z
    .boolean()
    .default(false)
    .describe('No policy may be mapped to another (initial-policy-mapping-inhibit)'),
  inhibit_any_policy: z
    .boolean()
    .default(false)
    .describe('anyPolicy stands for no policy (initial-any-policy-inhibit)'),
});
export type ValidateCertificateInput = z.output<typeof validateCertificateInput>;

const pathEntry = z.strictObject({
  role: z.enum(['leaf', 'intermediate', 'trust_anchor']),
  subject: z.string().describe('RFC 4514'),
  issuer: z.string().describe('RFC 4514'),
  serial_number: z.string().describe('Lower-case hex'),
  not_before: z.string(),
  not_after: z.string(),
  sha256: z.string().describe('SHA-256 of the certificate, hex'),
  revocation: z.enum(['good', 'revoked', 'held', 'unknown', 'not_checked']),
});

const reason = z.strictObject({
  code: z.enum(findingCodes),
  certificate: z
    .strictObject({ index: z.int().describe('Place in the path; 0 is the leaf'), subject: z.string() })
    .nullable()
    .describe('Which certificate of the path; null when it lies in none of them'),
  found: z.string(),
  expected: z.string(),
  section: z.string().describe('Where the rule is written'),
  fix: z.string().describe('What would help'),
});

const judgedPath = {
  path: z.array(pathEntry).describe('From the leaf upwards'),
  reasons: z.array(reason).describe('Everything that speaks against it'),
};

export const validateCertificateOutput = z.strictObject({
  valid: z.boolean(),
  profile: z.enum(['rfc5280', 'web_pki']),
  ...judgedPath,
  rejected_paths: z.array(z.strictObject(judgedPath)).describe('Other paths that were looked at, the nearest first'),
});
export type ValidateCertificateOutput = z.output<typeof validateCertificateOutput>;
