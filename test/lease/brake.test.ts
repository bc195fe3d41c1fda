import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { leaseAfterRestore, leaseMigrations } from '#lease/migrations.ts';
import { restoreBackup } from '#storage/restore.ts';
import { postgresBackend, sqliteBackend } from '../storage/support.ts';
import { checkBooks, type HouseOptions, openHouse, temporaryFolder } from './house.ts';

const hour = 3_600_000;

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`the brake on mass expiry, on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    const open = async (context: TestContext, options: Partial<HouseOptions> = {}) =>
      openHouse(context, { url: await backend.newUrl(), ...options });
    jumps(open);
    outages(open);
    nodes(open, () => backend.newUrl());
    restores(open, () => backend.newUrl());
  });
}

type House = Awaited<ReturnType<typeof openHouse>>;
type Open = (context: TestContext, options?: Partial<HouseOptions>) => Promise<House>;

async function mintMany(house: House, count: number, input: object = { ttl: 600 }): Promise<string[]> {
  const minted = await Promise.all(Array.from({ length: count }, () => house.mint(input)));
  return minted.map(({ lease_id: id }) => id);
}

const present = (house: House): number => house.shelf.subjects('shelf').length;
const brakeOf = async (house: House) => (await house.ok('GET', 'leases/status')).brake;

function jumps(open: Open): void {
  test('a clock that jumps ends nothing by expiry until somebody releases the brake', async (context) => {
    const house = await open(context);
    const [first] = await mintMany(house, 25);
    await house.service.sweep();
    house.clock.jump(2 * hour);
    house.shelf.behave('shelf', { clock: -2 * hour });
    await house.service.sweep();
    assert.equal(present(house), 25);
    assert.deepEqual(await brakeOf(house), {
      applied_at: '2026-11-21T12:00:00Z',
      reason: 'the clock jumped forward',
      overdue: 25,
    });
    assert.match(await house.metrics.render(), /^chancery_lease_brake_applied 1$/m);
    assert.ok(house.lines.some(({ level, msg }) => level === 50 && String(msg).startsWith('the brake on mass expiry')));
    const applied = (await house.audit()).filter(({ operation }) => operation === 'lease.apply_brake');
    assert.deepEqual(
      applied.map(({ principal, details }) => [principal, details['reason'], details['overdue']]),
      [['lease.sweep', 'the clock jumped forward', 25]],
    );

    assert.equal((await house.ok('POST', `leases/${first}/revoke`)).state, 'revoked', 'a request goes on');
    await house.call('POST', 'files', { fail: 'after_making' });
    await house.service.sweep();
    assert.equal(present(house), 24, 'a minting that failed goes on');
    for (let days = 0; days < 3; days++) {
      house.clock.advance(24 * hour);
      await house.service.sweep();
    }
    assert.equal(present(house), 24, 'it holds for as long as nobody has looked');

    const made = await house.ok('POST', 'namespaces', { name: 'tenant' });
    const tenant = house.as((made as { key: string }).key);
    assert.equal((await tenant.call('POST', 'leases/brake/release', { reason: 'let me' })).status, 403);
    assert.deepEqual(await house.ok('POST', 'leases/brake/release', { reason: 'the clock is right' }), {
      released: true,
    });
    await house.service.sweep();
    assert.equal(present(house), 0);
    assert.equal(await brakeOf(house), null);
    const again = await house.call('POST', 'leases/brake/release', { reason: 'the clock is right' });
    assert.equal(again.body.code, 'wrong_state');
    await checkBooks(house);
  });

  test('a jump that the clock of the target confirms is time that passed', async (context) => {
    const house = await open(context);
    await mintMany(house, 25);
    await house.service.sweep();
    house.clock.jump(2 * hour);
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [0, null]);
  });

  test('a target without a clock cannot vouch for ours', async (context) => {
    const house = await open(context);
    await mintMany(house, 25);
    await house.service.sweep();
    house.clock.jump(2 * hour);
    house.shelf.behave('shelf', { clock: null });
    await house.service.sweep();
    assert.equal(present(house), 25);
    assert.notEqual(await brakeOf(house), null);
  });

  test('a few leases, and a small share of many, are no mass expiry', async (context) => {
    const few = await open(context);
    await mintMany(few, 19);
    await few.service.sweep();
    few.clock.jump(2 * hour);
    few.shelf.behave('shelf', { clock: -2 * hour });
    await few.service.sweep();
    assert.deepEqual([present(few), await brakeOf(few)], [0, null]);

    const many = await open(context);
    await mintMany(many, 230, { ttl: 86_400 });
    await mintMany(many, 22);
    await many.service.sweep();
    many.clock.jump(2 * hour);
    many.shelf.behave('shelf', { clock: -2 * hour });
    await many.service.sweep();
    assert.deepEqual([present(many), await brakeOf(many)], [230, null]);
  });

  test('a step of a few minutes, and a clock that is set back, are no reason', async (context) => {
    const house = await open(context);
    await mintMany(house, 25);
    await house.service.sweep();
    house.shelf.behave('shelf', { clock: 12 * hour });
    house.clock.jump(-2 * hour);
    await house.service.sweep();
    house.clock.jump(2 * hour);
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [25, null], 'nothing is overdue');
    house.clock.advance(570_000);
    house.clock.jump(240_000);
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [0, null]);
  });
}

function outages(open: Open): void {
  test('leases that fell due while no server ran end when one is back', async (context) => {
    const house = await open(context);
    await mintMany(house, 25);
    await house.service.sweep();
    house.clock.advance(5 * hour);
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [0, null]);
  });

  test('while no target can be asked for the time, expiry waits, and then goes by what it says', async (context) => {
    for (const offset of [0, -5 * hour]) {
      const house = await open(context);
      await mintMany(house, 25);
      await house.service.sweep();
      house.clock.jump(5 * hour);
      house.shelf.behave('shelf', { away: true });
      await house.service.sweep();
      house.clock.advance(hour);
      await house.service.sweep();
      assert.deepEqual([house.shelf.attempts('shelf'), await brakeOf(house)], [0, null]);
      house.shelf.behave('shelf', { clock: offset });
      await house.service.sweep();
      assert.equal(present(house), offset === 0 ? 0 : 25);
      assert.equal((await brakeOf(house)) === null, offset === 0);
    }
  });
}

function nodes(open: Open, newUrl: () => Promise<string>): void {
  test('a server that starts again obeys the brake', async (context) => {
    const [folder, url] = [temporaryFolder(context), await newUrl()];
    const house = await open(context, { folder, url });
    await mintMany(house, 25);
    await house.service.sweep();
    house.clock.jump(2 * hour);
    house.shelf.behave('shelf', { clock: -2 * hour });
    await house.service.sweep();
    await house.close();
    const next = await openHouse(context, { folder, url });
    next.clock.jump(2 * hour);
    await next.service.sweep();
    assert.equal(present(next), 25);
    await next.ok('POST', 'leases/brake/release', { reason: 'seen' });
    await next.service.sweep();
    assert.equal(present(next), 0);
  });
}

function restores(open: Open, newUrl: () => Promise<string>): void {
  const restored = async (context: TestContext, leases: number) => {
    const house = await open(context);
    await mintMany(house, leases);
    const backup = join(house.folder, 'store.backup');
    await house.store.backup(backup);
    const url = await newUrl();
    await restoreBackup({ from: backup, url, migrations: leaseMigrations, afterwards: leaseAfterRestore });
    return openHouse(context, { folder: house.folder, url });
  };

  test('a store from a backup ends nothing by expiry until somebody has looked', async (context) => {
    const house = await restored(context, 3);
    await house.service.sweep();
    assert.equal((await brakeOf(house)).reason, 'the store was restored from a backup');
    house.clock.advance(2 * hour);
    await house.service.sweep();
    assert.equal(present(house), 3);
    await house.ok('POST', 'leases/brake/release', { reason: 'reconciled' });
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [0, null]);
    await house.mint({ ttl: 60 });
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.equal(present(house), 0, 'it is released for good');
  });

  test('a store from a backup without leases needs no brake, then or later', async (context) => {
    const house = await restored(context, 0);
    await house.service.sweep();
    await house.mint({ ttl: 60 });
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual([present(house), await brakeOf(house)], [0, null]);
  });
}
