import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChancery } from '#test/chancery.ts';
import { connectionTo, foundDatabase, leasedUsers, startTarget, until } from './fixture.ts';

test('a user is leased, reads, may not write, and is gone with its session when its time is over', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  await foundDatabase(server, world);
  const issued = await server.ok('POST', 'database/roles/readonly/credentials', { ttl: '2s', purpose: 'report' });
  assert.match(issued.username, /^chy_[0-9a-z]{5}_readonly_[0-9a-z]{13}$/);
  assert.equal(issued.connection_url.includes(`:${issued.password}@127.0.0.1:${world.settings.port}/app`), true);
  assert.equal(Date.parse(issued.expires_at) > Date.parse(issued.issued_at), true);
  const session = await world.logIn({ username: issued.username }, issued.password);
  assert.deepEqual(await session.query(world.read), [{ note: 'first' }]);
  await assert.rejects(session.query(world.write), { code: '42501' });
  await session.ended;
  await until('the user is gone', async () => (await leasedUsers(world)).length === 0);
  await until('the lease is revoked', async () => {
    const { state } = await server.ok('GET', `leases/${issued.lease_id}`);
    return state === 'revoked';
  });
});

test('what a connection shows and what its lists show holds no password', async (context) => {
  const world = await startTarget(context);
  const server = await startChancery(context);
  const { password, ...rest } = connectionTo(world);
  const { host, port, database, username } = rest;
  const url = `postgres://${String(username)}:${String(password)}@${String(host)}:${String(port)}/${String(database)}`;
  const created = await server.ok('POST', 'database/connections', { name: 'app', url });
  assert.equal(created.tls, 'disable');
  assert.equal(created.url, `postgresql://chancery_admin@127.0.0.1:${String(port)}/app`);
  const shown = [
    created,
    await server.ok('GET', 'database/connections/app'),
    await server.ok('GET', 'database/connections'),
    await server.ok('POST', 'database/connections/app/check'),
    await server.ok('GET', 'audit/events?limit=1000'),
  ];
  assert.equal(JSON.stringify(shown).includes(String(password)), false);
});
