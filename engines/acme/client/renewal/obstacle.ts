import { AppError } from '#core/errors.ts';
import { barredName } from '#acme/client/allowed-names.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { parseDefinition } from '#acme/client/order/definition.ts';
import type { AccountRow, CertificateRow } from '#acme/client/tables.ts';

/**
 * Why a certificate is not renewed although it should be, in a sentence. All of it may have changed since the order, so it
 * is asked anew each time: the account, what it may order, and what the principal may that ordered.
 */
export async function obstacleTo(
  deps: Pick<ClientDeps, 'delegation'>,
  account: AccountRow | undefined,
  row: CertificateRow,
  now: number,
): Promise<string | undefined> {
  if (account === undefined)
    return `The ACME account ${row.account} is not active, so the certificate cannot be renewed.`;
  const barred = barredName(account, parseDefinition(row).identifiers);
  if (barred !== undefined)
    return `${barred} may not be ordered by the account ${account.name} any more (allowed_names), so the certificate cannot be renewed.`;
  const denial = await denialOf(deps, account, row, now);
  return denial === undefined
    ? undefined
    : `${row.principal}, who ordered the certificate, may not order it any more, so it is not renewed: ${denial}`;
}

/** Undefined: the principal may. What somebody approved once, with renewal, is approved for as long as it is renewed. */
async function denialOf(
  { delegation }: Pick<ClientDeps, 'delegation'>,
  account: AccountRow,
  row: CertificateRow,
  now: number,
): Promise<string | undefined> {
  const principal = { id: row.principal_id ?? '', name: row.principal, namespace: row.namespace };
  try {
    await delegation.limitsOf(principal, {
      operation: 'acme.create_order',
      resource: `acme/accounts/${account.name}`,
      purpose: row.purpose ?? '',
      sourceAddress: row.source_address,
      approvedBefore: true,
      now,
    });
    return undefined;
  } catch (error) {
    if (error instanceof AppError && error.code === 'denied') return error.message;
    throw error;
  }
}
