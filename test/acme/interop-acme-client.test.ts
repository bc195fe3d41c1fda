import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { type TestContext, test } from 'node:test';
import { createSecureContext, createServer as createTlsServer, type SecureContext } from 'node:tls';
import acme from 'acme-client';
import { type InteropWorld, interopWorld, inventory } from './interop-world.ts';

/** The npm package acme-client, over all three challenges. */

interface Solver {
  readonly priority: string;
  readonly solve: (authorization: acme.Authorization, token: string, keyAuthorization: string) => Promise<unknown>;
  readonly clean: (authorization: acme.Authorization, token: string) => Promise<unknown>;
}

async function httpSolver(context: TestContext, { httpPort }: InteropWorld): Promise<Solver> {
  const answers = new Map<string, string>();
  const server = createServer(({ url = '' }, response) => response.end(answers.get(url) ?? '')).listen(
    httpPort,
    '127.0.0.1',
  );
  context.after(() => void server.close());
  await once(server, 'listening');
  return {
    priority: 'http-01',
    solve: async (_, token, value) => answers.set(`/.well-known/acme-challenge/${token}`, value),
    clean: async (_, token) => answers.delete(`/.well-known/acme-challenge/${token}`),
  };
}

function dnsSolver(_: TestContext, world: InteropWorld): Solver {
  const at = ({ identifier }: acme.Authorization) => `_acme-challenge.${identifier.value}`;
  return {
    priority: 'dns-01',
    solve: (authorization, _token, value) => world.setTxt(at(authorization), value),
    clean: async () => undefined,
  };
}

async function tlsSolver(context: TestContext, { tlsPort }: InteropWorld): Promise<Solver> {
  const contexts = new Map<string, SecureContext>();
  const server = createTlsServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (name, done) => done(null, contexts.get(name)),
  }).listen(tlsPort, '127.0.0.1');
  context.after(() => void server.close());
  await once(server, 'listening');
  return {
    priority: 'tls-alpn-01',
    async solve(authorization, _token, keyAuthorization) {
      const [key, cert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization);
      contexts.set(authorization.identifier.value, createSecureContext({ key, cert }));
    },
    clean: async ({ identifier }) => contexts.delete(identifier.value),
  };
}

async function newClient(world: InteropWorld): Promise<acme.Client> {
  // Global to the package; each test runs alone in this process.
  acme.axios.defaults.httpsAgent = new Agent({ ca: readFileSync(world.rootFile) });
  const key = await world.externalKey();
  return new acme.Client({
    directoryUrl: world.directory,
    accountKey: await acme.crypto.createPrivateEcdsaKey(),
    externalAccountBinding: { kid: key.key_id, hmacKey: key.hmac_key },
    backoffMin: 100,
    backoffMax: 500,
    backoffAttempts: 60,
  });
}

async function issue(
  client: acme.Client,
  { priority, solve, clean }: Solver,
  names: string[],
): Promise<X509Certificate> {
  const [, csr] = await acme.crypto.createCsr({ altNames: names }, await acme.crypto.createPrivateEcdsaKey());
  const pem = await client.auto({
    csr,
    termsOfServiceAgreed: true,
    skipChallengeVerification: true,
    challengePriority: [priority],
    challengeCreateFn: async (authorization, challenge, value) =>
      void (await solve(authorization, challenge.token, value)),
    challengeRemoveFn: async (authorization, challenge) => void (await clean(authorization, challenge.token)),
  });
  return new X509Certificate(pem);
}

const solvers = {
  'http-01': [httpSolver, ['a.interop.test', 'b.interop.test']],
  'dns-01': [dnsSolver, ['*.w.interop.test', 'w.interop.test']],
  'tls-alpn-01': [tlsSolver, ['a.interop.test', 'b.interop.test']],
} as const;

for (const [type, [solverOf, names]] of Object.entries(solvers))
  test(`acme-client: issues over ${type}, issues again, and revokes`, async (context) => {
    const world = await interopWorld(context);
    const client = await newClient(world);
    const solver = await solverOf(context, world);
    const first = await issue(client, solver, [...names]);
    assert.equal(first.subjectAltName, names.map((name) => `DNS:${name}`).join(', '));
    const second = await issue(client, solver, [...names]);
    assert.notEqual(second.serialNumber, first.serialNumber);
    await client.revokeCertificate(second.toString(), { reason: 4 });
    const revoked = await inventory(world, second);
    assert.deepEqual([revoked.status, revoked.revocation_reason], ['revoked', 'superseded']);
    assert.equal((await inventory(world, first)).status, 'valid');
  });

test('acme-client: orders for an address, changes its key, and deactivates its account', async (context) => {
  const world = await interopWorld(context);
  const client = await newClient(world);
  const { solve } = await httpSolver(context, world);
  await client.createAccount({ termsOfServiceAgreed: true });
  const order = await client.createOrder({ identifiers: [{ type: 'ip', value: '127.0.0.1' }] });
  for (const authorization of await client.getAuthorizations(order)) {
    const challenge = authorization.challenges.find(({ type }) => type === 'http-01');
    assert.ok(challenge);
    await solve(authorization, challenge.token, await client.getChallengeKeyAuthorization(challenge));
    await client.completeChallenge(challenge);
    await client.waitForValidStatus(challenge);
  }
  const [, csr] = await acme.crypto.createCsr({ altNames: ['127.0.0.1'] }, await acme.crypto.createPrivateEcdsaKey());
  const certificate = new X509Certificate(await client.getCertificate(await client.finalizeOrder(order, csr)));
  assert.equal(certificate.subjectAltName, 'IP Address:127.0.0.1');
  await client.updateAccountKey(await acme.crypto.createPrivateEcdsaKey());
  await client.updateAccount({ contact: ['mailto:ops@interop.test'] });
  await client.updateAccount({ status: 'deactivated' });
  await assert.rejects(client.createOrder({ identifiers: [{ type: 'dns', value: 'a.interop.test' }] }));
});
