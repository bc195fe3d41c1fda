import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Change } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { certificatesNamed, reachCertificate } from '#pki/operations/inventory.ts';
import { readCertificatePem } from '#pki/outside-certificate.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { PkiTables } from '#pki/tables.ts';
import type { RevokeCertificatesInput } from './schema.ts';
import { type Reason, type Revocation, type Step, type StatusRow, stepChanges, stepFor } from './status-change.ts';

/** Revocation by filter: which certificates match, and the changes for all of them in one commit. */

/** One commit holds at most so many; SQLite writes them in about a second. */
export const maxPerCall = 10_000;
/** A page is read within two milliseconds; then others have their turn. */
const pageSize = 250;

type Filter = Omit<RevokeCertificatesInput, 'reason' | 'invalidity_date' | 'dry_run'>;

export function hasFilter(filter: Filter): boolean {
  const { serial_numbers, certificate, authority, role, principal, name, key_sha256 } = filter;
  return [serial_numbers, certificate, authority, role, principal, name, key_sha256].some(
    (value) => value !== undefined,
  );
}

/** Certificates for which there is something to do, oldest first, at most `maxPerCall`. Throws `denied` for one out of reach. */
export async function selectMatches(deps: PkiDeps, grant: Grant, filter: Filter, reason: Reason): Promise<StatusRow[]> {
  const rows: StatusRow[] = [];
  for (let after = ''; rows.length < maxPerCall; ) {
    const page = await open(matching(deps, grant, filter), reason)
      .select(['id', 'namespace', 'serial_number', 'issuer_id', 'crl_shard', 'kind', 'status', 'revocation_reason'])
      .select(['role', 'authority'])
      .where('id', '>', after)
      .orderBy('id')
      .limit(Math.min(pageSize, maxPerCall - rows.length))
      .execute();
    for (const row of page) reachCertificate(grant, row);
    rows.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) break;
    after = last.id;
    await nextTurn();
  }
  return rows;
}

export interface Counts {
  /** For which there is something to do. */
  readonly open: number;
  readonly already: number;
}

export async function countMatches(deps: PkiDeps, grant: Grant, filter: Filter, reason: Reason): Promise<Counts> {
  const count = (query: ReturnType<typeof matching>) =>
    query.select(({ fn }) => fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
  const all = await count(matching(deps, grant, filter));
  await nextTurn();
  const left = await count(open(matching(deps, grant, filter), reason));
  return { open: left.count, already: all.count - left.count };
}

function matching(deps: PkiDeps, grant: Grant, filter: Filter) {
  let query = deps.store.tables<PkiTables>().selectFrom('pki_certificates').where('namespace', '=', grant.namespace);
  const serials = serialsOf(filter);
  if (serials !== undefined) query = query.where('serial_number', 'in', serials);
  if (filter.authority !== undefined) query = query.where('authority', '=', filter.authority);
  if (filter.role !== undefined) query = query.where('role', '=', filter.role);
  if (filter.principal !== undefined) query = query.where('principal', '=', filter.principal);
  if (filter.key_sha256 !== undefined) query = query.where('spki_sha256', '=', filter.key_sha256);
  if (filter.name !== undefined) query = query.where('id', 'in', certificatesNamed(deps, grant, filter.name));
  const isNamed = serials !== undefined || filter.key_sha256 !== undefined;
  // A revoked certificate that has expired would only make CRLs longer; by name it can be done, for signatures that last.
  return isNamed ? query : query.where('kind', '=', 'leaf').where('not_after', '>=', grant.now);
}

function serialsOf({ serial_numbers, certificate }: Filter): string[] | undefined {
  const fromPem = certificate === undefined ? [] : [readCertificatePem(certificate, 'certificate').serialNumber];
  if (serial_numbers === undefined) return certificate === undefined ? undefined : fromPem;
  if (certificate === undefined) return [...new Set(serial_numbers)];
  return serial_numbers.filter((serial) => serial === fromPem[0]);
}

/** Leaves out what is in the state asked for, or cannot come into it (status-change.ts, `stepFor`). */
function open(query: ReturnType<typeof matching>, reason: Reason): ReturnType<typeof matching> {
  if (reason === 'certificate_hold') return query.where('status', '=', 'valid');
  if (reason !== 'key_compromise') return query.where('status', '<>', 'revoked');
  return query.where((where) =>
    where.or([where('status', '<>', 'revoked'), where('revocation_reason', '<>', 'key_compromise')]),
  );
}

export interface SortedRows {
  readonly changing: readonly StatusRow[];
  readonly bySteps: ReadonlyMap<Step, readonly StatusRow[]>;
}

export function sortBySteps(rows: readonly StatusRow[], reason: Reason): SortedRows {
  const bySteps = Map.groupBy(rows, (row) => stepFor(row, reason));
  const changing = rows.filter((row) => !['done', 'refused'].includes(stepFor(row, reason)));
  return { changing, bySteps };
}

export function bulkChanges({ bySteps }: SortedRows, revocation: Revocation): Change[] {
  const rowsOf = (step: Step, status: StatusRow['status']) =>
    (bySteps.get(step) ?? []).filter((row) => row.status === status);
  return [
    ...stepChanges('hold', 'valid', rowsOf('hold', 'valid'), revocation),
    ...stepChanges('revoke', 'valid', rowsOf('revoke', 'valid'), revocation),
    ...stepChanges('revoke', 'held', rowsOf('revoke', 'held'), revocation),
    ...stepChanges('worsen', 'revoked', rowsOf('worsen', 'revoked'), revocation),
  ];
}
