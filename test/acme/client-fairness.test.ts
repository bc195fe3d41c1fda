import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { TooLate, withDeadline } from '#engines/acme/client/deadline.ts';
import { startChancery } from '#test/chancery.ts';
import { freePort } from '#test/free-port.ts';
import { type Pebble, startPebble } from '#test/pebble.ts';
import { accountAt, http, serverEnv, until } from './client-world.ts';

/** Whoever orders where nobody answers waits for that alone. */

test('authorities and DNS providers that hang hold up neither other accounts nor other namespaces', async (context) => {
  const port = await freePort();
  const pebble = await startPebble(context, { httpPort: port });
  const authority = await startSilentAuthority(context, pebble);
  const dns = await startSilentWebhook(context);
  const server = await startChancery(context, { env: serverEnv(port) });
  const tenant = server.as((await server.ok('POST', 'namespaces', { name: 'tenant' })).key);
  for (const client of [server, tenant])
    await client.ok('POST', 'acme/accounts', accountAt(pebble, { name: 'silent', directory: authority.directory }));
  await server.ok('POST', 'acme/accounts', accountAt(pebble));
  await server.ok('POST', 'acme/dns-providers', {
    name: 'silent',
    settings: { kind: 'webhook', url: dns.url, secret: 'a secret of the webhook' },
  });
  const names = Array.from({ length: 24 }, (_, index) => `n${index}.example.com`);
  for (const client of [server, tenant])
    await Promise.all(names.map((name) => client.ok('POST', 'acme/orders', silent(name, 'silent'))));
  const byProvider = { account: 'pebble', challenge: 'dns-01', dns_provider: 'silent' };
  await Promise.all(names.map((name) => server.ok('POST', 'acme/orders', { ...byProvider, identifiers: [name] })));
  await until(
    () => Promise.resolve(authority.waiting()),
    (waiting) => waiting > 16,
  );
  const order = await server.ok('POST', 'acme/orders', { ...http('free.example.com'), wait: 60 });
  assert.equal(order.state, 'issued', JSON.stringify(order));
  // It did not stand in line behind them: 48 wait there, each for 20 s.
  assert.ok(authority.ended() < names.length, String(authority.ended()));
  assert.ok(authority.waiting() <= 32, String(authority.waiting()));
});

test('what takes longer than its deadline has ended, whether it heeds the signal or not', async () => {
  let heard = false;
  const heedless = withDeadline(20, (signal) => {
    signal.addEventListener('abort', () => (heard = true));
    return new Promise<never>(() => undefined);
  });
  await assert.rejects(heedless, TooLate);
  assert.ok(heard);
  assert.equal(await withDeadline(60_000, () => Promise.resolve(7)), 7);
  await assert.rejects(
    withDeadline(60_000, () => Promise.reject(new Error('as it came'))),
    /as it came/,
  );
});

const silent = (name: string, account: string) => ({ account, identifiers: [name], challenge: 'http-01' });

/** Registers accounts, and answers nothing else. */
async function startSilentAuthority(context: TestContext, pebble: Pebble) {
  let [waiting, ended] = [0, 0];
  const server = createServer(pebble.tls, (request, reply) => {
    const here = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const urls = { newNonce: `${here}/nonce`, newAccount: `${here}/account`, newOrder: `${here}/order` };
    request.resume();
    reply.setHeader('replay-nonce', randomBytes(16).toString('base64url'));
    if (request.url === '/account') reply.writeHead(201, { location: `${here}/account/1` });
    if (request.url !== '/order') return void reply.end(JSON.stringify({ status: 'valid', ...urls }));
    waiting += 1;
    reply.on('close', () => {
      waiting -= 1;
      ended += 1;
    });
  });
  const directory = `https://127.0.0.1:${await listen(context, server)}/directory`;
  return { directory, waiting: () => waiting, ended: () => ended };
}

async function startSilentWebhook(context: TestContext) {
  return {
    url: `http://127.0.0.1:${await listen(
      context,
      createHttpServer(() => undefined),
    )}/dns`,
  };
}

async function listen(context: TestContext, server: Server & { closeAllConnections(): void }): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
