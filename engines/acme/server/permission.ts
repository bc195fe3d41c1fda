import type { Limits } from '#core/grant.ts';
import type { ServerDeps } from './deps.ts';
import type { Directory } from './directories.ts';
import { AcmeError } from './problem.ts';
import type { AccountRow } from './tables.ts';

const unlimited: Limits = Object.freeze({});

/**
 * Whether the principal to whom an account is bound may still have certificates by a role, and within what limits. An
 * account without an external binding speaks for nobody: it may do what the directory lets anybody do, as long as it
 * does. Throws `denied` or `unauthorized`.
 */
export async function mayIssue(
  { delegation }: Pick<ServerDeps, 'delegation'>,
  { settings }: Directory,
  account: AccountRow,
  issuingRole: string,
  sourceAddress: string | null,
  now: number,
): Promise<Limits> {
  const { principal_id: id, principal: name, namespace } = account;
  if (id === null || name === null) {
    if (!settings.external_account_required) return unlimited;
    throw new AcmeError('unauthorized', 'This directory was closed to accounts without an external account binding.');
  }
  return delegation.limitsOf(
    { id, name, namespace },
    {
      operation: 'pki.issue_certificate',
      resource: `pki/roles/${issuingRole}`,
      sourceAddress,
      purpose: `acme account ${account.id}`,
      now,
    },
  );
}

/** The end that a policy leaves to something that would end at `planned`; undefined: that end. Milliseconds. */
export function limitedEnd(planned: number, { maxTtl, notAfter }: Limits, now: number): number | undefined {
  const end = Math.min(maxTtl === undefined ? Infinity : now + maxTtl * 1000, notAfter ?? Infinity);
  return end < planned ? end : undefined;
}
