import type { Limits } from '#core/grant.ts';
import type { ServerDeps } from './deps.ts';
import type { AccountRow } from './tables.ts';

const unlimited: Limits = Object.freeze({});

/**
 * Whether the principal to whom an account is bound may still have certificates by a role, and within what limits. An
 * account without an external binding speaks for nobody: the directory that took it in was opened. Throws `denied`.
 */
export async function mayIssue(
  { delegation }: Pick<ServerDeps, 'delegation'>,
  account: AccountRow,
  issuingRole: string,
  sourceAddress: string | null,
  now: number,
): Promise<Limits> {
  const { principal_id: id, principal: name, namespace } = account;
  if (id === null || name === null) return unlimited;
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
