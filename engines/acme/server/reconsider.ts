import type { ServerDeps } from './deps.ts';
import { assertCaaStill } from './caa.ts';
import { issuingRoleOf } from './acts/orders.ts';
import { orderOf } from './certificate-order.ts';
import { limitedEnd, mayIssue } from './permission.ts';
import { AcmeError } from './problem.ts';
import { assertOfRole, requireAccount } from './records.ts';
import type { AccountRow, OrderRow } from './tables.ts';

/**
 * An order may be issued hours after it was finalized, by another node. What was asked then is asked again: the account,
 * its principal, the policies, the directory, and CAA records after eight hours. The rules of the role are asked by the issuer itself. Returns the
 * account. Throws `unauthorized`, `invalidProfile` or `caa`; what else it throws says nothing about the order.
 */
export async function reconsider(deps: ServerDeps, row: OrderRow, now: number): Promise<AccountRow> {
  const account = await requireAccount(deps.store, row.namespace, row.account_id);
  const directory = await deps.directories.of(row.namespace, row.role);
  if (directory === undefined)
    throw new AcmeError('unauthorized', 'The role of the directory was deleted since the order was finalized.');
  assertOfRole(account, directory);
  if (issuingRoleOf(directory, row.profile) !== row.issuing_role)
    throw new AcmeError('invalidProfile', 'The profile of the order means another role by now: order again.');
  const limits = await mayIssue(deps, directory, account, row.issuing_role, row.finalized_from, now);
  await assertCaaStill(deps, directory, row, now);
  if (limits.maxTtl === undefined && limits.notAfter === undefined) return account;
  // What is asked of the issuer stays the same, or it could not tell that it issued already: a shorter life is a new order.
  const end = row.end_at ?? (await deps.issuer.plan(orderOf(row, account))).notAfter;
  if (end !== undefined && limitedEnd(end, limits, now) !== undefined)
    throw new AcmeError('unauthorized', 'The policies of the account allow a shorter life by now: order again.');
  return account;
}
