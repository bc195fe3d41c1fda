import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { keyTypes } from '#pki/x509/algorithm.ts';

/** What the operations on certificates take and give. */

/** Identifiers are checked by the role's rules, with a finding for each; here only their number and length are bounded. */
const identifiers = (what: string) => z.array(z.string().min(1).max(2048)).max(1000).optional().describe(what);

export const serialNumber = z
  .string()
  .regex(/^[0-9a-f]{1,40}$/, 'lower-case hex without separators')
  .describe('Serial number, lower-case hex');

/** Digits of 20 octets (RFC 5280 §4.1.2.2). */
const serialDigits = 40;

/**
 * A serial number as people have it at hand: as programs print it, in either case, with colons or leading zeros. Parsed
 * to the one spelling of the inventory: lower-case hex, two digits an octet.
 */
export const serialNumberInput = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[0-9A-Fa-f]+(?::[0-9A-Fa-f]+)*$/, 'hex digits, with colons between them or without')
  .transform((text, context) => {
    const digits = text.replaceAll(':', '').toLowerCase().replace(/^0+/, '');
    if (digits.length > serialDigits)
      context.addIssue({ code: 'custom', message: `at most ${serialDigits} hex digits beside leading zeros` });
    return digits.length % 2 === 0 && digits !== '' ? digits : `0${digits || '0'}`;
  })
  .describe('Serial number, hex; in either case, with or without colons');

const request = {
  role: name.describe('Role that says what may be issued'),
  common_name: z.string().min(1).max(64).optional().describe('CN of the subject; must be a name that the role allows'),
  dns_names: identifiers('DNS names (subject alternative names)'),
  ip_addresses: identifiers('IP addresses (subject alternative names)'),
  uris: identifiers('URIs, for example SPIFFE IDs (subject alternative names)'),
  emails: identifiers('E-mail addresses (subject alternative names)'),
  ttl: duration.optional().describe('Life; default: default_ttl of the role'),
  not_after: z.iso.datetime().optional().describe('End of validity (RFC 3339) instead of ttl'),
  csr: z
    .string()
    .min(64)
    .max(65_536)
    .optional()
    .describe('PKCS#10 request, PEM. The key and the names are taken from it, nothing else'),
  key_type: z
    .enum(keyTypes)
    .optional()
    .describe('Without csr: type of the key that is made; default: first of the role'),
  purpose: z.string().min(1).max(200).optional().describe('Why it is needed; kept in the audit and the inventory'),
};

export const planCertificateInput = z.strictObject(request);
export type PlanCertificateInput = z.output<typeof planCertificateInput>;

export const certificateFormat = z
  .enum(['pem', 'der', 'pkcs12', 'bundle'])
  .describe(
    'pem: certificate, chain and key apart. bundle: certificate, chain and key in one PEM. der: certificate in base64. pkcs12: all in base64 under password',
  );

export const issueCertificateInput = z.strictObject({
  ...request,
  format: certificateFormat.default('pem'),
  password: z
    .string()
    .min(8)
    .max(128)
    .regex(/^[\x20-\x7e]+$/, 'printable ASCII: other characters are not opened by every reader of PKCS#12')
    .optional()
    .describe('Password of the PKCS#12 file; only with format pkcs12'),
});
export type IssueCertificateInput = z.output<typeof issueCertificateInput>;

export const issueCertificateOutput = z.strictObject({
  serial_number: serialNumber,
  certificate: z.string().describe('PEM'),
  chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
  private_key: z.string().optional().describe('PKCS#8, PEM. Shown once and kept nowhere; absent when a CSR was given'),
  bundle: z.string().optional().describe('format bundle: key (if made here), certificate and chain in one PEM'),
  der: z.string().optional().describe('format der: the certificate, base64'),
  pkcs12: z.string().optional().describe('format pkcs12: PKCS#12 file, base64'),
  not_before: z.string(),
  not_after: z.string(),
  adjustments: z
    .array(z.string())
    .optional()
    .describe('What came out smaller than asked for or than the default, and why'),
});
export type IssueCertificateOutput = z.output<typeof issueCertificateOutput>;

const refusal = z.strictObject({
  rule: z.string().describe('The rule of the role or authority that refuses'),
  at: z.string().describe('Which part of the request, as a JSON pointer'),
  found: z.string(),
  allowed: z.string(),
  message: z.string(),
});

