import { z } from 'zod';
import { type Change, update } from '#core/change.ts';
import { defineAct } from '#core/operation.ts';
import type { ServerDeps } from '#acme/server/deps.ts';
import { validationClaim } from '#acme/server/claims.ts';
import { closedOne } from '#acme/server/open-authorizations.ts';
import { beginTry, endedTry, failedTry } from '#acme/server/tries.ts';
import { keptProblem, type ProblemType } from '#acme/server/problem.ts';
import { authorizationStatus, requireAccount, requireChallenge } from '#acme/server/records.ts';
import type { AuthorizationRow, ChallengeRow } from '#acme/server/tables.ts';
import { accountId, challengeId, claim, requireDirectory } from './fields.ts';

/** Challenges: taken up when the client says that it is ready, and decided by what validation finds (RFC 8555 §7.5.1, §8). */

export const acceptChallenge = defineAct({
  id: 'acme.accept_challenge',
  title: 'Take up a challenge',
  summary: 'Puts a challenge that its client is ready for in line for validation, or tries it again at once.',
  input: z.strictObject({ account_id: accountId, challenge_id: challengeId, claim: claim.nullable() }),
  output: z.strictObject({ claimed: z.boolean().describe('Whether the claim holds: its holder validates') }),
  effect: 'mutating',
  resource: ({ challenge_id }) => `acme/subscriber-challenges/${challenge_id}`,
  async run(grant, input, deps: ServerDeps) {
    const { store } = deps;
    const account = await requireAccount(store, grant.namespace, input.account_id);
    const { challenge, authorization } = await requireChallenge(store, account, input.challenge_id);
    const audit = { account: account.id, account_principal: account.principal, authorization: authorization.id };
    const isOpen = challenge.status === 'pending' || (challenge.status === 'processing' && challenge.claim === null);
    if (!isOpen || authorizationStatus(authorization, grant.now) !== 'pending')
      return { output: { claimed: false }, audit };
    const set = {
      status: 'processing',
      claim: input.claim,
      next_attempt_at: grant.now + (input.claim === null ? 0 : validationClaim),
    };
    const where = { id: challenge.id, status: challenge.status, claim: null };
    const begun =
      challenge.status === 'pending' ? [await firstTry(deps, challenge, authorization.identifier, grant.now)] : [];
    return {
      output: { claimed: input.claim !== null },
      changes: [update('acme_server_challenges', set, where, { expect: 1 }), ...begun],
      audit: { ...audit, type: challenge.type },
    };
  },
});

async function firstTry(deps: ServerDeps, challenge: ChallengeRow, identifier: string, now: number): Promise<Change> {
  const { settings } = await requireDirectory(deps, challenge.namespace, challenge.role);
  return beginTry(deps.store, challenge, identifier, settings.limits.failed_validations, now);
}

const problemTypes = [
  'connection',
  'dns',
  'tls',
  'incorrectResponse',
  'unauthorized',
  'caa',
  'rejectedIdentifier',
  'malformed',
  'serverInternal',
] as const satisfies readonly ProblemType[];

const validation = z.strictObject({
  challenge_id: challengeId,
  claim,
  problem: z
    .strictObject({ type: z.enum(problemTypes), detail: z.string().max(1000) })
    .nullable()
    .describe('null: the applicant controls the name'),
  retry: z.boolean(),
});

/** Seconds before the second try, the third, and so on. */
const pauses = [1, 3, 8, 20, 40, 60];

