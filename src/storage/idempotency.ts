import { hash } from 'node:crypto';
import type { Change, Row } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import type { AnswerOwner, IdempotencyLedger } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import { canonicalJson } from '#storage/canonical-json.ts';
import type { IdempotencyKeyRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';

/** How long an answer is kept, in milliseconds: a day. */
export const idempotencyLife = 86_400_000;

/** Keeps answers in the store. Keys are a principal's own: two principals may use the same one. */
export function createIdempotencyLedger(store: Pick<Store, 'first'>, clock: Clock): IdempotencyLedger {
  /** Keys that `find` saw in an expired row, with its time: `keep` takes the row over. */
  const expired = new WeakMap<AnswerOwner, { key: string; createdAt: number }>();
  return {
    async find(owner, key, input) {
      const row = await store.first<IdempotencyKeyRow>(
        `SELECT operation, input_hash, output, created_at FROM idempotency_keys
         WHERE namespace = ? AND principal_id = ? AND key = ?`,
        [owner.namespace, owner.principal.id, key],
      );
      if (row === undefined) return undefined;
      if (row.created_at <= clock.now() - idempotencyLife) {
        expired.set(owner, { key, createdAt: row.created_at });
        return undefined;
      }
      if (row.operation !== owner.operation || row.input_hash !== inputHash(input)) throw otherRequest();
      return { output: JSON.parse(row.output) as unknown };
    },
    keep(grant, key, input, output) {
      const id = { namespace: grant.namespace, principal_id: grant.principal.id, key };
      const answer: Row = {
        operation: grant.operation,
        input_hash: inputHash(input),
        output: JSON.stringify(output) ?? 'null',
        created_at: clock.now(),
      };
      const old = expired.get(grant);
      if (old?.key !== key) {
        return { kind: 'insert', table: 'idempotency_keys', row: { ...id, ...answer }, taken: twin };
      }
      const where = { ...id, created_at: old.createdAt };
      return { kind: 'update', table: 'idempotency_keys', set: answer, where, expect: 1, otherwise: twin };
    },
  };
}

/** The change that removes expired keys. */
export function tidyIdempotencyKeys(now: number): Change {
  return { kind: 'delete', table: 'idempotency_keys', where: { created_at: { lte: now - idempotencyLife } } };
}

/** SHA-256 of the canonical input, hex. */
export function inputHash(input: unknown): string {
  return hash('sha256', canonicalJson(input));
}

function otherRequest(): AppError {
  return new AppError('conflict', 'This Idempotency-Key was used for another request within the last day.', {
    hint: 'Use a new key for a new request, and the same key only to repeat the same request.',
  });
}

function twin(): AppError {
  return new AppError('conflict', 'Another request with this Idempotency-Key came at the same moment.', {
    hint: 'Repeat this request with the same key to get the answer of the other.',
  });
}
