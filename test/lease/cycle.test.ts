import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { postgresBackend, sqliteBackend } from '../storage/support.ts';
import { checkBooks, type HouseOptions, openHouse, until } from './house.ts';

for (const backend of [sqliteBackend(), postgresBackend()]) {
  describe(`leases on ${backend.kind}`, () => {
    before(() => backend.start());
    after(() => backend.stop());
    const open = async (context: TestContext, options: Partial<HouseOptions> = {}) =>
      openHouse(context, { url: await backend.newUrl(), ...options });
    ends(open);
    mints(open);
    renews(open);
    many(open);
    reads(open);
  });
}

type Open = (context: TestContext, options?: Partial<HouseOptions>) => ReturnType<typeof openHouse>;

function ends(open: Open): void {
  test('a lease is minted, lives, expires, and its subject is gone when it is revoked', async (context) => {
    const house = await open(context);
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
    await checkBooks(house);
  });

  test('a request revokes at once and answers when it is verified; a second one changes nothing', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint();
    const lease = await house.ok('POST', `leases/${id}/revoke`);
    assert.deepEqual([lease.state, lease.cause, lease.ended_as], ['revoked', 'revoked', 'removed']);
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    assert.deepEqual(await house.ok('POST', `leases/${id}/revoke`), lease);
    assert.equal(house.shelf.attempts('shelf'), 1);
    await checkBooks(house);
  });

  test('of many who revoke at once, one does it and all hear how it ended', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint();
    house.shelf.behave('shelf', { slow: 200 });
    const answers = await Promise.all(Array.from({ length: 8 }, () => house.ok('POST', `leases/${id}/revoke`)));
    for (const answer of answers) assert.deepEqual([answer.state, answer.ended_as], ['revoked', 'removed']);
    assert.equal(house.shelf.attempts('shelf'), 1);
    await checkBooks(house);
  });

  test('a request and the sweeper at once end a lease once', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint({ ttl: 60 });
    house.shelf.behave('shelf', { slow: 100 });
    house.clock.advance(60_000);
    const [, answer] = await Promise.all([house.service.sweep(), house.ok('POST', `leases/${id}/revoke`)]);
    assert.equal(answer.state, 'revoked');
    assert.deepEqual([house.shelf.attempts('shelf'), house.shelf.removed().length], [1, 1]);
    await checkBooks(house);
  });

  test('a subject that is gone already is revoked, and recorded as that', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint({ fail: 'before_making' }).catch(async () => {
      const [row] = await house.rows();
      return { lease_id: row?.id ?? '' };
    });
    await house.service.sweep();
    const lease = await house.ok('GET', `leases/${id}`);
    assert.deepEqual([lease.state, lease.cause, lease.ended_as], ['revoked', 'mint_failed', 'already_absent']);
  });

  test('leases of every namespace end, each in its own audit', async (context) => {
    const house = await open(context);
    const { key } = (await house.ok('POST', 'namespaces', { name: 'tenant' })) as { key: string };
    const tenant = house.as(key);
    const theirs = await tenant.ok('POST', 'files', { ttl: 60, role_cap: 1 });
    const ours = await house.mint({ ttl: 60, role_cap: 1 });
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    for (const [id, namespace] of [
      [theirs.lease_id, 'tenant'],
      [ours.lease_id, 'root'],
    ]) {
      const row = await house.row(id);
      assert.deepEqual([row.state, row.namespace], ['revoked', namespace]);
      const events = await house.store.all<{ namespace: string }>(
        `SELECT namespace FROM audit_events WHERE operation = 'lease.end_lease' AND resource = ?`,
        [`leases/${id}`],
      );
      assert.deepEqual(
        events.map((event) => event.namespace),
        [namespace],
      );
    }
    await checkBooks(house);
  });

  test('whoever has no claim ends nothing', async (context) => {
    const house = await open(context);
    const { lease_id: id } = await house.mint();
    const reply = await house.ok('POST', `leases/${id}/end`, { claim: '0'.repeat(32) });
    assert.equal(reply.state, 'superseded');
    assert.equal((await house.row(id)).state, 'active');
    assert.equal(house.shelf.subjects('shelf').length, 1);
  });
}

