import { hash } from 'node:crypto';
import { type Change, insert, update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import type { AccessRequest, DispatchDeps } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import { newId } from '#core/ids.ts';
import { canonicalJson } from '#storage/canonical-json.ts';
import type { ApprovalRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import type { CompiledRule } from './compile.ts';

/**
 * Requests that wait for somebody else. The first try is kept as pending and refused; when another principal has
 * approved it, the same principal passes with exactly the same request, once, within 24 hours of the first try.
 */
export interface Approvals {
  /** Keeps the request as pending, or finds it pending already. The error names the approval. */
  ask(request: AccessRequest, rule: CompiledRule): Promise<AppError>;
  /** The change that uses the approval up. Throws when it is not good for this request. */
  redeem(request: AccessRequest, id: string): Promise<Change>;
}

export const approvalLifetime = 24 * 3600 * 1000;

/** A principal cannot fill the store, nor the list that people have to read, with requests. */
const maxPending = 100;

export interface ApprovalsDeps {
  readonly store: Store;
  /** The pending row is written before the refusal that names it, outside of the refused request. */
  readonly commit: DispatchDeps['commit'];
}

export function createApprovals({ store, commit }: ApprovalsDeps): Approvals {
  return {
    async ask(request, rule) {
      const inputHash = hashRequest(request);
      const pending = await pendingOf(store, request);
      const same = pending.find((row) => row.input_hash === inputHash);
      if (same !== undefined) return approvalRequired(same.id, same.expires_at, rule);
      if (pending.length >= maxPending) {
        throw new AppError(
          'rate_limited',
          `${maxPending} requests of ${request.principal.name} wait for approval already.`,
          {
            hint: 'Wait until some of them are approved, rejected or expired.',
          },
        );
      }
      const row = pendingRow(request, inputHash);
      await commit([insert('approvals', { ...row })], []);
      return approvalRequired(row.id, row.expires_at, rule);
    },
    async redeem(request, id) {
      const row = await store.first<ApprovalRow>('SELECT * FROM approvals WHERE id = ? AND namespace = ?', [
        id.slice(0, 64),
        request.principal.namespace,
      ]);
      if (row === undefined || !isFor(row, request)) throw notForThis();
      if (row.expires_at <= request.now || row.state !== 'approved') throw notUsable(row, request.now);
      return spend(row, request.now);
    },
  };
}

/** Guarded, so that of two requests at once only one passes. */
function spend(row: ApprovalRow, now: number): Change {
  return update(
    'approvals',
    { state: 'used' },
    { id: row.id, namespace: row.namespace, state: 'approved', expires_at: { gt: now } },
    { expect: 1, otherwise: () => notUsable({ ...row, state: 'used' }, now) },
  );
}

function isFor(row: ApprovalRow, request: AccessRequest): boolean {
  return (
    row.principal_id === request.principal.id &&
    row.operation === request.operation.id &&
    row.resource === request.resource &&
    row.input_hash === hashRequest(request)
  );
}

async function pendingOf(
  store: Store,
  request: AccessRequest,
): Promise<Pick<ApprovalRow, 'id' | 'input_hash' | 'expires_at'>[]> {
  return store.all(
    `SELECT id, input_hash, expires_at FROM approvals
     WHERE namespace = ? AND state = 'pending' AND principal_id = ? AND expires_at > ? LIMIT ${maxPending}`,
    [request.principal.namespace, request.principal.id, request.now],
  );
}

function pendingRow(request: AccessRequest, inputHash: string): ApprovalRow {
  const { principal, now } = request;
  return {
    id: newId('apr', now),
    namespace: principal.namespace,
    principal_id: principal.id,
    principal: principal.name,
    operation: request.operation.id,
    resource: request.resource,
    input_hash: inputHash,
    purpose: request.facts.purpose ?? principal.purpose ?? null,
    state: 'pending',
    decided_by: null,
    decided_at: null,
    created_at: now,
    expires_at: now + approvalLifetime,
  };
}

/** SHA-256 over operation, resource and validated input; the order of fields does not matter, everything else does. */
function hashRequest({ operation, resource, input }: AccessRequest): string {
  return hash('sha256', canonicalJson([operation.id, resource, input]));
}

function approvalRequired(id: string, expiresAt: number, rule: CompiledRule): AppError {
  return new AppError(
    'approval_required',
    `Rule ${rule.number} of policy ${rule.policy} wants somebody else to approve this request first.`,
    {
      hint: `When ${id} is approved, repeat exactly this request with that approval (Chancery-Approval: ${id}).`,
      members: { approval_id: id, expires_at: toRfc3339(expiresAt), policy: rule.policy, rule: rule.number },
    },
  );
}

function notForThis(): AppError {
  return new AppError('denied', 'This approval was not given for this request.', {
    hint: 'An approval is for one principal, operation, resource and input; leave it out to ask for a new one.',
  });
}

function notUsable(row: ApprovalRow, now: number): AppError {
  if (row.expires_at <= now) return refusal(row, `expired at ${toRfc3339(row.expires_at)}`);
  if (row.state !== 'pending') return refusal(row, row.state === 'used' ? 'has been used' : `was ${row.state}`);
  return new AppError('approval_required', `The approval ${row.id} is still pending.`, {
    hint: 'Repeat exactly this request when somebody else has approved it.',
    members: { approval_id: row.id, expires_at: toRfc3339(row.expires_at) },
  });
}

function refusal(row: ApprovalRow, state: string): AppError {
  return new AppError('denied', `The approval ${row.id} ${state}.`, {
    hint: 'Make the request without it to ask for a new one.',
  });
}
