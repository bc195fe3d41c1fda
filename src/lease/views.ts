import { z } from 'zod';
import { toRfc3339 } from '#core/clock.ts';
import type { LeaseRow, LeaseState } from './tables.ts';

/** What the operations of leases take and show. */

export const leaseId = z
  .string()
  .regex(/^lse_[0-9a-z]{26}$/, 'not the id of a lease')
  .describe('Id of the lease');

export const leaseStates = ['minting', 'active', 'revoking', 'stuck', 'revoked'] as const satisfies LeaseState[];

const time = (words: string) => z.string().describe(`RFC 3339: ${words}`);
const optionalTime = (words: string) => z.string().nullable().describe(`RFC 3339: ${words}`);

export const leaseView = z.strictObject({
  id: z.string().describe('Id of the lease'),
  state: z
    .string()
    .describe(
      'minting: being made; active; revoking: due to end, tried until it is gone; stuck: failed so often that somebody must look, and still tried; revoked: verified gone',
    ),
  role: z.string().describe('Resource of the role it was minted from'),
  target: z.string().describe('Resource of the target at which it lives'),
  subject: z.string().describe('Who stands for it at the target: a user name'),
  principal: z.string().describe('Who asked for it'),
  engine: z.string().describe('Name of the engine that made it'),
  purpose: z.string().nullable().describe('What it was asked for'),
  facts: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .describe('What the engine tells of it'),
  issued_at: time('when it was asked for'),
  expires_at: time('when it ends'),
  max_expires_at: time('past this no renewal goes'),
  renewals: z.int().describe('How often it was renewed'),
  cause: z
    .string()
    .nullable()
    .describe('Why it ends: expired, revoked, mint_failed, drained or orphaned; null while nobody has ended it'),
  attempts: z.int().describe('Revocations that failed'),
  last_error: z.string().nullable().describe('Why the last revocation failed'),
  next_attempt_at: optionalTime('when revocation is tried again; null when it is not waiting for that'),
  residue: z
    .array(
      z.strictObject({
        place: z.string().describe('Where: a database, a schema'),
        object: z.string().describe('What is left'),
        reason: z.string().describe('Why it could not go, and what would help'),
      }),
    )
    .describe('What is left of it at the target'),
  ended_at: optionalTime('when its absence was verified'),
  ended_as: z
    .string()
    .nullable()
    .describe('removed, already_absent when there was nothing to remove, or forgotten (lease.forget_leases)'),
});

export type LeaseView = z.output<typeof leaseView>;

export function showLease(row: LeaseRow): LeaseView {
  return {
    id: row.id,
    state: row.state,
    role: row.role,
    target: row.target,
    subject: row.subject,
    principal: row.principal,
    engine: row.engine,
    purpose: row.purpose,
    facts: readFacts(row.facts),
    issued_at: shown(row.issued_at),
    expires_at: shown(row.expires_at),
    max_expires_at: shown(row.max_expires_at),
    renewals: row.renewals,
    cause: row.cause,
    attempts: row.attempts,
    last_error: row.last_error,
    next_attempt_at: isWaiting(row) ? optional(row.next_action_at) : null,
    residue: readResidue(row.residue),
    ended_at: optional(row.ended_at),
    ended_as: row.ended_at === null ? null : row.ended_as,
  };
}

function isWaiting({ state, claim }: LeaseRow): boolean {
  return claim === null && (state === 'revoking' || state === 'stuck');
}

/** The last second of the year 9999: RFC 3339 has no later one, and a damaged row may. */
const lastTime = 253_402_300_799_000;

function shown(milliseconds: number): string {
  return toRfc3339(Math.min(Math.max(milliseconds, 0), lastTime));
}

function optional(milliseconds: number | null): string | null {
  return milliseconds === null ? null : shown(milliseconds);
}

/** A damaged row is shown with what can be read of it, and never breaks the list that it stands in. */
function readFacts(text: string): LeaseView['facts'] {
  const parsed = leaseView.shape.facts.safeParse(parse(text));
  return parsed.success ? parsed.data : {};
}

function readResidue(text: string | null): LeaseView['residue'] {
  const parsed = leaseView.shape.residue.safeParse(text === null ? [] : parse(text));
  return parsed.success ? parsed.data : [];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
