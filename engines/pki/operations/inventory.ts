import { sql } from 'kysely';
import { z } from 'zod';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor } from '#core/page.ts';
import {
  certificateSummary,
  expiringInput,
  getCertificateInput,
  getCertificateOutput,
  type ListCertificatesInput,
  listCertificatesInput,
  listCertificatesOutput,
} from '#pki/certificate-schema.ts';
import { namesOf, summarizeCertificate, viewCertificate } from '#pki/certificate-view.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { formatStored } from '#pki/formats.ts';
import { endingOutside, nameKey, parseExpiryCursor, searchOutside } from '#pki/outside-inventory.ts';
import type { SigningIssuer } from '#pki/issuer.ts';
import type { CertificateRow, PkiTables } from '#pki/tables.ts';

/** The inventory: what was issued, found again by what stands in it. */

export const certificateResource = (input: { readonly serial_number: string }) =>
  `pki/certificates/${input.serial_number}`;

export const getCertificate = defineOperation({
  id: 'pki.get_certificate',
  title: 'Get a certificate',
  summary: 'Shows a certificate that was issued here, with its state, in the format that is asked for.',
  input: getCertificateInput,
  output: getCertificateOutput,
  http: { method: 'GET', path: '/pki/certificates/{serial_number}' },
  effect: 'read',
  resource: certificateResource,
  async run(grant, input, deps: PkiDeps) {
    const row = await requireCertificate(deps, grant, input.serial_number);
    const der = Buffer.from(row.certificate);
    const issuer = await issuerOf(deps, row);
    return { output: { ...viewCertificate(row, grant.now), ...formatStored(input.format, der, issuer) } };
  },
});

/** What issued a certificate stands behind it. Throws `denied` where that is out of reach. */
export function reachCertificate(grant: Grant, { role, authority }: Pick<CertificateRow, 'role' | 'authority'>): void {
  grant.reach(`pki/authorities/${authority}`);
  if (role !== null) grant.reach(`pki/roles/${role}`);
}

/** Throws `not_found`, for a certificate of another namespace as for none. */
export async function requireCertificate(deps: PkiDeps, grant: Grant, serialNumber: string): Promise<CertificateRow> {
  const row = await deps.store.first<CertificateRow>(
    'SELECT * FROM pki_certificates WHERE serial_number = ? AND namespace = ?',
    [serialNumber, grant.namespace],
  );
  if (row) {
    reachCertificate(grant, row);
    return row;
  }
  throw new AppError('not_found', `There is no certificate with the serial number ${serialNumber}.`, {
    hint: 'pki.list_certificates finds certificates by name, role, authority or principal.',
  });
}

async function issuerOf(deps: PkiDeps, row: CertificateRow): Promise<SigningIssuer | undefined> {
  const authority = await deps.directory.authority(row.namespace, row.authority);
  return authority?.issuers.find((issuer) => issuer.row.id === row.issuer_id);
}

export const listCertificates = defineOperation({
  id: 'pki.list_certificates',
  title: 'List certificates',
  summary:
    'Lists certificates, newest first, by what stands in them: name, role, authority, principal, key, state, end.',
  input: listCertificatesInput,
  output: listCertificatesOutput,
  http: { method: 'GET', path: '/pki/certificates' },
  cli: { columns: ['serial_number', 'names', 'role', 'principal', 'status', 'not_after'] },
  effect: 'read',
  resource: () => 'pki/certificates',
  async run(grant, input, deps: PkiDeps) {
    const own = input.kind === 'outside' ? [] : await searchCertificates(deps, grant, input);
    const shown = own.map((row) => ({ id: row.id, summary: summarizeCertificate(row, grant.now) }));
    const outside = await searchOutside(deps, grant, input, input.limit + 1 - own.length);
    const page = cutPage([...shown, ...outside], input.limit, ({ id }) => id);
    return {
      output: { certificates: page.items.map(({ summary }) => summary), next_cursor: page.next_cursor },
    };
  },
});

/**
 * Not a bare column, so that no planner sorts the many that have ended, or have not, by their ids: it walks down from the
 * newest until the page is full.
 */
const endUnindexed = sql<number>`not_after + 0`;

