import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { Store } from '#storage/store.ts';
import { parseDefinition } from './order/definition.ts';
import type { CertificateRow } from './tables.ts';

/** Certificates from outside authorities, as they are shown. */

const renewal = z.strictObject({
  on: z.boolean(),
  at: z.string().nullable().describe('When it is renewed; null when it is not'),
  reason: z
    .enum(['lifetime', 'authority', 'retry', 'postponed', 'request'])
    .describe('Why then: a share of its life, the window of the authority (RFC 9773), another try, or a request'),
  window_start: z.string().nullable().describe('Window that the authority suggests'),
  window_end: z.string().nullable(),
  explanation_url: z.string().nullable().describe('Where the authority says why'),
  order_id: z.string().nullable().describe('The order that is under way'),
  failures: z.int().describe('Failed orders in a row'),
  failing_since: z.string().nullable(),
  last_error: z.string().nullable(),
  stopped: z
    .string()
    .nullable()
    .describe('Why it is not tried at present, where who ordered or the account may not order it any more'),
});

export const certificateSummary = z.strictObject({
  id: z.string(),
  account: z.string(),
  principal: z.string().describe('Who ordered it, and whose rights renewals ask about'),
  identifiers: z.array(z.string()),
  status: z.enum(['valid', 'expired', 'revoked']),
  serial_number: z.string().describe('Lower-case hex'),
  subject: z.string(),
  issuer: z.string(),
  not_before: z.string(),
  not_after: z.string(),
  key: z
    .enum(['elsewhere', 'waits', 'collected', 'kept', 'deleted'])
    .describe(
      'elsewhere: a CSR brought it; waits: to be handed out once; kept: handed out, and sealed for renewals; deleted: before anybody fetched it, for its certificate was revoked or had ended a month before',
    ),
  renewals: z.int(),
  renewal,
  hook_url: z.string().nullable(),
  hook_failures: z.int().describe('How often the hook could not be told of this certificate; the audit says why'),
  hook_next_try: z.string().nullable().describe('When it is told next; null: it was told, or was given up'),
  created_at: z.string(),
  updated_at: z.string(),
});

export const certificateOutput = certificateSummary.extend({
  certificate: z.string().describe('PEM'),
  chain: z.array(z.string()).describe('Certificates above it, PEM, nearest first'),
  key_sha256: z.string().describe('SHA-256 of the public key (SubjectPublicKeyInfo), hex'),
  challenge: z.string(),
  dns_provider: z.string().nullable(),
  profile: z.string().nullable(),
});

export type CertificateView = z.output<typeof certificateOutput>;

export function summarize(row: CertificateRow, now: number): z.output<typeof certificateSummary> {
  const leaf = new X509Certificate(row.chain);
  const definition = parseDefinition(row);
  return {
    id: row.id,
    account: row.account,
    principal: row.principal,
    identifiers: definition.identifiers.map(({ value }) => value),
    status: row.state === 'revoked' ? 'revoked' : row.not_after < now ? 'expired' : 'valid',
    serial_number: row.serial_number,
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    not_before: toRfc3339(row.not_before),
    not_after: toRfc3339(row.not_after),
    key: keyState(row, definition.key_type !== undefined),
    renewals: row.renewals,
    renewal: viewRenewal(row),
    hook_url: definition.hook_url ?? null,
    hook_failures: row.hook_attempts,
    hook_next_try: row.hook_at === null ? null : toRfc3339(row.hook_at),
    created_at: toRfc3339(row.created_at),
    updated_at: toRfc3339(row.updated_at),
  };
}

function keyState(row: CertificateRow, madeHere: boolean): 'elsewhere' | 'waits' | 'collected' | 'kept' | 'deleted' {
  if (!madeHere) return 'elsewhere';
  if (row.private_key === null) return row.key_collected_at === null ? 'deleted' : 'collected';
  return row.key_collected_at === null ? 'waits' : 'kept';
}

function viewRenewal(row: CertificateRow): z.output<typeof renewal> {
  const on = row.renew === 1 && row.state === 'valid';
  const timeOf = (at: number | null) => (at === null ? null : toRfc3339(at));
  return {
    on,
    at: on ? toRfc3339(row.renew_at) : null,
    reason: row.renew_reason as z.output<typeof renewal>['reason'],
    window_start: timeOf(row.window_start),
    window_end: timeOf(row.window_end),
    explanation_url: row.explanation_url,
    order_id: row.order_id,
    failures: row.failures,
    failing_since: timeOf(row.failing_since),
    last_error: row.last_error,
    stopped: row.stopped,
  };
}

/** RFC 4514 §2.1 writes the attributes backwards. */
export function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').toReversed().join(',');
}

export function blocksOf(chain: string): string[] {
  return chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

export function viewCertificate(row: CertificateRow, now: number): z.output<typeof certificateOutput> {
  const [certificate = '', ...chain] = blocksOf(row.chain);
  const definition = parseDefinition(row);
  return {
    ...summarize(row, now),
    certificate,
    chain,
    key_sha256: row.key_sha256,
    challenge: definition.challenge,
    dns_provider: definition.dns_provider ?? null,
    profile: definition.profile ?? null,
  };
}

/** What an order or certificate is had by: its account, and where names are proved by records, the DNS provider. */
export function reachOrdered(
  grant: Grant,
  { account, definition }: Pick<CertificateRow, 'account' | 'definition'>,
): void {
  grant.reach(`acme/accounts/${account}`);
  const { dns_provider: provider } = parseDefinition({ definition });
  if (provider !== undefined) grant.reach(`acme/dns-providers/${provider}`);
}

/** Throws `not_found`, for a certificate of another namespace as for none. */
export async function requireCertificate(store: Store, grant: Grant, id: string): Promise<CertificateRow> {
  const row = await store.first<CertificateRow>('SELECT * FROM acme_certificates WHERE id = ? AND namespace = ?', [
    id,
    grant.namespace,
  ]);
  if (row !== undefined) {
    reachOrdered(grant, row);
    return row;
  }
  throw new AppError('not_found', 'There is no such certificate from an outside authority in this namespace.', {
    hint: 'acme.list_certificates finds them by name, account and end.',
  });
}
