import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spawnChancery, startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { startPebble } from '#test/pebble.ts';
import { startPostgres } from '#test/postgres.ts';
import { accountAt, http, serverEnv, until } from './client-world.ts';

const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}.example.com`);

test('kill -9 in the middle of orders loses none: the server that starts again finishes them', async (context) => {
  const port = await freePort();
  const pebble = await startPebble(context, { httpPort: port, reuse: 0 });
  const env = serverEnv(port);
  let server = await spawnChancery(context, { env });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  const orders = await Promise.all(
    names(12).map((name) => server.ok('POST', 'acme/orders', { ...http(name), wait: 0 })),
  );
  // Each time somewhere else in the middle.
  for (const pause of [30, 150]) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    await server.kill();
    server = await spawnChancery(context, { env, folder: server.folder });
  }
  for (const { id } of orders) {
    const order = await until(
      () => server.ok('GET', `acme/orders/${id}`),
      (shown) => shown.ended_at !== null,
    );
    assert.equal(order.state, 'issued', JSON.stringify(order));
    const downloaded = await server.ok('POST', `acme/certificates/${order.certificate_id}/download`);
    assert.match(downloaded.private_key, /PRIVATE KEY/);
  }
  assert.equal((await server.ok('GET', 'acme/certificates?limit=100')).certificates.length, orders.length);
});

test('two nodes on one store share the orders, and either answers the challenges of the other', async (context) => {
  const postgres = await startPostgres();
  const port = await freePort();
  const pebble = await startPebble(context, { httpPort: port, reuse: 0 });
  const store = { CHANCERY_STORAGE: postgres.url() };
  const first = await startChancery(context, { env: serverEnv(port, store) });
  const second = await startChancery(context, { folder: first.folder, env: serverEnv(await freePort(), store) });
  // What ends later is told later: the store goes after those who use it.
  context.after(() => postgres.stop());
  await first.ok('POST', 'acme/accounts', accountAt(pebble));
  const made = await Promise.all(
    names(10).map((name, index) => (index % 2 === 0 ? first : second).ok('POST', 'acme/orders', http(name))),
  );
  assert.deepEqual([...new Set(made.map(({ state }) => state))], ['issued'], JSON.stringify(made));
  const { certificates } = await second.ok('GET', 'acme/certificates?limit=100');
  assert.equal(certificates.length, made.length);
  const events = (await first.ok('GET', 'audit/events?limit=1000')).events as {
    operation: string;
    details: { outcome?: string };
  }[];
  const issued = events.filter(
    ({ operation, details }) => operation === 'acme.advance_order' && details.outcome === 'issued',
  );
  assert.equal(issued.length, made.length);
});