function searchCertificates(deps: PkiDeps, grant: Grant, input: ListCertificatesInput): Promise<CertificateRow[]> {
  let query = deps.store
    .tables<PkiTables>()
    .selectFrom('pki_certificates')
    .selectAll()
    .where('namespace', '=', grant.namespace);
  if (input.authority !== undefined) query = query.where('authority', '=', input.authority);
  if (input.role !== undefined) query = query.where('role', '=', input.role);
  if (input.principal !== undefined) query = query.where('principal', '=', input.principal);
  if (input.kind !== undefined && input.kind !== 'outside') query = query.where('kind', '=', input.kind);
  // Said once more in the words of the partial indexes, without which the planner does not see that they serve.
  if (input.kind !== undefined && input.kind !== 'leaf') query = query.where('kind', '<>', 'leaf');
  if (input.status === 'revoked' || input.status === 'held') query = query.where('status', '<>', 'valid');
  if (input.key_sha256 !== undefined) query = query.where('spki_sha256', '=', input.key_sha256);
  if (input.name !== undefined) query = query.where('id', 'in', certificatesNamed(deps, grant, input.name));
  if (input.status === 'expired') query = query.where(endUnindexed, '<', grant.now);
  else if (input.status !== undefined) query = query.where('status', '=', input.status);
  if (input.status === 'valid') query = query.where(endUnindexed, '>=', grant.now);
  if (input.expires_within !== undefined)
    query = query.where('not_after', '>=', grant.now).where('not_after', '<', grant.now + input.expires_within * 1000);
  if (input.cursor !== undefined) query = query.where('id', '<', decodeCursor(input.cursor, 'string'));
  return query
    .orderBy('id', 'desc')
    .limit(input.limit + 1)
    .execute();
}

export function certificatesNamed(deps: PkiDeps, grant: Grant, name: string) {
  const key = nameKey(name);
  return deps.store
    .tables<PkiTables>()
    .selectFrom('pki_certificate_names')
    .select('certificate_id')
    .where('namespace', '=', grant.namespace)
    .where('name', '=', key);
}

export const listExpiring = defineOperation({
  id: 'pki.list_expiring',
  title: 'Report what expires soon',
  summary:
    'Lists valid certificates, authorities included, that end within a time, soonest first. Certificates for which a newer one with the same names exists are marked as renewed.',
  input: expiringInput,
  output: z.strictObject({
    certificates: z.array(
      certificateSummary.extend({
        renewed_by: z
          .string()
          .nullable()
          .describe('Serial number of a newer certificate with the same names, if there is one'),
      }),
    ),
    next_cursor: nextCursor,
  }),
  http: { method: 'GET', path: '/pki/certificates/expiring' },
  cli: { columns: ['serial_number', 'names', 'kind', 'role', 'not_after', 'renewed_by', 'renewal_error'] },
  effect: 'read',
  resource: () => 'pki/certificates',
  async run(grant, input, deps: PkiDeps) {
    let query = deps.store
      .tables<PkiTables>()
      .selectFrom('pki_certificates')
      .selectAll()
      .where('namespace', '=', grant.namespace)
      .where('status', '=', 'valid')
      .where('not_after', '>=', grant.now)
      .where('not_after', '<', grant.now + input.within * 1000);
    if (input.cursor !== undefined) {
      const [end, id] = parseExpiryCursor(decodeCursor(input.cursor, 'string'));
      query = query.where((eb) =>
        eb.or([eb('not_after', '>', end), eb.and([eb('not_after', '=', end), eb('id', '>', id)])]),
      );
    }
    const rows = await query
      .orderBy('not_after')
      .orderBy('id')
      .limit(input.limit + 1)
      .execute();
    const ends = rows.map((row) => ({ key: [row.not_after, row.id] as const, row }));
    const outside = await endingOutside(deps, grant, input);
    const sorted = [...ends, ...outside].toSorted((one, other) => byEnd(one.key, other.key));
    const page = cutPage(sorted, input.limit, ({ key }) => key.join(':'));
    const certificates = await Promise.all(
      page.items.map(async (item) =>
        'row' in item
          ? { ...summarizeCertificate(item.row, grant.now), renewed_by: await renewalOf(deps, grant, item.row) }
          : { ...item.summary, renewed_by: null },
      ),
    );
    return { output: { certificates, next_cursor: page.next_cursor } };
  },
});

function byEnd([end, id]: readonly [number, string], [otherEnd, otherId]: readonly [number, string]): number {
  return end - otherEnd || (id < otherId ? -1 : 1);
}

/** A newer valid certificate that holds the first name of this one and ends later. */
async function renewalOf(deps: PkiDeps, grant: Grant, row: CertificateRow): Promise<string | null> {
  const [first] = namesOf(row);
  if (first === undefined) return null;
  const newer = await deps.store
    .tables<PkiTables>()
    .selectFrom('pki_certificates')
    .selectAll()
    .where('id', 'in', certificatesNamed(deps, grant, first))
    .where('id', '>', row.id)
    .where('status', '=', 'valid')
    .where('not_after', '>', row.not_after)
    .orderBy('id', 'desc')
    .limit(20)
    .execute();
  const names = namesOf(row).join('\n');
  return newer.find((candidate) => namesOf(candidate).join('\n') === names)?.serial_number ?? null;
}

export const inventoryOperations = [getCertificate, listCertificates, listExpiring];
