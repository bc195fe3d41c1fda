import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test, type TestContext } from 'node:test';
import { update } from '#core/change.ts';
import { createBreakers } from '#lease/breaker.ts';
import { createClaims } from '#lease/claims.ts';
import type { LeaseRow } from '#lease/tables.ts';
import { retryDelay } from '#lease/times.ts';
import { postgresBackend, sqliteBackend } from '../storage/support.ts';
import { checkBooks, type HouseOptions, openHouse, temporaryFolder, until } from './house.ts';

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`leases that do not end, on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    const open = async (context: TestContext, options: Partial<HouseOptions> = {}) =>
      openHouse(context, { url: await backend.newUrl(), ...options });
    retries(open);
    remains(open);
    forgetting(open);
    breaker(open);
    quarantine(open);
    claims(open);
  });
}

type Open = (context: TestContext, options?: Partial<HouseOptions>) => ReturnType<typeof openHouse>;

test('retries wait 5 s doubling to 15 min, and a minute at most for a target that is away, 20 % more or less', () => {
  for (const [attempts, unavailable, expected] of [
    [1, false, 5_000],
    [2, false, 10_000],
    [5, false, 80_000],
    [9, false, 900_000],
    [5000, false, 900_000],
    [1, true, 5_000],
    [5, true, 60_000],
    [5000, true, 60_000],
  ] as const) {
    for (let times = 0; times < 50; times++) {
      const delay = retryDelay(attempts, unavailable);
      assert.ok(delay >= expected * 0.8 && delay <= expected * 1.2, `${attempts}: ${delay}`);
    }
  }
});

test('a breaker opens after five failures in a row, lets one probe through, later and later, and closes by itself', () => {
  let now = 0;
  const breakers = createBreakers(() => now);
  const fail = (): void => {
    breakers.begin('t');
    assert.equal(breakers.end('t', false), false);
  };
  for (let count = 0; count < 4; count++) fail();
  assert.equal(breakers.admits('t', 8), 8);
  fail();
  assert.deepEqual([breakers.admits('t', 8), breakers.admits('u', 8)], [0, 8]);
  for (const pause of [5_000, 10_000, 20_000, 30_000, 30_000]) {
    now += pause - 1;
    assert.equal(breakers.admits('t', 8), 0);
    now += 1;
    assert.equal(breakers.admits('t', 8), 1);
    breakers.begin('t');
    assert.equal(breakers.admits('t', 8), 0, 'while it is probed');
    breakers.end('t', false);
  }
  assert.deepEqual(
    breakers.open().map(({ target }) => target),
    ['t'],
  );
  now += 30_000;
  breakers.begin('t');
  assert.equal(breakers.end('t', true), true);
  assert.deepEqual([breakers.admits('t', 8), breakers.open()], [8, []]);
});

function retries(open: Open): void {
  test('what is left is reported, and from the tenth failure on the lease is stuck, told of, and tried still', async (context) => {
    const house = await open(context);
    const { lease_id: id, subject } = await house.mint();
    house.shelf.behave('shelf', { residue: true });
    const first = await house.ok('POST', `leases/${id}/revoke`);
    assert.deepEqual(
      [first.state, first.gone, first.attempts, first.last_error],
      ['revoking', false, 1, 'Something is left.'],
    );
    assert.deepEqual(first.residue, [{ place: 'shelf', object: `note ${subject}`, reason: 'It is held; let it go.' }]);
    assert.ok(Date.parse(first.next_attempt_at) > house.clock.now());
    for (let count = 2; count <= 12; count++) {
      house.clock.advance(1_200_000);
      await house.service.sweep();
      const { state, attempts } = await house.row(id);
      assert.deepEqual([state, attempts], [count >= 10 ? 'stuck' : 'revoking', count]);
    }
    assert.equal(house.lines.filter(({ msg }) => msg === 'a lease cannot be ended; somebody must look').length, 3);
    const audit = (await house.audit()).filter(({ details }) => details['state'] === 'stuck');
    assert.equal(audit.length, 3);
    assert.equal((await house.ok('GET', 'leases/status')).stuck, 1);
    house.shelf.behave('shelf', {});
    const last = await house.ok('POST', `leases/${id}/revoke`);
    assert.deepEqual([last.state, last.ended_as, last.residue, last.last_error], ['revoked', 'removed', [], null]);
    await checkBooks(house);
  });

  test('the text of an error that nobody expected is in the log and nowhere else', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint();
    house.shelf.behave('shelf', { broken: true });
    const lease = await house.ok('POST', `leases/${id}/revoke`);
    assert.equal(lease.last_error, 'An internal error occurred; the log has the details.');
    assert.ok(JSON.stringify(house.lines).includes('canary'));
    assert.ok(!JSON.stringify(await house.audit()).includes('canary'));
  });

  test('a lease of an engine that this server does not have waits for one that does', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint({ ttl: 60 });
    await house.store.commit([update('leases', { engine: 'gone' }, { id })]);
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual((await house.row(id)).last_error, 'This server has no engine gone.');
    assert.equal((await house.call('POST', `leases/${id}/renew`, { increment: '1h' })).status, 409);
  });
}

function remains(open: Open): void {
  test('a subject that went while something else was left of it is recorded as removed, when that is gone too', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint();
    house.shelf.behave('shelf', { leaves: true });
    for (let count = 0; count < 2; count++) {
      const still = await house.ok('POST', `leases/${id}/revoke`);
      assert.deepEqual(
        [still.state, still.residue.length, still.ended_as, still.ended_at],
        ['revoking', 1, null, null],
      );
    }
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    house.shelf.behave('shelf', {});
    const { state, ended_as: endedAs, residue } = await house.ok('POST', `leases/${id}/revoke`);
    assert.deepEqual([state, endedAs, residue], ['revoked', 'removed', []]);
    assert.match(await house.metrics.render(), /outcome="removed"[^\n]*\} 1\n/);
    await checkBooks(house);
  });
}

function forgetting(open: Open): void {
  test('leases of a target that is gone for good can be forgotten, and no others', async (context) => {
    const house = await open(context);
    for (let count = 0; count < 3; count++) await house.mint({ target: 'far' });
    const near = await house.mint({ target: 'near' });
    const forget = (target: string) => house.call('POST', 'leases/forget', { target, reason: 'burnt down' });
    house.shelf.behave('far', { away: true });
    const early = await forget('files/targets/far');
    assert.deepEqual([early.status, early.body.code], [409, 'wrong_state']);
    await house.ok('POST', 'leases/revoke', { target: 'files/targets/far' });
    await house.service.sweep();
    assert.equal((await forget('files/targets/near')).status, 409);
    assert.deepEqual((await forget('files/targets/far')).body, { forgotten: 3, more: false });
    const { leases } = await house.ok('GET', 'leases?target=files/targets/far');
    for (const { state, ended_as: endedAs, last_error: why } of leases)
      assert.deepEqual([state, endedAs, why], ['revoked', 'forgotten', 'Forgotten: burnt down']);
    assert.equal((await house.row(near.lease_id)).state, 'active');
    const tried = house.shelf.attempts('far');
    house.clock.advance(3_600_000);
    await house.service.sweep();
    assert.equal(house.shelf.attempts('far'), tried);
    await checkBooks(house);
  });
}

function breaker(open: Open): void {
  test('leases of a target that is away are left alone, and all end soon after it is back', async (context) => {
    const house = await open(context);
    for (let count = 0; count < 60; count++) await house.mint({ target: 'far', ttl: 60 });
    const near = await house.mint({ target: 'near', ttl: 60 });
    house.shelf.behave('far', { away: true });
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.equal((await house.row(near.lease_id)).state, 'revoked', 'others are not held up');
    const tried = house.shelf.attempts('far');
    assert.ok(tried >= 5 && tried <= 8, `${tried} were tried`);
    for (let minutes = 0; minutes < 60; minutes++) {
      house.clock.advance(60_000);
      await house.service.sweep();
    }
    const probes = house.shelf.attempts('far') - tried;
    assert.ok(probes >= 50 && probes <= 130, `${probes} probes in an hour`);
    const { targets_away: away } = await house.ok('GET', 'leases/status');
    assert.deepEqual([away.length, away[0].target], [1, 'files/targets/far']);
    assert.match(
      await house.metrics.render(),
      /chancery_lease_target_away\{namespace="root",target="files\/targets\/far"\} 1/,
    );

    house.shelf.behave('far', {});
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('far'), []);
    assert.deepEqual((await house.ok('GET', 'leases/status')).targets_away, []);
    await checkBooks(house, 'far');
  });

  test('a slow target does not hold up another', async (context) => {
    const house = await open(context, { concurrency: 2 });
    for (let count = 0; count < 40; count++) await house.mint({ target: 'slow', ttl: 60 });
    for (let count = 0; count < 20; count++) await house.mint({ target: 'quick', ttl: 60 });
    house.shelf.behave('slow', { slow: 60 });
    house.clock.advance(60_000);
    const sweep = house.service.sweep();
    await until(() => house.shelf.subjects('quick').length === 0, 'the quick target is done');
    assert.ok(house.shelf.subjects('slow').length > 10);
    await sweep;
    assert.deepEqual(house.shelf.subjects('slow'), []);
  });
}

function quarantine(open: Open): void {
  test('damaged rows are set aside, told of, shown, and stop neither the sweep nor a list', async (context) => {
    const house = await open(context);
    const bad = await Promise.all([house.mint({ ttl: 60 }), house.mint({ ttl: 60 }), house.mint({ ttl: 60 })]);
    const good = await Promise.all(Array.from({ length: 5 }, () => house.mint({ ttl: 60 })));
    const [facts, revocation, state] = bad.map(({ lease_id: id }) => id) as [string, string, string];
    await house.store.commit([
      update('leases', { facts: '{"half":' }, { id: facts }),
      update('leases', { revocation: 'null' }, { id: revocation }),
      update('leases', { state: 'nonsense' }, { id: state }),
    ]);
    house.clock.advance(60_000);
    await house.service.sweep();
    for (const { lease_id: id } of good) assert.equal((await house.row(id)).state, 'revoked');
    for (const [id, column] of [
      [facts, 'facts'],
      [revocation, 'revocation'],
    ] as const) {
      const row = await house.row(id);
      assert.deepEqual([row.state, row.attempts, row.claim], ['stuck', 1, null]);
      assert.match(row.last_error ?? '', new RegExp(`damaged.*${column}`));
      assert.ok(house.lines.some((line) => line['lease'] === id && line['level'] === 50));
    }
    assert.equal((await house.row(state)).state, 'revoked');
    const { leases } = await house.ok('GET', 'leases?state=stuck');
    const shown = leases.map((lease: { facts: object }) => JSON.stringify(lease.facts));
    assert.deepEqual(shown.toSorted(), ['{"made":true}', '{}']);

    await house.store.commit([update('leases', { facts: '{}' }, { id: facts })]);
    assert.equal((await house.ok('POST', `leases/${facts}/revoke`)).state, 'revoked');
  });
}

test('a row that cannot even be read takes nobody with it', async (context) => {
  const folder = temporaryFolder(context);
  const house = await openHouse(context, { folder });
  const bad = await house.mint({ ttl: 60 });
  const good = await Promise.all(Array.from({ length: 5 }, () => house.mint({ ttl: 60 })));
  // A whole number that JavaScript cannot hold: reading the row throws.
  const database = new DatabaseSync(join(folder, 'store.db'));
  database.exec(`UPDATE leases SET expires_at = 9223372036854775807 WHERE id = '${bad.lease_id}'`);
  database.close();
  house.clock.advance(60_000);
  await house.service.sweep();
  for (const { lease_id: id } of good) assert.equal((await house.row(id)).state, 'revoked');
  const row = await house.store.first<LeaseRow>('SELECT state, claim, attempts, last_error FROM leases WHERE id = ?', [
    bad.lease_id,
  ]);
  assert.deepEqual(
    { ...row },
    {
      state: 'stuck',
      claim: null,
      attempts: 1,
      last_error: 'The row of this lease is damaged: it cannot be read.',
    },
  );
  assert.ok(house.lines.some(({ msg, level }) => level === 50 && String(msg).includes('cannot be read')));
});

test('a node that works on a claim says so, and no longer when it is done', async (context) => {
  const house = await openHouse(context);
  const { lease_id: id } = await house.mint();
  const held = {
    state: 'revoking',
    cause: 'revoked',
    claim: 'cd'.repeat(16),
    next_action_at: house.clock.now(),
  } as const;
  await house.store.commit([update('leases', held, { id })]);
  const lease = await house.row(id);
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const node = createClaims({ store: house.store, clock: house.clock, log: quiet, refreshEvery: 20 });
  context.after(() => node.close());
  node.hold([lease]);
  await until(async () => (await house.row(id)).next_action_at === house.clock.now() + 60_000, 'a sign of life');
  await node.release([lease]);
  const { claim, next_action_at: at } = await house.row(id);
  assert.deepEqual([claim, at, node.size()], [null, house.clock.now(), 0]);
});

function claims(open: Open): void {
  test('the claim of a node that died comes due, and what it would still write is refused', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint({ ttl: 60 });
    const claim = 'ab'.repeat(16);
    const dead = { state: 'revoking', cause: 'expired', claim, next_action_at: house.clock.now() + 60_000 };
    await house.store.commit([update('leases', dead, { id })]);
    house.clock.advance(59_999);
    await house.service.sweep();
    assert.equal((await house.row(id)).state, 'revoking');
    house.clock.advance(1);
    await house.service.sweep();
    assert.equal((await house.row(id)).state, 'revoked');
    assert.equal((await house.ok('POST', `leases/${id}/end`, { claim })).state, 'superseded');
    await checkBooks(house);
  });

  test('of two who work on one lease, the one whose claim was taken over writes nothing', async (context) => {
    const house = await open(context);
    house.shelf.behave('shelf', { slow: 1000 });
    const { lease_id: id } = await house.mint({ ttl: 60 });
    const slow = house.call('POST', `leases/${id}/revoke`);
    await until(async () => (await house.row(id)).claim !== null, 'the claim');
    house.clock.advance(60_000);
    const sweep = house.service.sweep();
    const { status, body } = await slow;
    await sweep;
    assert.deepEqual([status, body.code], [409, 'conflict']);
    const row = await house.row(id);
    assert.deepEqual([row.state, row.cause], ['revoked', 'revoked']);
    assert.equal(house.shelf.removed().length, 1);
    await checkBooks(house);
  });

  test('a server that closes gives back what it had not begun', async (context) => {
    const house = await open(context, { concurrency: 1 });
    for (let count = 0; count < 8; count++) await house.mint({ ttl: 60 });
    house.shelf.behave('shelf', { slow: 200 });
    house.clock.advance(60_000);
    const sweep = house.service.sweep();
    await until(async () => house.shelf.attempts('shelf') > 0, 'the first revocation');
    await house.service.close();
    await sweep;
    const rows = await house.rows();
    for (const row of rows) assert.equal(row.claim, null);
    const left = rows.filter(({ state }) => state === 'revoking');
    assert.ok(left.length >= 6);
    for (const row of left) assert.equal(row.next_action_at, house.clock.now());
    await checkBooks(house);
  });
}
