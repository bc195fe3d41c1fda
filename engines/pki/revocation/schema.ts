import { z } from 'zod';
import { duration } from '#core/duration.ts';
import { name } from '#core/ids.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { authorityName } from '#pki/authority-schema.ts';
import { certificateFilters, revocationReason, serialNumber, serialNumberInput } from '#pki/certificate-schema.ts';

/** What the operations on revocation take and give. */

const invalidityDate = z.iso
  .datetime()
  .optional()
  .describe('When the key is known or feared to have been lost (RFC 3339; RFC 5280 §5.3.2); not later than now');

export const revokeCertificateInput = z.strictObject({
  serial_number: serialNumberInput,
  reason: revocationReason.default('unspecified'),
  invalidity_date: invalidityDate,
  expected: z
    .strictObject({
      name: z
        .string()
        .min(1)
        .max(2048)
        .optional()
        .describe('A name that it must hold: a.example, dns:a.example or cn:agent'),
      authority: name.optional().describe('The authority that must have issued it'),
      role: name.optional().describe('The role by which it must have been issued'),
    })
    .optional()
    .describe('Guards against a wrong serial number: when the certificate is not like this, nothing is revoked'),
});
export type RevokeCertificateInput = z.output<typeof revokeCertificateInput>;

export const releaseCertificateInput = z.strictObject({ serial_number: serialNumberInput });

export const statusOutput = z.strictObject({
  serial_number: serialNumber,
  status: z.enum(['valid', 'held', 'revoked']),
  revoked_at: z.string().nullable().describe('RFC 3339'),
  revocation_reason: z.string().nullable(),
  invalidity_date: z.string().nullable().describe('RFC 3339'),
  visible: z
    .strictObject({
      ocsp: z.string().describe('From then on the OCSP responder says so (RFC 3339)'),
      ocsp_url: z.string(),
      crl: z
        .string()
        .nullable()
        .describe('From then on the CRL says so (RFC 3339); null when the certificate names none'),
      crl_url: z.string().nullable(),
      caches_until: z.string().describe('Until then caches on the way may show what was so before (RFC 3339)'),
    })
    .describe('When and where relying parties see it'),
  notes: z.array(z.string()).describe('What follows from it and was done, or is left to do'),
});
export type StatusOutput = z.output<typeof statusOutput>;

const certificatePem = z.string().min(64).max(65_536).describe('The certificate, PEM');

export const revokeCertificatesInput = z.strictObject({
  serial_numbers: z.array(serialNumberInput).min(1).max(10_000).optional().describe('These certificates'),
  certificate: certificatePem.optional(),
  ...certificateFilters,
  reason: revocationReason.default('unspecified'),
  invalidity_date: invalidityDate,
  dry_run: z.boolean().default(false).describe('Only count and list what would be revoked'),
});
export type RevokeCertificatesInput = z.output<typeof revokeCertificatesInput>;

export const revokeCertificatesOutput = z.strictObject({
  dry_run: z.boolean(),
  revoked: z.number().int().describe('How many changed; with dry_run: would change'),
  already: z.number().int().describe('How many were in that state before, or revoked for another reason'),
  left: z.number().int().describe('How many match beyond the 10,000 of one call; call again until it is 0'),
  serial_numbers: z.array(serialNumber).describe('The first 100 of them'),
});

export const keyHash = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'SHA-256 in lower-case hex')
  .describe('SHA-256 of the SubjectPublicKeyInfo, hex');

export const reportCompromiseInput = z.strictObject({
  private_key: z
    .string()
    .min(64)
    .max(16_384)
    .optional()
    .describe('The lost key itself, PKCS#8 PEM: the strongest proof. It is read, hashed and forgotten'),
  csr: z.string().min(64).max(65_536).optional().describe('A CSR signed with the key, PEM: proof without showing it'),
  certificate: certificatePem.optional().describe('A certificate with the key, PEM'),
  spki_sha256: keyHash.optional(),
  invalidity_date: invalidityDate,
});
export type ReportCompromiseInput = z.output<typeof reportCompromiseInput>;

export const reportCompromiseOutput = z.strictObject({
  spki_sha256: keyHash,
  proven: z.boolean().describe('Whether what was sent proves that the key is known to the sender'),
  revoked: z.number().int().describe('Certificates with this key that this call revoked'),
  already: z.number().int().describe('Certificates that were revoked as key_compromise before'),
  left: z.number().int().describe('How many remain beyond the 10,000 of one call; call again until it is 0'),
  serial_numbers: z.array(serialNumber).describe('The first 100 that were revoked'),
  authorities: z.array(z.string()).describe('Authorities of ours whose key it is; they sign no more'),
  advice: z.array(z.string()).describe('What is left to do'),
});

export const compromisedKeyOutput = z.strictObject({
  spki_sha256: keyHash,
  evidence: z.string().describe('How it was shown: private_key, csr, certificate or spki_sha256'),
  reported_by: z.string(),
  reported_at: z.string().describe('RFC 3339'),
});
export const listCompromisedInput = z.strictObject({ ...pageInput });
export const listCompromisedOutput = z.strictObject({
  compromised_keys: z.array(compromisedKeyOutput),
  next_cursor: nextCursor,
});
export const unblockKeyInput = z.strictObject({ spki_sha256: keyHash });

const issuerNumber = z.number().int().min(1).max(100_000).describe('1, 2, 3 … in the order of rotation');
const shard = z.number().int().min(0).max(10_000_000).describe('Shard of the CRL, as in its URL');

export const rebuildCrlsInput = z.strictObject({
  name: authorityName,
  issuer_number: issuerNumber.optional(),
  shard: shard.optional(),
  due_only: z.boolean().default(false).describe('Leave out those that say what is so and have half of their life left'),
  cursor: z.string().max(512).optional().describe('The next_cursor of the previous call'),
});

const crl = z.strictObject({
  issuer_number: issuerNumber,
  shard,
  number: z.number().int().describe('CRL number (RFC 5280 §5.2.3): milliseconds at which it was made, or more'),
  entries: z.number().int(),
  bytes: z.number().int(),
  this_update: z.string().describe('RFC 3339'),
  next_update: z.string().describe('RFC 3339'),
  url: z.string(),
  delta_url: z.string(),
});
export const rebuildCrlsOutput = z.strictObject({
  crls: z.array(crl).describe('Those that were made'),
  next_cursor: nextCursor,
});

export const crlStatusInput = z.strictObject({ name: authorityName, ...pageInput });
export const crlStatusOutput = z.strictObject({
  crls: z.array(
    crl.extend({
      published: z.boolean().describe('False: none has been made yet; it is when somebody asks for it'),
      stale: z.boolean().describe('A change is to be published, or its time has come'),
    }),
  ),
  next_cursor: nextCursor,
});

export const renewSignerInput = z.strictObject({
  name: authorityName,
  issuer_number: issuerNumber.optional().describe('Which key of the authority; default: all that answer OCSP'),
  force: z.boolean().default(false).describe('Also when the present signer has more than half of its life left'),
  ttl: duration.optional().describe('Life of the signer; default 14d'),
});
export const renewSignerOutput = z.strictObject({
  signers: z.array(
    z.strictObject({
      issuer_number: issuerNumber,
      serial_number: serialNumber,
      not_after: z.string().describe('RFC 3339'),
      renewed: z.boolean(),
    }),
  ),
});
