import { z } from 'zod';
import { update } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor, nextCursor, pageInput } from '#core/page.ts';
import type { ApprovalRow, CoreTables } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import type { PolicyDeps } from './policy-operations.ts';

const states = ['pending', 'approved', 'rejected', 'used', 'expired'] as const;

const approvalId = z
  .string()
  .regex(/^apr_[0-9a-z]{26}$/, 'not the id of an approval')
  .describe('Id of the approval');

const approvalView = z.strictObject({
  id: z.string().describe('Id of the approval'),
  principal: z.string().describe('Who asks'),
  operation: z.string().describe('What it wants to do'),
  resource: z.string().describe('On what'),
  purpose: z.string().nullable().describe('What for, in its own words'),
  input_hash: z
    .string()
    .describe('SHA-256 of operation, resource and input in hex: the approval is for this request only'),
  state: z.enum(states).describe('pending until somebody decides; approved ones pass once; all end after 24 hours'),
  decided_by: z.string().nullable().describe('Who approved or rejected it'),
  decided_at: z.string().nullable().describe('RFC 3339'),
  created_at: z.string().describe('RFC 3339'),
  expires_at: z.string().describe('RFC 3339'),
});

function showApproval(row: ApprovalRow, now: number): z.output<typeof approvalView> {
  return {
    id: row.id,
    principal: row.principal,
    operation: row.operation,
    resource: row.resource,
    purpose: row.purpose,
    input_hash: row.input_hash,
    state: isOpen(row) && row.expires_at <= now ? 'expired' : row.state,
    decided_by: row.decided_by,
    decided_at: row.decided_at === null ? null : toRfc3339(row.decided_at),
    created_at: toRfc3339(row.created_at),
    expires_at: toRfc3339(row.expires_at),
  };
}

function isOpen({ state }: ApprovalRow): boolean {
  return state === 'pending' || state === 'approved';
}

export const listApprovals = defineOperation({
  id: 'policy.list_approvals',
  title: 'List approvals',
  summary:
    'Lists requests that wait for approval, or that were approved, rejected or used, newest first. Everybody may list their own.',
  input: z.strictObject({
    state: z.enum(states).default('pending').describe('Which ones; pending by default'),
    mine: z.boolean().default(false).describe('Only those that the caller asked for'),
    ...pageInput,
  }),
  output: z.strictObject({ approvals: z.array(approvalView).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/approvals' },
  resource: () => 'approvals',
  effect: 'read',
  access: ({ mine }) => (mine ? 'self' : 'policy'),
  async run(grant, { state, mine, limit, cursor }, { store }: PolicyDeps) {
    let query = store.tables<CoreTables>().selectFrom('approvals').selectAll().where('namespace', '=', grant.namespace);
    if (mine) query = query.where('principal_id', '=', grant.principal.id);
    if (cursor !== undefined) query = query.where('id', '<', decodeCursor(cursor, 'string'));
    if (state === 'expired')
      query = query.where('state', 'in', ['pending', 'approved']).where('expires_at', '<=', grant.now);
    else query = query.where('state', '=', state);
    if (state === 'pending' || state === 'approved') query = query.where('expires_at', '>', grant.now);
    const rows = await query
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const page = cutPage(rows, limit, (row) => row.id);
    return {
      output: { approvals: page.items.map((row) => showApproval(row, grant.now)), next_cursor: page.next_cursor },
    };
  },
});

const onOne = {
  input: z.strictObject({ id: approvalId }),
  output: approvalView,
  resource: ({ id }: { id: string }) => `approvals/${id}`,
};

export const getApproval = defineOperation({
  ...onOne,
  id: 'policy.get_approval',
  title: 'Show an approval',
  summary: 'Shows one request for approval: who asks for what, and what was decided.',
  http: { method: 'GET', path: '/approvals/{id}' },
  effect: 'read',
  run: async (grant, { id }, { store }: PolicyDeps) => ({
    output: showApproval(await findApproval(store, grant, id), grant.now),
  }),
});

export const approveRequest = defineOperation({
  ...onOne,
  id: 'policy.approve_request',
  title: 'Approve a request',
  summary:
    'Lets a waiting request pass once, when its principal repeats it within 24 hours of asking. Nobody approves their own.',
  http: { method: 'POST', path: '/approvals/{id}/approve' },
  effect: 'mutating',
  run: (grant, { id }, { store }: PolicyDeps) => settle(store, grant, id, 'approved'),
});

export const rejectRequest = defineOperation({
  ...onOne,
  id: 'policy.reject_request',
  title: 'Reject a request',
  summary: 'Refuses a waiting request for good; its principal can only ask anew.',
  http: { method: 'POST', path: '/approvals/{id}/reject' },
  effect: 'mutating',
  run: (grant, { id }, { store }: PolicyDeps) => settle(store, grant, id, 'rejected'),
});

/** Decides a pending request; of two that decide at once, the first counts. */
async function settle(store: Store, grant: Grant, id: string, state: 'approved' | 'rejected') {
  const row = await findApproval(store, grant, id);
  // By id of the principal, so that no child token and no other key of the asker passes for somebody else.
  if (row.principal_id === grant.principal.id) {
    throw new AppError('denied', 'Nobody decides about their own request.', {
      hint: 'Another principal must do it.',
    });
  }
  const shown = showApproval(row, grant.now);
  if (shown.state !== 'pending') throw notPending(id, shown.state);
  const decision = { state, decided_by: grant.principal.name, decided_at: grant.now };
  const where = { id, namespace: grant.namespace, state: 'pending', expires_at: { gt: grant.now } };
  return {
    output: showApproval({ ...row, ...decision }, grant.now),
    changes: [update('approvals', decision, where, { expect: 1 })],
    audit: { asked_by: row.principal, asked_operation: row.operation, asked_resource: row.resource },
  };
}

async function findApproval(store: Store, grant: Grant, id: string): Promise<ApprovalRow> {
  const row = await store.first<ApprovalRow>('SELECT * FROM approvals WHERE namespace = ? AND id = ?', [
    grant.namespace,
    id,
  ]);
  if (row !== undefined) {
    grant.reach(row.resource);
    return row;
  }
  throw new AppError('not_found', 'There is no such approval in this namespace.', {
    hint: 'policy.list_approvals lists them.',
  });
}

function notPending(id: string, state: string): AppError {
  return new AppError('wrong_state', `The approval ${id} is ${state}, not pending.`, {
    hint: 'Only pending requests can be decided.',
  });
}
