import type { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import type { Grant } from '#core/grant.ts';
import type { OutsideCertificate } from '#core/outside-certificates.ts';
import { decodeCursor } from '#core/page.ts';
import type { certificateSummary, ListCertificatesInput } from './certificate-schema.ts';
import type { PkiDeps } from './deps.ts';
import { guessKind } from './identifier/identifier.ts';

/**
 * Certificates of other authorities in our lists. They stand in tables of their own, since their serial numbers are unique
 * only where they were issued, and nothing of a CRL or an OCSP answer may ever come from them. In lists by id they come
 * after our own, because theirs (`acc_`) sort so.
 */

type Summary = z.output<typeof certificateSummary>;

export interface OutsideItem {
  readonly id: string;
  readonly summary: Summary;
}

const kindPrefix = /^(?:dns|ip|uri|email|cn):/;

/** `a.example` is looked for as what it looks like; `dns:a.example` says so. */
export function nameKey(name: string): string {
  return kindPrefix.test(name) ? name : `${guessKind(name)}:${name}`;
}

/** What fits the filters; none has a role, or an authority of ours. */
export async function searchOutside(
  { outside }: PkiDeps,
  { namespace, now }: Grant,
  input: ListCertificatesInput,
  limit: number,
): Promise<OutsideItem[]> {
  const { kind, status } = input;
  const ofOurs = input.role ?? input.authority;
  if (outside === undefined || limit <= 0 || ofOurs !== undefined) return [];
  if (status === 'held' || (kind !== undefined && kind !== 'outside')) return [];
  const found = await outside.newest({
    namespace,
    now,
    limit,
    status,
    below: input.cursor === undefined ? undefined : decodeCursor(input.cursor, 'string'),
    principal: input.principal,
    name: input.name === undefined ? undefined : nameKey(input.name),
    keySha256: input.key_sha256,
    endsBefore: input.expires_within === undefined ? undefined : now + input.expires_within * 1000,
  });
  return found.map((each) => ({ id: each.id, summary: summarize(each, now) }));
}

export async function endingOutside(
  { outside }: PkiDeps,
  { namespace, now }: Grant,
  input: { readonly within: number; readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ key: readonly [number, string]; summary: Summary }[]> {
  if (outside === undefined) return [];
  const found = await outside.ending({
    namespace,
    now,
    limit: input.limit + 1,
    before: now + input.within * 1000,
    after: input.cursor === undefined ? undefined : parseExpiryCursor(decodeCursor(input.cursor, 'string')),
  });
  return found.map((each) => ({ key: [each.notAfter, each.id] as const, summary: summarize(each, now) }));
}

export function parseExpiryCursor(cursor: string): [end: number, id: string] {
  const at = cursor.indexOf(':');
  return [Number(cursor.slice(0, at)), cursor.slice(at + 1)];
}

function summarize(found: OutsideCertificate, now: number): Summary {
  return {
    outside_id: found.id,
    serial_number: found.serialNumber,
    kind: 'outside',
    authority: found.account,
    role: null,
    principal: found.principal,
    purpose: found.purpose,
    subject: found.subject,
    names: [...found.names],
    key_sha256: found.keySha256,
    not_before: toRfc3339(found.notBefore),
    not_after: toRfc3339(found.notAfter),
    issued_at: toRfc3339(found.issuedAt),
    status: found.revokedAt !== null ? 'revoked' : found.notAfter < now ? 'expired' : 'valid',
    revoked_at: found.revokedAt === null ? null : toRfc3339(found.revokedAt),
    revocation_reason: found.revocationReason,
    invalidity_date: null,
    renewal_error: found.renewalError,
  };
}
