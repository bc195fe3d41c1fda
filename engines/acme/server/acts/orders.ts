import { z } from 'zod';
import { type Change, insert, update } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineAct } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import type { Directory } from '#acme/server/directories.ts';
import { mostIdentifiers } from '#acme/server/identifiers.ts';
import { limitedEnd, mayIssue } from '#acme/server/permission.ts';
import { opened } from '#acme/server/open-authorizations.ts';
import { AcmeError, malformed } from '#acme/server/problem.ts';
import { assertRate } from '#acme/server/rates.ts';
import { authorizationsOf, identifiersOf, orderStatus, requireAccount } from '#acme/server/records.ts';
import type { AccountRow, CertificateRow, OrderRow } from '#acme/server/tables.ts';
import { assertAuthorizationRates, assertProvable, planAuthorization } from './authorizations.ts';
import { accountId, identifier, orderId, requireDirectory, sourceAddress } from './fields.ts';
import { assertIssuable } from './names.ts';

/** New orders (RFC 8555 §7.4). */

const newOrder = z.strictObject({
  account_id: accountId,
  identifiers: z.array(identifier).min(1).max(mostIdentifiers),
  not_after: z.number().int().nullable(),
  profile: z.string().max(64).nullable(),
  replaces: z.string().max(200).nullable(),
  source_address: sourceAddress,
});
type NewOrder = z.output<typeof newOrder>;

/** Milliseconds that an order is kept after its end, for clients that look again. */
const keptAfter = 86_400_000;

export const acceptOrder = defineAct({
  id: 'acme.accept_order',
  title: 'Accept an ACME order',
  summary: 'Makes an order with its authorizations, once policy, role and limits allow its names.',
  input: newOrder,
  output: z.strictObject({ order_id: orderId }),
  effect: 'additive',
  resource: ({ account_id }) => `acme/subscribers/${account_id}`,
  run: (grant, input, deps: ServerDeps) =>
    deps.places.hold(`order ${input.account_id}`, (others) => order(grant, input, deps, others)),
});

async function order(grant: Grant, input: NewOrder, deps: ServerDeps, others: number) {
  const { now } = grant;
  const account = await requireAccount(deps.store, grant.namespace, input.account_id);
  const directory = await requireDirectory(deps, account.namespace, account.role);
  const issuingRole = issuingRoleOf(directory, input.profile);
  const limits = await mayIssue(deps, directory, account, issuingRole, input.source_address, now);
  const replaced = input.replaces === null ? [] : await planReplacement(deps, account, input, input.replaces, now);
  if (!(await isFirstReplacement(deps, account, input.replaces)))
    await assertOrderRate(deps, directory, account, others, now);
  const room = await assertAuthorizationRates(deps, directory, account, input.identifiers, now);
  const plan = await assertIssuable(deps, account, issuingRole, input.identifiers, input.not_after ?? undefined);
  if (input.not_after !== null && limitedEnd(plan.notAfter ?? input.not_after, limits, now) !== undefined)
    throw malformed('The notAfter lies beyond what the policies of the account allow.');
  assertProvable(directory, account, input.identifiers);
  const row = newRow(grant, input, account, issuingRole, directory);
  const authorizations = [];
  for (const name of input.identifiers)
    authorizations.push(await planAuthorization(deps, directory, account, name, now));
  return {
    output: { order_id: row.id },
    changes: [
      ...replaced,
      insert('acme_server_orders', { ...row }, input.replaces === null ? undefined : alreadyReplaced),
      ...authorizations.flatMap(({ changes }) => changes),
      ...opened(
        room,
        authorizations.reduce((sum, each) => sum + each.opened, 0),
      ),
      ...linksOf(
        row,
        authorizations.map(({ id }) => id),
      ),
    ],
    audit: {
      account: account.id,
      account_principal: account.principal,
      order: row.id,
      names: input.identifiers.length,
    },
  };
}

