import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { createServer } from 'node:tls';
import { encodeAlpnCertificate } from '#acme/challenge/alpn-certificate.ts';
import { acmeTlsProtocol, alpnDigest } from '#acme/challenge/tls-alpn-01.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { freePort } from '#test/free-port.ts';
import { attempt, challengeWorld, keyAuthorization, serveHttp, verdict } from './challenge-world.ts';

/** Listens at 127.0.0.2 and accepts nothing, with a queue that is full: a connection there neither fails nor is made. */
async function silentAddress(context: TestContext, port: number): Promise<void> {
  const program = [
    'import socket, time',
    `at = ("127.0.0.2", ${port})`,
    's = socket.socket(); s.bind(at); s.listen(0)',
    'queue = [socket.socket() for _ in range(8)]',
    'for each in queue: each.setblocking(False); each.connect_ex(at)',
    'time.sleep(0.2); print("full", flush=True); time.sleep(600)',
  ];
  const child = spawn('python3', ['-c', program.join('\n')], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
}

test('an address that does not answer leaves time for the next one', async (context) => {
  const world = await challengeWorld(context);
  world.dns.zone.set('A a.test', [
    { type: 'A', value: '127.0.0.2' },
    { type: 'A', value: '127.0.0.1' },
  ]);
  const http = await serveHttp(context, (_, response) => response.end(keyAuthorization));
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identifier = { type: 'dns', value: 'a.test' } as const;
  const der = encodeAlpnCertificate(identifier, alpnDigest(keyAuthorization), keys, Date.now());
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const tls = await freePort();
  const server = createServer({ cert: encodePem('CERTIFICATE', der), key, ALPNProtocols: [acmeTlsProtocol] });
  server.on('tlsClientError', () => undefined).listen(tls, '127.0.0.1');
  context.after(() => server.close());
  await Promise.all([silentAddress(context, http), silentAddress(context, tls)]);
  const validator = world.validator({ http, tls, timeoutMs: 3000 });
  const [overHttp, overTls] = await Promise.all([
    validator.validate(attempt('http-01')),
    validator.validate(attempt('tls-alpn-01')),
  ]);
  assert.deepEqual([verdict(overHttp), verdict(overTls)], ['ok', 'ok']);

  world.dns.zone.set('A a.test', [{ type: 'A', value: '127.0.0.2' }]);
  const alone = world.validator({ http, tls, timeoutMs: 500 });
  assert.equal(verdict(await alone.validate(attempt('http-01'))), 'connection');
  assert.equal(verdict(await alone.validate(attempt('tls-alpn-01'))), 'connection');
});
