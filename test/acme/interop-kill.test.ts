import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { Agent } from 'node:https';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import acme from 'acme-client';
import { foundPki, spawnChancery, type Client } from '#test/chancery.ts';
import { startDnsServer } from '#test/dns-server.ts';
import { freePort } from '#test/free-port.ts';
import { startPostgres } from '#test/postgres.ts';
import { newExternalKey } from './server-world.ts';

/** The npm package acme-client, through a load balancer, while one of two nodes is killed. */

const count = 12;

async function listening(context: TestContext, server: ReturnType<typeof createHttpServer>, port: number) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
}

/** Ends TLS and hands each connection to the next node that takes it. */
async function balance(
  context: TestContext,
  port: number,
  nodes: readonly Pick<Client, 'url'>[],
  { certificate, chain, private_key: key }: { certificate: string; chain: string[]; private_key: string },
): Promise<void> {
  let turn = 0;
  const sockets = new Set<Socket>();
  const pass = (client: Socket, triesLeft: number): void => {
    const { hostname, port: to } = new URL(nodes[turn++ % nodes.length]?.url ?? '');
    const node = connect(Number(to), hostname);
    sockets.add(node);
    let isOpen = false;
    node.once('connect', () => {
      isOpen = true;
      client.pipe(node).pipe(client);
    });
    node.on('error', () => undefined);
    node.on('close', () => (isOpen || triesLeft === 0 ? client.destroy() : pass(client, triesLeft - 1)));
    client.on('close', () => node.destroy());
  };
  const server = createTlsServer({ cert: [certificate, ...chain].join(''), key }, (client) => {
    sockets.add(client);
    client.on('error', () => undefined);
    pass(client, nodes.length);
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

test('acme-client: kill -9 of one of two nodes on PostgreSQL in the middle of orders, and each client that tries again ends with a certificate', async (context) => {
  const postgres = await startPostgres();
  context.after(() => postgres.stop());
  const dns = await startDnsServer();
  context.after(() => dns.close());
  const [port, httpPort] = [await freePort(), await freePort()];
  const env = {
    CHANCERY_STORAGE: await postgres.createDatabase(),
    CHANCERY_PUBLIC_URL: `https://localhost:${port}`,
    CHANCERY_ACME_HTTP_PORT: String(httpPort),
    CHANCERY_ACME_RESOLVERS: `127.0.0.1:${dns.port}`,
  };
  const first = await spawnChancery(context, { env });
  const second = await spawnChancery(context, { env, folder: first.folder });
  await foundPki(first, 'ec-p256', { allowed_domains: ['example.com', 'localhost'], allow_bare_domains: true });
  await first.ok('PUT', 'acme/directories/web', { allowed_address_ranges: ['127.0.0.0/8'] });
  const own = await first.ok('POST', 'pki/certificates', { role: 'web', dns_names: ['localhost'] });
  const root = await first.ok('GET', 'pki/authorities/root');
  await balance(context, port, [first, second], own);

  const answers = new Map<string, string>();
  let asked = 0;
  let killed: Promise<void> | undefined;
  const responder = createHttpServer(({ url = '' }, response) => {
    asked += 1;
    if (asked === count / 3) killed = first.kill();
    response.end(answers.get(url) ?? '');
  });
  await listening(context, responder, httpPort);

  // Global to the package; this file has one test. Without its own retries, which hide what happened for a minute.
  acme.axios.defaults.httpsAgent = new Agent({ ca: root.certificate });
  Object.assign(acme.axios.defaults, { acmeSettings: { retryMaxAttempts: 0 }, timeout: 20_000 });
  const key = await newExternalKey(first, { role: 'web' });
  const accountKey = await acme.crypto.createPrivateEcdsaKey();
  const settings = {
    directoryUrl: `https://localhost:${port}/acme/web/directory`,
    accountKey,
    externalAccountBinding: { kid: key.key_id, hmacKey: key.hmac_key },
    backoffMin: 50,
    backoffMax: 250,
    backoffAttempts: 12,
  };
  await new acme.Client(settings).createAccount({ termsOfServiceAgreed: true });

  const obtain = async (name: string): Promise<X509Certificate> => {
    dns.add(name, { type: 'A', value: '127.0.0.1' });
    const [, csr] = await acme.crypto.createCsr({ altNames: [name] }, await acme.crypto.createPrivateEcdsaKey());
    const failures: unknown[] = [];
    while (failures.length < 60)
      try {
        const pem = await new acme.Client(settings).auto({
          csr,
          termsOfServiceAgreed: true,
          skipChallengeVerification: true,
          challengePriority: ['http-01'],
          challengeCreateFn: async (_, { token }, value) =>
            void answers.set(`/.well-known/acme-challenge/${token}`, value),
          challengeRemoveFn: async () => undefined,
        });
        return new X509Certificate(pem);
      } catch (error) {
        failures.push(error);
        // As a client that cron starts again, and long enough in all for the dead node's work to be taken over.
        await sleep(250);
      }
    throw new AggregateError(failures, `no certificate for ${name}`);
  };
  const names = Array.from({ length: count }, (_, index) => `kill${index}.example.com`);
  const held = await Promise.all(names.map(obtain));
  assert.notEqual(killed, undefined, 'the node was killed before all was done');
  await killed;
  for (const [index, certificate] of held.entries()) {
    assert.equal(certificate.subjectAltName, `DNS:${names[index]}`);
    const { status } = await second.ok('GET', `pki/certificates/${certificate.serialNumber.toLowerCase()}`);
    assert.equal(status, 'valid');
  }
});