/** The role of the PKI that issues for a profile. Throws `invalidProfile`. */
export function issuingRoleOf({ role, settings }: Directory, profile: string | null): string {
  if (profile === null) return role;
  const chosen = Object.hasOwn(settings.profiles, profile) ? settings.profiles[profile] : undefined;
  if (chosen !== undefined) return chosen.role;
  const known = Object.keys(settings.profiles).join(', ') || 'none';
  throw new AcmeError('invalidProfile', `There is no such profile in this directory; there are: ${known}.`);
}

function newRow(
  { now }: Grant,
  input: NewOrder,
  account: AccountRow,
  issuingRole: string,
  { settings }: Directory,
): OrderRow {
  const expires = now + settings.order_lifetime * 1000;
  return {
    id: newId('aso', now),
    namespace: account.namespace,
    role: account.role,
    account_id: account.id,
    status: 'open',
    identifiers: JSON.stringify(input.identifiers),
    issuing_role: issuingRole,
    profile: input.profile,
    not_after: input.not_after,
    replaces: input.replaces,
    error: null,
    csr: null,
    end_at: null,
    common_name: null,
    certificate_id: null,
    claim: null,
    next_attempt_at: null,
    finalized_at: null,
    finalized_from: null,
    created_at: now,
    expires_at: expires,
    purge_at: expires + keptAfter,
  };
}

/** Names that share an authorization (one was validated before) are linked once. */
function linksOf({ id }: OrderRow, authorizations: readonly string[]): Change[] {
  return [...new Set(authorizations)].map((authorization, position) =>
    insert('acme_server_order_authorizations', { order_id: id, authorization_id: authorization, position }),
  );
}

async function assertOrderRate(
  { store }: ServerDeps,
  { settings }: Directory,
  account: AccountRow,
  others: number,
  now: number,
): Promise<void> {
  await assertRate(store, {
    what: 'new orders of this account',
    sql: 'SELECT created_at AS at FROM acme_server_orders WHERE account_id = ? ORDER BY created_at DESC',
    parameters: [account.id],
    most: settings.limits.orders_per_account,
    others,
    now,
  });
}

/**
 * RFC 9773 §5: renewals that the server asked for are not held up by its limits. Only the first order that names a
 * certificate is one of these; what came of it does not count, or orders that are given up at once would be free.
 */
async function isFirstReplacement(
  { store }: ServerDeps,
  { id }: AccountRow,
  replaces: string | null,
): Promise<boolean> {
  if (replaces === null) return false;
  const earlier = await store.first('SELECT 1 AS found FROM acme_server_orders WHERE account_id = ? AND replaces = ?', [
    id,
    replaces,
  ]);
  return earlier === undefined;
}

/** RFC 9773 §5: a certificate is replaced once, by its own account, for at least one of its names. */
async function planReplacement(
  { store }: ServerDeps,
  account: AccountRow,
  input: NewOrder,
  certId: string,
  now: number,
): Promise<Change[]> {
  const replaced = await store.first<CertificateRow>(
    'SELECT * FROM acme_server_certificates WHERE namespace = ? AND cert_id = ?',
    [account.namespace, certId],
  );
  if (replaced === undefined) throw malformed('The certificate that replaces names was not issued here.', 404);
  if (replaced.account_id !== account.id)
    throw new AcmeError('unauthorized', 'The certificate that replaces names belongs to another account.');
  const names = new Set(identifiersOf(replaced).map(({ value }) => value));
  if (!input.identifiers.some(({ value }) => names.has(value)))
    throw malformed('The order has no name in common with the certificate that it replaces.');
  const holder = await store.first<OrderRow>(
    `SELECT * FROM acme_server_orders WHERE namespace = ? AND replaces = ? AND status <> 'invalid'`,
    [account.namespace, certId],
  );
  if (holder === undefined) return [];
  if (orderStatus(holder, await authorizationsOf(store, holder.id), now) !== 'invalid') throw alreadyReplaced();
  // It is invalid without a row that says so: it expired, or an authorization of it was deactivated.
  return [update('acme_server_orders', { status: 'invalid' }, { id: holder.id, status: 'open' }, { expect: 1 })];
}

function alreadyReplaced(): AcmeError {
  return new AcmeError('alreadyReplaced', 'An order that replaces this certificate exists already.');
}
