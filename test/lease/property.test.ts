import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { buildHouse, checkBooks, type House, testClock } from './house.ts';

/**
 * Any interleaving of what can happen to leases, by several callers at once, keeps the books: nothing exists at the
 * target without a live row, and the counters say what the rows say. At the end of time nothing is left.
 */

type Step =
  | { readonly kind: 'mint'; readonly ttl: number; readonly fail: 'before_making' | 'after_making' | undefined }
  | { readonly kind: 'renew' | 'revoke'; readonly pick: number }
  | { readonly kind: 'drain' | 'revoke_all' | 'sweep' }
  | { readonly kind: 'behave'; readonly how: 'away' | 'residue' | 'well' }
  | { readonly kind: 'clock'; readonly seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('mint' as const),
      ttl: fc.integer({ min: 1, max: 600 }),
      fail: fc.constantFrom(undefined, undefined, undefined, 'before_making' as const, 'after_making' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('renew' as const, 'revoke' as const), pick: fc.nat(50) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('drain' as const, 'revoke_all' as const, 'sweep' as const, 'sweep' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('behave' as const),
      how: fc.constantFrom('away' as const, 'residue' as const, 'well' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('clock' as const), seconds: fc.integer({ min: 1, max: 240 }) }),
  },
);

/** Steps that go on at the same time, then the next ones. */
const script = fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 10 });

async function take(house: House, clock: ReturnType<typeof testClock>, taken: Step): Promise<void> {
  switch (taken.kind) {
    case 'mint':
      await expectAnswer(house.call('POST', 'files', { ttl: taken.ttl, fail: taken.fail, role_cap: 8 }));
      break;
    case 'renew':
    case 'revoke': {
      const rows = await house.rows();
      const row = rows[taken.pick % Math.max(1, rows.length)];
      if (row === undefined) break;
      const body = taken.kind === 'renew' ? { increment: '3m' } : undefined;
      await expectAnswer(house.call('POST', `leases/${row.id}/${taken.kind}`, body));
      break;
    }
    case 'drain':
      await house.ok('POST', 'files/roles/reader/drain', {});
      break;
    case 'revoke_all':
      await house.ok('POST', 'leases/revoke', { target: 'files/targets/shelf' });
      break;
    case 'sweep':
      await house.service.sweep();
      break;
    case 'behave':
      house.shelf.behave('shelf', taken.how === 'well' ? {} : { [taken.how]: true });
      break;
    case 'clock':
      clock.advance(taken.seconds * 1000);
      break;
  }
}

/** Whatever is refused is refused for a reason that callers know. */
async function expectAnswer(call: ReturnType<House['call']>): Promise<void> {
  const { status, body } = await call;
  if (status < 300) return;
  const known = ['unavailable', 'rate_limited', 'wrong_state', 'conflict', 'internal'];
  assert.ok(known.includes(body.code), JSON.stringify(body));
}

test('any interleaving of mint, renew, revoke, drain, sweep, faults and time keeps the books', async () => {
  await fc.assert(
    fc.asyncProperty(script, async (rounds) => {
      const folder = mkdtempSync(join(tmpdir(), 'chancery-lease-'));
      const clock = testClock();
      const house = await buildHouse({ folder, clock, monotonic: clock.monotonic });
      try {
        for (const round of rounds) {
          await Promise.all(round.map((each) => take(house, clock, each)));
          await checkBooks(house);
        }
        house.shelf.behave('shelf', {});
        for (let count = 0; count < 20; count++) {
          clock.advance(1_200_000);
          await house.service.sweep();
        }
        const states = new Set((await house.rows()).map(({ state }) => state));
        assert.deepEqual(
          [...states].filter((state) => state !== 'revoked'),
          [],
        );
        assert.deepEqual(house.shelf.subjects('shelf'), []);
        const removed = house.shelf.removed();
        assert.equal(new Set(removed).size, removed.length, 'nothing was removed twice');
        await checkBooks(house);
      } finally {
        await house.close();
        rmSync(folder, { recursive: true, force: true });
      }
    }),
    { numRuns: 30 },
  );
});
