import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createPerspective } from '#acme/dns/perspective.ts';
import { startBind } from '#test/bind.ts';
import { startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { type Pebble, startPebble } from '#test/pebble.ts';
import { accountAt, until } from './client-world.ts';

test('wildcards are proved by dns-01 with records that a provider publishes and takes away again', async (context) => {
  const pebble = await startPebble(context, { reuse: 0 });
  const hook = await startDnsWebhook(context, pebble);
  const server = await startChancery(context, {
    env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1', CHANCERY_ACME_RESOLVERS: pebble.dns },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  const secret = 'a secret of the webhook';
  const provider = await server.ok('POST', 'acme/dns-providers', {
    name: 'dns',
    settings: { kind: 'webhook', url: hook.url, secret },
  });
  assert.deepEqual(provider.settings, { url: hook.url });
  assert.doesNotMatch(JSON.stringify(await server.ok('GET', 'acme/dns-providers')), new RegExp(secret));
  const order = await server.ok('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['*.example.com', 'example.com', 'www.example.org'],
    challenge: 'dns-01',
    dns_provider: 'dns',
    wait: 30,
  });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  // Both records of one name were there at once.
  assert.equal(hook.calls.filter(({ action }) => action === 'present').length, 3);
  await until(
    () => Promise.resolve(hook.present.size),
    (left) => left === 0,
  );
  assert.equal((await server.call('DELETE', 'acme/dns-providers/dns')).status, 409);
  await server.ok('PATCH', `acme/certificates/${order.certificate_id}`, { renew: false });
  await server.ok('DELETE', 'acme/dns-providers/dns');
});

test('records of an order that is cancelled or fails are taken away, even when that fails at first', async (context) => {
  const pebble = await startPebble(context, { reuse: 0 });
  const hook = await startDnsWebhook(context, pebble);
  // Nobody can see the records by this resolver, so the order waits for them.
  const server = await startChancery(context, {
    env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1', CHANCERY_ACME_RESOLVERS: `127.0.0.1:${await freePort()}` },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  await server.ok('POST', 'acme/dns-providers', {
    name: 'dns',
    settings: { kind: 'webhook', url: hook.url, secret: 'a secret of the webhook' },
  });
  const order = await server.ok('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['example.com'],
    challenge: 'dns-01',
    dns_provider: 'dns',
  });
  const waiting = await until(
    () => server.ok('GET', `acme/orders/${order.id}`),
    (shown) => shown.state === 'propagating',
  );
  assert.equal(waiting.next.waiting_for, 'dns');
  assert.equal(hook.present.size, 1);
  hook.refuse(1);
  await server.ok('POST', `acme/orders/${order.id}/cancel`);
  await until(
    () => Promise.resolve(hook.present.size),
    (left) => left === 0,
  );
  assert.equal((await server.ok('GET', `acme/orders/${order.id}`)).state, 'cancelled');
});

test('tls-alpn-01 is answered for names and addresses, and refused where nobody listens for it', async (context) => {
  const port = await freePort();
  const pebble = await startPebble(context, { reuse: 0, tlsPort: port });
  const server = await startChancery(context, {
    env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1', CHANCERY_ACME_TLS_ALPN_LISTEN: `127.0.0.1:${port}` },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  const order = await server.ok('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['a.example.com', 'b.example.com', '127.0.0.1'],
    challenge: 'tls-alpn-01',
    wait: 30,
  });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const other = await startChancery(context, { env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1' } });
  await other.ok('POST', 'acme/accounts', accountAt(pebble));
  const refused = await other.call('POST', 'acme/orders', {
    account: 'pebble',
    identifiers: ['a.example.com'],
    challenge: 'tls-alpn-01',
  });
  assert.equal(refused.status, 409);
  assert.match(refused.body.hint, /CHANCERY_ACME_TLS_ALPN_LISTEN/);
});

test('a wildcard is had through a DNS server that takes updates signed with TSIG, and nothing is left in the zone', async (context) => {
  const key = { name: 'updater', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 7).toString('base64') };
  const bind = await startBind('example.test', [key]);
  context.after(() => bind.close());
  const dns = `127.0.0.1:${bind.port}`;
  const pebble = await startPebble(context, { reuse: 0, dnsServer: dns });
  const server = await startChancery(context, {
    env: { CHANCERY_OUTBOUND_ALLOW: '127.0.0.1', CHANCERY_ACME_RESOLVERS: dns },
  });
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  const settings = { kind: 'rfc2136', server: '127.0.0.1', port: bind.port, tsig_key_name: key.name };
  const create = (name: string, tsig_secret: string) =>
    server.ok('POST', 'acme/dns-providers', { name, settings: { ...settings, tsig_secret } });
  await create('bind', key.secret);
  const wanted = { account: 'pebble', identifiers: ['*.example.test', 'example.test'], challenge: 'dns-01' };
  const order = await server.ok('POST', 'acme/orders', { ...wanted, dns_provider: 'bind', wait: 60 });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  const { certificate } = await server.ok('GET', `acme/certificates/${order.certificate_id}`);
  assert.ok(new X509Certificate(certificate).checkHost('any.example.test'));
  const view = createPerspective([{ host: '127.0.0.1', port: bind.port }]);
  await until(
    () => view.texts('_acme-challenge.example.test', AbortSignal.timeout(10_000)),
    ({ length }) => length === 0,
  );
  await create('stranger', Buffer.alloc(32, 8).toString('base64'));
  const refused = await server.ok('POST', 'acme/orders', { ...wanted, dns_provider: 'stranger', wait: 60 });
  assert.equal(refused.state, 'failed');
  assert.match(refused.error, /TSIG|refuses/i);
});

interface Call {
  readonly action: 'present' | 'remove';
  readonly name: string;
  readonly value: string;
}

/** Publishes what the webhook provider sends in the DNS server of Pebble. */
async function startDnsWebhook(context: TestContext, pebble: Pebble) {
  const calls: Call[] = [];
  const present = new Map<string, string>();
  let refusals = 0;
  const take = async (call: Call): Promise<number> => {
    calls.push(call);
    if (refusals > 0) {
      refusals -= 1;
      return 503;
    }
    if (call.action === 'present') {
      present.set(call.value, call.name);
      await pebble.setTxt(call.name, call.value);
    } else {
      present.delete(call.value);
      await pebble.clearTxt(call.name);
    }
    return 204;
  };
  const server = createServer((request, reply) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      void take(JSON.parse(body) as Call).then((status) => reply.writeHead(status).end());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return {
    calls,
    present,
    refuse: (count: number) => void (refusals = count),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dns`,
  };
}
