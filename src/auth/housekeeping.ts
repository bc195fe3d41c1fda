import { z } from 'zod';
import { remove } from '#core/change.ts';
import { duration } from '#core/duration.ts';
import { defineOperation } from '#core/operation.ts';
import type { Narrowing } from '#core/principal.ts';
import type { AuthDeps } from './deps.ts';

/**
 * Agents make tokens by the hour, so what has long ended goes. Keys stay, for their ids stand in audit records. A child
 * never ends after its parent, so that no live token loses the chain that it stands on.
 */
export const purgeExpired = defineOperation({
  id: 'auth.purge_expired',
  title: 'Purge what has expired',
  summary:
    'Deletes tokens and approvals of all namespaces that ended some time ago. A background job calls it once a day.',
  input: z.strictObject({
    older_than: duration
      .refine((seconds) => seconds >= 86_400, 'at least 1d')
      .default(30 * 86_400)
      .describe('How long ago they must have ended (1d, 30d, or seconds), at least 1d; default 30d'),
  }),
  output: z.strictObject({
    tokens: z.int().describe('Tokens deleted'),
    approvals: z.int().describe('Approvals deleted'),
  }),
  http: { method: 'POST', path: '/auth/purge-expired' },
  resource: () => 'auth/expired',
  effect: 'destructive',
  idempotent: true,
  installation: true,
  async run(grant, { older_than: age }, { store }: AuthDeps) {
    const ended = { lt: grant.now - age * 1000 };
    const count = async (from: string) =>
      (await store.first<{ count: number }>(`SELECT COUNT(*) AS count FROM ${from} AND expires_at < ?`, [ended.lt]))
        ?.count ?? 0;
    const tokens = await count(`credentials WHERE kind = 'token'`);
    const approvals = await count('approvals WHERE 1 = 1');
    return {
      output: { tokens, approvals },
      changes: [
        ...(tokens > 0 ? [remove('credentials', { kind: 'token', expires_at: ended })] : []),
        ...(approvals > 0 ? [remove('approvals', { expires_at: ended })] : []),
      ],
      audit: { tokens, approvals },
    };
  },
});

/** The job that main.ts schedules, and what it may do. */
export const purgeJob = {
  name: 'auth.purge_expired',
  schedule: '17 3 * * *',
  scope: { operations: [purgeExpired.id], resources: ['auth/expired'] } satisfies Narrowing,
};
