import { type Change, update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { ChallengeValidator } from '#acme/challenge/contract.ts';
import { keyAuthorizationOf } from '#acme/jose/key-authorization.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import { findClaimed } from './acts/challenges.ts';
import { issuanceClaim, newClaim, validationClaim } from './claims.ts';
import type { Directories } from './directories.ts';
import { authorizedName } from './identifiers.ts';
import type { Perform } from './perform.ts';
import type { AccountRow, AuthorizationRow, ChallengeRow } from './tables.ts';

/**
 * Work that no request waits for: validating challenges, and issuing for orders that somebody left behind. Each piece is
 * a row with the time when it is due; a node takes it by a claim, and what a node that died had taken comes due again.
 */
export interface Work {
  /** A claim for a challenge that is validated here at once; null: all places are taken, and the sweep comes to it. */
  takePlace(): string | null;
  /** Gives a place back that was not used. */
  releasePlace(): void;
  /** Validates what was claimed by `takePlace`. */
  validate(namespace: string, challengeId: string, claim: string): void;
  /** Takes up what is due. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

export interface WorkParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly validator: ChallengeValidator;
  readonly directories: Directories;
  readonly perform: Perform;
  /** Validations at once. */
  readonly places: number;
}

const challenges = { table: 'acme_server_challenges', claimTime: validationClaim } as const;
const orders = { table: 'acme_server_orders', claimTime: issuanceClaim } as const;
type Kind = typeof challenges | typeof orders;

const ordersAtOnce = 20;

interface Due {
  readonly id: string;
  readonly namespace: string;
  readonly next_attempt_at: number;
}

export function createWork(parts: WorkParts): Work {
  const { store, clock, log, places } = parts;
  let taken = 0;
  let closed = false;
  let sweeping: Promise<void> | undefined;
  const running = new Set<Promise<void>>();
  const timers = new Set<NodeJS.Timeout>();

  const track = (work: Promise<void>): void => {
    const tracked: Promise<void> = work
      .catch((error: unknown) => log.warn({ err: error }, 'work for an ACME client failed; it is tried again'))
      .finally(() => running.delete(tracked));
    running.add(tracked);
  };
  const sweepAt = (at: number): void => {
    if (closed) return;
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        void sweep();
      },
      Math.max(0, at - clock.now()),
    );
    timer.unref();
    timers.add(timer);
  };
  const validate = (namespace: string, challengeId: string, claim: string): void => {
    const work = async (): Promise<void> => {
      try {
        const next = await validateOne(parts, namespace, challengeId, claim);
        if (next !== null) sweepAt(next);
      } finally {
        taken -= 1;
        if (isBehind) void sweep();
      }
    };
    track(work());
  };
  const startedAt = clock.now();
  let isFirst = true;
  /** Challenges wait for a place. */
  let isBehind = false;
  const hasPlace = (): boolean => !closed && taken < places;
  const sweepChallenges = async (): Promise<void> => {
    while (hasPlace()) {
      const rows = await due(store, challenges, clock.now(), places - taken);
      isBehind = rows.length > 0;
      if (rows.length === 0) return;
      for (const row of rows) {
        const claim = hasPlace() ? await claimRow(parts, challenges, row) : undefined;
        if (claim === undefined) continue;
        taken += 1;
        validate(row.namespace, row.id, claim);
      }
    }
  };
  const resume = async (row: Due): Promise<void> => {
    const claim = closed ? undefined : await claimRow(parts, orders, row);
    if (claim === undefined) return;
    await parts.perform('acme.resume_issuance', { order_id: row.id, claim }, backgroundOf(row.namespace));
  };
  const sweepOrders = async (): Promise<void> => {
    for (;;) {
      const rows = closed ? [] : await due(store, orders, clock.now(), ordersAtOnce);
      const ends = await Promise.allSettled(rows.map((row) => resume(row)));
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      if (rows.length < ordersAtOnce) return;
    }
  };
  const sweepOnce = async (): Promise<void> => {
    const now = clock.now();
    // A store in a file has one server: whoever held claims before this one started is dead.
    if (isFirst && store.kind === 'sqlite')
      await store.commit([challenges, orders].map((kind) => endClaims(kind, now, startedAt)));
    isFirst = false;
    await sweepChallenges();
    await sweepOrders();
  };
  const sweep = (): Promise<void> =>
    (sweeping ??= sweepOnce()
      .catch((error: unknown) => log.warn({ err: error }, 'the sweep of ACME challenges and orders failed'))
      .finally(() => (sweeping = undefined)));
  return {
    takePlace() {
      isBehind ||= taken >= places;
      if (closed || taken >= places) return null;
      taken += 1;
      return newClaim();
    },
    releasePlace: () => void (taken -= 1),
    validate,
    sweep,
    async close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      await parts.validator.close();
      await sweeping;
      await Promise.all(running);
    },
  };
}

export function backgroundOf(namespace: string) {
  return { namespace, sourceAddress: null, requestId: undefined };
}

function due(store: Store, { table }: Kind, now: number, most: number): Promise<Due[]> {
  return store.all<Due>(
    `SELECT id, namespace, next_attempt_at FROM ${table}
     WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ${most}`,
    [now],
  );
}

/** Ends the claims that were made before a time, and none that was made since. */
function endClaims({ table, claimTime }: Kind, now: number, madeBefore: number): Change {
  const where = { status: 'processing', claim: { not: null }, next_attempt_at: { lt: madeBefore + claimTime } };
  return update(table, { next_attempt_at: now }, where);
}

/** Takes a row that nobody else took meanwhile. */
async function claimRow(
  { store, clock }: WorkParts,
  { table, claimTime }: Kind,
  row: Due,
): Promise<string | undefined> {
  const claim = newClaim();
  const set = { claim, next_attempt_at: clock.now() + claimTime };
  const where = { id: row.id, status: 'processing', next_attempt_at: row.next_attempt_at };
  try {
    await store.commit([update(table, set, where, { expect: 1 })]);
    return claim;
  } catch (error) {
    if (error instanceof AppError && error.code === 'conflict') return undefined;
    throw error;
  }
}

/** When it is to be tried again; null: it was decided. */
async function validateOne(
  parts: WorkParts,
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

async function attempt(parts: WorkParts, challenge: ChallengeRow, authorization: AuthorizationRow): Promise<Finding> {
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
  const result = await validator.validate({
    type: challenge.type,
    identifier,
    token: challenge.token,
    keyAuthorization: keyAuthorizationOf(challenge.token, account.thumbprint),
    allowedAddressRanges: settings.allowed_address_ranges,
  });
  if (!result.ok) return told(result);
  if (!settings.check_caa || identifier.type === 'ip') return { problem: null, retry: false };
  const permitted = await validator.checkCaa({
    identifier: authorizedName(identifier).identifier,
    wildcard: authorization.wildcard === 1,
    issuerDomains: settings.caa_identities,
    challengeType: challenge.type,
    accountUrl: directory.url(`account/${account.id}`),
  });
  return permitted.ok ? { problem: null, retry: false } : told(permitted);
}

function told(result: {
  readonly problem: { readonly type: string; readonly detail: string };
  readonly retry: boolean;
}): Finding {
  const { type, detail } = result.problem;
  return { problem: { type, detail: detail.slice(0, 1000) }, retry: result.retry };
}
