import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { renewalPlan } from '#chancery/self-tls.ts';
import { startChancery } from '#test/chancery.ts';

/** CHANCERY_TLS=self: the server's certificate comes from an authority of its own. */

async function serve(context: TestContext, folder: string, host: string) {
  const env = {
    CHANCERY_TLS: 'self',
    CHANCERY_PUBLIC_URL: `https://${host}:8420`,
    CHANCERY_CA_FILE: 'for-clients.pem',
  };
  const server = await startChancery(context, { folder, env });
  const { operations, dispatch } = server.chancery;
  const run = async (id: string, input: object) => {
    const operation = operations.find((each) => each.id === id);
    assert.ok(operation);
    const credentials = { kind: 'bearer', token: server.token ?? '' } as const;
    const request = {
      operation,
      input,
      credentials,
      transport: 'rest',
      sourceAddress: null,
      requestId: 'req_1',
    } as const;
    // oxlint-disable-next-line typescript/no-explicit-any -- as the client of the tests
    return (await dispatch(request)).output as any;
  };
  return { port: Number(new URL(server.url).port), run, stop: () => server.stop() };
}

/** As a client that trusts the root which the server wrote for that, and calls it `host`. */
async function statusFor(folder: string, port: number, host: string): Promise<number | undefined> {
  const ca = readFileSync(join(folder, 'tls-root.pem'), 'utf8');
  const request = get({ host: '127.0.0.1', port, path: '/healthz', servername: host, ca, agent: false });
  const [reply] = (await once(request, 'response')) as [IncomingMessage];
  reply.resume();
  return reply.statusCode;
}

test('a server whose public name changes serves a certificate for the new name, below the same root', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-test-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const first = await serve(context, folder, 'old.example');
  assert.equal(await statusFor(folder, first.port, 'old.example'), 200);
  await assert.rejects(statusFor(folder, first.port, 'new.example'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  const root = readFileSync(join(folder, 'tls-root.pem'), 'utf8');
  await first.stop();
  const second = await serve(context, folder, 'new.example');
  assert.equal(await statusFor(folder, second.port, 'new.example'), 200);
  assert.equal(readFileSync(join(folder, 'tls-root.pem'), 'utf8'), root);
});

const ends = {
  'was retired': async ({ run }: Awaited<ReturnType<typeof serve>>, name: string) =>
    run('pki.retire_authority', { name }),
  'has a revoked certificate': async ({ run }: Awaited<ReturnType<typeof serve>>, name: string) => {
    const { serial_number } = await run('pki.get_authority', { name });
    await run('pki.revoke_certificate', { serial_number, reason: 'ca_compromise' });
  },
};

for (const [what, end] of Object.entries(ends))
  test(`a server whose own authority ${what} founds another one, again and again`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'chancery-test-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    let server = await serve(context, folder, 'a.example');
    for (const [name, next] of [
      ['chancery-tls', 'chancery-tls-2'],
      ['chancery-tls-2', 'chancery-tls-3'],
    ] as const) {
      const before = readFileSync(join(folder, 'tls-root.pem'), 'utf8');
      await end(server, name);
      await server.stop();
      server = await serve(context, folder, 'a.example');
      assert.equal(await statusFor(folder, server.port, 'a.example'), 200);
      assert.equal((await server.run('pki.get_role', { name: 'chancery-tls' })).authority, next);
      assert.notEqual(readFileSync(join(folder, 'tls-root.pem'), 'utf8'), before);
    }
  });

const minute = 60_000;

test('a certificate is renewed at half of its life, and a renewal that fails is tried again within minutes', () => {
  const plan = renewalPlan();
  plan.succeeded(0, 100 * minute);
  assert.equal(plan.begin(49 * minute), false);
  assert.equal(plan.begin(50 * minute), true);
  assert.equal(plan.begin(51 * minute), false, 'an attempt is under way');
  let now = 52 * minute;
  const waits: number[] = [];
  for (let attempt = 0; attempt < 7; attempt++) {
    plan.failed(now);
    const failed = now;
    while (!plan.begin(now)) now += minute;
    waits.push((now - failed) / minute);
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30]);
  plan.succeeded(now, now + 100 * minute);
  assert.equal(plan.begin(now + 49 * minute), false);
  plan.failed(now);
  assert.equal(plan.begin(now + minute), true, 'a success makes the next failure the first');
});

test('a certificate that ended while the machine slept is renewed at the first look', () => {
  const plan = renewalPlan();
  plan.succeeded(0, 100 * minute);
  assert.equal(plan.begin(10_000 * minute), true);
});
