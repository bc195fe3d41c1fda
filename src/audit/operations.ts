import { z } from 'zod';
import { type Clock, toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import type { AuditEventRow } from '#storage/core-tables.ts';
import type { Store } from '#storage/store.ts';
import { signCheckpoint } from './checkpoint.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { Cursors } from './cursor.ts';
import { findEvent, listEvents as readEvents, noEvent } from './events.ts';
import { assertContinuity, gatherCheckpoints, readHead } from './head.ts';
import type { NoteSigner } from './note.ts';
import { maxNoteLength } from './note.ts';
import { maxFindings, verifyLog } from './verify.ts';

export interface AuditDeps {
  readonly store: Store;
  readonly signer: NoteSigner;
  readonly file: CheckpointFile;
  readonly cursors: Cursors;
  readonly clock: Clock;
}

const eventOutput = z.strictObject({
  id: z.string(),
  at: z.string().describe('RFC 3339'),
  namespace: z.string(),
  request_id: z.string(),
  principal: z.string().nullable().describe('Null when nobody could be authenticated'),
  principal_kind: z.string().nullable(),
  credential_id: z.string().nullable().describe('The API key or token that was shown; never its secret'),
  operation: z.string(),
  resource: z.string().nullable(),
  outcome: z.string().describe('intent: about to act outside the store. ok, denied, failed: how the request ended'),
  code: z.string().nullable().describe('Error code of a request that was denied or failed'),
  transport: z.string(),
  source_address: z.string().nullable(),
  purpose: z.string().nullable(),
  details: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .describe('Facts of the operation'),
  seq: z.number().int().optional().describe('Place in the log of the installation; shown to the namespace root only'),
});
type EventOutput = z.output<typeof eventOutput>;

/** The place in the log tells how much other tenants do, so only root is told. */
function toOutput(row: AuditEventRow, grant: Grant): EventOutput {
  const { seq, hash: _, details, at, ...columns } = row;
  const event = { ...columns, at: toRfc3339(at), details: readDetails(details) };
  return grant.namespace === 'root' ? { ...event, seq } : event;
}

/** What stands in a tampered row may be anything; it must not break the list. */
function readDetails(text: string): EventOutput['details'] {
  try {
    return eventOutput.shape.details.parse(JSON.parse(text));
  } catch {
    return { unreadable: true };
  }
}

const allNamespaces = z
  .boolean()
  .default(false)
  .describe('Events of every namespace. Only for the namespace root; the resource is then audit/all-events/…');

/** Looking into other namespaces is a resource of its own, so that a policy can give the one without the other. */
function scopeOf(grant: Grant, all: boolean): string | undefined {
  if (!all) return grant.namespace;
  if (grant.namespace === 'root') return undefined;
  throw new AppError('denied', 'Only the namespace root may read the events of other namespaces.', {
    hint: 'Leave all_namespaces out to read those of your own.',
  });
}

const visible = z.string().regex(/^[\x21-\x7e]{1,256}$/, '1 to 256 visible ASCII characters');
const time = z.iso.datetime({ offset: true });

export const listEvents = defineOperation({
  id: 'audit.list_events',
  title: 'List audit events',
  summary: 'Lists who did what, newest first. A page may be short while next_cursor says that there is more.',
  input: z.strictObject({
    ...pageInput,
    operation: z
      .string()
      .regex(/^[a-z0-9_.*]{1,128}$/, 'an operation id, with * for any characters')
      .optional()
      .describe('Operation id; * stands for any characters: pki.issue_*'),
    principal: visible.optional().describe('Name of the principal'),
    resource: visible.optional().describe('Beginning of the resource: pki/roles/web'),
    outcome: z.enum(['intent', 'ok', 'denied', 'failed']).optional().describe('How the request ended'),
    request_id: visible.optional().describe('All events of one request'),
    since: time.optional().describe('RFC 3339: not before this time'),
    until: time.optional().describe('RFC 3339: before this time'),
    all_namespaces: allNamespaces,
  }),
  output: z.strictObject({ events: z.array(eventOutput).describe('Newest first'), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/audit/events' },
  cli: { columns: ['at', 'principal', 'operation', 'resource', 'outcome', 'code'] },
  resource: (input) => (input.all_namespaces ? 'audit/all-events/*' : 'audit/events/*'),
  effect: 'read',
  async run(grant, input, deps: AuditDeps) {
    const filter = {
      namespace: scopeOf(grant, input.all_namespaces),
      operation: input.operation,
      principal: input.principal,
      resource: input.resource,
      outcome: input.outcome,
      requestId: input.request_id,
      since: input.since === undefined ? undefined : Date.parse(input.since),
      until: input.until === undefined ? undefined : Date.parse(input.until),
    };
    const before = input.cursor === undefined ? undefined : deps.cursors.decode(filter.namespace, input.cursor);
    const page = await readEvents(deps.store, filter, input.limit, before);
    const events = page.rows.map((row) => toOutput(row, grant));
    return {
      output: { events, next_cursor: page.before === null ? null : deps.cursors.encode(filter.namespace, page.before) },
    };
  },
});

export const getEvent = defineOperation({
  id: 'audit.get_event',
  title: 'Show an audit event',
  summary: 'Shows one event of the audit log.',
  input: z.strictObject({
    id: z
      .string()
      .regex(/^aud_[0-9a-z]{26}$/, 'aud_ and 26 letters and digits')
      .describe('Id of the event'),
    all_namespaces: allNamespaces,
  }),
  output: eventOutput,
  http: { method: 'GET', path: '/audit/events/{id}' },
  resource: (input) => `audit/${input.all_namespaces ? 'all-events' : 'events'}/${input.id}`,
  effect: 'read',
  async run(grant, input, deps: AuditDeps) {
    const row = await findEvent(deps.store, input.id, scopeOf(grant, input.all_namespaces));
    if (row === undefined) throw noEvent(input.id);
    return { output: toOutput(row, grant) };
  },
});

export const verifyAuditLog = defineOperation({
  id: 'audit.verify_log',
  title: 'Verify the audit log',
  summary:
    'Recomputes the hash chain of the whole log and finds what was altered, removed, inserted or reordered. With a checkpoint that was kept elsewhere it also finds a log whose end was cut off or that was written anew.',
  input: z.strictObject({
    checkpoint: z
      .string()
      .max(4 * maxNoteLength)
      .optional()
      .describe('One or several signed checkpoints. Those of checkpoints.log in the data folder are always compared'),
    verifier_key: z
      .string()
      .max(512)
      .optional()
      .describe(
        'The key that the checkpoint was published with (name+hash+base64); default: that of this installation',
      ),
    after_checkpoint: z
      .boolean()
      .default(false)
      .describe('Take the rows up to the last given checkpoint as verified and look at those after it only'),
  }),
  output: z.strictObject({
    valid: z.boolean(),
    rows: z.number().int().describe('Rows that were read'),
    size: z.number().int().describe('seq of the last row that was read'),
    hash: z.string().describe('Hash of that row, base64'),
    checkpoints: z.number().int().describe('Checkpoints that were compared'),
    checkpoints_ignored: z.number().int().describe('Entries of checkpoints.log that the key did not sign'),
    first_bad_seq: z.number().int().nullable().describe('The first row concerned by a finding'),
    findings: z
      .array(
        z.strictObject({
          seq: z.number().int().describe('The first row concerned'),
          kind: z.enum(['altered', 'missing', 'inserted', 'unreadable', 'head', 'truncated', 'forked']),
          message: z.string(),
        }),
      )
      .describe(`What is wrong, in the order of the log; at most ${maxFindings}`),
  }),
  http: { method: 'POST', path: '/audit/verify', bodyLimit: 8 * maxNoteLength },
  cli: { arguments: [], verdict: 'valid' },
  resource: () => 'audit/log',
  effect: 'read',
  installation: true,
  async run(grant, input, deps: AuditDeps) {
    assertRoot(grant);
    const { checkpoints, last, ignored } = await gatherCheckpoints(deps, input.checkpoint, input.verifier_key);
    if (input.after_checkpoint && last === undefined)
      throw new AppError('invalid_request', 'after_checkpoint needs a checkpoint to begin after.', {
        hint: 'Give the checkpoint, or leave after_checkpoint out to verify the whole log.',
      });
    const after = input.after_checkpoint && last ? { seq: last.size, hash: last.hash } : undefined;
    const report = await verifyLog(deps.store, { checkpoints, ...(after && { after }) });
    const first = report.findings[0]?.seq ?? null;
    return {
      output: {
        valid: report.valid,
        rows: report.rows,
        size: report.head.seq,
        hash: Buffer.from(report.head.hash).toString('base64'),
        checkpoints: report.checkpoints,
        checkpoints_ignored: ignored,
        first_bad_seq: first,
        findings: [...report.findings],
      },
      audit: { valid: report.valid, size: report.head.seq, first_bad_seq: first },
    };
  },
});

export const getCheckpoint = defineOperation({
  id: 'audit.get_checkpoint',
  title: 'Get a signed checkpoint',
  summary:
    'Signs the present size and head of the audit log, in the form of C2SP tlog-checkpoint. Keep it where whoever can write to the store cannot reach, and give it to audit.verify_log later. The hash is the head of a chain, not the root of a Merkle tree.',
  input: z.strictObject({}),
  output: z.strictObject({
    checkpoint: z.string().describe('The signed note, with its last newline'),
    verifier_key: z.string().describe('name+hash+base64: verifies it; keep it with the first checkpoint'),
    size: z.number().int().describe('seq of the last row'),
  }),
  http: { method: 'GET', path: '/audit/checkpoint' },
  resource: () => 'audit/checkpoint',
  effect: 'read',
  installation: true,
  async run(grant, _input, deps: AuditDeps) {
    assertRoot(grant);
    await assertContinuity(deps);
    const head = await readHead(deps.store);
    const checkpoint = signCheckpoint(head, deps.signer, grant.now);
    return {
      output: { checkpoint, verifier_key: deps.signer.verifier.text, size: head.seq },
      audit: { size: head.seq },
    };
  },
});

/** The chain is one for the installation; dispatch refuses other namespaces first, and this holds if it did not. */
function assertRoot(grant: Grant): void {
  if (grant.namespace === 'root') return;
  throw new AppError('denied', 'The log is that of the installation, and only the namespace root may verify it.');
}

export const auditOperations = [listEvents, getEvent, verifyAuditLog, getCheckpoint];
