import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, describe, test, type TestContext } from 'node:test';
import { mayPass } from '#engines/acme/client/order/repeat.ts';
import { type OrderDefinition } from '#engines/acme/client/order/definition.ts';
import { startChancery, type TestServer } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { startPebble } from '#test/pebble.ts';
import { accountAt, http, serverEnv, until } from './client-world.ts';

/** An authorization that failed for a reason that may have been ours: a new order is needed (RFC 8555 §7.1.6). */

describe('an order that the authority made invalid', () => {
  let world: Awaited<ReturnType<typeof startBehindDoor>>;
  const ends: (() => unknown)[] = [];
  before(async () => {
    world = await startBehindDoor({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext);
  });
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });

  test('an order whose validation found nobody at home is ordered again by itself, and says so', async () => {
    const { server, door } = world;
    door.shut('reset');
    const order = await server.ok('POST', 'acme/orders', { ...http('a.example.com'), wait: 0 });
    const waiting = await until(
      () => server.ok('GET', `acme/orders/${order.id}`),
      ({ attempts, state }) => attempts === 1 && state === 'created',
    );
    assert.match(waiting.error, /a\.example\.com is invalid: http-01: .*\(connection\)/);
    assert.equal(waiting.next.waiting_for, 'chancery');
    assert.match(
      waiting.next.action,
      /made the order before invalid; this one is 2 of at most 3\. Port 80 of every name/,
    );
    assert.ok(Date.parse(waiting.next.until) < Date.parse(waiting.give_up_at));
    assert.equal(waiting.url, null);
    door.open();
    const done = await server.ok('GET', `acme/orders/${order.id}?wait=60`);
    assert.equal(done.state, 'issued', JSON.stringify(done));
    assert.deepEqual([done.attempts, done.error], [1, null]);
    const [repeat, ...others] = await repeatsOf(server, order.id);
    assert.deepEqual([repeat?.['order'], others], [2, []]);
    assert.match(String(repeat?.['reason']), /connection/);
  });

  test('a wrong answer is not ordered again, but that of a proxy whose server is away is', async () => {
    const { server, door } = world;
    door.shut('404 Not Found');
    const wrong = await server.ok('POST', 'acme/orders', http('d.example.com'));
    assert.equal(wrong.state, 'failed');
    assert.match(wrong.error, /unauthorized/);
    assert.equal(wrong.attempts, 1);
    assert.deepEqual(await repeatsOf(server, wrong.id), []);
    door.shut('502 Bad Gateway');
    const order = await server.ok('POST', 'acme/orders', { ...http('e.example.com'), wait: 0 });
    await until(
      () => server.ok('GET', `acme/orders/${order.id}`),
      ({ attempts }) => attempts === 1,
    );
    door.open();
    const done = await server.ok('POST', `acme/orders/${order.id}/complete`, { wait: 60 });
    assert.equal(done.state, 'issued', JSON.stringify(done));
  });

  test('what finds nobody at home three times has failed, each try on record; one that is given up makes no further', async () => {
    const { server, door, advance } = world;
    door.shut('reset');
    const order = await server.ok('POST', 'acme/orders', { ...http('b.example.com'), wait: 0 });
    const given = await server.ok('POST', 'acme/orders', { ...http('c.example.com'), wait: 0 });
    const reached = (id: string, attempts: number) =>
      until(
        () => server.ok('GET', `acme/orders/${id}`),
        (shown) => shown.attempts === attempts && (shown.state === 'created' || shown.ended_at !== null),
      );
    await Promise.all([reached(order.id, 1), reached(given.id, 1)]);
    await server.ok('POST', `acme/orders/${order.id}/complete`);
    await reached(order.id, 2);
    await server.ok('POST', `acme/orders/${order.id}/complete`);
    const failed = await reached(order.id, 3);
    assert.equal(failed.state, 'failed');
    assert.match(failed.error, /\(connection\); it was ordered 3 times/);
    assert.deepEqual(
      (await repeatsOf(server, order.id)).map((details) => details['order']),
      [3, 2],
    );
    advance(86_400_000);
    await server.call('POST', `acme/orders/${given.id}/complete`);
    const over = await until(
      () => server.ok('GET', `acme/orders/${given.id}`),
      ({ state }) => state === 'failed',
    );
    assert.match(over.error, /given up; at last: .*connection/);
  });
});

