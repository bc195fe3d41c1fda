import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkBooks, openHouse } from './house.ts';

test('a lease is minted, lives, expires, and its subject is gone when it is revoked', async (context) => {
  const house = await openHouse(context);
  const { mint, row, shelf, service, clock, audit } = house;
  const { lease_id: id, subject } = await mint({ ttl: 60 });
  assert.deepEqual(shelf.subjects('shelf'), [subject]);
  const active = await row(id);
  assert.deepEqual([active.state, active.next_action_at], ['active', clock.now() + 60_000]);

  clock.advance(59_999);
  await service.sweep();
  assert.deepEqual(shelf.subjects('shelf'), [subject]);

  clock.advance(1);
  await service.sweep();
  assert.deepEqual(shelf.subjects('shelf'), []);
  const lease = await house.ok('GET', `leases/${id}`);
  assert.deepEqual(
    [lease.state, lease.cause, lease.ended_as, lease.ended_at],
    ['revoked', 'expired', 'removed', '2026-11-21T10:01:00Z'],
  );
  assert.deepEqual(lease.facts, { made: true });
  const [intent, minted, ended] = await audit();
  assert.deepEqual(
    [intent, minted, ended].map((event) => [event?.operation, event?.outcome, event?.principal]),
    [
      ['files.mint_file', 'intent', 'admin'],
      ['files.mint_file', 'ok', 'admin'],
      ['lease.end_lease', 'ok', 'lease.sweep'],
    ],
  );
  assert.deepEqual([ended?.details['cause'], ended?.details['state']], ['expired', 'revoked']);
});

test('a request revokes at once and answers when it is verified; a second one changes nothing', async (context) => {
  const house = await openHouse(context);
  const { lease_id: id } = await house.mint();
  const lease = await house.ok('POST', `leases/${id}/revoke`);
  assert.deepEqual([lease.state, lease.cause, lease.ended_as], ['revoked', 'revoked', 'removed']);
  assert.deepEqual(house.shelf.subjects('shelf'), []);
  assert.deepEqual(await house.ok('POST', `leases/${id}/revoke`), lease);
  assert.equal(house.shelf.attempts('shelf'), 1);
  await checkBooks(house);
});
