import type { ChallengeType } from '#acme/challenge/contract.ts';
import { AppError } from '#core/errors.ts';
import type { ServerDeps } from './deps.ts';
import type { Directory } from './directories.ts';
import { together } from './identifiers.ts';
import type { Subproblem } from './problem.ts';
import { identifiersOf } from './records.ts';
import type { AuthorizationRow, OrderRow } from './tables.ts';

/**
 * CAA records are looked up with each validation, and count for eight hours, as the Baseline Requirements §3.2.2.8 want
 * it: who issues on an older validation, or on that of an earlier order, looks again.
 */

/** Milliseconds. */
const freshFor = 8 * 3_600_000;
/** Milliseconds for all names of an order. */
const longestLook = 15_000;
const looksAtOnce = 20;

type Validated = Pick<AuthorizationRow, 'identifier' | 'wildcard' | 'created_at'> & {
  readonly type: ChallengeType;
  readonly validated_at: number;
};

type CheckedOrder = Pick<OrderRow, 'id' | 'account_id' | 'identifiers' | 'created_at' | 'finalized_at'>;

/** At finalization. Throws `caa` with the names that are forbidden, or could not be looked up: the order stays ready. */
export async function assertCaa(
  parts: CaaParts,
  directory: Directory,
  order: CheckedOrder,
  now: number,
): Promise<void> {
  const faults = await findFaults(parts, directory, order, now);
  if (faults.length > 0) throw together(faults.map(told), identifiersOf(order).length);
}

/** At issuance. Throws `caa` for names that are forbidden, `unavailable` where some could only not be looked up now. */
export async function assertCaaStill(
  parts: CaaParts,
  directory: Directory,
  order: CheckedOrder,
  now: number,
): Promise<void> {
  const faults = await findFaults(parts, directory, order, now);
  const forbidden = faults.filter(({ retry }) => !retry);
  if (forbidden.length > 0) throw together(forbidden.map(told), identifiersOf(order).length);
  const [first] = faults;
  if (first !== undefined) throw new AppError('unavailable', first.detail);
}

type CaaParts = Pick<ServerDeps, 'store' | 'validator'>;

interface Fault extends Subproblem {
  /** Nothing forbids it, but the DNS does not answer. */
  readonly retry: boolean;
}

function told({ type, detail, identifier }: Fault): Subproblem {
  return { type, detail, identifier };
}

/** Names that were vouched for, and addresses, have no say. */
async function findFaults(
  { store, validator }: CaaParts,
  { settings, url }: Directory,
  order: CheckedOrder,
  now: number,
): Promise<Fault[]> {
  if (!settings.check_caa) return [];
  const validated = await store.all<Validated>(
    `SELECT a.identifier, a.wildcard, a.created_at, c.type, c.validated_at
     FROM acme_server_order_authorizations l
     JOIN acme_server_authorizations a ON a.id = l.authorization_id AND a.identifier_type = 'dns'
     JOIN acme_server_challenges c ON c.authorization_id = a.id AND c.status = 'valid'
     WHERE l.order_id = ? ORDER BY l.position`,
    [order.id],
  );
  const names = validated.filter((each) => isStale(each, order, now));
  const signal = AbortSignal.timeout(longestLook);
  const look = async ({ identifier: value, wildcard, type }: Validated) => {
    const identifier = { type: 'dns', value } as const;
    const attempt = {
      identifier,
      wildcard: wildcard === 1,
      issuerDomains: settings.caa_identities,
      challengeType: type,
      accountUrl: url(`account/${order.account_id}`),
    };
    const shown = { ...identifier, value: wildcard === 1 ? `*.${value}` : value };
    return { shown, result: await validator.checkCaa(attempt, signal) };
  };
  const faults: Fault[] = [];
  for (let at = 0; at < names.length; at += looksAtOnce)
    for (const { shown, result } of await Promise.all(names.slice(at, at + looksAtOnce).map(look)))
      if (!result.ok)
        faults.push({ type: 'caa', detail: result.problem.detail, identifier: shown, retry: result.retry });
  return faults;
}

/** Whether the last look was too long ago. Of what an earlier order validated there was none for this one. */
function isStale(each: Validated, order: CheckedOrder, now: number): boolean {
  const isOf = (at: number) => each.created_at < order.created_at || each.validated_at + freshFor <= at;
  const { finalized_at: finalized } = order;
  if (finalized === null) return isOf(now);
  return (isOf(finalized) ? finalized : each.validated_at) + freshFor <= now;
}
