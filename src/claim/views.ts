import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import type { ClaimRow } from './tables.ts';

export const claimStates = ['open', 'claimed', 'cancelled', 'expired'] as const;
export type ClaimState = (typeof claimStates)[number];

export const claimView = z.strictObject({
  id: z.string().describe('Id of the claim; it opens nothing'),
  state: z.enum(claimStates).describe('open until it is claimed, cancelled or expired'),
  principal: z.string().describe('Who may claim it'),
  operation: z.string().describe('What made the secrets'),
  resource: z.string().describe('From what'),
  fields: z.array(z.string()).describe('Names of the secret fields'),
  created_at: z.string().describe('RFC 3339'),
  expires_at: z.string().describe('RFC 3339: until then it can be claimed'),
  claimed_at: z.string().nullable().describe('RFC 3339: when it was claimed'),
  claimed_from: z.string().nullable().describe('Address from which it was claimed'),
  alarms: z.int().describe('Attempts with the right handle after it was claimed or ended, or by somebody else'),
  alarmed_at: z.string().nullable().describe('RFC 3339: the last of them'),
});

export function showClaim(row: ClaimRow, now: number): z.output<typeof claimView> {
  return {
    id: row.id,
    state: stateOf(row, now),
    principal: row.principal,
    operation: row.operation,
    resource: row.resource,
    fields: fieldsOf(row),
    created_at: toRfc3339(row.created_at),
    expires_at: toRfc3339(row.expires_at),
    claimed_at: optional(row.claimed_at),
    claimed_from: row.claimed_from,
    alarms: row.alarms,
    alarmed_at: optional(row.alarmed_at),
  };
}

/** What lost its content in a restore has expired as well. */
export function stateOf(row: ClaimRow, now: number): ClaimState {
  if (row.claimed_at !== null) return 'claimed';
  if (row.cancelled_at !== null) return 'cancelled';
  return row.expires_at <= now || row.secrets === null ? 'expired' : 'open';
}

export function fieldsOf({ fields }: ClaimRow): string[] {
  return JSON.parse(fields) as string[];
}

function optional(time: number | null): string | null {
  return time === null ? null : toRfc3339(time);
}
