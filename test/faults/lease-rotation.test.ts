import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { foundLeasing, mint, postgresTarget } from './lease-world.ts';

test('users are minted without a failure while the root password is rotated again and again', async (context) => {
  const target = await postgresTarget(context);
  const server = await startChancery(context);
  await foundLeasing(server, target);
  const rotated = new AbortController();
  let minted = 0;
  const work = async (): Promise<void> => {
    while (!rotated.signal.aborted) {
      const { lease_id: id } = await mint(server);
      minted++;
      await server.ok('POST', `leases/${id}/revoke`);
    }
  };
  const working = Promise.all(Array.from({ length: 6 }, work));
  try {
    for (let rotation = 0; rotation < 60; rotation++) {
      await server.ok('POST', 'database/connections/app/rotate-root');
    }
  } finally {
    rotated.abort();
  }
  await working;
  assert.ok(minted > 0);
});