test('which reasons of an authority may pass (RFC 8555 section 6.7)', () => {
  const plain = { identifiers: [], renew: true, reuse_key: false };
  const http01: OrderDefinition = { ...plain, challenge: 'http-01' };
  const byProvider: OrderDefinition = { ...plain, challenge: 'dns-01', dns_provider: 'dns' };
  const byHand: OrderDefinition = { ...plain, challenge: 'dns-01' };
  const problem = (type: string, detail = '', ...types: string[]) => ({
    type,
    detail,
    status: 0,
    subproblems: types.map((each) => ({ type: each, detail: '', identifier: undefined })),
  });
  for (const type of ['connection', 'dns', 'tls', 'serverInternal']) assert.ok(mayPass(problem(type), http01), type);
  for (const type of ['caa', 'rejectedIdentifier', 'malformed', 'unauthorized', 'badCSR', 'userActionRequired', 'x'])
    assert.ok(!mayPass(problem(type), http01), type);
  const gateway = 'Invalid response from http://a.example.com/.well-known/acme-challenge/500: 503';
  assert.ok(mayPass(problem('unauthorized', gateway), http01));
  assert.ok(!mayPass(problem('unauthorized', gateway.replace(': 503', ': 404')), http01));
  assert.ok(!mayPass(problem('unauthorized', gateway), { ...http01, challenge: 'tls-alpn-01' }));
  assert.ok(mayPass(problem('unauthorized', 'No TXT record'), byProvider));
  assert.ok(!mayPass(problem('unauthorized', 'No TXT record'), byHand));
  assert.ok(mayPass(problem('compound', '', 'connection', 'dns'), http01));
  assert.ok(!mayPass(problem('compound', '', 'connection', 'caa'), http01));
});

interface Event {
  readonly operation: string;
  readonly resource: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What the audit has of each further order, newest first. */
async function repeatsOf(server: TestServer, id: string): Promise<Event['details'][]> {
  const { events } = (await server.ok('GET', 'audit/events?limit=1000')) as { events: Event[] };
  return events
    .filter(({ operation, resource }) => operation === 'acme.advance_order' && resource.endsWith(id))
    .map(({ details }) => details)
    .filter(({ outcome }) => outcome === 'repeat')
    .toSorted((a, b) => Number(b['order']) - Number(a['order']));
}

/** Between Pebble and the challenges stands a door: shut, it resets connections or answers with a status of its own. */
async function startBehindDoor(context: TestContext) {
  const port = await freePort();
  let closed: string | undefined;
  const door = createServer((from: Socket) => {
    from.on('error', () => undefined);
    if (closed === 'reset') return void from.resetAndDestroy();
    if (closed !== undefined)
      return void from.once('data', () => from.end(`HTTP/1.1 ${closed}\r\ncontent-length: 0\r\n\r\n`));
    const to = connect(port, '127.0.0.1');
    to.on('error', () => from.destroy());
    from.pipe(to).pipe(from);
  });
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  context.after(() => door.close());
  const pebble = await startPebble(context, { httpPort: (door.address() as AddressInfo).port, reuse: 0 });
  let ahead = 0;
  const server = await startChancery(context, {
    env: serverEnv(port),
    clock: { now: () => Date.now() + ahead },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  return {
    server,
    door: { shut: (how: string) => void (closed = how), open: () => void (closed = undefined) },
    advance: (by: number) => void (ahead += by),
  };
}
