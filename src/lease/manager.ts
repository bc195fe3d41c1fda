import { type Change, insert, update } from '#core/change.ts';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import type { Store, StoreLog } from '#storage/store.ts';
import type { Facts, LeaseEngine, Leases, LeaseTerms, Revocation } from './contract.ts';
import { countAgain, countDown, countLive, countUp } from './counts.ts';
import { ended, endMatching, inScope } from './ending.ts';
import type { EndCause, LeaseRow } from './tables.ts';
import { mintDeadline } from './times.ts';

export interface ManagerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: StoreLog;
  readonly engines: Map<string, LeaseEngine>;
  /** Something is due now. */
  readonly wake: () => void;
  /** Something will be due then. */
  readonly expect: (at: number) => void;
}

/** The side of the lease manager that engines see (contract.ts says what each does). */
export function createLeases(parts: ManagerParts): Leases {
  const { store, clock, engines, wake } = parts;
  return {
    async begin(grant, terms) {
      const lease = newLease(grant, terms);
      return { lease, changes: [insert('leases', { ...lease }), ...(await countUp(store, lease, terms.caps))] };
    },
    activate(lease, facts) {
      parts.expect(lease.expires_at);
      return [activation(lease, facts)];
    },
    abandon: (lease, after, cause = 'mint_failed') => abandon(parts, lease, after, cause),
    conclude: (lease, revocation) => conclusion(lease, revocation, clock.now()),
    async isEnding({ id }) {
      const row = await store.first<Pick<LeaseRow, 'cause'>>('SELECT cause FROM leases WHERE id = ?', [id]);
      return row?.cause != null;
    },
    drain: (namespace, scope) => endMatching(inScope(namespace, scope), 'drained', clock.now()),
    adopt: (grant, terms) => adopt(store, grant, terms),
    count: (namespace, scope) => countLive(store, namespace, scope),
    wake,
    attach(engine) {
      if (engines.has(engine.name)) throw new TypeError(`the engine ${engine.name} is attached already`);
      engines.set(engine.name, engine);
    },
  };
}

function newLease(grant: Grant, terms: LeaseTerms): LeaseRow {
  const { now, principal } = grant;
  return {
    id: newId('lse', now),
    namespace: grant.namespace,
    engine: terms.engine,
    role: terms.role,
    target: terms.target,
    principal: principal.name,
    credential_id: principal.credentialId,
    purpose: grant.purpose ?? null,
    state: 'minting',
    cause: null,
    subject: terms.subject,
    facts: JSON.stringify(terms.facts),
    revocation: JSON.stringify(terms.revocation),
    issued_at: now,
    expires_at: now + terms.ttl * 1000,
    max_expires_at: now + Math.max(terms.maxTtl, terms.ttl) * 1000,
    renewals: 0,
    next_action_at: now + (terms.mintTime ?? mintDeadline),
    claim: null,
    attempts: 0,
    last_error: null,
    unavailable: 0,
    residue: null,
    ended_at: null,
    ended_as: null,
  };
}

async function adopt(store: Store, grant: Grant, terms: readonly LeaseTerms[]): Promise<Change[]> {
  const due = { state: 'revoking', cause: 'orphaned', next_action_at: grant.now } as const;
  const leases = terms.map((each) => ({ ...newLease(grant, each), ...due }));
  const [first, ...others] = leases;
  if (first === undefined) return [];
  // The first may have to make the counters; in one unit only one can.
  const counters = await countUp(store, first, {});
  return [...leases.map((lease) => insert('leases', lease)), ...counters, ...others.flatMap(countAgain)];
}

function activation(lease: LeaseRow, facts: Facts | undefined): Change {
  return update(
    'leases',
    {
      state: 'active',
      next_action_at: lease.expires_at,
      ...(facts === undefined ? {} : { facts: JSON.stringify(facts) }),
    },
    { id: lease.id, namespace: lease.namespace, state: 'minting', cause: null },
    { expect: 1, otherwise: endedMeanwhile },
  );
}

function conclusion(lease: LeaseRow, revocation: Revocation, now: number): Change[] {
  const { set } = ended(lease, revocation, now);
  const where = { id: lease.id, namespace: lease.namespace, state: 'minting', claim: null };
  const guard = { expect: 1, otherwise: endedMeanwhile };
  return [update('leases', { ...set, cause: 'revoked' }, where, guard), ...countDown(lease)];
}

function endedMeanwhile(): AppError {
  return new AppError('wrong_state', 'The lease was ended while its credential was being made, which is removed.', {
    hint: 'Ask for a new one.',
  });
}

/** The request fails with what went wrong, whatever happens here: a row that could not be changed comes due by itself. */
async function abandon(
  { store, clock, log, wake, expect }: ManagerParts,
  lease: LeaseRow,
  after: number,
  cause: EndCause,
): Promise<void> {
  const where = { id: lease.id, namespace: lease.namespace, state: 'minting', claim: null };
  const at = clock.now() + Math.max(0, Math.ceil(after));
  try {
    await store.commit([
      update('leases', { next_action_at: at }, where),
      update('leases', { cause }, { ...where, cause: null }),
    ]);
  } catch (error) {
    log.warn({ err: error, lease: lease.id }, 'a lease that failed could not be given up at once; it comes due later');
    return;
  }
  if (after <= 0) wake();
  else expect(at);
}