export const recordValidation = defineAct({
  id: 'acme.record_validation',
  title: 'Record a validation',
  summary: 'Writes what the validation of a challenge found, unless the challenge was decided meanwhile.',
  input: validation,
  output: z.strictObject({ next_attempt_at: z.number().int().nullable() }),
  effect: 'mutating',
  resource: ({ challenge_id }) => `acme/subscriber-challenges/${challenge_id}`,
  async run(grant, input, deps: ServerDeps) {
    const { store } = deps;
    const found = await findClaimed(deps, grant.namespace, input.challenge_id, input.claim);
    if (found === undefined) return { output: { next_attempt_at: null }, audit: { late: true } };
    const { challenge, authorization } = found;
    const audit = {
      account: authorization.account_id,
      authorization: authorization.id,
      type: challenge.type,
      problem: input.problem?.type ?? null,
    };
    if (authorizationStatus(authorization, grant.now) !== 'pending')
      return {
        output: { next_attempt_at: null },
        changes: [decided(challenge, { status: 'invalid' }), endedTry(challenge)],
        audit,
      };
    const { settings } = await requireDirectory(deps, authorization.namespace, authorization.role);
    if (input.problem === null) {
      const expires = grant.now + settings.authorization_lifetime * 1000;
      return {
        output: { next_attempt_at: null },
        changes: proved(challenge, authorization, grant.now, expires),
        audit,
      };
    }
    const tries = challenge.attempts + 1;
    const error = keptProblem(input.problem.type, input.problem.detail);
    if (input.retry && tries < settings.validation_attempts) {
      const at = grant.now + 1000 * (pauses[challenge.attempts] ?? 60);
      const set = { error, attempts: tries, claim: null, next_attempt_at: at };
      return { output: { next_attempt_at: at }, changes: [whileClaimed(challenge, set)], audit };
    }
    const changes = [
      decided(challenge, { status: 'invalid', error, attempts: tries }),
      update(
        'acme_server_authorizations',
        { status: 'invalid', failed_at: grant.now },
        { id: authorization.id, status: 'pending' },
        { expect: 1 },
      ),
      closedOne(authorization.account_id),
      failedTry(challenge, grant.now),
      ...(await failedOrders(store, authorization, input.problem)),
    ];
    return { output: { next_attempt_at: null }, changes, audit };
  },
});

/** What is still processing under this claim; undefined when somebody else decided, or goes on with it. */
export async function findClaimed(
  { store }: Pick<ServerDeps, 'store'>,
  namespace: string,
  id: string,
  held: string,
): Promise<{ readonly challenge: ChallengeRow; readonly authorization: AuthorizationRow } | undefined> {
  const challenge = await store.first<ChallengeRow>(
    `SELECT * FROM acme_server_challenges WHERE id = ? AND namespace = ? AND claim = ? AND status = 'processing'`,
    [id, namespace, held],
  );
  if (challenge === undefined) return undefined;
  const authorization = await store.first<AuthorizationRow>(
    'SELECT * FROM acme_server_authorizations WHERE id = ? AND namespace = ?',
    [challenge.authorization_id, namespace],
  );
  return authorization === undefined ? undefined : { challenge, authorization };
}

function whileClaimed(
  { id, claim: held }: ChallengeRow,
  set: Readonly<Record<string, string | number | null>>,
): Change {
  return update('acme_server_challenges', set, { id, status: 'processing', claim: held }, { expect: 1 });
}

function decided(challenge: ChallengeRow, set: Readonly<Record<string, string | number | null>>): Change {
  return whileClaimed(challenge, { ...set, claim: null, next_attempt_at: null });
}

function proved(challenge: ChallengeRow, authorization: AuthorizationRow, now: number, expires: number): Change[] {
  const valid = { status: 'valid', expires_at: expires, purge_at: Math.max(expires, authorization.purge_at) };
  return [
    decided(challenge, { status: 'valid', error: null, validated_at: now, attempts: challenge.attempts + 1 }),
    update('acme_server_authorizations', valid, { id: authorization.id, status: 'pending' }, { expect: 1 }),
    closedOne(authorization.account_id),
    endedTry(challenge),
  ];
}

/** RFC 8555 §7.1.6: an order one of whose authorizations failed is invalid. */
async function failedOrders(
  store: ServerDeps['store'],
  { id, identifier_type, identifier, wildcard }: AuthorizationRow,
  { type, detail }: { readonly type: ProblemType; readonly detail: string },
): Promise<Change[]> {
  const linked = await store.all<{ order_id: string }>(
    'SELECT order_id FROM acme_server_order_authorizations WHERE authorization_id = ?',
    [id],
  );
  if (linked.length === 0) return [];
  const name = { type: identifier_type, value: `${wildcard === 1 ? '*.' : ''}${identifier}` };
  const error = keptProblem(type, detail, [{ type, detail, identifier: name }]);
  const where = { id: linked.map(({ order_id }) => order_id), status: 'open' };
  return [update('acme_server_orders', { status: 'invalid', error }, where)];
}