function mints(open: Open): void {
  test('what was made by a minting that failed is removed by the next sweep', async (context) => {
    const house = await open(context);
    const reply = await house.call('POST', 'files', { fail: 'after_making' });
    assert.deepEqual([reply.status, reply.body.code], [503, 'unavailable']);
    assert.equal(house.shelf.subjects('shelf').length, 1);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    assert.deepEqual(
      (await house.rows()).map(({ state, cause }) => [state, cause]),
      [['revoked', 'mint_failed']],
    );
    await checkBooks(house);
  });

  test('a minting whose outcome is unknown is revoked only when nothing can arrive late any more', async (context) => {
    const house = await open(context);
    await house.call('POST', 'files', { fail: 'after_making', late: 20_000 });
    house.clock.advance(19_999);
    await house.service.sweep();
    assert.equal(house.shelf.subjects('shelf').length, 1);
    house.clock.advance(1);
    await house.service.sweep();
    assert.equal(house.shelf.subjects('shelf').length, 0);
  });

  test('a lease that is revoked while it is made is not handed out, and its subject goes', async (context) => {
    const house = await open(context);
    house.shelf.behave('shelf', { held: true });
    const minting = house.call('POST', 'files', {});
    await until(async () => (await house.rows()).length === 1, 'the row of the lease');
    const [row] = await house.rows();
    const marked = await house.ok('POST', `leases/${row?.id}/revoke`);
    assert.deepEqual([marked.state, marked.cause], ['minting', 'revoked']);
    house.shelf.behave('shelf', {});
    const { status, body } = await minting;
    assert.deepEqual([status, body.code], [409, 'wrong_state']);
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    assert.equal((await house.row(row?.id ?? '')).cause, 'revoked');
    await checkBooks(house);
  });

  test('a minting that outlives its deadline is ended, and its late success is refused', async (context) => {
    const house = await open(context);
    house.shelf.behave('shelf', { held: true });
    const minting = house.call('POST', 'files', {});
    await until(async () => (await house.rows()).length === 1, 'the row of the lease');
    house.clock.advance(60_000);
    await house.service.sweep();
    house.shelf.behave('shelf', {});
    const { status, body } = await minting;
    assert.deepEqual([status, body.code], [409, 'wrong_state']);
    const [row] = await house.rows();
    assert.deepEqual([row?.state, row?.cause, row?.ended_as], ['revoked', 'mint_failed', 'already_absent']);
  });

  test('caps hold exactly under 200 concurrent mintings, and a refusal says which and when', async (context) => {
    const house = await open(context);
    const replies = await Promise.all(
      Array.from({ length: 200 }, () => house.call('POST', 'files', { role_cap: 17, principal_cap: 100 })),
    );
    const made = replies.filter(({ status }) => status === 201);
    assert.equal(made.length, 17);
    for (const { status, body, headers } of replies.filter((reply) => reply.status !== 201)) {
      assert.deepEqual([status, body.code, body.scope], [429, 'rate_limited', 'files/roles/reader']);
      assert.ok(Number(headers.get('retry-after')) > 0);
    }
    assert.equal(house.shelf.subjects('shelf').length, 17);
    await checkBooks(house);
    await house.ok('POST', `leases/${made[0]?.body.lease_id}/revoke`);
    await house.mint({ role_cap: 17 });
    assert.equal((await house.call('POST', 'files', { role_cap: 17 })).status, 429);
    assert.equal(
      (await house.call('POST', 'files', { role: 'other', principal_cap: 17 })).body.scope,
      'principals/admin',
    );
  });
}

function renews(open: Open): void {
  test('a renewal counts from now, is capped at the maximum, and says so; at the maximum it is refused', async (context) => {
    const house = await open(context);
    const { lease_id: id, subject } = await house.mint({ ttl: 60, max_ttl: 600 });
    house.clock.advance(30_000);
    const renewed = await house.ok('POST', `leases/${id}/renew`, { increment: '5m' });
    assert.deepEqual([renewed.expires_at, renewed.capped, renewed.renewals], ['2026-11-21T10:05:30Z', false, 1]);
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), [subject]);
    const shorter = await house.ok('POST', `leases/${id}/renew`, { increment: '1s' });
    assert.equal(shorter.expires_at, '2026-11-21T10:05:30Z');
    const capped = await house.ok('POST', `leases/${id}/renew`, { increment: '1h' });
    assert.deepEqual([capped.expires_at, capped.capped], ['2026-11-21T10:10:00Z', true]);
    const { status, body } = await house.call('POST', `leases/${id}/renew`, { increment: '1h' });
    assert.deepEqual([status, body.code, body.max_expires_at], [409, 'wrong_state', '2026-11-21T10:10:00Z']);
    house.clock.advance(600_000);
    const late = await house.call('POST', `leases/${id}/renew`, { increment: '1h' });
    assert.equal(late.body.code, 'wrong_state');
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), []);
  });

  test('a renewal that the role or the target does not allow leaves the row as it was', async (context) => {
    let refuses = false;
    const house = await open(context, { refuses: () => refuses });
    const { lease_id: id } = await house.mint({ ttl: 60 });
    const untouched = await house.row(id);
    refuses = true;
    assert.equal((await house.call('POST', `leases/${id}/renew`, { increment: '1h' })).status, 403);
    refuses = false;
    house.shelf.behave('shelf', { away: true });
    assert.equal((await house.call('POST', `leases/${id}/renew`, { increment: '1h' })).status, 500);
    assert.deepEqual(await house.row(id), untouched);
  });

  test('renewals that race with each other and with the end leave one truth', async (context) => {
    const house = await open(context);
    house.shelf.behave('shelf', { slow: 20 });
    const { lease_id: id } = await house.mint({ ttl: 60 });
    const renewals = [10, 20, 30, 40].map((minutes) =>
      house.call('POST', `leases/${id}/renew`, { increment: `${minutes}m` }),
    );
    const replies = await Promise.all(renewals);
    const good = replies.filter(({ status }) => status === 200);
    assert.ok(good.length >= 1);
    for (const { status, body } of replies) assert.ok(status === 200 || body.code === 'conflict');
    const row = await house.row(id);
    assert.equal(row.renewals, good.length);
    assert.equal(row.next_action_at, row.expires_at);

    const race = await Promise.all([
      house.call('POST', `leases/${id}/renew`, { increment: '2h' }),
      house.ok('POST', `leases/${id}/revoke`),
    ]);
    assert.equal(race[1].state, 'revoked');
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    const ended = await house.row(id);
    assert.deepEqual([ended.state, ended.next_action_at], ['revoked', null]);
    await checkBooks(house);
  });
}

