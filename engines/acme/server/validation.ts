import type { ChallengeValidator } from '#acme/challenge/contract.ts';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import type { Store } from '#storage/store.ts';
import { findClaimed } from './acts/challenges.ts';
import type { Directories } from './directories.ts';
import { authorizedName } from './identifiers.ts';
import { backgroundOf, type Perform } from './perform.ts';
import type { AccountRow, AuthorizationRow, ChallengeRow } from './tables.ts';

/** One try of a challenge that this node has claimed: the network is asked, and what it says is recorded. */

export interface ValidationParts {
  readonly store: Store;
  readonly validator: ChallengeValidator;
  readonly directories: Directories;
  readonly perform: Perform;
}

/** Milliseconds for everything that one try asks the network: the responder, and CAA records after it. */
const longestTry = 15_000;

/** When it is to be tried again, in milliseconds; null: it was decided. */
export async function validateOne(
  parts: ValidationParts,
  namespace: string,
  challengeId: string,
  claim: string,
): Promise<number | null> {
  const found = await findClaimed(parts, namespace, challengeId, claim);
  if (found === undefined) return null;
  const { problem, retry } = await attempt(parts, found.challenge, found.authorization);
  const input = { challenge_id: challengeId, claim, problem, retry };
  const { next_attempt_at: next } = await parts.perform<{ next_attempt_at: number | null }>(
    'acme.record_validation',
    input,
    backgroundOf(namespace),
  );
  return next;
}

interface Finding {
  readonly problem: { readonly type: string; readonly detail: string } | null;
  readonly retry: boolean;
}

async function attempt(
  parts: ValidationParts,
  challenge: ChallengeRow,
  authorization: AuthorizationRow,
): Promise<Finding> {
  const { store, validator, directories } = parts;
  const directory = await directories.of(authorization.namespace, authorization.role);
  const account = await store.first<AccountRow>('SELECT * FROM acme_server_accounts WHERE id = ? AND namespace = ?', [
    authorization.account_id,
    authorization.namespace,
  ]);
  if (directory === undefined || account === undefined)
    return { problem: { type: 'unauthorized', detail: 'The account or its directory is gone.' }, retry: false };
  const identifier = { type: authorization.identifier_type, value: authorization.identifier };
  const { settings } = directory;
  const signal = AbortSignal.timeout(longestTry);
  const result = await validator.validate(
    {
      type: challenge.type,
      identifier,
      token: challenge.token,
      keyAuthorization: keyAuthorizationOf(challenge.token, account.thumbprint),
      allowedAddressRanges: settings.allowed_address_ranges,
    },
    signal,
  );
  if (!result.ok) return told(result);
  if (!settings.check_caa || identifier.type === 'ip') return { problem: null, retry: false };
  const permitted = await validator.checkCaa(
    {
      identifier: authorizedName(identifier).identifier,
      wildcard: authorization.wildcard === 1,
      issuerDomains: settings.caa_identities,
      challengeType: challenge.type,
      accountUrl: directory.url(`account/${account.id}`),
    },
    signal,
  );
  return permitted.ok ? { problem: null, retry: false } : told(permitted);
}

function told(result: {
  readonly problem: { readonly type: string; readonly detail: string };
  readonly retry: boolean;
}): Finding {
  const { type, detail } = result.problem;
  return { problem: { type, detail: detail.slice(0, 1000) }, retry: result.retry };
}
