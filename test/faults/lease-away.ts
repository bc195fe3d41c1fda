import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '#test/chancery.ts';
import { assertSame, foundLeasing, type LeaseTarget, mint } from './lease-world.ts';
import { assertNoCrash, spawner } from './server.ts';

/** As many at a time as a pool takes. */
const clients = 16;

/**
 * The database stops in the middle of the revocation of very many leases, and starts again: everything ends without
 * anybody asking, and nothing that did not end is said to have.
 */
export async function stopTheDatabase(context: TestContext, target: LeaseTarget, leases: number): Promise<void> {
  const server = await spawner(context)();
  await foundLeasing(server, target);
  let minted = 0;
  const work = async (): Promise<void> => {
    while (minted++ < leases) await mint(server);
  };
  await Promise.all(Array.from({ length: clients }, work));
  assert.equal(await assertSame(server, target), leases);

  const began = performance.now();
  const revoking = await server.ok('POST', 'leases/revoke', { role: 'database/roles/reader' });
  await until(server, 'a part of them is gone', ({ revoking: left }) => left > 0 && left < leases * 0.9);
  await target.crash();
  const { length: away } = await until(
    server,
    'the server knows that it is away',
    ({ targets_away: known }) => known.length > 0,
  ).then((status) => status.targets_away);
  assert.equal(away, 1);
  const status = await server.ok('GET', 'leases/status');
  assert.ok(status.revoking > 0);
  // Requests for other things go on, and one for this target says what is the matter.
  const refused = await server.call('POST', 'database/roles/reader/credentials', {});
  assert.deepEqual([refused.status, refused.body.code], [503, 'unavailable']);
  await sleep(1000);
  const stopped = performance.now();
  await target.restart();
  const left = (await target.users()).length;
  // Without the answer of the database nothing counts as gone.
  assert.ok((await server.ok('GET', 'leases/status')).revoking >= left - 1);
  await until(server, 'all of them are gone', (now) => now.revoking + now.stuck + now.minting === 0);
  const seconds = (performance.now() - stopped) / 1000;
  assert.deepEqual(await target.users(), []);
  assert.equal(await assertSame(server, target), 0);
  assert.deepEqual((await server.ok('GET', 'leases/status')).targets_away, []);
  await mint(server);
  assertNoCrash(server);
  context.diagnostic(
    `${leases} due leases (${JSON.stringify(revoking)}); the database away after ${((stopped - began) / 1000).toFixed(1)} s with ${left} left: ` +
      `all gone ${seconds.toFixed(1)} s after it was started`,
  );
}

// oxlint-disable-next-line typescript/no-explicit-any -- the answer of an operation, as in #test/chancery.ts
async function until(client: Client, what: string, holds: (status: any) => boolean) {
  let status = await client.ok('GET', 'leases/status');
  const deadline = performance.now() + 180_000;
  while (!holds(status)) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}; ${JSON.stringify(status)}`);
    await sleep(20);
    status = await client.ok('GET', 'leases/status');
  }
  return status;
}
