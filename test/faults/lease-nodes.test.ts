import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '#test/chancery.ts';
import { assertSame, foundLeasing, mint, postgresTarget, sweptLater } from './lease-world.ts';
import { assertAuditVerifies } from './load.ts';
import { assertNoCrash, spawner, temporaryFolder } from './server.ts';

/** Servers of their own on one store, with a real target; one of them is killed while they end what all of them see. */

const leases = 200;
const logged = { logging_collector: 'on', log_statement: 'ddl', max_connections: '200' };

for (const count of [2, 3]) {
  test(`${count} servers end ${leases} leases, each of them once, while one of the servers is killed`, async (context) => {
    const target = await postgresTarget(context, logged);
    const storage = target.storage?.() ?? '';
    const folder = temporaryFolder(context, 'lease-nodes');
    const spawn = spawner(context, { folder, env: { CHANCERY_STORAGE: storage } });
    const first = await spawn();
    await foundLeasing(first, target);
    const others = await Promise.all(Array.from({ length: count - 1 }, () => spawn()));
    let minted = 0;
    const users = new Set<string>();
    const work = async (client: Client): Promise<void> => {
      while (minted++ < leases) users.add((await mint(client)).username);
    };
    await Promise.all([first, ...others, first, ...others].map(work));
    assert.equal(await assertSame(first, target), leases);

    const [survivor = first] = others;
    // Asked at each of them, so that none of them sleeps until its next sweep.
    await Promise.all(
      [first, ...others].map((each) => each.ok('POST', 'leases/revoke', { target: 'database/connections/app' })),
    );
    while ((await revoking(survivor)) > leases * 0.8) await sleep(2);
    await first.kill();
    const left = await untilIdle(survivor);
    assert.ok(left <= 32, `${left} leases were claimed by one server`);
    // What the dead one had claimed comes due a minute later.
    const later = await sweptLater(context, folder, storage);
    assert.equal(await assertSame(later, target), 0);
    assert.deepEqual(await countEnds(later), { 'ended 1 ×': leases });
    const tries = countTries(await target.world.serverLog(), users);
    assert.equal(tries.size, leases);
    const twice = [...tries.values()].filter((each) => each > 1).length;
    // The dead server can have done the work for what it had claimed, and not have said so.
    assert.ok(twice <= left, `${twice} users were taken back twice, and ${left} claims were open`);
    await assertAuditVerifies(later);
    for (const server of [first, ...others]) assertNoCrash(server);
    await Promise.all([later, ...others].map((each) => each.stop()));
    context.diagnostic(
      `${left} claims of the dead server were taken over, ${twice} of them tried by both; no other was`,
    );
  });
}

async function revoking(client: Client): Promise<number> {
  return (await client.ok('GET', 'leases/status')).revoking;
}

/** Waits until the number of leases that are being ended stays the same; gives it. */
async function untilIdle(client: Client): Promise<number> {
  let left = await revoking(client);
  for (let same = 0; same < 15; same++) {
    await sleep(100);
    const now = await revoking(client);
    if (now !== left) same = 0;
    left = now;
  }
  return left;
}

/** How many leases the audit log says to have ended how often. */
async function countEnds(client: Client): Promise<Record<string, number>> {
  const ends = new Map<string, number>();
  let cursor: string | null = null;
  do {
    const after: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await client.ok('GET', `audit/events?operation=lease.end_lease&limit=1000${after}`);
    for (const { resource, outcome, details } of page.events)
      if (outcome === 'ok' && details.state === 'revoked' && details.cause === 'revoked')
        ends.set(resource, (ends.get(resource) ?? 0) + 1);
    cursor = page.next_cursor;
  } while (cursor !== null);
  const counts: Record<string, number> = {};
  for (const times of ends.values()) counts[`ended ${times} ×`] = (counts[`ended ${times} ×`] ?? 0) + 1;
  return counts;
}

/** How often the database was asked to lock each user out. */
function countTries(log: string, users: ReadonlySet<string>): Map<string, number> {
  const tries = new Map<string, number>();
  for (const [, name = ''] of log.matchAll(/ALTER ROLE "?(chy_[0-9a-z_]+)"? NOLOGIN/g))
    if (users.has(name)) tries.set(name, (tries.get(name) ?? 0) + 1);
  return tries;
}
