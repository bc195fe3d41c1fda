import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { Breakers } from '#lease/breaker.ts';
import { createClaims } from '#lease/claims.ts';
import { createSweeper } from '#lease/sweeper.ts';
import { openHouse } from './house.ts';

test('a sweep ends when a target goes away between the claim of its leases and their end', async (context) => {
  const { store, clock, mint, row } = await openHouse(context);
  const { lease_id: id } = await mint({ ttl: 1 });
  clock.advance(2000);
  const log = pino({ level: 'silent' });
  const claims = createClaims({ store, clock, log });
  context.after(() => claims.close());
  let asked = 0;
  const breakers: Breakers = {
    admits: (_target, room) => (asked++ === 0 ? room : 0),
    begin: () => undefined,
    end: () => false,
    open: () => (asked === 0 ? [] : [{ target: 'root files/targets/shelf', failures: 5, probeAt: Infinity }]),
  };
  const sweeper = createSweeper({
    store,
    clock,
    monotonic: clock.monotonic,
    log,
    brake: { look: async () => ({ now: clock.now(), mode: 'free' }) },
    breakers,
    claims,
    concurrency: 4,
    width: () => 4,
    end: async () => assert.fail('the target is away'),
  });
  await sweeper.run();
  await sweeper.close();
  assert.equal((await row(id)).claim, null);
});