function many(open: Open): void {
  test('leases end by filter, and only those that match', async (context) => {
    const house = await open(context);
    const kept = await house.mint({ role: 'writer' });
    for (let count = 0; count < 5; count++) await house.mint({ role: 'reader' });
    assert.equal((await house.call('POST', 'leases/revoke', {})).body.code, 'invalid_request');
    const reply = await house.call('POST', 'leases/revoke', { role: 'files/roles/reader' });
    assert.deepEqual([reply.status, reply.body], [202, { revoking: 5, minting: 0 }]);
    await house.service.sweep();
    assert.deepEqual(house.shelf.subjects('shelf'), [kept.subject]);
    const causes = (await house.audit()).filter(({ operation }) => operation === 'lease.end_lease');
    assert.deepEqual(new Set(causes.map(({ details }) => details['cause'])), new Set(['revoked']));
    await checkBooks(house);
  });

  test('a filter by what does not exist is told, with what is near; by what exists and has no leases it ends none', async (context) => {
    const house = await open(context);
    const ask = (filter: object) => house.call('POST', 'leases/revoke', filter);
    for (const [filter, near] of [
      [{ role: 'reader' }, /did you mean files\/roles\/reader\?/i],
      [{ target: 'files/targets/shelv' }, /files\/targets\/shelf/],
      [{ principal: 'admni' }, /admin/],
      [{ engine: 'file' }, /files/],
    ] as const) {
      const { status, body } = await ask(filter);
      assert.deepEqual([status, body.code], [404, 'not_found'], JSON.stringify(filter));
      assert.match(body.hint, near);
    }
    for (const filter of [{ role: 'files/roles/reader' }, { target: 'files/targets/shelf' }, { principal: 'admin' }])
      assert.deepEqual((await ask(filter)).body, { revoking: 0, minting: 0 });
    await house.mint({ role: 'gone' });
    assert.deepEqual((await ask({ role: 'files/roles/gone' })).body, { revoking: 1, minting: 0 });
    await house.service.sweep();
    assert.deepEqual((await ask({ role: 'files/roles/gone' })).body, { revoking: 0, minting: 0 });
  });

  test('a drain ends all leases of a role and says how many are left', async (context) => {
    const house = await open(context);
    for (let count = 0; count < 3; count++) await house.mint();
    house.shelf.behave('shelf', { held: true });
    const minting = house.call('POST', 'files', {});
    await until(async () => (await house.rows()).length === 4, 'four rows');
    assert.deepEqual(await house.ok('POST', 'files/roles/reader/drain', {}), { left: 4 });
    house.shelf.behave('shelf', {});
    assert.equal((await minting).status, 409);
    await house.service.sweep();
    assert.deepEqual(await house.ok('POST', 'files/roles/reader/drain', {}), { left: 1 });
    house.clock.advance(60_000);
    await house.service.sweep();
    assert.deepEqual(await house.ok('POST', 'files/roles/reader/drain', {}), { left: 0 });
    assert.deepEqual(house.shelf.subjects('shelf'), []);
    assert.deepEqual(new Set((await house.rows()).map(({ cause }) => cause)), new Set(['drained']));
    await checkBooks(house);
  });

  test('leases revoked more than 30 days ago are purged in batches, and no others', async (context) => {
    const house = await open(context);
    const old = await house.mint({ ttl: 60 });
    await house.ok('POST', `leases/${old.lease_id}/revoke`);
    house.clock.advance(29 * 86_400_000);
    const young = await house.mint({ ttl: 60 });
    await house.ok('POST', `leases/${young.lease_id}/revoke`);
    const live = await house.mint({ ttl: 86_400 * 5 });
    house.clock.advance(2 * 86_400_000);
    const job = house.service.engine.jobs.find(({ name }) => name === 'lease.purge_revoked');
    await job?.run();
    assert.deepEqual(
      (await house.rows()).map(({ id }) => id),
      [young.lease_id, live.lease_id].toSorted(),
    );
  });
}

