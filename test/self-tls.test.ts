import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startChancery } from '#test/chancery.ts';

/** CHANCERY_TLS=self: the server's certificate comes from an authority of its own. */

async function serve(context: TestContext, folder: string, host: string) {
  const env = {
    CHANCERY_TLS: 'self',
    CHANCERY_PUBLIC_URL: `https://${host}:8420`,
    CHANCERY_CA_FILE: 'for-clients.pem',
  };
  const server = await startChancery(context, { folder, env });
  return { port: Number(new URL(server.url).port), stop: () => server.stop() };
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
