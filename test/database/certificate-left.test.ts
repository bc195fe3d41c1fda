import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '#core/errors.ts';
import type { Connection } from '#database/directory.ts';
import { revokeLeased } from '#database/lease-engine.ts';
import type { Target } from '#database/target.ts';
import { type Revocation, RevocationError } from '#lease/contract.ts';
import { ended, failed } from '#lease/ending.ts';
import type { LeaseRow } from '#lease/tables.ts';

/** A user that logs in by certificate is gone, and its certificate could not be revoked: what the lease says of it in the end. */

const lease: LeaseRow = {
  id: 'lse_0',
  namespace: 'root',
  engine: 'database',
  role: 'database/roles/r',
  target: 'database/connections/c',
  principal: 'admin',
  credential_id: null,
  purpose: null,
  state: 'revoking',
  cause: 'revoked',
  subject: 'chy_abcde_r_0',
  facts: '{}',
  revocation: JSON.stringify({ connection: 'dbc_0', statements: [], certificateRole: 'logins' }),
  issued_at: 0,
  expires_at: 10_000,
  max_expires_at: 10_000,
  renewals: 0,
  next_action_at: 0,
  claim: 'mine',
  attempts: 0,
  last_error: null,
  unavailable: 0,
  residue: null,
  ended_at: null,
  ended_as: null,
};

type Parts = Parameters<typeof revokeLeased>[0];

/** A target at which the user is until it was revoked once, and a PKI that fails with these errors, one after the other. */
function parts(failures: unknown[], revokeUser: () => Promise<Revocation>): Parts {
  const connection = { row: { id: 'dbc_0', namespace: 'root' } } as Connection;
  return {
    directory: { connectionById: async () => connection },
    pools: {
      use: (_connection: Connection, work: (target: Target) => unknown) => work({ revokeUser } as unknown as Target),
    },
    issuer: {
      revoke: async () => {
        if (failures.length > 0) throw failures.shift();
      },
    },
    clock: { now: () => 1000 },
  } as unknown as Parts;
}

const removedOnce = () => {
  let there = true;
  return async (): Promise<Revocation> => {
    const was = there;
    there = false;
    return { ended: was ? 'removed' : 'already_absent', sessions: 0 };
  };
};

async function failureOf(work: Promise<unknown>): Promise<RevocationError> {
  const error = await work.then(
    () => assert.fail('it did not fail'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof RevocationError);
  return error;
}

test('a user that went before its certificate is told to have been removed, whoever finds it gone later', async () => {
  const world = parts([new AppError('unavailable', 'The store is away.')], removedOnce());
  const error = await failureOf(revokeLeased(world, lease));
  assert.match(error.message, /certificate .* could not be revoked: The store is away\.$/);
  assert.deepEqual([error.removed, error.unexpected, error.residue.length], [true, false, 1]);
  const { unavailable, residue, removed, message } = error;
  const later = { ...lease, ...failed(lease, { message, unavailable, hopeless: false, removed, residue }, 1000).set };
  const revocation = await revokeLeased(world, later);
  assert.equal(revocation.ended, 'already_absent');
  assert.equal(ended(later, revocation, 2000).set.ended_as, 'removed');
});

test('what nobody foresaw is kept out of the row and told to the log', async () => {
  const cause = new TypeError('secret is undefined');
  const error = await failureOf(revokeLeased(parts([cause], removedOnce()), lease));
  assert.deepEqual([error.removed, error.unexpected, error.cause], [true, true, cause]);
  assert.doesNotMatch(error.message, /secret/);
});

test('a user that was removed and left something keeps that when its certificate fails as well', async () => {
  const left = { place: 'server', object: 'view v', reason: 'It acts in the name of the user.' };
  const refuse = (removed: boolean) => () =>
    Promise.reject(new RevocationError('Something is left.', { removed, residue: [left] }));
  const failure = () => [new AppError('unavailable', 'The store is away.')];
  for (const removed of [true, false]) {
    const both = await failureOf(revokeLeased(parts(failure(), refuse(removed)), lease));
    assert.equal(both.removed, removed);
    assert.deepEqual(
      both.residue.map(({ place }) => place),
      ['server', 'pki'],
    );
    const alone = await failureOf(revokeLeased(parts([], refuse(removed)), lease));
    assert.equal(alone.message, 'Something is left.');
  }
});
