import { z } from 'zod';
import { type Change, insert, update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineAct } from '#core/operation.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { newOrder } from '#acme/client/order/new-order.ts';
import { parseDefinition } from '#acme/client/order/definition.ts';
import { tellHook } from '#acme/client/renewal/hook.ts';
import { obstacleTo } from '#acme/client/renewal/obstacle.ts';
import { askWindow, replacedBy } from '#acme/client/renewal/window.ts';
import type { AccountRow, CertificateRow } from '#acme/client/tables.ts';

export const certificateResource = ({ id }: { readonly id: string }) => `acme/certificates/${id}`;

/** What is due of one claimed certificate: its hook is told, its authority asked, its renewal ordered. */
export const maintainCertificate = defineAct({
  id: 'acme.maintain_certificate',
  title: 'Maintain a certificate',
  summary: 'Tells the hook of a certificate, asks its authority when to renew it, and orders its renewal.',
  input: z.strictObject({ id: z.string().max(64), claim: z.string().max(64) }),
  output: z.strictObject({ renewal: z.string().nullable().describe('The order that was made') }),
  resource: certificateResource,
  effect: 'mutating',
  openWorld: true,
  async run(grant, input, deps: ClientDeps) {
    const row = await deps.store.first<CertificateRow>('SELECT * FROM acme_certificates WHERE id = ? AND claim = ?', [
      input.id,
      input.claim,
    ]);
    if (row === undefined) throw new AppError('conflict', 'The certificate was taken over or changed meanwhile.');
    const now = deps.clock.now();
    const told = row.hook_at !== null && row.hook_at <= now ? await tellHook(deps, row) : undefined;
    const account = await deps.store.first<AccountRow>(
      `SELECT * FROM acme_accounts WHERE id = ? AND state = 'active'`,
      [row.account_id],
    );
    const asked = await lookAhead(deps, account, row);
    const known = { ...row, ...told?.set, ...asked };
    const obstacle = wantsRenewal(known) ? await obstacleTo(deps, account, known, now) : undefined;
    const renewal =
      account !== undefined && obstacle === undefined && isDue(known, now)
        ? await renewalOf(deps, grant, account, known)
        : undefined;
    const after = { ...known, order_id: renewal?.orderId ?? known.order_id };
    const set = { ...told?.set, ...asked, ...failureOf(obstacle, known, now), next_action_at: nextAction(after, now) };
    return {
      output: { renewal: renewal?.orderId ?? null },
      changes: [
        update(
          'acme_certificates',
          { ...set, order_id: after.order_id, claim: null, updated_at: now },
          { id: row.id, claim: row.claim, order_id: row.order_id },
          { add: { version: 1 }, expect: 1 },
        ),
        ...(renewal?.changes ?? []),
      ],
      audit: {
        serial_number: row.serial_number,
        renew_at: known.renew_at,
        renew_reason: known.renew_reason,
        ...(renewal === undefined ? {} : { order: renewal.orderId }),
        ...(obstacle === undefined ? {} : { stopped: obstacle.slice(0, 300) }),
        ...(told === undefined ? {} : { hook: told.failure ?? 'told' }),
      },
    };
  },
});

/** No authority is asked about what has ended, was replaced or will not be renewed (RFC 9773 §4.3). */
async function lookAhead(
  deps: ClientDeps,
  account: AccountRow | undefined,
  row: CertificateRow,
): Promise<Awaited<ReturnType<typeof askWindow>>> {
  const now = deps.clock.now();
  const wanted = wantsRenewal(row) && row.window_check_at !== null && row.window_check_at <= now;
  if (!wanted || now >= row.not_after || row.order_id !== null) return {};
  if (account === undefined) return { window_check_at: now + obstaclePause };
  return askWindow(deps, account, row);
}

function wantsRenewal({ renew, state }: CertificateRow): boolean {
  return renew === 1 && state === 'valid';
}

function isDue(row: CertificateRow, now: number): boolean {
  return wantsRenewal(row) && row.order_id === null && row.renew_at <= now;
}

export async function renewalOf(
  deps: ClientDeps,
  grant: Grant,
  account: AccountRow,
  renewed: CertificateRow,
): Promise<{ orderId: string; changes: Change[] }> {
  const definition = parseDefinition(renewed);
  const { row } = await newOrder(deps, grant, {
    account,
    certificateId: renewed.id,
    definition,
    csr: definition.key_type === undefined ? renewed.csr : undefined,
    renewed,
    replaces: await replacedBy(deps, account, renewed),
  });
  return { orderId: row.id, changes: [insert('acme_client_orders', { ...row })] };
}

/** Told from when it is known, not from when the renewal is due: so long is left to put it right. */
function failureOf(obstacle: string | undefined, row: CertificateRow, now: number): Partial<CertificateRow> {
  if (!wantsRenewal(row)) return { stopped: null };
  if (obstacle !== undefined)
    return { stopped: obstacle, failing_since: row.failing_since ?? now, last_error: obstacle };
  if (row.stopped === null) return {};
  // What failed before that fails until an order succeeds.
  return { stopped: null, ...(row.failures > 0 ? {} : { failing_since: null, last_error: null }) };
}

const leastPause = 60_000;
const obstaclePause = 3_600_000;

/** When somebody must look again; null when nobody need. */
export function nextAction(row: CertificateRow, now: number): number | null {
  const times = [];
  if (row.hook_at !== null) times.push(row.hook_at);
  if (wantsRenewal(row) && row.order_id === null) {
    times.push(row.renew_at <= now ? now + obstaclePause : row.renew_at);
    if (row.window_check_at !== null && now < row.not_after)
      times.push(Math.max(row.window_check_at, now + leastPause));
  }
  return times.length === 0 ? null : Math.min(...times);
}
