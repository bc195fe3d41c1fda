import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { foundDatabase, startTarget } from './fixture.ts';

test('a renewal that the database cannot take says what is the matter, and the lease stays as it was', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const lease = await server.ok('POST', 'database/roles/readonly/credentials');
  const path = `leases/${lease.lease_id}`;

  await world.root(`ALTER ROLE ${lease.username} RENAME TO gone`);
  const gone = await server.call('POST', `${path}/renew`, { increment: '2h' });
  assert.deepEqual([gone.status, gone.body.code], [422, 'refused']);
  assert.match(gone.body.detail, /^Connection app: PostgreSQL says: role "chy_\w+" does not exist/);
  await world.root(`ALTER ROLE gone RENAME TO ${lease.username}`);

  await world.server.pause();
  const away = await server.call('POST', `${path}/renew`, { increment: '2h' });
  assert.deepEqual([away.status, away.body.code], [503, 'unavailable']);
  assert.match(away.body.detail, /^Connection app: /);
  assert.equal((await server.ok('GET', path)).expires_at, lease.expires_at);

  await world.server.start();
  const renewed = await server.ok('POST', `${path}/renew`, { increment: '2h' });
  assert.ok(Date.parse(renewed.expires_at) > Date.parse(lease.expires_at));
});
