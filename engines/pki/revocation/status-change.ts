import { type Change, remove, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { Store } from '#storage/store.ts';
import { markStaleCrl } from '#pki/crl-addresses.ts';
import type { CertificateRow, CertificateStatus } from '#pki/tables.ts';
import type { CrlReason } from '#pki/x509/revocation-reason.ts';

/**
 * What may become of a certificate's status: valid → held → valid again, valid or held → revoked, and revoked is final
 * (RFC 5280 §5.3.1), but that a lost key may be learnt of later (Baseline Requirements §4.9.1.1).
 */

export type Reason = Exclude<CrlReason, 'remove_from_crl'>;

export type StatusRow = Pick<
  CertificateRow,
  | 'id'
  | 'namespace'
  | 'serial_number'
  | 'issuer_id'
  | 'crl_shard'
  | 'kind'
  | 'status'
  | 'revocation_reason'
  | 'role'
  | 'authority'
>;

/** `done`: what is asked for is so already. `refused`: it is revoked for another reason. */
export type Step = 'hold' | 'revoke' | 'worsen' | 'done' | 'refused';

export function stepFor(row: Pick<StatusRow, 'status' | 'revocation_reason'>, reason: Reason): Step {
  if (row.status === 'revoked') {
    // `unspecified` is what is meant when no reason is given: it is revoked, and that was asked.
    if (row.revocation_reason === reason || reason === 'unspecified') return 'done';
    return reason === 'key_compromise' ? 'worsen' : 'refused';
  }
  if (reason !== 'certificate_hold') return 'revoke';
  return row.status === 'held' ? 'done' : 'hold';
}

export function refusedStep(row: Pick<StatusRow, 'serial_number' | 'revocation_reason'>, reason: Reason): AppError {
  return new AppError(
    'wrong_state',
    `Certificate ${row.serial_number} is revoked already (${row.revocation_reason}), and ${reason} cannot replace that.`,
    { hint: 'A revocation is final; only key_compromise may take the place of another reason.' },
  );
}

export interface Revocation {
  readonly reason: Reason;
  /** Milliseconds. */
  readonly now: number;
  /** Milliseconds: when the key was lost. */
  readonly invalidityDate: number | null;
}

/** Throws `invalid_request` for an invalidity date in the future. */
export function revocationOf(
  input: { readonly reason: Reason; readonly invalidity_date?: string | undefined },
  grant: Grant,
): Revocation {
  const invalidityDate = input.invalidity_date === undefined ? null : Date.parse(input.invalidity_date);
  if (invalidityDate !== null && invalidityDate > grant.now)
    throw new AppError('invalid_request', 'The invalidity date lies in the future.', {
      hint: 'Give the time at which the key was lost, or leave invalidity_date out.',
    });
  return { reason: input.reason, now: grant.now, invalidityDate };
}

/**
 * The changes for certificates that all take the same step from the same status. Guarded: somebody else's change in
 * between is a conflict, and the operation reads again. What was held stays revoked from the day it was held.
 */
export function stepChanges(
  step: 'hold' | 'revoke' | 'worsen',
  from: CertificateStatus,
  rows: readonly StatusRow[],
  revocation: Revocation,
): Change[] {
  if (rows.length === 0) return [];
  const { reason, now, invalidityDate } = revocation;
  const set = {
    status: step === 'hold' ? 'held' : 'revoked',
    revocation_reason: reason,
    ...(from === 'valid' ? { revoked_at: now } : {}),
    ...(from === 'valid' || invalidityDate !== null ? { invalidity_date: invalidityDate } : {}),
  };
  const ids = rows.map((row) => row.id);
  return [
    update('pki_certificates', set, { id: ids, status: from }, { expect: rows.length }),
    ...rows.filter((row) => row.kind === 'ocsp_signer').map(withdrawSigner),
  ];
}

/** An OCSP signer whose certificate is revoked or held signs no more; the next answer has a new one made. */
function withdrawSigner(row: StatusRow): Change {
  return remove('pki_ocsp_signers', { issuer_id: row.issuer_id, serial_number: row.serial_number });
}

export function releaseChange(row: StatusRow): Change {
  const set = { status: 'valid', revoked_at: null, revocation_reason: null, invalidity_date: null };
  return update('pki_certificates', set, { id: row.id, status: 'held' }, { expect: 1 });
}

/**
 * Makes the CRLs of these certificates stale, in the same commit as the change itself. Each shard is counted once; in
 * order, so that nodes which touch several do not wait for each other.
 */
export async function markStale(store: Store, rows: readonly StatusRow[]): Promise<Change[]> {
  const shards = new Map(rows.map((row) => [`${row.issuer_id} ${String(row.crl_shard).padStart(9)}`, row]));
  const changes: Change[] = [];
  for (const [, { namespace, issuer_id, crl_shard }] of [...shards].sort(([a], [b]) => (a < b ? -1 : 1)))
    changes.push(await markStaleCrl(store, { namespace, issuer_id, shard: crl_shard }));
  return changes;
}