function reads(open: Open): void {
  test('lists filter and page, newest first', async (context) => {
    const house = await open(context);
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) {
      house.clock.advance(1000);
      ids.push((await house.mint({ role: count % 2 === 0 ? 'even' : 'odd' })).lease_id);
    }
    await house.ok('POST', `leases/${ids[0]}/revoke`);
    const list = async (query: string) =>
      ((await house.ok('GET', `leases?${query}`)) as { leases: { id: string }[] }).leases.map(({ id }) => id);
    assert.deepEqual(await list(''), ids.toReversed());
    assert.deepEqual(await list('role=files/roles/even&state=active'), [ids[4], ids[2]]);
    assert.deepEqual(await list('state=revoked'), [ids[0]]);
    assert.deepEqual(await list('target=files/targets/none'), []);
    assert.deepEqual(await list('principal=admin&engine=files&limit=1'), [ids[4]]);
    const page = await house.ok('GET', 'leases?limit=3');
    const next = await house.ok('GET', `leases?limit=3&cursor=${page.next_cursor}`);
    assert.deepEqual([page.leases.length, next.leases.length, next.next_cursor], [3, 2, null]);
    const { subject } = await house.row(ids[1] ?? '');
    assert.deepEqual(await list(`subject=${subject}`), [ids[1]]);
  });

  test('the owner of a lease needs no rule to see, renew and revoke it; others do, and other namespaces never may', async (context) => {
    const house = await open(context);
    const rules = [{ effect: 'allow', operations: ['files.mint_file'], resources: ['files/roles/*'] }];
    const owner = await house.enrol('owner', rules);
    const other = await house.enrol('other');
    const { lease_id: id } = await owner.ok('POST', 'files', {});
    assert.equal((await owner.ok('GET', `leases/${id}`)).principal, 'owner');
    assert.equal((await owner.call('POST', `leases/${id}/renew`, { increment: '2h' })).status, 200);
    assert.equal((await owner.call('GET', 'leases')).status, 403);
    for (const [method, path, body] of [
      ['GET', `leases/${id}`],
      ['POST', `leases/${id}/renew`, { increment: '1h' }],
      ['POST', `leases/${id}/revoke`],
    ] as const)
      assert.equal((await other.call(method, path, body)).status, 403, path);
    const made = await house.ok('POST', 'namespaces', { name: 'tenant' });
    const tenant = house.as((made as { administrator_key?: string; key?: string }).key ?? '');
    assert.equal((await tenant.call('GET', `leases/${id}`)).status, 404);
    assert.equal((await tenant.call('POST', `leases/${id}/revoke`)).status, 404);
    assert.deepEqual((await tenant.ok('GET', 'leases')).leases, []);
    assert.equal((await owner.ok('POST', `leases/${id}/revoke`)).state, 'revoked');
  });

  test('status and metrics count by state, with what is overdue', async (context) => {
    const house = await open(context);
    for (let count = 0; count < 3; count++) await house.mint({ ttl: 60 });
    await house.mint({ target: 'broken', ttl: 60 });
    house.shelf.behave('broken', { residue: true });
    house.clock.advance(60_000);
    await house.mint({ ttl: 60 });
    await house.service.sweep();
    const status = await house.ok('GET', 'leases/status');
    assert.deepEqual(
      [status.minting, status.active, status.revoking, status.stuck, status.overdue, status.brake],
      [0, 1, 1, 0, 0, null],
    );
    house.clock.advance(120_001);
    const text = await house.metrics.render();
    for (const line of [
      'chancery_leases{state="active"} 1',
      'chancery_leases{state="revoking"} 1',
      'chancery_leases_overdue 2',
      'chancery_lease_brake_applied 0',
      'chancery_lease_revocations_total{outcome="removed"} 3',
      'chancery_lease_revocations_total{outcome="failed"} 1',
    ])
      assert.ok(text.split('\n').includes(line), line);
    assert.match(text, /^chancery_lease_last_sweep_seconds \d/m);
  });
}
