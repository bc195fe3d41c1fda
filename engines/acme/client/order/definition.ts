import { z } from 'zod';
import { name } from '#core/ids.ts';
import { accountName } from '#acme/client/account-schema.ts';
import { identifierText, isWildcard } from '#acme/client/identifiers.ts';
import { certificateKeyTypes } from '#acme/client/keys.ts';
import type { OrderRow, CertificateRow } from '#acme/client/tables.ts';

/** What was ordered: input of acme.create_order, and what its row and that of the certificate keep of it. */

export const challengeTypes = ['http-01', 'dns-01', 'tls-alpn-01'] as const;
export type ChallengeType = (typeof challengeTypes)[number];

const printable = /^\P{C}*$/u;

export const waitSeconds = z.coerce
  .number()
  .int()
  .min(0)
  .max(60)
  .default(0)
  .describe('Seconds to wait for the end of the order before answering, 0 to 60');

const hookUrl = z
  .string()
  .max(2048)
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), 'must be an http or https URL');

export const hookUrlField = hookUrl.describe(
  'URL that is told of each certificate that this order and its renewals bring, by a POST signed with the hook_secret',
);

export const createOrderInput = z
  .strictObject({
    account: accountName,
    identifiers: z
      .array(identifierText)
      .min(1)
      .max(100)
      .describe('DNS names (*.example.com for a wildcard) and IP addresses, 1 to 100'),
    challenge: z
      .enum(challengeTypes)
      .describe(
        'How control over the names is proved: http-01 and tls-alpn-01 are answered by this server, dns-01 by TXT records',
      ),
    dns_provider: name
      .optional()
      .describe('dns-01: who publishes the TXT records (acme.create_dns_provider); default: you do, as the order says'),
    profile: z.string().min(1).max(100).regex(printable).optional().describe('Profile of the authority, by its name'),
    csr: z
      .string()
      .max(32_768)
      .optional()
      .describe('PKCS #10 request, PEM, for exactly the identifiers; default: a key is made here'),
    key_type: z.enum(certificateKeyTypes).optional().describe('Type of the key that is made here; default ec-p256'),
    preferred_chain: z
      .string()
      .min(1)
      .max(200)
      .regex(printable)
      .optional()
      .describe('Which of the chains offered: common name of an issuer in it, or SHA-256 fingerprint of its root, hex'),
    renew: z.boolean().default(true).describe('Whether to renew the certificate by itself before it ends'),
    reuse_key: z
      .boolean()
      .default(false)
      .describe('Whether renewals keep the key that was made here; it then stays sealed while renewal is on'),
    hook_url: hookUrlField.optional(),
    purpose: z.string().max(200).regex(printable).optional().describe('For what it is, for audit and inventory'),
    wait: waitSeconds,
  })
  .superRefine((input, context) => {
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if (input.csr !== undefined && input.key_type !== undefined) refuse('key_type', 'the key comes with the csr');
    if (input.csr !== undefined && input.reuse_key) refuse('reuse_key', 'a csr brings its key to every renewal');
    if (input.dns_provider !== undefined && input.challenge !== 'dns-01') refuse('dns_provider', 'is for dns-01 only');
    if (input.challenge !== 'dns-01' && input.identifiers.some(isWildcard))
      refuse('challenge', 'wildcards are proved by dns-01 only (RFC 8555 section 7.1.4)');
    if (input.challenge === 'dns-01' && input.identifiers.some(({ type }) => type === 'ip'))
      refuse('challenge', 'IP addresses are not proved by dns-01 (RFC 8738 section 7)');
  });
export type CreateOrderInput = z.output<typeof createOrderInput>;

const definition = z.strictObject({
  identifiers: z.array(z.strictObject({ type: z.enum(['dns', 'ip']), value: z.string() })),
  challenge: z.enum(challengeTypes),
  dns_provider: z.string().optional(),
  profile: z.string().optional(),
  preferred_chain: z.string().optional(),
  /** Absent: the key came with a CSR. */
  key_type: z.enum(certificateKeyTypes).optional(),
  renew: z.boolean(),
  reuse_key: z.boolean(),
  hook_url: z.string().optional(),
});
export type OrderDefinition = z.output<typeof definition>;

export function definitionOf(input: CreateOrderInput): OrderDefinition {
  const { identifiers, challenge, renew, reuse_key, dns_provider, profile, preferred_chain, hook_url } = input;
  return {
    identifiers: [...new Map(identifiers.map((each) => [`${each.type}:${each.value}`, each])).values()],
    challenge,
    renew,
    reuse_key,
    ...(dns_provider === undefined ? {} : { dns_provider }),
    ...(profile === undefined ? {} : { profile }),
    ...(preferred_chain === undefined ? {} : { preferred_chain }),
    ...(input.csr === undefined ? { key_type: input.key_type ?? 'ec-p256' } : {}),
    ...(hook_url === undefined ? {} : { hook_url }),
  };
}

export function parseDefinition(row: Pick<OrderRow | CertificateRow, 'definition'>): OrderDefinition {
  return definition.parse(JSON.parse(row.definition));
}

const progress = z.strictObject({
  finalize: z.string().optional(),
  authorizations: z.array(z.string()).optional(),
  /** Challenges that are to be answered: those of authorizations that were pending. */
  challenges: z
    .array(
      z.strictObject({
        authorization: z.string(),
        url: z.string(),
        identifier: z.string(),
        /** dns-01: name and value of the TXT record. */
        record: z.strictObject({ name: z.string(), value: z.string() }).optional(),
      }),
    )
    .optional(),
  certificate: z.string().optional(),
  /** How many of the authorizations or challenges this state is through with. */
  done: z.number().optional(),
  /** How often the authority was looked at in this state. */
  looks: z.number().optional(),
  /** How often the order was begun anew at the authority. */
  restarts: z.number().optional(),
  /** Orders that the authority made invalid before this one, and why the last of them. */
  failed: z.strictObject({ orders: z.number(), reason: z.string() }).optional(),
});
export type OrderProgress = z.output<typeof progress>;

export function parseProgress(row: Pick<OrderRow, 'progress'>): OrderProgress {
  return progress.parse(JSON.parse(row.progress));
}