export const planCertificateOutput = z.strictObject({
  allowed: z.boolean(),
  refusals: z.array(refusal).describe('Every rule that refuses; empty when allowed'),
  nearest_request: z
    .record(z.string(), z.unknown())
    .nullable()
    .describe('The nearest request that would pass; null when none would, or when this one does'),
  advice: z.string().describe('One sentence: what to do next'),
  certificate: z
    .strictObject({
      subject: z.string(),
      names: z.array(z.string()),
      not_before: z.string(),
      not_after: z.string(),
      key_type: z.string(),
      key_usages: z.array(z.string()),
      extended_key_usages: z.array(z.string()),
      authority: z.string(),
    })
    .nullable()
    .describe('What would be issued; null when refused'),
  adjustments: z.array(z.string()),
});
export type PlanCertificateOutput = z.output<typeof planCertificateOutput>;

/** RFC 5280 §5.3.1, without removeFromCRL, which only delta CRLs say, and certificateHold, which is `hold`. */
export const revocationReasons = [
  'unspecified',
  'key_compromise',
  'ca_compromise',
  'affiliation_changed',
  'superseded',
  'cessation_of_operation',
  'certificate_hold',
  'privilege_withdrawn',
  'aa_compromise',
] as const;
export const revocationReason = z
  .enum(revocationReasons)
  .describe('Why (RFC 5280 §5.3.1); certificate_hold can be released again');

export const certificateOutput = z.strictObject({
  serial_number: serialNumber,
  kind: z.enum(['leaf', 'authority', 'ocsp_signer', 'outside']).describe('outside: from another authority, by ACME'),
  authority: z.string().describe('Of an outside one: the ACME account'),
  role: z.string().nullable(),
  principal: z.string().describe('Who asked for it'),
  purpose: z.string().nullable(),
  subject: z.string().describe('RFC 4514'),
  names: z.array(z.string()).describe('Subject alternative names: dns:…, ip:…, uri:…, email:…'),
  key_sha256: z.string().describe('SHA-256 of the SubjectPublicKeyInfo, hex'),
  not_before: z.string(),
  not_after: z.string(),
  issued_at: z.string(),
  status: z.enum(['valid', 'held', 'revoked', 'expired']),
  revoked_at: z.string().nullable(),
  revocation_reason: z.string().nullable(),
  invalidity_date: z.string().nullable(),
  certificate: z.string().describe('PEM'),
});
export type CertificateOutput = z.output<typeof certificateOutput>;

export const getCertificateInput = z.strictObject({
  serial_number: serialNumberInput,
  format: z
    .enum(['pem', 'der', 'bundle', 'pkcs7'])
    .default('pem')
    .describe('bundle: with its chain. der and pkcs7: base64'),
});

export const getCertificateOutput = certificateOutput.extend({
  chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
  bundle: z.string().optional().describe('format bundle: certificate and chain in one PEM'),
  der: z.string().optional().describe('format der: base64'),
  pkcs7: z.string().optional().describe('format pkcs7: certificate and chain, base64'),
});

/** Filters of lists and of revocation by filter: all that are given must match. */
export const certificateFilters = {
  authority: name.optional().describe('Issued by this authority'),
  role: name.optional().describe('Issued by this role'),
  principal: name.optional().describe('Asked for by this principal'),
  name: z
    .string()
    .min(1)
    .max(2048)
    .optional()
    .describe(
      'Holds exactly this name: a.example, 10.0.0.1, spiffe://… or dns:a.example; cn:agent for a common name that is none of the names',
    ),
  key_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'SHA-256 in lower-case hex')
    .optional()
    .describe('SHA-256 of its SubjectPublicKeyInfo, hex'),
};

export const listCertificatesInput = z.strictObject({
  ...certificateFilters,
  status: z.enum(['valid', 'held', 'revoked', 'expired']).optional().describe('valid: neither revoked nor expired'),
  kind: z.enum(['leaf', 'authority', 'ocsp_signer', 'outside']).optional(),
  expires_within: duration.optional().describe('Valid now and ending within this time'),
  ...pageInput,
});
export type ListCertificatesInput = z.output<typeof listCertificatesInput>;

/** Lists leave the PEM out: it is one `get` away, and a page of 1,000 stays small. */
export const certificateSummary = certificateOutput.omit({ certificate: true }).extend({
  outside_id: z.string().optional().describe('Of an outside one: its id, for acme.get_certificate'),
  renewal_error: z
    .string()
    .nullable()
    .optional()
    .describe('Of an outside one: why its renewal fails or is not tried; null when nothing is in the way'),
});
export const listCertificatesOutput = z.strictObject({
  certificates: z.array(certificateSummary),
  next_cursor: nextCursor,
});

export const expiringInput = z.strictObject({
  within: duration.default(30 * 86_400).describe('Look this far ahead'),
  ...pageInput,
});
