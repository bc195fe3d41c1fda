import type { CertificateOrder, CertificatePlan, OrderRefusal } from '#core/issuer.ts';
import type { Identifier } from '#acme/challenge/contract.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { isAllowed, together } from '#acme/server/identifiers.ts';
import { AcmeError, type Subproblem } from '#acme/server/problem.ts';
import type { AccountRow } from '#acme/server/tables.ts';

/** Whether the role of the PKI would certify names, before anybody proves anything about them. */

/** What only the CSR decides, which is not there yet. */
const ofTheKey: ReadonlySet<string> = new Set(['require_csr', 'key_types', 'key_strength', 'require_common_name']);
const ofTheLife: ReadonlySet<string> = new Set(['not_after', 'ttl', 'max_ttl', 'authority_not_after', 'web_pki']);
const ofTheTime: ReadonlySet<string> = new Set(['max_per_hour', 'max_valid']);

export function orderedNames(identifiers: readonly Identifier[]): Pick<CertificateOrder, 'dnsNames' | 'ipAddresses'> {
  const of = (type: Identifier['type']) => identifiers.flatMap((each) => (each.type === type ? [each.value] : []));
  return { dnsNames: of('dns'), ipAddresses: of('ip') };
}

/**
 * Throws `rejectedIdentifier` with a subproblem for each name that the role or the external account key forbids,
 * `malformed` for an end that cannot be had, `rateLimited` where the role has issued what it may for now.
 */
export async function assertIssuable(
  { issuer }: Pick<ServerDeps, 'issuer'>,
  account: AccountRow,
  issuingRole: string,
  identifiers: readonly Identifier[],
  notAfter: number | undefined,
): Promise<CertificatePlan> {
  assertAllowed(account, identifiers);
  const plan = await issuer.plan({
    namespace: account.namespace,
    role: issuingRole,
    ...orderedNames(identifiers),
    notAfter,
    purpose: `acme account ${account.id}`,
  });
  const refusals = plan.refusals.filter(({ rule }) => !ofTheKey.has(rule));
  if (refusals.length > 0) throw refused(identifiers, refusals, notAfter !== undefined);
  return plan;
}

function assertAllowed({ allowed_identifiers }: AccountRow, identifiers: readonly Identifier[]): void {
  if (allowed_identifiers === null) return;
  const allowed = JSON.parse(allowed_identifiers) as string[];
  const faults = identifiers
    .filter((each) => !isAllowed(allowed, each))
    .map(
      (each): Subproblem => ({
        type: 'rejectedIdentifier',
        detail: `${each.value} is not among the names of the external account key of this account.`,
        identifier: each,
      }),
    );
  if (faults.length > 0) throw together(faults, identifiers.length);
}

function refused(identifiers: readonly Identifier[], refusals: readonly OrderRefusal[], endAsked: boolean): AcmeError {
  const byName = Map.groupBy(refusals, ({ name }) => name);
  const faults = identifiers.flatMap((identifier): Subproblem[] => {
    const found = byName.get(identifier.value) ?? [];
    const detail = found.map(({ message }) => message).join(' ');
    return found.length === 0 ? [] : [{ type: 'rejectedIdentifier', detail: detail.slice(0, 500), identifier }];
  });
  if (faults.length > 0) return together(faults, identifiers.length);
  const [first] = refusals;
  const detail = first?.message ?? 'The role refuses this order.';
  if (refusals.some(({ rule }) => ofTheTime.has(rule)))
    return new AcmeError('rateLimited', detail, { retryAfter: 600 });
  if (endAsked && refusals.some(({ rule }) => ofTheLife.has(rule))) return new AcmeError('malformed', detail);
  return new AcmeError('rejectedIdentifier', detail);
}
